-- Exceptions: for one peer, milder, with a reason and an end.
local date = require "xmpp_tls_policy.date"
local exceptions_file = require "xmpp_tls_policy.policy.exceptions_file"
local files = require "support.files"
local pki = require "support.pki"
local text = require "xmpp_tls_policy.text"
local tls_policy = require "xmpp_tls_policy"
local validate = require "xmpp_tls_policy.policy.exceptions".validate

local function exception(changes)
	local made = { level = "must", expires = "2027-03-01", reason = "old server" }
	for key, value in pairs(changes or {}) do
		if value == "none" then
			value = nil
		end
		made[key] = value
	end
	return made
end

local function policy_with(exceptions, options)
	options = options or {}
	options.exceptions = exceptions
	local policy, errors = tls_policy.policy(options)
	assert(policy, errors and errors[1] and errors[1].message)
	return policy
end

local NOW = date.begins "2026-12-24"
local OLD = 'xmpp_tls_policy.exceptions["old.example"]'
local COMPLETE = '{ level = "must"; expires = "2027-03-01"; reason = "old server" }'

local FOR_NETWORK = 'or for the clients of one network, as in ["192.0.2.0/24"]'
local PATH = "xmpp_tls_policy.exceptions"

local wrong = {
	{ "yes", 'xmpp_tls_policy.exceptions is "yes"; accepted: a table such as { ["old.example"] = ' .. COMPLETE
		.. " }, or the absolute path of a file whose name ends in .json or .lua" },
	{ { ["old.example"] = true }, OLD .. " is true; accepted: a table such as " .. COMPLETE },
	{ { ["old.example"] = exception { level = "should" } }, OLD .. '.level is "should"; accepted: "must"' },
	{ { ["old.example"] = exception { level = "none" } },
		OLD .. ' excepts nothing; it needs level = "must", unauthenticated_s2s = "dialback" or groups = "classical"' },
	{ { ["old.example"] = exception { groups = "x25519" } }, OLD .. '.groups is "x25519"; accepted: "classical"' },
	{ { ["old.example"] = exception { unauthenticated_s2s = "refuse" } },
		OLD .. '.unauthenticated_s2s is "refuse"; accepted: "dialback"' },
	{ { ["old.example"] = exception { expires = "none" } }, OLD .. " has no expires; a complete one is " .. COMPLETE },
	{ { ["old.example"] = exception { reason = "none" } }, OLD .. " has no reason; a complete one is " .. COMPLETE },
	{ { ["old.example"] = exception { reason = " \t" } },
		OLD .. '.reason is " \\009"; accepted: a few words for the log' },
	{ { ["old.example"] = exception { reason = 7 } }, OLD .. ".reason is 7; accepted: a few words for the log" },
	{ { ["old.example"] = exception { until_ = "2027-03-01" } },
		OLD .. '.until_ is no option; known: "expires", "groups", "level", "reason", "unauthenticated_s2s"' },
	{ { ["*"] = exception() },
		'xmpp_tls_policy.exceptions["*"] is no domain; an exception is for one peer, named as in ["old.example"], '
		.. FOR_NETWORK },
	{ { ["*.example"] = exception() }, 'xmpp_tls_policy.exceptions["*.example"] is no domain; '
		.. 'an exception is for one peer, named as in ["old.example"], ' .. FOR_NETWORK },
	{ { ["user@old.example"] = exception() },
		'xmpp_tls_policy.exceptions["user@old.example"] is an account, which is known only after the handshake; name it in '
		.. 'the exception for its network, as in ["192.0.2.0/24"] = { accounts = { "meter@one.example" }; … }' },
	{ { ["user@old.example/tablet"] = exception() },
		'xmpp_tls_policy.exceptions["user@old.example/tablet"] is no domain; an exception is for one peer, '
		.. 'named as in ["old.example"], ' .. FOR_NETWORK },
	{ { exception() },
		'xmpp_tls_policy.exceptions[1] is no domain; an exception is for one peer, named as in ["old.example"], '
		.. FOR_NETWORK },
	{ { ["Old.Example"] = exception(), ["old.example"] = exception() },
		'xmpp_tls_policy.exceptions["old.example"] is the same domain as xmpp_tls_policy.exceptions["Old.Example"]' },
	{ { ["b\195\188cher.example"] = exception(), ["xn--bcher-kva.example"] = exception() },
		'xmpp_tls_policy.exceptions["xn--bcher-kva.example"] is the same domain as '
		.. 'xmpp_tls_policy.exceptions["b\195\188cher.example"]' },
}
-- rfc4632.3.1.prefix-notation
for key, message in pairs {
	["192.0.2.1/24"] =
		'has bits beyond its prefix length; the network is "192.0.2.0/24", the address alone "192.0.2.1/32"',
	["192.0.2.0/33"] = "has the prefix length 33; accepted for IPv4: 1 to 32",
	["0.0.0.0/0"] = "has the prefix length 0; accepted for IPv4: 1 to 32",
	["2001:db8::1/32"] =
		'has bits beyond its prefix length; the network is "2001:db8::/32", the address alone "2001:db8:0:0:0:0:0:1/128"',
	["2001:db8::/129"] = "has the prefix length 129; accepted for IPv6: 1 to 128",
	["::ffff:192.0.2.0/120"] = 'is an IPv4 network inside IPv6; write it as IPv4, such as "192.0.2.0/24"',
	["192.0.2/24"] = 'is no network; accepted: one such as "192.0.2.0/24" or "2001:db8::/32"',
	["192.0.256.0/24"] = 'is no network; accepted: one such as "192.0.2.0/24" or "2001:db8::/32"',
	["2001:db8:::/32"] = 'is no network; accepted: one such as "192.0.2.0/24" or "2001:db8::/32"',
	["192.0.2.1"] = 'is an address; an exception for the clients of one address is for the network "192.0.2.1/32"',
	["2001:db8::1"] = 'is an address; an exception for the clients of one address is for the network "2001:db8::1/128"',
	["192.0.2.0/"] = 'is no network; accepted: one such as "192.0.2.0/24" or "2001:db8::/32"',
} do
	wrong[#wrong + 1] = { { [key] = exception() }, ('%s["%s"] %s'):format(PATH, key, message) }
end
local NETWORK = PATH .. '["192.0.2.0/24"]'
for value, message in pairs {
	["a@one.example"] = '.accounts is "a@one.example"; accepted: a list such as { "meter@one.example" }',
	[7] = '.accounts is 7; accepted: a list such as { "meter@one.example" }',
	[{}] = '.accounts is an empty table; accepted: a list such as { "meter@one.example" }',
	[{ meter = "a@one.example" }] = '.accounts is a table; accepted: a list such as { "meter@one.example" }',
	[{ "a@one.example", [3] = "b@one.example" }] =
		'.accounts is a table; accepted: a list such as { "meter@one.example" }',
} do
	wrong[#wrong + 1] = { { ["192.0.2.0/24"] = exception { accounts = value } }, NETWORK .. message }
end
for _, account in ipairs {
	"one.example", "@one.example", "a@", "a@b@one.example", "a@one.example/tablet", "a b@one.example", "a@*.example", "",
	5, ("a"):rep(1024) .. "@one.example",
} do
	wrong[#wrong + 1] = { { ["192.0.2.0/24"] = exception { accounts = { "b@one.example", account } } },
		("%s.accounts has %s, which is no account; accepted: one such as \"meter@one.example\""):format(NETWORK,
			text.printable(account)) }
end
wrong[#wrong + 1] = { { ["old.example"] = exception { accounts = { "a@one.example" } } },
	OLD .. '.accounts is no option; known: "expires", "groups", "level", "reason", "unauthenticated_s2s"' }
for _, case in ipairs {
	{ { ["10.0.0.0/8"] = exception(), ["10.1.0.0/16"] = exception() },
		('%s["10.1.0.0/16"] overlaps %s["10.0.0.0/8"]; clients of both networks need one exception'):format(PATH, PATH) },
	{ { ["2001:db8:0::/48"] = exception(), ["2001:db8::/48"] = exception() },
		('%s["2001:db8::/48"] overlaps %s["2001:db8:0::/48"]; clients of both networks need one exception'):format(PATH,
			PATH) },
	{ { ["192.0.2.0/24"] = exception { unauthenticated_s2s = "dialback" } },
		NETWORK .. '.unauthenticated_s2s is no option; known: "accounts", "expires", "level", "reason"' },
	{ { ["192.0.2.0/24"] = exception { levl = "must" } },
		NETWORK .. '.levl is no option; known: "accounts", "expires", "level", "reason"; did you mean "level"?' },
	{ { ["192.0.2.0/24"] = exception { level = "none" } }, NETWORK .. ' excepts nothing; it needs level = "must"' },
	{ { ["192.0.2.0/24"] = exception { expires = "none" } },
		NETWORK .. " has no expires; a complete one is " .. COMPLETE },
	{ { ["192.0.2.0/24"] = exception { reason = "none" } }, NETWORK .. " has no reason; a complete one is " .. COMPLETE },
} do
	wrong[#wrong + 1] = case
end
for _, day in ipairs {
	"2027-02-29", "2027-13-01", "2027-00-10", "2027-1-1", "01.03.2027", "tomorrow", "", "2027-03-01 12:00",
} do
	wrong[#wrong + 1] = { { ["old.example"] = exception { expires = day } },
		('%s.expires is "%s"; accepted: a day such as "2027-03-01"'):format(OLD, day) }
end
wrong[#wrong + 1] = { { ["old.example"] = exception { expires = 20270301 } },
	OLD .. '.expires is 20270301; accepted: a day such as "2027-03-01"' }

describe("an exception that is wrong gets:", function ()
	for _, case in ipairs(wrong) do
		it(case[2]:sub(29, 110), function ()
			local policy, errors = tls_policy.policy { exceptions = case[1] }
			assert.is_nil(policy)
			assert.same({ case[2] }, { errors[1].message, errors[2] and errors[2].message })
		end)
	end
end)

describe("an exception", function ()
	teardown(pki.remove)

	it("is for its domain, however that is written, and for no other", function ()
		for written, others in pairs {
			["old.example"] = { "old.example", "OLD.example", "old.example." },
			["b\195\188cher.example"] = { "b\195\188cher.example", "xn--bcher-kva.example", "XN--BCHER-KVA.example" },
			["xn--bcher-kva.example"] = { "b\195\188cher.example", "xn--bcher-kva.example" },
		} do
			local policy = policy_with { [written] = exception() }
			for _, domain in ipairs(others) do
				local milder = policy:for_peer(domain, NOW)
				assert.equal("must", milder.level, domain)
				assert.equal(milder, policy:for_peer(domain, NOW))
			end
			for _, domain in ipairs { "example", "new.example", "very.old.example", "old.example.net", "" } do
				assert.equal(policy, policy:for_peer(domain, NOW), domain)
			end
			assert.equal(policy, policy:for_peer(nil, NOW))
		end
	end)

	it("applies to the end of its last day, in UTC", function ()
		local policy = policy_with { ["old.example"] = exception() }
		assert.equal("must", policy:for_peer("old.example", date.begins "2027-03-02" - 1).level)
		assert.equal(policy, policy:for_peer("old.example", date.begins "2027-03-02"))
	end)

	it("says in its policy's name whose it is, and until when", function ()
		local milder = policy_with({ ["old.example"] = exception() }, { profile = "rfc9325" }):for_peer("old.example", NOW)
		assert.equal("rfc9325, level must, by exception for old.example until 2027-03-01", milder:name())
		assert.same({ "old.example", "2027-03-01", "old server" },
			{ milder.exception.domain, milder.exception.expires, milder.exception.reason })
	end)

	it("makes nothing else milder", function ()
		local options = { unauthenticated_s2s = "refuse", mode = "report" }
		local milder = policy_with({ ["old.example"] = exception() }, options):for_peer("old.example", NOW)
		assert.same({ "refuse", "report" }, { milder.unauthenticated_s2s, milder.mode })
		assert.same(tls_policy.policy({ level = "must" }):settings(), milder:settings())
	end)

	it("may accept dialback where that is refused, and leave the level", function ()
		local policy = policy_with({ ["old.example"] = exception { level = "none", unauthenticated_s2s = "dialback" } },
			{ unauthenticated_s2s = "refuse" })
		local milder = policy:for_peer("old.example", NOW)
		assert.same({ "should", "dialback" }, { milder.level, milder.unauthenticated_s2s })
		assert.equal("refuse", policy.unauthenticated_s2s)
	end)

	it("that makes nothing milder does not apply", function ()
		local policy = policy_with { ["old.example"] = exception { level = "none", unauthenticated_s2s = "dialback" } }
		assert.equal(policy, policy:for_peer("old.example", NOW))
		assert.same({ { domain = "old.example", kind = "idle", message = 'the exception for old.example ("old server") '
			.. "has no effect: draft-saintandre-xmpp-tls-02, level should has it already" } }, policy:warnings(NOW))
	end)

	it("opens contexts if it has a level, also if it is the policy's", function ()
		for _, level in ipairs { "should", "must" } do
			local policy = policy_with({ ["old.example"] = exception(), ["dialback.example"] = exception { level = "none",
				unauthenticated_s2s = "dialback" } }, { level = level, unauthenticated_s2s = "refuse" })
			assert.is_true(policy:for_peer("old.example", NOW).opens)
			assert.is_true(policy:mildest_exception().opens)
			assert.is_false(policy:for_peer("dialback.example", NOW).opens)
			assert.is_nil(policy.opens)
			assert.same({}, policy:warnings(NOW))
		end
	end)

	local versions = require "support.versions"

	-- Without hybrid groups in OpenSSL, the exception applies to nobody.
	for _, level in ipairs { "none", "must" } do
		for _, is_written in ipairs { false, true } do
			it(('with groups = "classical" leaves out the hybrids alone, level %s%s'):format(level,
				is_written and ", with the operator's own list" or ""), function ()
				local policy = policy_with { ["old.example"] = exception { level = level, groups = "classical" } }
				local before = { minimum_version = "TLSv1.2", groups = { "X25519MLKEM768", "x25519", "SecP256r1MLKEM768",
					"secp256r1" } }
				local operator = { groups = is_written }
				local strict = policy:settings_for(before, operator)
				local milder = policy:for_peer("old.example", NOW)
				local has_effect = level == "must" or versions.has_group "X25519MLKEM768"
				assert.equal(has_effect, milder ~= policy)
				assert.equal("X25519MLKEM768", strict.groups[1])
				assert.equal(strict.key_shares, 2)
				local made = milder:settings_for(before, operator)
				local count = 0
				for _, name in ipairs(made.groups) do
					count = count + (name:find "MLKEM" and 1 or 0)
				end
				assert.equal(has_effect, count == 0)
				if has_effect then
					assert.is_nil(made.key_shares)
					assert.equal("x25519", made.groups[1])
				end
				if level == "none" then
					assert.equal(strict.minimum_version, made.minimum_version)
					assert.same(strict.ciphers, made.ciphers)
					assert.is_falsy(milder.opens)
				end
				assert.equal(not has_effect and 1 or 0, #policy:warnings(NOW))
				assert.equal("X25519MLKEM768", policy:for_peer("other.example", NOW):settings_for(before, operator).groups[1])
			end)
		end
	end

	-- Every address, and the exceptions whose networks contain it.
	for address, network in pairs {
		["192.0.2.1"] = "192.0.2.0/25", ["192.0.2.127"] = "192.0.2.0/25", ["192.0.2.128"] = false, ["192.0.3.1"] = false,
		["::ffff:192.0.2.1"] = "192.0.2.0/25", ["198.51.100.7"] = "198.51.100.7/32", ["198.51.100.6"] = false,
		["2001:db8:1:2:3:4:5:6"] = false, ["2001:db8:0:ffff::"] = "2001:db8::/48",
		["2001:DB8:0000::9%eth0"] = "2001:db8::/48",
		["2001:db8::1"] = "2001:db8::/48", ["none"] = false, ["::"] = false, ["2001:db8:2:8000::"] = "2001:db8:2:8000::/49",
		["2001:db8:2:7fff::"] = false,
	} do
		for _, is_over in ipairs { false, true } do
			it(("of networks gives %s %s"):format(address, is_over and "nothing after its end" or network or "nothing"),
				function ()
				local list = { ["192.0.2.0/25"] = exception(), ["198.51.100.7/32"] = exception(),
					["2001:db8::/48"] = exception(), ["2001:db8:2:8000::/49"] = exception(), ["old.example"] = exception() }
				local policy = policy_with(list)
				local given = policy:for_client(address, date.begins(is_over and "2027-03-02" or "2027-03-01"))
				assert.equal(network and not is_over or false, given ~= policy)
				if given ~= policy then
					assert.equal(network, given.exception.domain)
					assert.same({ "must", true }, { given.level, given.opens })
					assert.equal(given, policy:for_client(address, NOW))
					assert.equal(policy, policy:for_peer(network, NOW))
				end
				assert.equal(policy, policy:for_client(nil, NOW))
				assert.equal(policy, policy:for_client("old.example", NOW))
			end)
		end
	end

	it("of a network asks for TLS as the policy itself does", function ()
		local starttls = require "xmpp_tls_policy.stream.starttls"
		for _, level in ipairs { "should", "must" } do
			local policy = policy_with({ ["192.0.2.0/24"] = exception() }, { level = level })
			assert.equal(starttls.requires_tls(policy), starttls.requires_tls(policy:for_client("192.0.2.9", NOW)))
		end
	end)

	it("is named by its file where it is wrong", function ()
		local path = pki.path ".json"
		files.write(path, "{}")
		local errors = {}
		validate(exceptions_file.read(path, function ()
			return { ["old.example"] = exception { ticket = "17" }, ["a.example"] = exception { expires = "soon" } }
		end), PATH, errors)
		assert.equal(2, #errors)
		assert.equal(path .. ": " .. PATH .. '["a.example"].expires is "soon"; accepted: a day such as "2027-03-01"',
			errors[1].message)
		assert.equal(path .. ": " .. OLD .. ".ticket is no option; known", errors[2].message:match "^[^\n]-known")
		assert.equal('exceptions["old.example"].ticket', errors[2].option)
	end)

	it("is warned about from two weeks before its end, and after it", function ()
		local policy = policy_with { ["old.example"] = exception(), ["a.example"] = exception { expires = "2030-01-01" } }
		local function said(day)
			local warnings = policy:warnings(date.begins(day))
			assert.is_nil(warnings[2])
			return warnings[1] and warnings[1].message
		end
		assert.is_nil(said "2027-02-15")
		assert.equal('the exception for old.example ("old server") ends with 2027-03-01, in 14 days', said "2027-02-16")
		assert.equal('the exception for old.example ("old server") ends with 2027-03-01, in 2 days', said "2027-02-28")
		assert.equal('the exception for old.example ("old server") ends with 2027-03-01, today (UTC)', said "2027-03-01")
		assert.equal('the exception for old.example ("old server") ended with 2027-03-01 and no longer applies',
			said "2027-03-02")
		assert.equal('the exception for old.example ("old server") ended with 2027-03-01 and no longer applies',
			said "2029-01-01")
	end)

	-- The exception, the policy, the options of the server, the message; nil: no warning.
	for what, case in pairs {
		["without any option of the server"] = { {}, {} },
		["with s2s_secure_auth"] = { {}, { s2s_secure_auth = true },
			"has no effect: s2s_secure_auth is on, and s2s_insecure_domains does not name old.example" },
		["with s2s_secure_auth, and other insecure domains"] = { {},
			{ s2s_secure_auth = true, s2s_insecure_domains = { "other.example" } },
			"has no effect: s2s_secure_auth is on, and s2s_insecure_domains does not name old.example" },
		["with s2s_secure_auth, and a level"] = { { level = "must" }, { s2s_secure_auth = true },
			"lets nobody in by dialback: s2s_secure_auth is on, and s2s_insecure_domains does not name old.example" },
		["with s2s_secure_auth, and named as insecure"] = { {},
			{ s2s_secure_auth = true, s2s_insecure_domains = { "other.example", "OLD.example" } } },
		["with s2s_secure_auth, and alone insecure"] = { {},
			{ s2s_secure_auth = true, s2s_insecure_domains = "old.example" } },
		["as a secure domain"] = { {}, { s2s_secure_domains = { "old.example" } },
			"has no effect: s2s_secure_domains names old.example" },
		["beside another secure domain"] = { {}, { s2s_secure_auth = false, s2s_secure_domains = { "other.example" } } },
		["for a level alone"] = { { level = "must", unauthenticated_s2s = "none" }, { s2s_secure_auth = true } },
		["that has ended"] = { { expires = "2026-01-01" }, { s2s_secure_auth = true }, "ended" },
	} do
		it("is said to be in vain where the server's own options accept no dialback: " .. what, function ()
			local changes = { level = "none", unauthenticated_s2s = "dialback" }
			for name, value in pairs(case[1]) do
				changes[name] = value
			end
			if changes.unauthenticated_s2s == "none" then
				changes.unauthenticated_s2s = nil
			end
			-- Also where the policy accepts dialback from all.
			for _, of_policy in ipairs { "refuse", "dialback" } do
				local policy = policy_with({ ["old.example"] = exception(changes) }, { unauthenticated_s2s = of_policy })
				local found = {}
				for _, warning in ipairs(policy:warnings(NOW, function (name) return case[2][name] end)) do
					found[#found + 1] = (warning.kind == "obstructed" or warning.kind == "ended") and warning or nil
				end
				assert.equal(case[3] and 1 or 0, #found)
				if case[3] == "ended" then
					assert.equal("ended", found[1].kind)
				elseif case[3] then
					assert.same({ domain = "old.example", kind = "obstructed",
						message = 'the exception for old.example ("old server") ' .. case[3] }, found[1])
					assert.equal(1, #policy:warnings(NOW, function (name) return case[2][name] end))
				end
			end
		end)
	end

	it("cannot break a log's line by its reason", function ()
		local policy = policy_with { ["old.example"] = exception { reason = "x\n2026 error", expires = "2020-01-01" } }
		assert.equal('the exception for old.example ("x\\0102026 error") ended with 2020-01-01 and no longer applies',
			policy:warnings(NOW)[1].message)
	end)
end)
