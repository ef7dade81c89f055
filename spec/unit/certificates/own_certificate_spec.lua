-- The faults of the certificates of our own hosts.
local certificate = require("xmpp_tls_policy.core").certificate
local own_certificate = require "xmpp_tls_policy.certificates.own_certificate"
local pki = require "support.pki"

local DAY = 86400
local START = 1767225600 -- 2026-01-01
local WHO = 'the certificate of "a.example"'

-- A good certificate of 90 days, with changes; false takes a field away.
local function facts(changes)
	local made = {
		subject = "CN=a.example", issuer = "CN=R10,O=Authority", not_before = START, not_after = START + 90 * DAY,
		key_type = "EC", key_bits = 256, curve = "secp256r1",
		signature_algorithm = "sha256WithRSAEncryption", signature_digest = "SHA256",
	}
	for field, value in pairs(changes or {}) do
		made[field] = value
		if value == false then
			made[field] = nil
		end
	end
	return made
end

local function intermediate(changes)
	local made = facts({ subject = "CN=R10,O=Authority", issuer = "CN=Root,O=Authority", not_after = START + 2000 * DAY })
	for field, value in pairs(changes or {}) do
		made[field] = value
	end
	return made
end

local root = facts({ subject = "CN=Root,O=Authority", issuer = "CN=Root,O=Authority" })

local function check(shown, options)
	local all = { domain = "a.example", now = START + 10 * DAY }
	for field, value in pairs(options or {}) do
		all[field] = value or nil
		if value == false and field ~= "domain" then
			all[field] = false
		end
	end
	return own_certificate.check(shown, all)
end

-- "kind severity", in order
local function words(problems)
	local list = {}
	for index, problem in ipairs(problems) do
		list[index] = problem.kind .. " " .. problem.severity
	end
	return table.concat(list, ", ")
end

local REPLACE_KEY = " bits; at least %d are needed: replace it by one with a new key"
local REISSUE = "; SHA-256 or better is needed: have it issued again"
local NAME = ': get one with the DNS name "a.example" in its subjectAltName'
local CHAIN = 'the certificate of the issuer "CN=R10,O=Authority" that follows ' .. WHO

local function key(bits, least)
	return bits .. REPLACE_KEY:format(least)
end

-- the case, changes in a good certificate, changes in the options, the expected faults
local cases = {
	{ "a good one", {}, {}, "" },
	{ "a good one, all checked", {}, { matches_c2s = true, matches_s2s = true, chain = { intermediate() } }, "" },

	{ "at its last second", {}, { now = START + 90 * DAY }, "expiry-1 warn",
		WHO .. " expires in less than a day: renew it" },
	{ "a second later", {}, { now = START + 90 * DAY + 1 }, "expired error",
		WHO .. " expired less than a day ago: replace it" },
	{ "a day but a second after its end", {}, { now = START + 91 * DAY - 1 }, "expired error",
		WHO .. " expired less than a day ago: replace it" },
	{ "a day after its end", {}, { now = START + 91 * DAY }, "expired error", WHO .. " expired 1 day ago: replace it" },
	{ "3 days after its end", {}, { now = START + 93 * DAY }, "expired error", WHO .. " expired 3 days ago: replace it" },
	{ "at its first second", {}, { now = START }, "" },
	{ "before its first second", {}, { now = START - 1 }, "not-yet-valid error",
		WHO .. " becomes valid in less than a day: wait, or set the clock right" },
	{ "without an end", { not_after = false }, {}, "validity-unknown error", WHO .. " has no readable dates: replace it" },
	{ "without a beginning", { not_before = false }, {}, "validity-unknown error",
		WHO .. " has no readable dates: replace it" },

	{ "22 days before its end", {}, { now = START + 69 * DAY - 1 }, "" },
	{ "21 days before its end", {}, { now = START + 69 * DAY }, "expiry-21 warn", WHO .. " expires in 21 days: renew it" },
	{ "more than 7 days before its end", {}, { now = START + 83 * DAY - 1 }, "expiry-21 warn",
		WHO .. " expires in 7 days: renew it" },
	{ "7 days before its end", {}, { now = START + 83 * DAY }, "expiry-7 warn", WHO .. " expires in 7 days: renew it" },
	{ "more than 1 day before its end", {}, { now = START + 89 * DAY - 1 }, "expiry-7 warn",
		WHO .. " expires in 1 day: renew it" },
	{ "1 day before its end", {}, { now = START + 89 * DAY }, "expiry-1 warn", WHO .. " expires in 1 day: renew it" },
	{ "one of 6 days that is new", { not_after = START + 6 * DAY }, { now = START }, "expiry-7 info",
		WHO .. " expires in 6 days: renew it" },
	{ "one of 6 days in its last third", { not_after = START + 6 * DAY }, { now = START + 4 * DAY }, "expiry-7 warn",
		WHO .. " expires in 2 days: renew it" },
	{ "one of 45 days before its last third", { not_after = START + 45 * DAY }, { now = START + 30 * DAY - 1 },
		"expiry-21 info", WHO .. " expires in 15 days: renew it" },
	{ "one of 45 days in its last third", { not_after = START + 45 * DAY }, { now = START + 30 * DAY },
		"expiry-21 warn", WHO .. " expires in 15 days: renew it" },

	{ "one that covers nothing", {}, { matches_c2s = false, matches_s2s = false },
		"not-covering-c2s error, not-covering-s2s error",
		WHO .. " does not cover it, so clients (c2s) refuse it" .. NAME },
	{ "one that covers it for clients alone", {}, { matches_c2s = true, matches_s2s = false }, "not-covering-s2s error",
		WHO .. " does not cover it, so other servers (s2s) do not authenticate us by it" .. NAME },
	{ "one that covers it for servers alone", {}, { matches_c2s = false, matches_s2s = true }, "not-covering-c2s error",
		WHO .. " does not cover it, so clients (c2s) refuse it" .. NAME },

	{ "RSA of 2048 bits", { key_type = "RSA", key_bits = 2048 }, {}, "" },
	{ "key.rsa2048: RSA of 2047 bits", { key_type = "RSA", key_bits = 2047 }, {}, "weak-key error",
		WHO .. " has an RSA key of " .. key("2047", 2048) },
	{ "RSA-PSS of 1024 bits", { key_type = "RSA-PSS", key_bits = 1024 }, {}, "weak-key error",
		WHO .. " has an RSA-PSS key of " .. key("1024", 2048) },
	{ "RSA of unknown length", { key_type = "RSA", key_bits = false }, {}, "weak-key error",
		WHO .. " has an RSA key of " .. key("unknown", 2048) },
	{ "a curve of 224 bits", { key_bits = 224 }, {}, "" },
	{ "key.curve224: a curve of 223 bits", { key_bits = 223 }, {}, "weak-key error",
		WHO .. " has an EC key of " .. key("223", 224) },
	{ "Ed25519", { key_type = "ED25519", key_bits = 256, signature_digest = false, signature_algorithm = "ED25519" }, {},
		"" },

	{ "signature.sha1: SHA-1", { signature_digest = "SHA1" }, {}, "weak-signature error",
		WHO .. " is signed with SHA1" .. REISSUE },
	{ "MD5", { signature_digest = "MD5" }, {}, "weak-signature error", WHO .. " is signed with MD5" .. REISSUE },
	{ "MD5 and SHA-1", { signature_digest = "MD5-SHA1" }, {}, "weak-signature error",
		WHO .. " is signed with MD5-SHA1" .. REISSUE },
	{ "MD4", { signature_digest = "MD4" }, {}, "weak-signature error", WHO .. " is signed with MD4" .. REISSUE },
	{ "MD2, of which only the algorithm is known",
		{ signature_digest = false, signature_algorithm = "md2WithRSAEncryption" }, {},
		"weak-signature error", WHO .. " is signed with md2WithRSAEncryption" .. REISSUE },
	{ "SHA-512", { signature_digest = "SHA512" }, {}, "" },
	{ "no known signature", { signature_digest = false, signature_algorithm = false }, {}, "" },
	{ "SHA-1, self-signed", { signature_digest = "SHA1", issuer = "CN=a.example" }, {}, "" },

	-- rfc5280.4.2.1.12.only-listed-usages
	{ "any usage, as none is named", { extended_key_usages = false }, {}, "" },
	{ "both usages", { extended_key_usages = { "clientAuth", "serverAuth" } }, {}, "" },
	-- xep0178.1.server-auth-is-enough
	{ "serverAuth only", { extended_key_usages = { "serverAuth" } }, {}, "" },
	{ "clientAuth only", { extended_key_usages = { "clientAuth" } }, {}, "no-server-auth error",
		"the extended key usages of " .. WHO .. " lack serverAuth, so clients and other servers refuse it: "
		.. "get one with serverAuth" },
	{ "no usage", { extended_key_usages = {} }, {}, "no-server-auth error" },

	{ "a chain that is not known", {}, { chain = nil }, "" },
	{ "no chain", {}, { chain = {} }, "chain-incomplete warn",
		'the certificate of its issuer "CN=R10,O=Authority" does not follow ' .. WHO
		.. ", so others may not be able to verify it: append that to the certificate file" },
	{ "the root without the intermediate", {}, { chain = { root } }, "chain-incomplete warn" },
	-- rfc5280.3.2.self-issued-by-name
	{ "no chain, but self-signed", { issuer = "CN=a.example" }, { chain = {} }, "" },
	-- rfc8446.4.4.2.root-left-out
	{ "no chain, but of a known root", { issuer = "CN=Root,O=Authority" }, { chain = {}, roots = { root } }, "" },
	{ "no chain, and other roots", {}, { chain = {}, roots = { root } }, "chain-incomplete warn" },
	{ "no chain, and an issuer that is no root", {}, { chain = {}, roots = { intermediate() } }, "chain-incomplete warn" },
	{ "no chain, and no issuer", { issuer = false }, { chain = { facts({ subject = false }) } }, "chain-incomplete warn" },
	{ "an intermediate and the root", {}, { chain = { intermediate(), root } }, "" },
	-- rfc8446.4.4.2.chain-in-any-order
	{ "a root and the intermediate", {}, { chain = { root, intermediate() } }, "" },
	{ "a chain that goes in a circle", {},
		{ chain = { intermediate({ issuer = "CN=X" }), intermediate({ subject = "CN=X", issuer = "CN=R10,O=Authority" }) } },
		"" },
	{ "an intermediate that has expired", {}, { chain = { intermediate({ not_after = START }) } }, "chain-expired error",
		CHAIN .. " expired 10 days ago: replace it" },
	{ "an intermediate that is not valid yet", {}, { chain = { intermediate({ not_before = START + 12 * DAY }) } },
		"chain-not-yet-valid error", CHAIN .. " becomes valid in 2 days: wait, or set the clock right" },
	{ "an intermediate with a weak key", {}, { chain = { intermediate({ key_type = "RSA", key_bits = 1024 }) } },
		"chain-weak-key error", CHAIN .. " has an RSA key of " .. key("1024", 2048) },
	{ "an intermediate with a weak signature", {}, { chain = { intermediate({ signature_digest = "SHA1" }) } },
		"chain-weak-signature error", CHAIN .. " is signed with SHA1" .. REISSUE },
	{ "a second intermediate with a weak signature", {}, { chain = {
		intermediate({ subject = "CN=Root,O=Authority", issuer = "CN=Older", signature_digest = "SHA1" }), intermediate(),
	} }, "chain-weak-signature error" },
	{ "a root with a weak signature", {}, { chain = { intermediate(), facts({
		subject = "CN=Root,O=Authority", issuer = "CN=Root,O=Authority", signature_digest = "SHA1",
	}) } }, "" },
	{ "certificates that have nothing to do with it", {},
		{ chain = { intermediate(), intermediate({ subject = "CN=X", not_after = START, key_bits = 160 }) } }, "" },

	{ "all at once", { key_bits = 160, signature_digest = "SHA1", extended_key_usages = { "serverAuth" } },
		{ now = START + 80 * DAY, matches_c2s = false, chain = {} },
		"not-covering-c2s error, weak-key error, weak-signature error, chain-incomplete warn, expiry-21 warn" },

	{ "some services only, which the messages name", {},
		{ now = START + 91 * DAY, services = { "c2s_direct_tls port 5223" } }, "expired error",
		WHO .. " (c2s_direct_tls port 5223) expired 1 day ago: replace it" },
	{ "several services", { key_bits = 160 }, { services = { "c2s", "s2s" } }, "weak-key error",
		WHO .. " (c2s, s2s) has an EC key of 160" .. REPLACE_KEY:format(224) },
	{ "no server name", {}, { domain = false, services = { "c2s_direct_tls port 5223" }, matches_any = true }, "" },
	{ "no server name, and no host that is covered", { key_bits = 160 },
		{ now = START + 91 * DAY, domain = false, services = { "c2s_direct_tls port 5223" }, matches_any = false },
		"not-covering-any info",
		"the certificate without a server name of c2s_direct_tls port 5223 covers no host of ours, so clients and "
		.. "servers refuse it: configure one with the DNS names of the hosts in its subjectAltName" },
	{ "no server name, and a weak key", { key_bits = 160 }, { domain = false, services = { "x" }, matches_any = true },
		"weak-key error" },

}

describe("the faults of our certificate:", function()
	for _, case in ipairs(cases) do
		local sentence, changes, options, expected, message = case[1], case[2], case[3], case[4], case[5]
		it(("%s: %s"):format(sentence, expected ~= "" and expected or "nothing"), function()
			local problems = check(facts(changes), options)
			assert.are.equal(expected, words(problems))
			if message then
				assert.are.equal(message, problems[1].message)
			end
		end)
	end

	it("names each authority that has something wrong, in order", function()
		local problems = check(facts(), { chain = {
			intermediate({ issuer = "CN=Z", not_after = START }),
			intermediate({ subject = "CN=Z", issuer = "CN=A", not_after = START }),
			intermediate({ subject = "CN=A", issuer = "CN=Root", not_after = START }),
		} })
		local names = {}
		for index, problem in ipairs(problems) do
			names[index] = problem.kind .. " " .. problem.message:match("issuer (%b\"\")")
		end
		assert.are.same({ 'chain-expired "CN=A"', 'chain-expired "CN=R10,O=Authority"', 'chain-expired "CN=Z"' }, names)
	end)

	it("shows no foreign text as it is", function()
		local problems = check(facts({ issuer = "CN=\27[31m\n" }), { chain = {}, domain = "a\n.example" })
		assert.is_truthy(problems[1].message:find('"CN=\\027[31m\\010"', 1, true))
		assert.is_truthy(problems[1].message:find('"a\\010.example"', 1, true))
	end)

	it("changes nothing that it is handed", function()
		local shown, chain = facts(), { root, intermediate() }
		check(shown, { chain = chain })
		assert.are.same(facts(), shown)
		assert.are.same({ root, intermediate() }, chain)
	end)

	for _, case in ipairs({
		{ "bad certificate: nil", nil, { domain = "a.example", now = 0 } },
		{ "bad options: nil", {} },
		{ "bad domain: nil", {}, { now = 0 } },
		{ "bad domain: 1", {}, { now = 0, domain = 1, services = { "c2s" } } },
		{ 'bad services: "c2s"', {}, { now = 0, domain = "a.example", services = "c2s" } },
		{ 'bad now: "1"', {}, { domain = "a.example", now = "1" } },
		{ "bad now: not a number", {}, { domain = "a.example", now = 0 / 0 } },
	}) do
		it("misuse is an error in the caller's line: " .. case[1], function()
			local done, message = pcall(function()
				local problems = own_certificate.check(case[2], case[3])
				return problems
			end)
			assert.is_false(done)
			assert.is_truthy(message:find("own_certificate_spec.lua:%d+: "), message)
			assert.are.equal(case[1], (message:gsub("^.-:%d+: ", "")))
		end)
	end
end)

describe("the faults of a real certificate:", function()
	local authority, below

	setup(function()
		authority = pki.authority()
		below = authority:intermediate()
	end)

	teardown(pki.remove)

	local function read(pem)
		return assert(certificate.from_pem(pem))
	end

	-- Everything as a server would hand it over.
	local function problems_of(files, changes)
		local shown, chain = read(files.pem), {}
		for pem in files.pem:gmatch("%-%-%-%-%-BEGIN.-%-%-%-%-%-END[^\n]*\n") do
			chain[#chain + 1] = read(pem):facts()
		end
		table.remove(chain, 1)
		local options = { now = os.time(), chain = chain, matches_c2s = shown:matches("a.example", "xmpp-client"),
			matches_s2s = shown:matches("a.example", "xmpp-server") }
		for field, value in pairs(changes or {}) do
			options[field] = value
		end
		return words(check(shown:facts(), options))
	end

	local function issue(options)
		options.names, options.days = options.names or { "a.example" }, 60
		return below:issue(options)
	end

	local real = {
		{ "nothing", {}, "" },
		{ "nothing, with both usages", { extended_key_usages = { "serverAuth", "clientAuth" } }, "" },
		{ "RSA of 1024 bits", { key = "rsa1024" }, "weak-key error" },
		{ "RSA of 2048 bits", { key = "rsa2048" }, "" },
		{ "a curve of 192 bits", { key = "p192" }, "weak-key error" },
		{ "a curve of 224 bits", { key = "p224" }, "" },
		{ "Ed25519", { key = "ed25519" }, "" },
		{ "SHA-1", { digest = "sha1" }, "weak-signature error" },
		{ "serverAuth only", { extended_key_usages = { "serverAuth" } }, "" },
		{ "any usage, of which OpenSSL takes none", { extended_key_usages = { "anyExtendedKeyUsage" } },
			"no-server-auth error" },
		{ "expired", { expired = true }, "expired error" },
		{ "not valid yet", { not_before = os.time() + 5 * DAY }, "not-yet-valid error" },
		{ "another name", { names = { "b.example" } }, "not-covering-c2s error, not-covering-s2s error" },
		{ "a name for servers alone", { names = { "b.example" }, srv = { "_xmpp-server.a.example" } },
			"not-covering-c2s error" },
	}

	for _, case in ipairs(real) do
		it(("%s: %s"):format(case[1], case[3] ~= "" and case[3] or "nothing"), function()
			assert.are.equal(case[3], problems_of(issue(case[2])))
		end)
	end

	it("a signature with MD5", function()
		local rsa = pki.authority({ key = "rsa2048" })
		local files = rsa:issue({ names = { "a.example" }, days = 60, digest = "md5" })
		assert.are.equal("weak-signature error",
			problems_of(files, { chain = { read(rsa.pem):facts() } }))
	end)

	it("an authority with SHA-1, but not a root", function()
		local files = authority:intermediate({ digest = "sha1" }):issue({ names = { "a.example" }, days = 60 })
		assert.are.equal("chain-weak-signature error", problems_of(files))
		local old = pki.authority({ digest = "sha1" })
		files = old:issue({ names = { "a.example" }, days = 60 })
		assert.are.equal("", problems_of(files, { chain = { read(old.pem):facts() } }))
	end)

	it("a chain without the intermediate authority", function()
		local files = issue({})
		assert.are.equal("chain-incomplete warn", problems_of({ pem = pki.read(files.own) }))
		assert.are.equal("chain-incomplete warn", problems_of({ pem = pki.read(files.own) .. authority.pem }))
		assert.are.equal("", problems_of({ pem = files.pem .. authority.pem }))
	end)

	it("a chain of a private root alone", function()
		local files = authority:issue({ names = { "a.example" }, days = 60 })
		assert.are.equal("chain-incomplete warn", problems_of(files))
		assert.are.equal("", problems_of(files, { roots = { read(below.pem):facts(), read(authority.pem):facts() } }))
	end)

	it("nothing, where it is self-signed with SHA-1", function()
		assert.are.equal("", problems_of(pki.self_signed({ names = { "a.example" }, days = 60, digest = "sha1" })))
	end)
end)
