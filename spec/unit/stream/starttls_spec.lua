local starttls = require "xmpp_tls_policy.stream.starttls"
local tls_policy = require "xmpp_tls_policy"

local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"
local xmlns_sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
local xmlns_streams = "http://etherx.jabber.org/streams"

local function policy(options)
	return assert(tls_policy.policy(options))
end

local draft, draft_must = policy {}, policy { level = "must" }
local rfc7590, rfc7590_must = policy { profile = "rfc7590" }, policy { profile = "rfc7590", level = "must" }
local rfc9325 = policy { profile = "rfc9325" }
local report = policy { mode = "report" }

describe("before TLS, a policy", function ()
	it("refuses a stream to a host that offers no TLS, and says whose fault it is", function ()
		local refusal = starttls.no_offer_refusal(draft)
		assert.same({ "internal-server-error", { "support.required" } }, { refusal.condition, refusal.clauses })
		assert.matches("TLS is required here, and STARTTLS is not available; the log of the server says why", refusal.text)
	end)

	it("demands TLS by the clause that its profile has for it", function ()
		assert.equal("support.required", starttls.requires_tls(draft))
		assert.is_nil(starttls.requires_tls(draft_must))
		assert.equal("support.strict", starttls.requires_tls(rfc7590))
		assert.equal("support.strict", starttls.requires_tls(rfc7590_must))
		assert.equal("support.strict", starttls.requires_tls(rfc9325))
	end)

	it("demands nothing in report mode, but tells which clause is broken", function ()
		assert.is_nil(starttls.requires_tls(report))
		assert.is_nil(starttls.aborts_without_offer(report))
		for _, role in ipairs { "c2s", "s2sin" } do
			assert.equal("support.required", starttls.broken_without_tls(report, role))
			assert.equal("support.strict", starttls.broken_without_tls(rfc9325, role))
			assert.is_nil(starttls.broken_without_tls(draft_must, role))
		end
		assert.equal("support.abort", starttls.broken_without_tls(report, "s2sout"))
		assert.equal("support.abort", starttls.broken_without_tls(draft_must, "s2sout"))
		assert.equal("support.strict", starttls.broken_without_tls(rfc7590, "s2sout"))
	end)

	it("ends streams to servers without STARTTLS, or attempts TLS all the same", function ()
		assert.is_true(starttls.aborts_without_offer(draft))
		assert.is_true(starttls.aborts_without_offer(draft_must))
		assert.is_false(starttls.aborts_without_offer(rfc7590))
		assert.is_nil(starttls.aborts_without_offer(rfc7590_must))
		assert.is_nil(starttls.aborts_without_offer(rfc9325))
	end)
end)

describe("the elements that lead to TLS", function ()
	local function leads(role, name, xmlns)
		return starttls.leads_to_tls(role, { name = name, attr = { xmlns = xmlns } })
	end

	it("are <starttls/> of TLS, on incoming streams", function ()
		for _, role in ipairs { "c2s", "s2sin" } do
			assert.is_true(leads(role, "starttls", xmlns_tls))
			assert.is_false(leads(role, "starttls", xmlns_sasl))
			assert.is_false(leads(role, "starttls", nil))
			assert.is_false(leads(role, "proceed", xmlns_tls))
			assert.is_false(leads(role, "features", xmlns_streams))
			assert.is_false(leads(role, "auth", xmlns_sasl))
		end
	end)

	it("are those of the stream and of TLS, on outgoing streams", function ()
		for _, name in ipairs { "proceed", "failure" } do
			assert.is_true(leads("s2sout", name, xmlns_tls))
		end
		for _, name in ipairs { "features", "error" } do
			assert.is_true(leads("s2sout", name, xmlns_streams))
		end
		assert.is_false(leads("s2sout", "proceed", xmlns_sasl))
		assert.is_false(leads("s2sout", "features", nil))
		assert.is_false(leads("s2sout", "result", "jabber:server:dialback"))
	end)
end)

describe("a refusal without TLS", function ()
	it("names the clause, the policy and the reason", function ()
		assert.same({
			condition = "policy-violation", clauses = { "support.required" }, policy = draft:name(), encryption_required = false,
			text = "draft-saintandre-xmpp-tls-02, section 4.1, support.required (SHOULD): "
				.. "nothing but <starttls/> is accepted on a stream without TLS",
		}, starttls.plaintext_refusal(draft))
		assert.same({ "support.strict" }, starttls.plaintext_refusal(rfc9325).clauses)
	end)

	it("rfc6120.6.5.4.encryption-required: answers an attempt at SASL first", function ()
		local function of(name, xmlns)
			return starttls.plaintext_refusal(draft, { name = name, attr = { xmlns = xmlns } }).encryption_required
		end
		assert.is_true(of("auth", xmlns_sasl))
		assert.is_false(of("auth", xmlns_tls))
		assert.is_false(of("response", xmlns_sasl))
	end)

	it("ends without an error where a server offers no STARTTLS", function ()
		assert.same({
			clauses = { "support.abort" }, policy = draft:name(),
			text = "draft-saintandre-xmpp-tls-02, section 4.1, support.abort (MUST): the remote server offers no STARTTLS",
		}, starttls.abort_refusal(draft))
	end)

	-- rfc6120.4.9.3.8.internal-server-error
	it("reports our own faults, and <starttls/> that was not offered", function ()
		assert.same({ condition = "internal-server-error", text = "TLS is not available; the log of the server says why" },
			starttls.no_tls_refusal())
		assert.same({
			condition = "policy-violation", policy = draft:name(), text = "STARTTLS was not offered on this stream",
		}, starttls.not_offered_refusal(draft))
	end)

	it("has a sentence without a clause where the profile has none", function ()
		assert.equal("no", starttls.sentence(rfc9325, "unauth.encrypt", "no"))
		assert.equal("draft-saintandre-xmpp-tls-02, section 4.6, unauth.encrypt (allowed): no",
			starttls.sentence(draft, "unauth.encrypt", "no"))
	end)
end)
