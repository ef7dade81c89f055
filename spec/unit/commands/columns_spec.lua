-- Tables of text that line up in a terminal.
local columns = require "xmpp_tls_policy.commands.columns"

describe("a table", function ()
	local titles = { "Who", "Suite", "Bits" }

	-- The text of a whole table; `width` and `fold` as in columns.fit.
	local function rendered(rows, width, fold)
		local made, parts = columns.new(titles), {}
		for _, row in ipairs(rows) do
			made:add(row)
		end
		if width then
			made:fit(width, fold)
		end
		made:add_text(parts, titles)
		for _, row in ipairs(rows) do
			made:add_text(parts, row)
		end
		return table.concat(parts)
	end

	it("has columns as wide as their widest cell", function ()
		assert.equal("Who             Suite  Bits\n"
			.. "b\195\188cher.example  A      128\n"
			.. "x                      256\n",
			rendered { { "b\195\188cher.example", "A", "128" }, { "x", "", "256" } })
	end)

	it("cuts the widest column where it does not fit, and no character in two", function ()
		assert.equal("Who         Suite  Bits\n"
			.. ("\195\188"):rep(9) .. "\226\128\166  A      128\n",
			rendered({ { ("\195\188"):rep(200), "A", "128" } }, 23))
	end)

	local rows = { { ("w"):rep(30), ("s"):rep(20), "256" }, { "none" } }

	it("folds rows that are too long, and leaves out empty second lines", function ()
		assert.equal("Who\n  Suite                 Bits\n" .. ("w"):rep(30) .. "\n  " .. ("s"):rep(20) .. "  256\nnone\n",
			rendered(rows, 57, 2))
	end)

	it("does not fold rows that fit", function ()
		assert.equal("Who" .. (" "):rep(29) .. "Suite                 Bits\n" .. ("w"):rep(30) .. "  " .. ("s"):rep(20)
			.. "  256\nnone\n", rendered(rows, 58, 2))
	end)

	it("cuts rather than folds where only one cell is very long", function ()
		local output = rendered({ { ("w"):rep(200), "s", "256" } }, 80, 2)
		assert.equal("Who" .. (" "):rep(66) .. "Suite  Bits\n" .. ("w"):rep(66) .. "\226\128\166  s      256\n", output)
	end)
end)
