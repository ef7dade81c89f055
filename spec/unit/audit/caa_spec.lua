-- CAA records.
local caa = require "xmpp_tls_policy.audit.caa"

local function rdata(flags, tag, value)
	return string.char(flags, #tag) .. tag .. value
end

local function records(...)
	local list = {}
	for index, row in ipairs { ... } do
		list[index] = assert(caa.parse(rdata(row[1], row[2], row[3] or "")))
	end
	return list
end

-- "a.example b.example=account", "" for nobody, "anybody"
local function words(permitted)
	local list = {}
	for index, issue in ipairs(permitted or {}) do
		list[index] = issue.issuer .. (issue.account and "=" .. issue.account or "")
	end
	return permitted and table.concat(list, " ") or "anybody"
end

describe("caa.parse", function ()
	it("rfc8659.4.1.caa-rdata: reads flags, tag and value", function ()
		assert.same({ critical = false, tag = "issue", value = "a.example" }, caa.parse "\0\5issuea.example")
		assert.same({ critical = true, tag = "issue", value = "" }, caa.parse "\128\5ISSUE")
		assert.same({ critical = false, tag = "x", value = "\0\255" }, caa.parse "\127\1x\0\255")
	end)

	it("takes nothing else", function ()
		for _, bytes in ipairs { "", "\0", "\0\0", "\0\0issue", "\0\5issu", "\0\2i\0x", "\0\1-", "\0\255" .. ("a"):rep(254),
			"\0\1x" .. ("a"):rep(65536) } do
			local record, message = caa.parse(bytes)
			assert.is_nil(record)
			assert.is_string(message)
			assert.is_nil(message:find "%c")
		end
	end)
end)

describe("caa.issue", function ()
	for value, expected in pairs {
		["a.example"] = "a.example",
		["  A.Example "] = "a.example",
		["a.example;"] = "a.example",
		["a.example; accounturi=https://a.example/1"] = "a.example=https://a.example/1",
		["a.example ;accounturi = https://a.example/1 ; validationmethods=dns-01"] = "a.example=https://a.example/1",
		["a.example; x=1"] = "a.example",
		["a.example; x="] = "a.example",
		-- rfc8659.4.2.issue-value: nobody.
		[";"] = "", [""] = "", ["; accounturi=https://a.example/1"] = "",
		["a.example; AccountURI=https://a.example/1"] = "a.example=https://a.example/1",
		-- Two accounts, or what is no URI: nobody.
		["a.example; accounturi=https://a.example/1; accounturi=https://a.example/1"] = "",
		["a.example; accounturi=https://a.example/1; ACCOUNTURI=https://a.example/2"] = "",
		["a.example; accounturi="] = "", ["a.example; accounturi=1"] = "", ["a.example; accounturi=:1"] = "",
		["a.example; accounturi=https:"] = "",
		-- What cannot be read permits nobody either.
		["%%%%%"] = "", ["a.example b.example"] = "", ["a.example; x"] = "", ["a.example; =1"] = "", ["a..example"] = "",
		["a.example; x=a b"] = "", ["a.example;" .. (" x=1;"):rep(17)] = "", ["a.example\0"] = "", ["a_b"] = "",
	} do
		it(("rfc8657.3.accounturi, rfc8659.4.2.issue-value: of %q is %q"):format(value, expected), function ()
			local issue = caa.issue(value)
			assert.equal(expected, words(issue.issuer and { issue } or {}))
		end)
	end
end)

describe("caa.permitted", function ()
	for _, case in ipairs {
		{ "no records", "anybody", "anybody" },
		{ "none that restricts", "anybody", "anybody", { 0, "iodef", "mailto:a@b" } },
		{ "one issuer", "a.b", "a.b", { 0, "issue", "a.b" } },
		{ "two issuers", "a.b c.d", "a.b c.d", { 0, "issue", "a.b" }, { 0, "issue", "c.d" } },
		{ "nobody", "", "", { 0, "issue", ";" } },
		{ "nobody, and one issuer", "a.b", "a.b", { 0, "issue", ";" }, { 0, "issue", "a.b" } },
		{ "another one for wildcards", "a.b", "c.d", { 0, "issue", "a.b" }, { 0, "issuewild", "c.d" } },
		{ "nobody for wildcards", "a.b", "", { 0, "issue", "a.b" }, { 0, "issuewild", ";" } },
		{ "only wildcards restricted", "anybody", "c.d", { 0, "issuewild", "c.d" } },
		{ "an unknown property", "a.b", "a.b", { 0, "issue", "a.b" }, { 0, "unknown", "" } },
		{ "an unknown property that is critical", "", "", { 0, "issue", "a.b" }, { 128, "unknown", "" } },
		{ "a known property that is critical", "a.b", "a.b", { 128, "issue", "a.b" } },
		{ "a value that cannot be read", "", "", { 0, "issue", "a b" } },
	} do
		it(("rfc8659.4.3.issuewild-before-issue, rfc8659.4.5.critical-and-unknown: %s"):format(case[1]), function ()
			local set = records((table.unpack or unpack)(case, 4))
			assert.equal(case[2], words(caa.permitted(set, false)))
			assert.equal(case[3], words(caa.permitted(set, true)))
		end)
	end
end)

describe("caa.names_of", function ()
	it("knows authorities by the organisation in their name alone", function ()
		assert.same({ "letsencrypt.org" }, caa.names_of "CN=R11,O=Let's Encrypt,C=US")
		assert.same({ "letsencrypt.org" }, caa.names_of "O=Let's Encrypt")
		assert.equal("digicert.com", caa.names_of("CN=X,O=DigiCert Inc,C=US")[1])
		for _, name in ipairs { "", "CN=Let's Encrypt", "CN=a,O=Nobody", "O=", "CN=O=Let's Encrypt" } do
			assert.is_nil(caa.names_of(name), name)
		end
	end)
end)
