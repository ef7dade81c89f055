-- Foreign text made harmless, and values and lists as words.
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
		it(("shows %q"):format(expected), function ()
			assert.equal(expected, text.shown(given))
		end)
	end
end)

-- rfc3629.4.utf8
describe("text.is_utf8", function ()
	for given, expected in pairs {
		[""] = true, ["a\0\n~\127"] = true, ["b\195\188cher"] = true, ["\230\151\165\240\159\152\128"] = true,
		["\194\155"] = true, ["\255"] = false, ["\195"] = false, ["\192\175"] = false, ["\224\128\175"] = false,
		["\237\160\128"] = false, ["\244\144\128\128"] = false,
		-- A character within the bytes of another one does not hide them.
		["\194\195\188\168"] = false, ["\224\195\188\160\128"] = false,
	} do
		it(("is %s of %q"):format(tostring(expected), given), function ()
			assert.equal(expected, text.is_utf8(given))
		end)
	end
end)

describe("text.quote", function ()
	it("escapes all but printable ASCII, and cuts long strings", function ()
		assert.equal('"a\\"b\\010\\195\\188"', text.quote 'a"b\n\195\188')
		assert.equal('"' .. ("x"):rep(60) .. '"', text.quote(("x"):rep(60)))
		assert.equal('"' .. ("x"):rep(60) .. '..." (61 bytes)', text.quote(("x"):rep(61)))
	end)
end)

describe("text.suggestion", function ()
	it("names the nearest known name, if one is near", function ()
		assert.equal('; did you mean "must"?', text.suggestion("MSUT", { "should", "must" }))
		assert.equal("", text.suggestion("colour", { "should", "must" }))
		assert.equal("", text.suggestion(7, { "should", "must" }))
	end)
end)

describe("lists as words", function ()
	it("are cut where they are long", function ()
		assert.equal("none", text.short_list {})
		assert.equal("a, b", text.short_list { "a", "b" })
		assert.equal("a, b, c, d, e, f and 1 more", text.short_list { "a", "b", "c", "d", "e", "f", "g" })
		assert.equal("a, b and 1 more", text.short_list({ "a", "b", "c" }, 2))
		assert.equal('"a", "b"', text.quoted_list { "a", "b" })
	end)
end)

describe("text.counted", function ()
	it("has the noun in the plural but for one", function ()
		assert.same({ "0 days", "1 day", "2 days" },
			{ text.counted(0, "day"), text.counted(1, "day"), text.counted(2, "day") })
	end)

	it("wrap between words, and break a word that is too long", function ()
		for _, case in ipairs {
			{ "", 10, { "" } },
			{ "one two", 10, { "one two" } },
			{ "one two three", 10, { "one two", "  three" } },
			{ "abcdefghijklmnop", 10, { "abcdefghij", "  klmnop" } },
			{ "a abcdefghijklmnopqr", 10, { "a", "  abcdefgh", "  ijklmnop", "  qr" } },
			{ ("\195\188"):rep(12), 10, { ("\195\188"):rep(10), "  " .. ("\195\188"):rep(2) } },
			{ "a  b   ", 10, { "a  b" } },
		} do
			assert.same(case[3], text.wrapped(case[1], case[2], "  "), case[1])
		end
	end)
end)
