-- What a terminal is shown: text that nothing foreign gets into, and tables that line up.
local columns = require "xmpp_tls_policy.commands.columns"
local text = require "xmpp_tls_policy.text"

describe("text.shown", function ()
	for given, expected in pairs {
		[""] = "", ["a b~"] = "a b~", ["b\195\188cher"] = "b\195\188cher", ["\230\151\165"] = "\230\151\165",
		["\240\159\152\128"] = "\240\159\152\128",
		["a\27[2J\r\n\0"] = "a\\027[2J\\013\\010\\000", ["\127"] = "\\127",
		["\194\155x"] = "\\194\\155x", -- U+009B, which begins a control sequence
		["\226\128\174x"] = "\\226\\128\\174x", -- U+202E, right to left
		["\226\129\166"] = "\\226\\129\\166", ["\239\191\191"] = "\\239\\191\\191", ["\239\187\191"] = "\\239\\187\\191",
		["\255\195"] = "\\255\\195", ["\192\175"] = "\\192\\175", ["\224\128\175"] = "\\224\\128\\175",
		["\237\160\128"] = "\\237\\160\\128", ["\244\144\128\128"] = "\\244\\144\\128\\128",
		["\226\128x"] = "\\226\\128x",
	} do
		it(("makes %q of what is there"):format(expected), function ()
			assert.equal(expected, text.shown(given))
		end)
	end
end)

describe("a table", function ()
	local titles = { "Who", "Suite", "Bits" }

	it("has columns as wide as what is in them", function ()
		assert.same({
			"Who             Suite  Bits",
			"b\195\188cher.example  A      128",
			"x                      256",
		}, columns.lines(titles, { { "b\195\188cher.example", "A", "128" }, { "x", "", "256" } }))
	end)

	it("cuts the widest column where it does not fit, and no character in two", function ()
		assert.same({
			"Who         Suite  Bits",
			"\195\188\195\188\195\188\195\188\195\188\195\188\195\188\195\188\195\188\226\128\166  A      128",
		}, columns.lines(titles, { { ("\195\188"):rep(200), "A", "128" } }, 23))
	end)

	local function folded(rows, width)
		local made, parts = columns.new(titles), {}
		for _, row in ipairs(rows) do
			made:add(row)
		end
		made:fit(width, 2)
		made:add_text(parts, titles)
		for _, row in ipairs(rows) do
			made:add_text(parts, row)
		end
		return table.concat(parts)
	end

	local rows = { { ("w"):rep(30), ("s"):rep(20), "256" }, { "none" } }

	it("folds rows that are too long, and leaves out empty second lines", function ()
		assert.equal("Who\n  Suite                 Bits\n" .. ("w"):rep(30) .. "\n  " .. ("s"):rep(20) .. "  256\nnone\n",
			folded(rows, 57))
	end)

	it("does not fold what fits", function ()
		assert.equal("Who" .. (" "):rep(29) .. "Suite                 Bits\n" .. ("w"):rep(30) .. "  " .. ("s"):rep(20)
			.. "  256\nnone\n", folded(rows, 58))
	end)

	it("cuts rather than folds where only one cell is very long", function ()
		local output = folded({ { ("w"):rep(200), "s", "256" } }, 80)
		assert.equal("Who" .. (" "):rep(66) .. "Suite  Bits\n" .. ("w"):rep(66) .. "\226\128\166  s      256\n", output)
	end)
end)
