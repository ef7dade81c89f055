-- The memory of other domains' certificates, and its messages when they change.
local certificate = require("xmpp_tls_policy.core").certificate
local certificate_memory = require "xmpp_tls_policy.certificates.memory"
local pki = require "support.pki"

local loadstring = loadstring or load
local unpack = table.unpack or unpack

local DAY = 86400
local START = 1767225600 -- 2026-01-01

-- ---- storages ------------------------------------------------------------------

local sequences_of_utf8 = "[%z\1-\127\194-\244][\128-\191]*"

local function check_text(string)
	for character in string:gmatch(sequences_of_utf8) do
		local expected = #character == 1 and character:byte() < 128
			or #character > 1 and character:byte() >= ({ 194, 224, 240 })[#character - 1]
			and character:byte() < ({ 224, 240, 245 })[#character - 1]
		assert(expected, "no UTF-8: " .. ("%q"):format(string))
	end
	assert(#string:gsub(sequences_of_utf8, "") == 0, "no UTF-8: " .. ("%q"):format(string))
end

local serialise

local function serialise_table(value)
	assert(getmetatable(value) == nil, "a metatable")
	local names, parts, length = {}, {}, #value
	for key in pairs(value) do
		if length > 0 then
			assert(type(key) == "number" and key % 1 == 0 and key >= 1 and key <= length, "a list with other keys")
		else
			assert(type(key) == "string", "a key that is no string")
		end
		names[#names + 1] = key
	end
	assert(length == 0 or #names == length, "a list with holes")
	assert(names[1] ~= nil, "a table that may be a list or not")
	table.sort(names)
	for index, name in ipairs(names) do
		parts[index] = ("[%s]=%s"):format(serialise(name), serialise(value[name]))
	end
	return "{" .. table.concat(parts, ",") .. "}"
end

-- Takes the values that JSON and databases take, and throws at any other.
function serialise(value)
	if type(value) == "string" then
		check_text(value)
		return ("%q"):format(value)
	elseif type(value) == "number" then
		assert(value % 1 == 0 and value > -2 ^ 53 and value < 2 ^ 53, "no whole number")
		return ("%.0f"):format(value)
	elseif type(value) == "boolean" then
		return tostring(value)
	end
	assert(type(value) == "table", "a " .. type(value))
	return serialise_table(value)
end

local function parse(string)
	return assert(loadstring("return " .. string))()
end

-- Keeps text, so that only plain data comes back; counts the writes.
local function new_storage()
	local storage = { texts = {}, writes = 0 }
	function storage:get(domain)
		return self.texts[domain] and parse(self.texts[domain])
	end
	function storage:set(domain, record)
		self.writes = self.writes + 1
		self.texts[domain] = record and serialise(record)
		return true
	end
	function storage:domains()
		return pairs(self.texts)
	end
	return storage
end

-- Keeps the very tables that it is given, and gives them.
local function new_table_storage()
	local storage = { records = {} }
	function storage:get(domain)
		return self.records[domain]
	end
	function storage:set(domain, record)
		self.records[domain] = record
		return true
	end
	function storage:domains()
		return pairs(self.records)
	end
	return storage
end

-- ---- certificates --------------------------------------------------------------

local function digest(name)
	return (name:gsub(".", function(character)
		return ("%02x"):format(character:byte())
	end) .. ("0"):rep(64)):sub(1, 64)
end

-- Facts of a certificate that begins at START, with 90 days; `name` makes its
-- digests, unless `key` is given.
local function facts(name, changes)
	local made = {
		sha256 = digest(name), spki_sha256 = digest("key of " .. name),
		issuer = "CN=R10,O=Authority,C=US", subject = "CN=a.example",
		not_before = START, not_after = START + 90 * DAY,
	}
	for field, value in pairs(changes or {}) do
		made[field] = value
	end
	if made.key then
		made.spki_sha256, made.key = digest("key of " .. made.key), nil
	end
	return made
end

local out = { direction = "out", verified = true }
local unverified = { direction = "out", verified = false }
local refusing = { direction = "out", verified = true, certificate_change = "refuse" }

-- ---- specs -----------------------------------------------------------------------

describe("the certificate memory", function()
	local storage, now, memory

	before_each(function()
		storage, now = new_storage(), START
		memory = certificate_memory.new({ store = storage, now = function() return now end })
	end)

	teardown(pki.remove)

	local function see(name_or_facts, seen, domain)
		local shown = type(name_or_facts) == "string" and facts(name_or_facts) or name_or_facts
		return memory:see(domain or "a.example", shown, seen or out)
	end

	-- kind, severity and "!" where it is refused, as one word
	local function word(result)
		return table.concat({ result.kind, result.severity }, " ") .. (result.refuse and "!" or "")
	end

	local function kinds_of(...)
		local words = {}
		for index, result in ipairs({ ... }) do
			words[index] = word(result)
		end
		return table.concat(words, ", ")
	end

	local function names_in(list)
		local names = {}
		for index, entry in ipairs(list) do
			names[index] = entry.sha256:gsub("%x%x", function(byte)
				return byte ~= "00" and string.char(tonumber(byte, 16)) or ""
			end)
		end
		return table.concat(names, " ")
	end

	-- the trusted ones, and those that are pending
	local function remembered(domain)
		local record = assert(memory:get(domain or "a.example"))
		return names_in(record.certificates), names_in(record.pending)
	end

	-- A domain with all of these, each known by now.
	local function learn(...)
		for _, name in ipairs({ ... }) do
			see(name)
		end
	end

	describe("of a domain that is new", function()
		it("says that it is, and nothing to worry about", function()
			local result = see("A")
			local entry = {
				sha256 = digest("A"), spki_sha256 = digest("key of A"),
				issuer = "CN=R10,O=Authority,C=US", subject = "CN=a.example",
				not_before = START, not_after = START + 90 * DAY, verified = true,
				first_seen = START, last_seen = START, times_seen = 1, directions = { out = true },
			}
			assert.are.same({
				kind = "first", accepted = true, refuse = false, new = entry,
				message = '"a.example" shows a certificate for the first time',
			}, result)
			assert.are.same({ certificates = { entry }, pending = {} }, memory:get("a.example"))
		end)

		it("takes the first certificate where changes are refused, too, and an unverified one", function()
			assert.are.equal("first", word(see("A", refusing)))
			assert.are.equal("first", word(see("A",
				{ direction = "in", verified = false, certificate_change = "refuse" }, "b.example")))
			assert.are.equal("known", word(see("A", refusing)))
		end)

		it("keeps the domains apart, and takes them as they are written", function()
			learn("A")
			assert.are.equal("first", word(see("B", out, "b.example")))
			assert.are.equal("first", word(see("B", out, "A.example")))
			assert.are.equal("A", (remembered()))
		end)
	end)

	describe("of a certificate that it has seen", function()
		it("says that it is known", function()
			learn("A")
			local result = see("A")
			assert.are.equal("known", word(result))
			assert.is_true(result.accepted)
			assert.are.equal('"a.example" shows a certificate that it has shown before', result.message)
			assert.are.equal(digest("A"), result.old.sha256)
			assert.are.equal(digest("A"), result.new.sha256)
		end)

		it("writes at most once a day that it saw it", function()
			learn("A")
			now = START + DAY - 1
			see("A")
			assert.are.equal(1, storage.writes)
			now = START + DAY
			see("A")
			assert.are.equal(2, storage.writes)
			see("A")
			assert.are.equal(2, storage.writes)
			local entry = memory:get("a.example").certificates[1]
			assert.are.same({ START, START + DAY, 2 }, { entry.first_seen, entry.last_seen, entry.times_seen })
		end)

		it("writes at once that it saw it in the other direction, and only once", function()
			learn("A")
			local into = { direction = "in", verified = true }
			local result = see("A", into)
			assert.are.equal("known", word(result))
			assert.are.same({ out = true }, result.old.directions)
			assert.are.same({ ["in"] = true, out = true }, result.new.directions)
			see("A", into)
			see("A")
			assert.are.equal(2, storage.writes)
			assert.are.same({ ["in"] = true, out = true }, memory:get("a.example").certificates[1].directions)
		end)

		it("warns once when it is no longer verified, and refuses nothing", function()
			learn("A")
			local result = see("A", { direction = "out", verified = false, certificate_change = "refuse" })
			assert.are.equal("unverified warn", word(result))
			assert.is_true(result.accepted)
			assert.are.same({ true, false }, { result.old.verified, result.new.verified })
			assert.are.equal('"a.example" shows a certificate that it has shown before: it is no longer verified',
				result.message)
			assert.are.equal("known", word(see("A", unverified)))
		end)

		it("says when it has become verified", function()
			see("A", unverified)
			local result = see("A")
			assert.are.equal("verified info", word(result))
			assert.are.equal('"a.example" shows a certificate that it has shown before: it is verified now, and was not',
				result.message)
			assert.are.equal("known", word(see("A")))
		end)

		it("speaks once a day of one that is verified now and then", function()
			learn("A")
			local words = {}
			for hour = 1, 4 * 24 do
				now = START + hour * 3600
				local result = see("A", hour % 2 == 0 and out or unverified)
				if result.severity then
					words[#words + 1] = hour .. " " .. word(result)
				end
			end
			assert.are.same({ "1 unverified warn", "26 verified info", "51 unverified warn", "76 verified info" }, words)
		end)
	end)

	-- the old certificate, the new one, days since START, how the new one was
	-- verified, then the expected result
	local longer = { not_after = START + 360 * DAY }
	local self_signed = { issuer = "CN=a.example" }
	local cases = {
		{ "the same key", {}, { key = "A" }, 10, out, "renewal info", "has a new certificate for the same key" },
		{ "the same key and another issuer", {}, { key = "A", issuer = "CN=R11,O=Other,C=US" }, 10, out,
			"renewal info", "has a new certificate for the same key" },
		{ "the same key, neither verified", {}, { key = "A" }, 10, unverified, "renewal info",
			"has a new certificate for the same key", unverified },
		{ "the same key, verified at last", {}, { key = "A" }, 10, out, "renewal info",
			"has a new certificate for the same key", unverified },
		{ "the same key, no longer verified", {}, { key = "A" }, 10, unverified, "change warn",
			"has a new certificate for the same key: it is not verified, and the old one was" },
		{ "a new key in the last third", {}, {}, 60, out, "renewal info", "has renewed its certificate, with a new key" },
		{ "a new key in the last third of a year", longer, {}, 240, out, "renewal info",
			"has renewed its certificate, with a new key" },
		{ "a new key just before the last third of a year", longer, {}, 240 - 1 / DAY, out, "change warn",
			"has changed its certificate and key ahead of time: the old certificate is valid for another 120 days" },
		{ "a new key in the last 30 days, more than a third", { not_after = START + 45 * DAY }, {}, 15, out,
			"renewal info", "has renewed its certificate, with a new key" },
		{ "a new key before the last 30 days", { not_after = START + 45 * DAY }, {}, 15 - 1 / DAY, out, "change warn",
			"has changed its certificate and key ahead of time: the old certificate is valid for another 30 days" },
		{ "a new key after the end", {}, {}, 91, out, "renewal info", "has renewed its certificate, with a new key" },
		{ "a new key ahead of time", {}, {}, 1, out, "change warn",
			"has changed its certificate and key ahead of time: the old certificate is valid for another 89 days" },
		{ "a new key, the old end unknown", { not_after = false }, {}, 80, out, "change warn",
			"has changed its certificate and key ahead of time: the end of the old certificate is not known" },
		{ "a new key ahead of time, the old beginning unknown", { not_before = false }, {}, 59, out, "change warn",
			"has changed its certificate and key ahead of time: the old certificate is valid for another 31 days" },
		{ "a new key in the last 30 days, the old beginning unknown", { not_before = false }, {}, 60, out,
			"renewal info", "has renewed its certificate, with a new key" },
		{ "another issuing certificate of the same authority", {}, { issuer = "CN=R11,O=Authority,C=US" }, 60, out,
			"renewal info", "has renewed its certificate, with a new key" },
		{ "another authority", {}, { issuer = "CN=R10,O=Other,C=US" }, 60, out, "change warn",
			'has changed its certificate and key: the issuer is "CN=R10,O=Other,C=US"; it was "CN=R10,O=Authority,C=US"' },
		{ "another authority after the end", {}, { issuer = "CN=R10,O=Other,C=US" }, 91, out, "change warn",
			'has changed its certificate and key: the issuer is "CN=R10,O=Other,C=US"; it was "CN=R10,O=Authority,C=US"' },
		{ "another authority with the name in its own", {}, { issuer = "CN=R10\\,O=Authority,O=Other" }, 60, out,
			"change warn", 'has changed its certificate and key: the issuer is "CN=R10\\,O=Authority,O=Other"; '
			.. 'it was "CN=R10,O=Authority,C=US"' },
		{ "an authority with a comma in its name", { issuer = "CN=R10,O=Authority\\, Ltd" },
			{ issuer = "CN=R11,O=Authority\\, Inc" }, 60, out, "change warn",
			'has changed its certificate and key: the issuer is "CN=R11,O=Authority\\, Inc"; '
			.. 'it was "CN=R10,O=Authority\\, Ltd"' },
		{ "the same authority with a comma in its name, in an attribute of several", { issuer = "CN=R10+O=A\\, Ltd" },
			{ issuer = "CN=R11+O=A\\, Ltd" }, 60, out, "renewal info", "has renewed its certificate, with a new key" },
		{ "the same issuer without an organisation", { issuer = "CN=Root" }, { issuer = "CN=Root" }, 60, out,
			"renewal info", "has renewed its certificate, with a new key" },
		{ "another issuer without an organisation", { issuer = "CN=Root" }, { issuer = "CN=Root 2" }, 60, out,
			"change warn", 'has changed its certificate and key: the issuer is "CN=Root 2"; it was "CN=Root"' },
		{ "issuers without names", { issuer = false }, { issuer = false }, 60, out, "change warn",
			"has changed its certificate and key: the issuer is one without a name; it was one without a name" },
		{ "an issuer with a name that is too long to keep", { issuer = "CN=" .. ("x"):rep(1022) },
			{ issuer = "CN=" .. ("x"):rep(1022) }, 60, out, "change warn",
			"has changed its certificate and key: the issuer is one without a name; it was one without a name" },
		{ "a new key, no longer verified", {}, {}, 60, unverified, "change warn",
			"has changed its certificate and key: the new one is not verified, and the old one was" },
		{ "self-signed with a new key", self_signed, self_signed, 60, unverified, "change warn",
			"has changed its certificate and key, and neither certificate is verified", unverified },
		{ "self-signed with a new key after the end", self_signed, self_signed, 91, unverified, "change warn",
			"has changed its certificate and key, and neither certificate is verified", unverified },
		{ "self-signed with a new key, both verified", self_signed, self_signed, 60, out, "change warn",
			'has changed its certificate and key: the issuer is "CN=a.example"; it was "CN=a.example"' },
		{ "unverified with a new key of an issuer with the same name", {}, {}, 91, unverified, "change warn",
			"has changed its certificate and key, and neither certificate is verified", unverified },
		{ "verified where the old one never was", self_signed, {}, 10, out, "verified info",
			"has a new certificate that is verified; the old one was not", unverified },
	}

	local function with(changes, name)
		local made = facts(name)
		for field, value in pairs(changes) do
			made[field] = value
			if value == false then
				made[field] = nil
			end
		end
		if made.key then
			made.spki_sha256, made.key = digest("key of " .. made.key), nil
		end
		return made
	end

	describe("of a new certificate", function()
		for _, case in ipairs(cases) do
			local sentence, old, new, days, seen, expected, reason, old_seen = unpack(case, 1, 8)
			it(("with %s says %s"):format(sentence, expected), function()
				see(with(old, "A"), old_seen)
				now = math.floor(START + days * DAY + 0.5)
				local result = see(with(new, "B"), seen)
				assert.are.equal(expected, word(result))
				assert.are.equal('"a.example" ' .. reason, result.message)
				assert.are.same({ digest("A"), digest("B"), true },
					{ result.old.sha256, result.new.sha256, result.accepted })
				assert.are.equal("B", (remembered():gsub("^A ", "")))
				assert.are.equal("known", word(see(with(new, "B"), seen)))
			end)
		end

		it("compares with the one seen last", function()
			learn("A")
			now = START + 60 * DAY
			local new = { not_before = now, not_after = now + 90 * DAY }
			assert.are.equal("renewal info", word(see(facts("B", new))))
			local result = see(facts("C", new))
			assert.are.equal("change warn", word(result))
			assert.are.equal(digest("B"), result.old.sha256)
		end)

		it("compares with one that has ended long ago, if there is none that was seen later", function()
			learn("A")
			now = START + 1000 * DAY
			assert.are.equal("renewal info", word(see("B")))
			assert.are.equal("B", (remembered()))
			assert.are.equal("change warn", word(see(facts("C", { issuer = "CN=Other" }))))
		end)

		it("does not take an authority's certificate for better than one that has ended", function()
			learn("A")
			now = START + 91 * DAY
			assert.are.equal("unverified warn", word(see("A", unverified)))
			assert.are.equal("change warn", word(see(facts("B", { issuer = "CN=Other" }))))
		end)

		it("takes another unverified one for the same key for a renewal, once it has warned of the first", function()
			learn("A")
			assert.are.equal("unverified warn", word(see("A", unverified)))
			assert.are.equal("renewal info", word(see(facts("B", { key = "A" }), unverified)))
		end)

		it("takes a renewal for one where the old certificate was shown after its end", function()
			learn("A")
			now = START + 91 * DAY
			assert.are.equal("unverified warn", word(see("A", unverified)))
			assert.are.equal("renewal info", word(see("B")))
		end)

		it("does not forget that the domain was verified when a certificate was taken that is not", function()
			learn("A")
			assert.are.equal("change warn", word(see(with(self_signed, "B"), unverified)))
			see("A")
			local result = see(facts("C", { issuer = "CN=Other" }))
			assert.are.equal("change warn", word(result))
			assert.are.equal(digest("A"), result.old.sha256)
		end)
	end)

	describe("of several certificates in turn", function()
		it("warns of each once, and then knows the set", function()
			assert.are.equal("first, change warn, change warn, known, known, known, known",
				kinds_of(see("A"), see("B"), see("C"), see("A"), see("B"), see("C"), see("A")))
			for day = 1, 80 do
				now = START + day * DAY
				assert.are.equal("known, known, known", kinds_of(see("A"), see("C"), see("B")))
			end
		end)

		it("takes the renewal of each for one, be they renewed in the same night", function()
			learn("A", "B", "C")
			for day = 1, 60 do
				now = START + day * DAY
				learn("A", "B", "C")
			end
			local new = { not_before = now, not_after = now + 90 * DAY }
			assert.are.equal("renewal info, renewal info, renewal info",
				kinds_of(see(facts("D", new)), see(facts("E", new)), see(facts("F", new))))
			assert.are.equal("change warn", word(see(facts("G", new))))
		end)

		it("takes the renewal of one for one while the others are valid for longer", function()
			learn("A")
			see(facts("B", { not_after = START + 300 * DAY }))
			for day = 1, 70 do
				now = START + day * DAY
				learn("A", "B")
			end
			local result = see(facts("C", { not_after = START + 160 * DAY }))
			assert.are.equal("renewal info", word(result))
			assert.are.equal(digest("A"), result.old.sha256)
			assert.are.equal("change warn", word(see("D")))
		end)

		it("lets one that is due vouch for successors again when it is seen again", function()
			learn("A")
			now = START + 60 * DAY
			local new = { not_before = now, not_after = now + 90 * DAY }
			assert.are.equal("renewal info, known, renewal info",
				kinds_of(see(facts("B", new)), see("A"), see(facts("C", new))))
		end)

		it("lets one that is due vouch for successors for a week after it was seen", function()
			for _, case in ipairs({ { 0, "renewal info" }, { 1, "change warn" } }) do
				memory:forget("a.example")
				now = START
				learn("A")
				see(facts("B", { not_after = START + 300 * DAY }))
				see("A")
				for day = 1, 68 do
					now = START + day * DAY
					if day <= 60 then
						learn("A")
					end
					learn("B")
				end
				now = now + case[1]
				assert.are.equal(case[2], word(see("C")))
			end
		end)

		it("compares with the one of them that was seen last", function()
			learn("A", "B")
			now = START + DAY
			learn("B", "A")
			assert.are.equal(digest("A"), see(facts("C", { issuer = "CN=Other" })).old.sha256)
			assert.are.equal(digest("C"), see(facts("D", { issuer = "CN=Another" })).old.sha256)
			assert.are.equal(digest("D"), see("E", unverified).old.sha256)
			see(facts("F", { key = "A" }))
			see("B")
			assert.are.equal(digest("F"), see(facts("G", { key = "A" })).old.sha256)
		end)

		it("compares with one that is due, of the same authority", function()
			see(facts("A", { issuer = "CN=Other" }))
			learn("B")
			now = START + 60 * DAY
			see(facts("A", { issuer = "CN=Other" }))
			learn("B")
			local result = see(facts("C", { issuer = "CN=Other" }))
			assert.are.equal("renewal info", word(result))
			assert.are.equal(digest("A"), result.old.sha256)
		end)

		it("lets none that was never verified vouch for a successor", function()
			see("A", unverified)
			see(facts("B", { not_after = START + 300 * DAY }))
			now = START + 60 * DAY
			see("A", unverified)
			see(facts("B", { not_after = START + 300 * DAY }))
			local result = see("C")
			assert.are.equal("change warn", word(result))
			assert.are.equal(digest("B"), result.old.sha256)
		end)

		it("compares with one that was verified, be it not the one seen last", function()
			learn("A")
			see("B", unverified)
			for day = 1, 2 do
				now = START + day * DAY
				learn("A")
				see("B", unverified)
			end
			local result = see("C", unverified)
			assert.are.equal('"a.example" has changed its certificate and key: the new one is not verified, '
				.. "and the old one was", result.message)
			assert.are.equal(digest("A"), result.old.sha256)
			memory:forget("a.example")
			now = START
			learn("A")
			see("B", unverified)
			for day = 1, 2 do
				now = START + day * DAY
				learn("A")
				see("B", unverified)
			end
			result = see(facts("C", { issuer = "CN=Other" }))
			assert.are.equal("change warn", word(result))
			assert.are.equal(digest("A"), result.old.sha256)
		end)

		it("does not compare with one that was verified but is out of use", function()
			learn("A")
			see("B", unverified)
			now = START + 9 * DAY
			see("B", unverified)
			assert.are.equal("verified info", word(see(facts("C", { issuer = "CN=Other" }))))
		end)

		it("drops one that was not seen for 90 days", function()
			learn("A", "B")
			see("A")
			for day = 1, 91 do
				now = START + day * DAY
				assert.are.equal("known", word(see(facts("B", { not_after = START + 300 * DAY }))))
			end
			assert.are.equal("A B", (remembered()))
			now = START + 91 * DAY + 1
			assert.are.equal("B", (remembered()))
			assert.are.equal("change warn", word(see(facts("A", { issuer = "CN=Other" }))))
		end)

		it("keeps eight, and lets go of the one unseen the longest", function()
			for number = 1, 8 do
				now = START + number * DAY
				see("C" .. number)
			end
			now = START + 9 * DAY
			see("C1")
			see("C9")
			assert.are.equal("C3 C4 C5 C6 C7 C8 C1 C9", (remembered()))
			assert.are.equal("change warn", word(see("C2")))
		end)
	end)

	describe("of a server that makes certificates for ever", function()
		it("logs seven in a day, writes no more, and accepts those that it knew", function()
			learn("A")
			local words, last = {}
			for number = 1, 100 do
				local result = see("C" .. number)
				words[word(result)] = (words[word(result)] or 0) + 1
				last = result.severity and result or last
				assert.is_false(result.refuse)
			end
			assert.are.same({ ["change warn"] = 7, change = 93 }, words)
			assert.is_truthy(last.message:find("; more new certificates of this domain are not logged today$"))
			assert.are.equal(8, storage.writes)
			assert.are.equal("A C1 C2 C3 C4 C5 C6 C7", (remembered()))
			assert.are.equal("known", word(see("A")))
			assert.is_false(see("C100").accepted)
		end)

		it("speaks again after a day, and if the clock was set back", function()
			learn("A")
			for number = 1, 10 do
				see("C" .. number)
			end
			now = START + DAY - 1
			assert.are.equal("change", word(see("D")))
			now = START + DAY
			assert.are.equal("change warn", word(see("D")))
			for number = 1, 10 do
				see("E" .. number)
			end
			now = START
			assert.are.equal("change warn", word(see("F")))
		end)

		it("counts renewals, too", function()
			learn("A")
			local told = 0
			for number = 1, 100 do
				told = told + (see(facts("C" .. number, { key = "A" })).severity and 1 or 0)
			end
			assert.are.equal(7, told)
			assert.are.equal(8, storage.writes)
		end)

		it("refuses those that it does not tell of, too", function()
			learn("A")
			for number = 1, 100 do
				assert.is_true(see("C" .. number, refusing).refuse)
			end
			assert.are.equal(8, storage.writes)
			local trusted, pending = remembered()
			assert.are.equal("A", trusted)
			assert.are.equal("C4 C5 C6 C7", pending)
			assert.are.equal("known", word(see("A", refusing)))
		end)
	end)

	describe("where changes are refused", function()
		it("refuses one at each connection and warns once, across a restart", function()
			learn("A")
			local result = see("B", refusing)
			assert.are.equal("change warn!", word(result))
			assert.is_false(result.accepted)
			assert.are.equal('"a.example" has changed its certificate and key ahead of time: the old certificate is '
				.. "valid for another 90 days; it is refused until it is accepted", result.message)
			memory = certificate_memory.new({ store = storage, now = function() return now end })
			result = see("B", refusing)
			assert.are.equal("pending!", word(result))
			assert.is_false(result.accepted)
			assert.are.equal('"a.example" shows a certificate that is refused until it is accepted', result.message)
			assert.are.same({ digest("A"), digest("B") }, { result.old.sha256, result.new.sha256 })
			assert.are.same({ "A", "B" }, { remembered() })
			assert.are.equal(2, storage.writes)
		end)

		it("accepts renewals, and certificates that have become verified", function()
			learn("A")
			local result = see(facts("B", { key = "A" }), refusing)
			assert.are.equal("renewal info", word(result))
			assert.is_true(result.accepted)
			see(facts("A"), unverified, "b.example")
			assert.are.equal("verified info", word(see("B", refusing, "b.example")))
		end)

		it("goes on refusing when the old one has ended", function()
			learn("A")
			see("B", refusing)
			now = START + 91 * DAY
			assert.are.equal("pending!", word(see("B", refusing)))
		end)

		it("takes a certificate that it knows at all times", function()
			learn("A", "B")
			assert.are.equal("change warn!, known, pending!, known",
				kinds_of(see("C", refusing), see("A", refusing), see("C", refusing), see("B", refusing)))
		end)

		it("writes the sighting of a pending certificate at most once a day", function()
			learn("A")
			see("B", refusing)
			see("B", refusing)
			now = START + DAY
			see("B", refusing)
			see("B", refusing)
			assert.are.equal(3, storage.writes)
			assert.are.same({ START + DAY, 2 },
				{ memory:get("a.example").pending[1].last_seen, memory:get("a.example").pending[1].times_seen })
		end)

		it("keeps four that are pending, and lets go of the oldest", function()
			learn("A")
			for number = 1, 5 do
				see("C" .. number, refusing)
			end
			assert.are.same({ "A", "C2 C3 C4 C5" }, { remembered() })
			assert.are.equal("change warn!", word(see("C1", refusing)))
		end)

		it("accepts a pending certificate without another warning, once changes are only warned about", function()
			learn("A")
			see("B", refusing)
			local result = see("B")
			assert.are.equal("known info", word(result))
			assert.is_true(result.accepted)
			assert.are.equal('"a.example" shows a certificate that was refused; it is accepted now, because changes are only '
				.. "warned about", result.message)
			assert.are.same({ "A B", "" }, { remembered() })
			assert.are.equal("known", word(see("B", refusing)))
		end)

		it("takes the very one that it is shown, and keeps eight then, too", function()
			learn("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8")
			now = START + DAY
			see("D", refusing)
			see("E", refusing)
			now = START + 2 * DAY
			see("D")
			assert.are.same({ "C2 C3 C4 C5 C6 C7 C8 D", "E" }, { remembered() })
		end)

		it("shows a pending certificate beside the one that was seen last", function()
			learn("A", "B")
			see("C", refusing)
			assert.are.equal(digest("B"), see("C", refusing).old.sha256)
		end)

		it("accepts all that is pending", function()
			learn("A")
			see("B", refusing)
			see("C", refusing)
			assert.are.equal(2, memory:accept("a.example"))
			assert.are.same({ "A B C", "" }, { remembered() })
			assert.are.equal("known, known, known", kinds_of(see("A", refusing), see("B", refusing), see("C", refusing)))
		end)

		it("accepts one of those that are pending", function()
			learn("A")
			see("B", refusing)
			see("C", refusing)
			assert.are.equal(1, memory:accept("a.example", digest("C")))
			assert.are.same({ "A C", "B" }, { remembered() })
			assert.are.same({ nil, 'no such certificate of "a.example" is pending', "missing" },
				{ memory:accept("a.example", digest("C")) })
		end)

		it("keeps eight when it accepts", function()
			learn("C1", "C2", "C3", "C4", "C5", "C6")
			now = START + DAY
			for number = 7, 10 do
				see("C" .. number, refusing)
			end
			assert.are.equal(4, memory:accept("a.example"))
			assert.are.equal("C3 C4 C5 C6 C7 C8 C9 C10", (remembered()))
		end)

		it("counts a pending certificate as the first one after the domain was forgotten", function()
			learn("A")
			see("B", refusing)
			assert.are.equal(2, memory:forget("a.example"))
			assert.are.same({}, storage.texts)
			assert.are.equal("first", word(see("B", refusing)))
		end)
	end)

	describe("under an administrator's hands", function()
		it("says so if a domain has no record", function()
			local message = 'nothing is remembered of "a.example"'
			assert.are.same({ nil, message, "missing" }, { memory:get("a.example") })
			assert.are.same({ nil, message, "missing" }, { memory:accept("a.example") })
			assert.are.same({ nil, message, "missing" }, { memory:forget("a.example") })
			learn("A")
			assert.are.same({ nil, 'no certificate of "a.example" is pending', "missing" }, { memory:accept("a.example") })
			assert.are.equal(1, storage.writes)
		end)

		it("lists the domains in order, with the results of get", function()
			local names = { "b.example", "a.example", "xn--a.example", "A.example", "10.example", "9.example" }
			for _, name in ipairs(names) do
				see("A", out, name)
			end
			storage.texts["broken.example"] = "1"
			local listed = {}
			for domain, record, message, code in memory:list() do
				listed[#listed + 1] = domain
				assert.are.same({ memory:get(domain) }, { record, message, code })
			end
			assert.are.same({ "10.example", "9.example", "A.example", "a.example", "b.example", "broken.example",
				"xn--a.example" }, listed)
		end)

		it("lists a domain once that the storage has twice", function()
			see("A")
			storage.domains = function()
				local left = { "a.example", "a.example", "b.example" }
				return function() return table.remove(left) end
			end
			local listed = {}
			for domain in memory:list() do
				listed[#listed + 1] = domain
			end
			assert.are.same({ "a.example", "b.example" }, listed)
		end)

		it("lists nothing where nothing is", function()
			for domain in memory:list() do
				error(domain)
			end
		end)

		it("hands out copies", function()
			local shared = new_table_storage()
			memory = certificate_memory.new({ store = shared, now = function() return now end })
			local before
			for _, sight in ipairs({
				{ "A", out }, { "A", unverified }, { "B", out }, { "C", refusing }, { "C", refusing }, { "C", out },
			}) do
				local result = see(sight[1], sight[2])
				before = serialise(shared.records["a.example"])
				for _, entry in ipairs({ result.new, result.old }) do
					entry.sha256, entry.directions.out, entry.x = "x", nil, print
				end
				assert.are.equal(before, serialise(shared.records["a.example"]))
			end
			see("D", refusing)
			before = serialise(shared.records["a.example"])
			local record = memory:get("a.example")
			record.certificates[1].directions["in"] = print
			table.remove(record.pending)
			assert.are.equal(before, serialise(shared.records["a.example"]))
		end)
	end)

	describe("with a clock that was set back", function()
		it("knows, drops, writes and loses nothing", function()
			learn("A", "B")
			see("A")
			now = 0
			local writes = storage.writes
			assert.are.equal("known, known, known", kinds_of(see("A"), see("B"), see("A")))
			assert.are.equal(writes, storage.writes)
			assert.are.equal("change warn", word(see("C")))
			now = START + DAY
			assert.are.equal("known, known, known", kinds_of(see("A"), see("B"), see("C")))
			for _, entry in ipairs(memory:get("a.example").certificates) do
				assert.are.equal(START + DAY, entry.last_seen)
			end
		end)

		it("lets no time run backwards in a record", function()
			learn("A")
			now = START - 30 * DAY
			see("A", { direction = "in", verified = true })
			assert.are.equal(START, memory:get("a.example").certificates[1].last_seen)
		end)

		it("does not take it for a time of renewal", function()
			learn("A")
			now = START - 365 * DAY
			assert.are.equal("change warn", word(see("B")))
		end)

		it("logs that a certificate is no longer verified, though it changed in the future", function()
			learn("A")
			now = START + DAY
			assert.are.equal("unverified warn", word(see("A", unverified)))
			now = START
			assert.are.equal("verified info", word(see("A")))
		end)
	end)

	describe("with a storage that fails", function()
		local function fail(method)
			storage[method] = function()
				return nil, "disk on fire"
			end
		end

		it("says so where it cannot read, and refuses if changes are refused", function()
			learn("A")
			fail("get")
			local failure = "the certificate memory could not be read: disk on fire"
			assert.are.same({ kind = "unknown", severity = "warn", accepted = false, refuse = false,
				message = failure, failure = failure }, see("A"))
			assert.is_true(see("A", refusing).refuse)
			assert.are.same({ nil, failure, "storage" }, { memory:get("a.example") })
			assert.are.same({ nil, failure, "storage" }, { memory:accept("a.example") })
			assert.are.equal(0, memory:forget("a.example")) -- gone, whatever it was
			assert.are.equal(2, storage.writes)
		end)

		it("says so where it cannot list", function()
			fail("domains")
			assert.are.same({ nil, "the certificate memory could not be read: disk on fire", "storage" },
				{ memory:list() })
		end)

		it("says so if it cannot write, and its verdict holds", function()
			learn("A")
			see("B", refusing)
			fail("set")
			local failure = "the certificate memory could not be written: disk on fire"
			local result = see("C", refusing)
			assert.are.same({ "change warn!", failure, false }, { word(result), result.failure, result.accepted })
			assert.are.equal("; " .. failure, result.message:sub(-#failure - 2))
			assert.are.equal("change warn!", word(see("C", refusing)))
			result = see("C")
			assert.are.same({ "change warn", failure, false }, { word(result), result.failure, result.accepted })
			result = see("A", out, "b.example")
			assert.are.same({ "first warn", failure, false }, { word(result), result.failure, result.accepted })
			now = START + DAY
			result = see("A")
			assert.are.same({ "known warn", failure, true }, { word(result), result.failure, result.accepted })
			assert.are.same({ nil, failure, "storage" }, { memory:accept("a.example") })
			assert.are.same({ nil, failure, "storage" }, { memory:forget("a.example") })
			assert.are.same({ "A", "B" }, { remembered() })
		end)

		it("says so where no reason is given", function()
			storage.set = function() return nil end
			assert.are.equal("the certificate memory could not be written: nil", see("A").failure)
		end)

		it("says so where a certificate has no digests", function()
			for _, field in ipairs({ "sha256", "spki_sha256" }) do
				for _, value in ipairs({ false, "", ("x"):rep(64), ("A"):rep(64), ("a"):rep(63), 1 }) do
					local result = see(with({ [field] = value }, "A"), refusing)
					assert.are.same({ "unknown warn!", 'the certificate of "a.example" has no SHA-256 digests' },
						{ word(result), result.message })
				end
			end
			assert.are.equal(0, storage.writes)
		end)
	end)

	describe("with a record that is damaged", function()
		local function record_with(change)
			local record = {
				format = 1, newcomers = { since = START, count = 1 },
				certificates = { { sha256 = digest("A"), spki_sha256 = digest("key of A"), verified = true,
					first_seen = START, last_seen = START, times_seen = 1, directions = { out = true } } },
				pending = { { sha256 = digest("B"), spki_sha256 = digest("key of B"), verified = true,
					first_seen = START, last_seen = START, times_seen = 1, directions = { out = true } } },
			}
			change(record, record.certificates[1])
			return record
		end

		local function stored(record)
			storage.get = function() return record end
		end

		it("takes it where all is right", function()
			stored(record_with(function() end))
			assert.are.equal("known, pending!", kinds_of(see("A", refusing), see("B", refusing)))
		end)

		local damages = {
			{ "an older format", function(record) record.format = 0 end },
			{ "a newer format", function(record) record.format = 2 end },
			{ "no format", function(record) record.format = nil end },
			{ "no certificates", function(record) record.certificates = nil end },
			{ "an empty list of certificates", function(record) record.certificates = {} end },
			{ "text for certificates", function(record) record.certificates = "A" end },
			{ "text for pending", function(record) record.pending = "A" end },
			{ "a number for an entry", function(record) record.certificates = { 1 } end },
			{ "a list with a hole", function(record, entry) record.certificates = { entry, nil, entry } end },
			{ "a list with a name", function(record, entry) record.certificates = { entry, x = entry } end },
			{ "a bad entry behind a good one", function(record, entry) record.certificates = { entry, {} } end },
			{ "a bad entry between good ones", function(record, entry) record.certificates = { entry, {}, entry } end },
			{ "nine certificates", function(record, entry)
				for index = 2, 9 do
					record.certificates[index] = entry
				end
			end },
			{ "five pending", function(record, entry)
				for index = 2, 5 do
					record.pending[index] = entry
				end
			end },
			{ "text for newcomers", function(record) record.newcomers = "7" end },
			{ "newcomers without a time", function(record) record.newcomers.since = nil end },
			{ "newcomers without a count", function(record) record.newcomers.count = nil end },
			{ "a digest that is none", function(_, entry) entry.sha256 = "AB" end },
			{ "a digest in upper case", function(_, entry) entry.sha256 = ("A"):rep(64) end },
			{ "no digest", function(_, entry) entry.sha256 = nil end },
			{ "no digest of the key", function(_, entry) entry.spki_sha256 = nil end },
			{ "a number for the issuer", function(_, entry) entry.issuer = 1 end },
			{ "an endless subject", function(_, entry) entry.subject = ("x"):rep(1025) end },
			{ "text for the end", function(_, entry) entry.not_after = "2026" end },
			{ "text for the beginning", function(_, entry) entry.not_before = "2026" end },
			{ "text for verified", function(_, entry) entry.verified = "true" end },
			{ "no verified", function(_, entry) entry.verified = nil end },
			{ "text for when that changed", function(_, entry) entry.verified_changed = "now" end },
			{ "no time of being seen", function(_, entry) entry.last_seen = nil end },
			{ "a fraction of a second", function(_, entry) entry.last_seen = 0.5 end },
			{ "no number for a time", function(_, entry) entry.last_seen = 0 / 0 end },
			{ "a time after all times", function(_, entry) entry.last_seen = 2 ^ 60 end },
			{ "an endless time", function(_, entry) entry.last_seen = 1 / 0 end },
			{ "a time before all times", function(_, entry) entry.last_seen = math.mininteger or -1 / 0 end },
			{ "no first time", function(_, entry) entry.first_seen = nil end },
			{ "no count", function(_, entry) entry.times_seen = nil end },
			{ "no directions", function(_, entry) entry.directions = nil end },
			{ "a strange direction", function(_, entry) entry.directions = { up = true } end },
			{ "a direction that is text", function(_, entry) entry.directions = { out = "yes" } end },
			{ "text for replaced", function(_, entry) entry.replaced = "yes" end },
		}

		local function fault_of(record)
			local format = type(record) == "table" and type(record.format) == "number" and record.format ~= 1
				and record.format
			return 'the record of the certificates of "a.example" '
				.. (format and ("has the format %d, which this version of the module does not know"):format(format)
				or "is damaged")
		end

		-- Whether changes are refused or not, a storage that takes writes.
		local function check_damaged(record)
			local fault = fault_of(record)
			stored(record)
			for _, name in ipairs({ "A", "B", "C" }) do
				local result = see(name, refusing)
				assert.are.same({
					kind = "unknown", severity = "warn", damaged = true, accepted = false, refuse = true,
					message = fault .. "; its certificates are refused until the record is forgotten",
				}, result)
			end
			assert.are.equal(0, storage.writes)
			assert.are.same({ nil, fault, "damaged" }, { memory:get("a.example") })
			assert.are.same({ nil, fault .. "; forget it, and its next certificate is its first", "damaged" },
				{ memory:accept("a.example") })
			local result = see("A")
			assert.are.equal("first warn", word(result))
			assert.is_true(result.damaged)
			assert.is_nil(result.failure)
			assert.are.equal(fault .. "; its present certificate counts as its first", result.message)
			assert.are.equal(1, storage.writes)
			storage.get = new_storage().get
			assert.are.equal("known", word(see("A", refusing)))
		end

		for _, case in ipairs(damages) do
			it("refuses where changes are refused, else begins anew: " .. case[1], function()
				check_damaged(record_with(case[2]))
			end)
		end

		for _, value in ipairs({ "text", 1, true, false, {}, { {} }, print }) do
			it(("refuses where changes are refused, else begins anew: a %s for a record"):format(type(value)), function()
				check_damaged(value)
			end)
		end

		it("forgets it", function()
			storage.texts["a.example"] = "{}"
			assert.is_true(see("A", refusing).refuse)
			assert.are.equal(0, memory:forget("a.example"))
			assert.are.same({}, storage.texts)
			assert.are.equal("first", word(see("A", refusing)))
		end)

		it("passes over fields that it does not know", function()
			stored(record_with(function(record, entry)
				record.x, entry.x = 1, 2
			end))
			assert.are.equal("known", word(see("A")))
			assert.is_nil(memory:get("a.example").certificates[1].x)
		end)
	end)

	describe("with real certificates", function()
		local authority, other

		setup(function()
			authority = pki.authority({ subject = "/O=Authority/CN=R10" })
			other = pki.authority({ subject = "/O=Other/CN=R10" })
		end)

		local function issue(from, options)
			options.names = { "a.example" }
			local made = from and from:issue(options) or pki.self_signed(options)
			return assert(certificate.from_pem(made.pem)):facts()
		end

		before_each(function()
			now = os.time()
		end)

		it("keeps the fields of the certificate", function()
			local shown = issue(authority, { subject = "/CN=a.example/O=M\195\188ller, Inc." })
			local entry = see(shown).new
			for _, field in ipairs({ "sha256", "spki_sha256", "issuer", "subject", "not_before", "not_after" }) do
				assert.is_not_nil(shown[field])
				assert.are.equal(shown[field], entry[field])
			end
			assert.are.same(entry, memory:get("a.example").certificates[1])
			assert.are.equal("known", word(see(shown)))
		end)

		it("tells renewals from changes", function()
			local year = now + 365 * DAY
			local first = issue(authority, { key_name = "1", not_before = now - 80 * DAY, not_after = now + 10 * DAY })
			assert.are.equal("first", word(see(first)))
			assert.are.equal("renewal info", word(see(issue(authority, { key_name = "1", not_after = year }))))
			assert.are.equal("change warn", word(see(issue(authority, { key_name = "2", not_after = year }))))
			memory:forget("a.example")
			see(first)
			assert.are.equal("renewal info", word(see(issue(authority, { key_name = "3", not_after = year }))))
			memory:forget("a.example")
			see(first)
			assert.are.equal("change warn", word(see(issue(other, { key_name = "3", not_after = year }))))
			memory:forget("a.example")
			see(first)
			assert.are.equal("change warn!", word(see(issue(nil, { key_name = "3", not_after = year }),
				{ direction = "in", verified = false, certificate_change = "refuse" })))
		end)

		it("warns of a self-signed certificate with a new key", function()
			see(issue(nil, { key_name = "1", expired = true }), unverified)
			assert.are.equal("renewal info", word(see(issue(nil, { key_name = "1" }), unverified)))
			assert.are.equal("change warn", word(see(issue(nil, { key_name = "2" }), unverified)))
		end)

		it("keeps names that no database takes, as text", function()
			local shown = issue(authority, {})
			for given, kept in pairs({
				["CN=caf\233"] = "CN=caf\\E9", ["CN=\0\27[31m"] = "CN=\\00\\1B[31m", ["CN=\195\188"] = "CN=\195\188",
				["CN=\127"] = "CN=\\7F", ["CN=\237\160\128"] = "CN=\\ED\\A0\\80", ["CN=\192\128"] = "CN=\\C0\\80",
				["CN=\224\159\191"] = "CN=\\E0\\9F\\BF", ["CN=\244\144\128\128"] = "CN=\\F4\\90\\80\\80",
				["CN=\240\159\166\136"] = "CN=\240\159\166\136", ["CN=\226\130\172"] = "CN=\226\130\172",
				["CN=\240\143\191\191"] = "CN=\\F0\\8F\\BF\\BF", ["CN=\195a\188"] = "CN=\\C3a\\BC",
				["CN=\240\159\195\188\166\136"] = "CN=\\F0\\9F\\C3\\BC\\A6\\88",
				["CN=\237\159\191"] = "CN=\237\159\191", ["CN=\243\128\128\128"] = "CN=\243\128\128\128",
				["CN=\224\160\128"] = "CN=\224\160\128", ["CN=\244\143\191\191"] = "CN=\244\143\191\191",
			}) do
				shown.subject = given
				assert.are.equal(kept, see(shown).new.subject)
				memory:forget("a.example")
			end
		end)

		it("keeps names up to 1024 bytes, as they are kept", function()
			local shown = issue(authority, {})
			for _, case in ipairs({
				{ ("x"):rep(1024), ("x"):rep(1024) }, { ("x"):rep(1025) },
				{ ("\233"):rep(341), ("\\E9"):rep(341) }, { ("\233"):rep(342) },
			}) do
				shown.subject = case[1]
				assert.are.equal(case[2], see(shown).new.subject)
				memory:forget("a.example")
			end
		end)
	end)

	it("takes a clock with fractions", function()
		now = START + 0.75
		learn("A")
		assert.are.equal(START, memory:get("a.example").certificates[1].last_seen)
	end)

	local misuse = {
		{ "new without options", function() certificate_memory.new() end, "bad options: a table expected, got nil" },
		{ "new without a clock", function() certificate_memory.new({ store = {} }) end,
			"bad now: a function expected, got nil" },
		{ "new without a storage", function() certificate_memory.new({ now = os.time }) end,
			"bad store: an object expected, got nil" },
		{ "new with half a storage", function() certificate_memory.new({ now = os.time, store = { get = print } }) end,
			"bad store: an object with the method set expected, got a table" },
		{ "see without a domain", function(it_is) it_is:see(nil, facts("A"), out) end,
			"bad domain: a string that is not empty expected, got nil" },
		{ "see of an empty domain", function(it_is) it_is:see("", facts("A"), out) end,
			'bad domain: a string that is not empty expected, got ""' },
		{ "see without facts", function(it_is) it_is:see("a.example", nil, out) end,
			"bad certificate: a table of facts expected, got nil" },
		{ "see without a sight", function(it_is) it_is:see("a.example", facts("A")) end,
			"bad sight: a table expected, got nil" },
		{ "see in no direction", function(it_is) it_is:see("a.example", facts("A"), { verified = true }) end,
			'bad direction: "in" or "out" expected, got nil' },
		{ "see without verified", function(it_is) it_is:see("a.example", facts("A"), { direction = "in" }) end,
			"bad verified: true or false expected, got nil" },
		{ "see in another mode", function(it_is)
			it_is:see("a.example", facts("A"), { direction = "in", verified = true, certificate_change = "ignore" })
		end, 'bad certificate_change: "warn" or "refuse" expected, got "ignore"' },
		{ "get without a domain", function(it_is) it_is:get() end,
			"bad domain: a string that is not empty expected, got nil" },
		{ "accept without a domain", function(it_is) it_is:accept() end,
			"bad domain: a string that is not empty expected, got nil" },
		{ "accept of a table", function(it_is) it_is:accept("a.example", {}) end,
			"bad certificate: its SHA-256 expected, got an empty table" },
		{ "forget without a domain", function(it_is) it_is:forget() end,
			"bad domain: a string that is not empty expected, got nil" },
	}

	describe("refuses misuse, in the caller's line:", function()
		for _, case in ipairs(misuse) do
			it(case[1], function()
				local done, message = pcall(case[2], memory)
				assert.is_false(done)
				assert.is_truthy(message:find("memory_spec.lua:%d+: "), message)
				assert.are.equal(case[3], (message:gsub("^.-:%d+: ", "")))
			end)
		end

		for _, value in ipairs({ 0 / 0, 1 / 0, "1", 2 ^ 60 }) do
			it("a clock that says " .. tostring(value), function()
				now = value
				local done, message = pcall(function()
					memory:see("a.example", facts("A"), out)
				end)
				assert.is_false(done)
				assert.is_truthy(message:find("memory_spec.lua:%d+: bad clock: UTC seconds expected, got "))
			end)
		end
	end)

	describe("with records that it read a moment ago", function()
		local reads

		before_each(function()
			reads = 0
			local get = storage.get
			function storage:get(domain)
				reads = reads + 1
				return get(self, domain)
			end
		end)

		it("reads a domain's record once a minute", function()
			learn("A")
			reads = 0
			for _ = 1, 5 do
				assert.is_true(memory:knows("a.example"))
				assert.are.equal("known", memory:would_see("a.example", facts("A"), out).kind)
				assert.are.equal("known", word(see("A")))
			end
			assert.are.equal(1, reads)
			now = START + 59
			see("A")
			assert.are.equal(1, reads)
			now = START + 60
			see("A")
			assert.are.equal(2, reads)
			now = START
			see("A")
			assert.are.equal(3, reads)
		end)

		-- Each step, and what the next look has to know.
		local steps = {
			{ "a sighting that is written", function() see("B") end, "known", "known" },
			{ "a sighting that is refused", function() see("B", refusing) end, "known", "pending!" },
			{ "a sighting that is only tried", function() memory:would_see("a.example", facts("B"), refusing) end, "known",
				"change warn!" },
			{ "an acceptance", function() see("B", refusing) memory:accept("a.example") end, "known", "known" },
			{ "forgetting", function() memory:forget("a.example") see("C", refusing) end, "change warn!", "change warn!" },
			{ "a change by another a minute ago", function()
				storage.texts["a.example"] = nil
				now = now + 60
				see("B", refusing)
			end, "change warn!", "known" },
		}
		for _, step in ipairs(steps) do
			it("knows what was written by " .. step[1], function()
				learn("A")
				assert.are.equal("known", word(see("A")))
				step[2]()
				local listed = storage.texts["a.example"]
				assert.are.equal(step[3], word(memory:would_see("a.example", facts("A"), refusing)))
				assert.are.equal(step[4], word(memory:would_see("a.example", facts("B"), refusing)))
				assert.are.equal(listed, storage.texts["a.example"])
			end)
		end

		it("keeps nothing of a sighting that could not be written", function()
			learn("A")
			see("A")
			local set = storage.set
			storage.set = function() return nil, "disk on fire" end
			assert.are.equal("change warn!", word(see("B", refusing)))
			storage.set = set
			assert.are.equal("change warn!", word(see("B", refusing)))
		end)

		it("drops certificates that have become old since", function()
			learn("A", "B")
			now = START + 91 * DAY
			see("B")
			local known = assert(memory:get("a.example"))
			assert.are.equal(2, #known.certificates)
			now = now + 30
			assert.are.equal("change", memory:would_see("a.example", facts("A", { issuer = "CN=Other" }), out).kind)
		end)

		it("hands out copies", function()
			learn("A")
			for _ = 1, 2 do
				local result = see("A")
				result.new.sha256, result.old.directions.out = "x", nil
			end
			local record = memory:get("a.example")
			record.certificates[1].sha256 = "x"
			assert.are.equal("known", word(see("A")))
		end)

		it("does not count for ever the certificates that it no longer tells of", function()
			learn("A")
			for number = 1, 30 do
				see("C" .. number)
			end
			assert.are.equal("change", word(see("D")))
			now = START + DAY
			assert.are.equal("change warn", word(see("D")))
		end)
	end)

	describe("of 100,000 domains", function()
		local DOMAINS = 100000

		local function kilobytes()
			collectgarbage()
			collectgarbage()
			return collectgarbage("count")
		end

		it("holds nothing itself", function()
			local kept = new_table_storage()
			local empty = kilobytes()
			memory = certificate_memory.new({ store = kept, now = function() return now end })
			for number = 1, DOMAINS do
				see(facts("A" .. number % 100), out, number .. ".example")
			end
			for number = 1, DOMAINS do
				assert(see(facts("A" .. number % 100), out, number .. ".example").kind == "known")
			end
			kept.records = {}
			local left = kilobytes() - empty
			-- a record takes some 2 KB
			assert.is_true(left < 1000, ("%.0f KB left"):format(left))
		end)
	end)
end)
