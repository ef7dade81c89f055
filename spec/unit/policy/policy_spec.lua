-- A policy: its names, its clauses, the milder ones, and the options that it is made of.
local option_rules = require "xmpp_tls_policy.policy.options"
local tls_policy = require "xmpp_tls_policy"

local DRAFT = "draft-saintandre-xmpp-tls-02"

describe("a policy", function()
	it("tells its profile, its level and its clauses", function()
		local policy = tls_policy.policy({ level = "must" })
		assert.are.equal(DRAFT, policy.profile)
		assert.are.equal("must", policy.level)
		assert.are.equal(31, #policy.clauses)
		assert.are.same({ id = "support.required", document = DRAFT, section = "4.1", level = "SHOULD",
			at = "should", enforced = false }, policy.clauses[2])
	end)

	it("explains a clause", function()
		assert.are.same({
			id = "version.tls10",
			document = DRAFT,
			section = "4.2",
			level = "SHOULD NOT",
			statement = "negotiate TLS 1.0",
			profile = DRAFT,
			at = "should",
			enforced = true,
		}, tls_policy.defaults():explain("version.tls10"))
		local policy = tls_policy.policy({ level = "must" })
		assert.is_false(policy:explain("version.tls10").enforced)
		assert.is_nil(policy.clauses[7].statement)
		assert.are.equal("MUST NOT", tls_policy.policy({ profile = "rfc9325" }):explain("version.tls10").level)
		assert.are.equal("RFC 9325", tls_policy.policy({ profile = "rfc7590" }):explain("version.tls10").document)
	end)

	for _, case in ipairs({
		{ "version.tls1", '"version.tls1" is no clause of draft-saintandre-xmpp-tls-02; did you mean "version.tls10"?' },
		{ "key.dhe", '"key.dhe" is no clause of draft-saintandre-xmpp-tls-02; did you mean "key.ecdhe"?' },
		{ "x", '"x" is no clause of draft-saintandre-xmpp-tls-02' },
		{ 4.2, "4.2 is no clause of draft-saintandre-xmpp-tls-02" },
		{ nil, "nil is no clause of draft-saintandre-xmpp-tls-02" },
	}) do
		it("does not explain " .. tostring(case[1]), function()
			local explained, message = tls_policy.defaults():explain(case[1])
			assert.is_nil(explained)
			assert.are.equal(case[2] or "nil is no clause of draft-saintandre-xmpp-tls-02", message)
		end)
	end

	it("enforces the clauses of its level", function()
		local policy, milder = tls_policy.defaults(), tls_policy.policy({ level = "must" })
		assert.is_true(policy:enforces("support.required"))
		assert.is_false(milder:enforces("support.required"))
		assert.is_true(milder:enforces("support.abort"))
		assert.is_false(policy:enforces("version.tls11"))
		assert.is_false(policy:enforces("key.dhe"))
	end)

	it("names the clauses whose demand for support some settings do not meet", function()
		local settings = tls_policy.defaults():settings()
		settings.maximum_version = "TLSv1.2"
		settings.ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" }
		assert.are.same({
			{ clause = "version.latest", document = DRAFT, section = "4.2", level = "RECOMMENDED", enforced = true,
				text = "TLS 1.3 is not offered" },
			{ clause = "cipher.recommended", document = DRAFT, section = "4.3", level = "RECOMMENDED", enforced = true,
				text = "not offered: TLS_DHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" },
		}, tls_policy.defaults():unsupported(settings))
	end)

	it("has the breach of a clause that no handshake shows, always enforced", function()
		assert.are.same({ clause = "unauth.encrypt", document = DRAFT, section = "4.6", level = "allowed", enforced = true,
			text = "dialback alone" }, tls_policy.defaults():breach("unauth.encrypt", "dialback alone"))
		assert.is_false(tls_policy.defaults():explain("unauth.encrypt").enforced)
		assert.is_nil(tls_policy.defaults():breach("support.strict", "x"))
	end)

	it("tells the breaches that a verdict refuses for in one line", function()
		local policy = tls_policy.policy({ level = "must" })
		local broken = { policy:breach("support.abort", "no STARTTLS"), policy:breach("cipher.rc4", "RC4"),
			{ clause = "cipher.aead", document = DRAFT, section = "4.3", level = "x", enforced = false, text = "CBC" } }
		assert.are.equal(DRAFT .. ", section 4.1, support.abort (MUST): no STARTTLS; "
			.. DRAFT .. ", section 4.3, cipher.rc4 (MUST NOT): RC4", policy:sentences({ refuse = true, broken = broken }))
	end)

	it("has the same milder policies at each call, with its options and without its exceptions", function()
		local policy = tls_policy.policy({ mode = "report", unauthenticated_s2s = "refuse",
			exceptions = { ["a.example"] = { level = "must", expires = "2027-03-01", reason = "old" } } })
		local milder, mildest = policy:milder(), policy:mildest_exception()
		assert.are.equal(milder, policy:milder())
		assert.are.equal(mildest, policy:mildest_exception())
		assert.are.same({ "must", "report", "refuse" }, { milder.level, milder.mode, milder.unauthenticated_s2s })
		assert.are.same({ "must", "report", "dialback" }, { mildest.level, mildest.mode, mildest.unauthenticated_s2s })
		assert.are.same({}, milder.exceptions)
		assert.is_nil(milder:milder())
	end)

	it("cannot be changed through another of the same profile", function()
		tls_policy.defaults().clauses[1].enforced = false
		assert.is_true(tls_policy.defaults().clauses[1].enforced)
	end)
end)

local ABSENT = {}

-- Options with every field, no default among them. `changes`: path -> value.
local function options(changes)
	local made = {
		certificate_change = "refuse", dhe_per_second = 5, digest = true, level = "must", mode = "report",
		notify_admins = true, profile = "rfc9325", resumption = { enabled = false, lifetime = 60, memory = 1 },
		unauthenticated_s2s = "refuse", exceptions = {
			["old.example"] = { level = "must", expires = "2027-03-01", reason = "old" },
			["older.example"] = { unauthenticated_s2s = "dialback", expires = "2028-03-01", reason = "older" },
		},
	}
	for path, value in pairs(changes or {}) do
		local place = made
		for name in path:gmatch("([^/]+)/") do
			place = place[name]
		end
		if value == ABSENT then
			value = nil
		end
		place[path:match("[^/]+$")] = value
	end
	return made
end

describe("a policy and the options", function()
	-- Whether options are right and come to the same policy as others that are.
	local function is_same(others, given)
		local checked = option_rules.check(given)
		return checked ~= nil
			and option_rules.fingerprint(checked) == option_rules.fingerprint(assert(option_rules.check(others)))
	end

	it("belong together if nothing has changed, whatever the order of the keys", function()
		assert.is_true(is_same(options(), options()))
		local backwards, names = {}, {}
		for name in pairs(options()) do
			names[#names + 1] = name
		end
		table.sort(names, function(a, b) return a > b end)
		for _, name in ipairs(names) do
			backwards[name] = options()[name]
		end
		backwards.exceptions = {}
		for _, domain in ipairs({ "older.example", "old.example" }) do
			backwards.exceptions[domain] = options().exceptions[domain]
		end
		assert.is_true(is_same(options(), backwards))
	end)

	it("belong together if a default is written or left out, or a domain is written in another form", function()
		assert.is_true(is_same(nil, { level = "should", resumption = { lifetime = 3600 } }))
		assert.is_true(is_same({ mode = "enforce", exceptions = {} }, nil))
		local changed = options()
		changed.exceptions["OLD.example"], changed.exceptions["old.example"] = changed.exceptions["old.example"], nil
		assert.is_true(is_same(options(), changed))
		assert.is_true(is_same(options(), options({ ["resumption/lifetime"] = 60.0 })))
	end)

	for path, value in pairs({
		certificate_change = "warn", dhe_per_second = 6, digest = false, level = "should", mode = "enforce",
		notify_admins = false, profile = "rfc7590",
		["resumption/enabled"] = true, ["resumption/lifetime"] = 61, ["resumption/memory"] = 2,
		unauthenticated_s2s = "dialback", exceptions = ABSENT,
		["exceptions/old.example"] = ABSENT,
		["exceptions/old.example/unauthenticated_s2s"] = "dialback",
		["exceptions/older.example/level"] = "must",
		["exceptions/old.example/expires"] = "2027-03-02",
		["exceptions/old.example/reason"] = "Old",
		["exceptions/new.example"] = { level = "must", expires = "2027-03-01", reason = "old" },
	}) do
		it("do not if this one changes: " .. path, function()
			local changed = options({ [path] = value })
			assert(tls_policy.policy(changed))
			assert.is_false(is_same(options(), changed))
		end)
	end

	it("do not if the options are wrong", function()
		assert.is_false(is_same(options(), "must"))
		assert.is_false(is_same(options(), options({ level = "shuold" })))
	end)

	it("do not if two values of two exceptions are exchanged", function()
		local changed = options()
		local old, older = changed.exceptions["old.example"], changed.exceptions["older.example"]
		old.reason, older.reason = older.reason, old.reason
		assert.is_false(is_same(options(), changed))
	end)
end)
