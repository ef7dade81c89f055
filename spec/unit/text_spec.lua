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

-- A character as UTF-8 has it (rfc3629.4.utf8).
local function utf8_of(code_point)
	if code_point < 0x80 then
		return string.char(code_point)
	end
	local bytes, rest, first = "", code_point, 0x40
	repeat
		bytes = string.char(0x80 + rest % 0x40) .. bytes
		rest, first = math.floor(rest / 0x40), first / 2
	until rest < first
	return string.char(0x100 - first * 2 + rest) .. bytes
end

describe("text.shown", function ()
	for name, code_points in pairs {
		["controls"] = { 0x00, 0x09, 0x0A, 0x0D, 0x1B, 0x1F, 0x7F, 0x80, 0x85, 0x9B, 0x9F },
		["marks and embeddings of direction"] = {
			0x061C, 0x200E, 0x200F, 0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069,
			0x206A, 0x206F,
		},
		["breaks of lines and paragraphs"] = { 0x2028, 0x2029 },
		["characters without width"] = { 0x00AD, 0x034F, 0x180E, 0x200B, 0x200C, 0x200D, 0x2060, 0x2064, 0xFEFF },
		["spaces other than the usual one"] = { 0x00A0, 0x1680, 0x2000, 0x2007, 0x200A, 0x202F, 0x205F, 0x3000 },
		["blank letters"] = { 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0 },
		["variation selectors"] = { 0x180B, 0x180F, 0xFE00, 0xFE0F, 0xE0100, 0xE01EF },
		["tags"] = { 0xE0001, 0xE0020, 0xE0041, 0xE007F },
		["annotations and other formats"] = {
			0x0600, 0x0605, 0x06DD, 0x070F, 0x0890, 0x08E2, 0xFFF9, 0xFFFB, 0x110BD, 0x110CD, 0x13430, 0x1BCA0, 0x1D173,
			0x1D17A,
		},
		["what is no character"] = { 0xFDD0, 0xFDEF, 0xFFFE, 0xFFFF, 0x1FFFE, 0x10FFFF },
		["what has no meaning of its own"] = { 0xE000, 0xF8FF, 0xF0000, 0x100000 },
	} do
		it("escapes " .. name, function ()
			for _, code_point in ipairs(code_points) do
				local given = utf8_of(code_point)
				local expected = given:gsub(".", function (byte) return ("\\%03d"):format(byte:byte()) end)
				assert.equal("a" .. expected .. "b", text.shown("a" .. given .. "b"), ("U+%04X"):format(code_point))
				assert.equal('"a' .. expected .. 'b"', text.quote("a" .. given .. "b"))
			end
		end)
	end

	it("leaves letters, digits, marks and signs of all languages, and what it has shown already", function ()
		for _, code_point in ipairs {
			0x20, 0x41, 0x7E, 0xA1, 0xAC, 0xAE, 0xFC, 0x034E, 0x0350, 0x03B1, 0x0436, 0x05D0, 0x05FF + 7, 0x0627, 0x0905,
			0x0E01, 0x115E, 0x1161, 0x2010, 0x2027, 0x2030, 0x205E, 0x2070, 0x27FF, 0x2801, 0x2FFF + 2, 0x3042, 0x65E5,
			0xD7A3, 0xF900, 0xFE10, 0xFEFC, 0xFF21, 0xFFFC, 0xFFFD, 0x10000, 0x1F600, 0x20000, 0x3134A,
		} do
			local given = utf8_of(code_point)
			assert.equal(given, text.shown(given), ("U+%04X"):format(code_point))
		end
		local once = text.shown "a\226\128\174\255\0\195\188"
		assert.equal("a\\226\\128\\174\\255\\000\195\188", once)
		assert.equal(once, text.shown(once))
	end)

	it("returns UTF-8 without control characters for any bytes", function ()
		math.randomseed(11)
		for _ = 1, 2000 do
			local bytes = {}
			for index = 1, math.random(0, 12) do
				bytes[index] = string.char(math.random(0, 1) == 0 and math.random(0, 255) or math.random(0xC2, 0xF4))
			end
			local shown = text.shown(table.concat(bytes))
			assert.is_true(text.is_utf8(shown))
			assert.is_nil(shown:find "%c")
			assert.equal(shown, text.shown(shown))
		end
	end)
end)

describe("text.shown_lines", function ()
	it("keeps the lines and their indentation", function ()
		assert.equal("a\\027\n\tb\\255\n", text.shown_lines "a\27\n\tb\255\n")
	end)
end)

describe("text.shown_failure", function ()
	it("keeps the lines of a traceback, and no others", function ()
		assert.equal("a\\010stack traceback:\\010b\\027\nstack traceback:\n\t[C]: in ?",
			text.shown_failure "a\nstack traceback:\nb\27\nstack traceback:\n\t[C]: in ?")
		assert.equal("a\\010b", text.shown_failure "a\nb")
	end)
end)

describe("text.all_shown", function ()
	it("returns as many arguments as it is given", function ()
		local function count(...)
			return select("#", ...), { ... }
		end
		local number, given = count(text.all_shown("\27", nil, 7, nil))
		assert.equal(4, number)
		assert.same({ "\\027", nil, 7 }, given)
	end)
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
	it("escapes quotes, and cuts long strings between two characters", function ()
		assert.equal('"a\\"b\\010\195\188"', text.quote 'a"b\n\195\188')
		assert.equal('"' .. ("x"):rep(59) .. '..." (61 bytes)', text.quote(("x"):rep(59) .. "\195\188"))
		assert.equal('"' .. ("x"):rep(58) .. '\195\188..." (61 bytes)', text.quote(("x"):rep(58) .. "\195\188x"))
		assert.equal('"' .. ("\\128"):rep(60) .. '..." (70 bytes)', text.quote(("\128"):rep(70)))
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
