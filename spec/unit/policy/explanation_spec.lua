-- Why a handshake failed: which clauses stood against an offer, and what would help.
local codes = require "support.cipher_suites"
local made_offers = require "support.offers"
local offers = require "xmpp_tls_policy.policy.client_hello"
local explain_failure = require "xmpp_tls_policy.handshakes.explain_failure"
local suites = require "xmpp_tls_policy.policy.suites"
local tls_policy = require "xmpp_tls_policy"

local versions = {
	SSLv2 = 0x0002, SSLv3 = 0x0300, TLSv1 = 0x0301, ["TLSv1.1"] = 0x0302, ["TLSv1.2"] = 0x0303, ["TLSv1.3"] = 0x0304,
}

-- An offer of support/offers.lua as the core has it.
local function raw(made, groups)
	local result = { versions = {}, suites = {}, groups = groups or { 29, 23 } }
	for index, version in ipairs(made.versions or { made.version or "TLSv1.2" }) do
		result.versions[index] = versions[version]
	end
	for index, suite in ipairs(made.suites) do
		result.suites[index] = codes[suite]
	end
	return result
end

local should, must = tls_policy.policy(), tls_policy.policy { level = "must" }

-- offer -> the clauses that stand against it at "should", and at "must"
local cases = {
	tls13 = { "", "" },
	tls12 = { "", "" },
	dhe = { "", "" },
	deflate = { "", "" },
	sslv2 = { "version.sslv2 version.sslv3 version.tls10 version.tls12", "version.sslv2 version.sslv3" },
	sslv3 = { "version.sslv3 version.tls10 version.tls12 cipher.aead", "version.sslv3" },
	tls10 = { "version.tls10 version.tls12 cipher.aead", "" },
	tls11 = { "version.tls12 cipher.aead", "" },
	null = { "cipher.null cipher.bits128 cipher.aead", "cipher.null cipher.bits128" },
	rc4 = { "cipher.rc4 cipher.aead", "cipher.rc4" },
	export = { "cipher.export cipher.bits128 cipher.aead", "cipher.export cipher.bits128" },
	des = { "cipher.export cipher.bits128 cipher.aead", "cipher.export cipher.bits128" },
	["3des"] = { "cipher.bits128 cipher.aead", "cipher.bits128" },
	anonymous = { "cert.identity", "cert.identity" },
	static_rsa = { "cipher.fs", "" },
	cbc = { "cipher.aead", "" },
}

local function clauses_against(policy, offer)
	local breaches, lack = policy:judge_client_hello(offer)
	local ids = {}
	for index, breach in ipairs(breaches) do
		ids[index] = breach.clause
		assert.is_true(breach.enforced)
	end
	return table.concat(ids, " "), lack
end

describe("a policy's judgement of an offer", function ()
	for name, made in pairs(made_offers) do
		it("names the clauses that stand against " .. name, function ()
			for index, policy in ipairs { should, must } do
				local against, lack = clauses_against(policy, raw(made))
				assert.equal(cases[name][index], against)
				assert.equal(against ~= "", lack ~= nil)
			end
		end)
	end

	it("names those that only together rule everything out", function ()
		local offer = raw { suites = { "TLS_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA" } }
		assert.equal("cipher.aead cipher.fs", (clauses_against(should, offer)))
		assert.equal("", (clauses_against(must, offer)))
	end)

	it("blames no clause for what nobody knows", function ()
		local against, lack = clauses_against(should, { versions = { 0x0303 }, suites = { 0xFEFE, 0x0041 } })
		assert.same({ "", "suite" }, { against, lack })
		against, lack = clauses_against(should, { versions = { 0x0303 }, suites = {} })
		assert.same({ "", "suite" }, { against, lack })
		against, lack = clauses_against(should, {})
		assert.same({ "", "version" }, { against, lack })
	end)

	it("takes what a suite and a version need together", function ()
		-- GCM came with TLS 1.2, a TLS 1.3 suite is of no use without TLS 1.3.
		local gcm = raw { version = "TLSv1.1", suites = { "TLS_RSA_WITH_AES_128_GCM_SHA256" } }
		assert.equal("suite", select(2, must:judge_client_hello(gcm)))
		local tls13_suite = raw { version = "TLSv1.2", suites = { "TLS_AES_128_GCM_SHA256" } }
		assert.equal("suite", select(2, should:judge_client_hello(tls13_suite)))
		local only_tls13 = raw { versions = { "TLSv1.3" }, suites = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" } }
		assert.equal("suite", select(2, should:judge_client_hello(only_tls13)))
	end)

	it("takes what a suite and a group need together", function ()
		local brainpool_alone = { 0xFEFF }
		assert.equal("group", select(2, should:judge_client_hello(raw(made_offers.tls13, brainpool_alone))))
		assert.equal("group", select(2, should:judge_client_hello(raw(made_offers.tls12, brainpool_alone))))
		assert.is_nil(select(2, should:judge_client_hello(raw(made_offers.dhe, brainpool_alone))))
		local short = raw(made_offers.tls12, { 19, 21 })
		local against, lack = clauses_against(should, short)
		assert.same({ "cipher.bits128", "group" }, { against, lack })
		local without = raw(made_offers.tls12)
		without.groups = nil -- RFC 8422 4: then any
		assert.is_nil(select(2, should:judge_client_hello(without)))
	end)

	it("agrees with the settings: whatever is offered of them is accepted, each alone", function ()
		for _, profile in ipairs(tls_policy.profile_names) do
			for _, level in ipairs { "should", "must" } do
				local policy = tls_policy.policy { profile = profile, level = level }
				local allowed = {}
				for _, list in ipairs { "ciphers", "ciphersuites" } do
					for _, name in ipairs(policy:settings()[list]) do
						allowed[suites.by_name[name].number] = true
					end
				end
				for number, suite in pairs(suites.by_number) do
					local offer = { versions = { 0x0304, 0x0303 }, suites = { number }, groups = { 29 } }
					if not suite.on_request then
						assert.equal(allowed[number], select(2, policy:judge_client_hello(offer)) == nil or nil, suite.name)
					end
				end
			end
		end
	end)
end)

describe("an offer", function ()
	it("has names for its numbers", function ()
		assert.same({
			versions = { "TLSv1.3", "0x7F1C" }, suites = { "TLS_AES_128_GCM_SHA256", "0xFEFE" },
			groups = { "x25519", "X25519MLKEM768", "0x6399" }, signature_schemes = { "ed25519", "0x0708" },
			server_name = "example.test", alpn = { "xmpp-client" }, cut = true,
		}, offers.named {
			versions = { 0x0304, 0x7F1C }, suites = { 0x1301, 0xFEFE }, groups = { 29, 4588, 0x6399 },
			signature_schemes = { 0x0807, 0x0708 }, server_name = "example.test", alpn = { "xmpp-client" }, cut = true,
		})
		assert.same({}, offers.named {})
	end)
end)

local function explained(record, given)
	given = given or {}
	given.policy, given.role = given.policy or should, given.role or "c2s"
	local sentence, ids = explain_failure(record, given)
	return sentence, table.concat(ids, " ")
end

describe("the explanation of a refusal", function ()
	it("says what was offered, and what would help", function ()
		local record = { offer = raw(made_offers.tls10), alert = "protocol_version", alert_sent = true }
		assert.same({ "offers nothing newer than TLS 1.0; needs TLS 1.2 or an exception",
			"version.tls10 version.tls12 cipher.aead" }, { explained(record, { role = "s2sin" }) })
		assert.equal('offers nothing newer than TLS 1.0; needs TLS 1.2 or level = "must"', (explained(record)))
		record.offer = raw(made_offers.sslv3)
		assert.equal("offers nothing newer than SSL 3.0; needs TLS 1.2", (explained(record, { role = "s2sin" })))
		record.offer = raw(made_offers.static_rsa)
		assert.equal("offers no cipher suite that is allowed (TLS_RSA_WITH_AES_128_CBC_SHA, TLS_RSA_WITH_AES_256_CBC_SHA, "
			.. "TLS_RSA_WITH_AES_128_CBC_SHA256, TLS_RSA_WITH_AES_128_GCM_SHA256 and 1 more); needs one such as "
			.. "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 or an exception", (explained(record, { role = "s2sin" })))
		record.offer = raw(made_offers.tls12, { 19 })
		assert.equal("offers no group that is allowed (secp192r1); needs one such as x25519", (explained(record)))
	end)

	it("does not blame the policy for what the server's own configuration lacks", function ()
		local record = { offer = raw(made_offers.tls12), alert = "handshake_failure", alert_sent = true,
			reason = "no shared cipher" }
		local settings = should:settings()
		settings.ciphers = { "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" }
		local sentence, ids = explained(record, { settings = settings, key_type = "RSA" })
		assert.matches("^offers what the policy allows, but the server's own configuration or certificate does not", sentence)
		assert.equal("", ids)
		-- A certificate of one kind, and suites of the other.
		record.offer = raw { suites = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" } }
		assert.matches("certificate of the other kind",
			(explained(record, { settings = should:settings(), key_type = "EC" })))
		assert.equal("failed in the handshake (no shared cipher)",
			(explained(record, { settings = should:settings(), key_type = "RSA" })))
	end)

	it("does not blame a policy that is only reported on", function ()
		local reported = tls_policy.policy()
		reported.mode = "report"
		local sentence, ids = explained({ offer = raw(made_offers.tls10), alert_sent = true, alert = "protocol_version" },
			{ policy = reported, settings = { minimum_version = "TLSv1.2" } })
		assert.matches("^offers what the policy allows, but", sentence)
		assert.equal("", ids)
	end)

	it("says what the peer's alert means", function ()
		assert.equal("does not know who issued the server's certificate; needs a certificate that it trusts, "
			.. "with the whole chain", (explained { alert = "unknown_ca", alert_sent = false, offer = raw(made_offers.tls12) }))
		assert.equal("ended the handshake with the alert user_canceled",
			(explained { alert = "user_canceled", alert_sent = false }))
	end)

	it("says what may help where a server has nothing of what we offer", function ()
		for alert in pairs { protocol_version = true, handshake_failure = true, insufficient_security = true } do
			local record = { alert = alert, alert_sent = false }
			assert.matches("; an exception may help$", (explained(record, { role = "s2sout" })))
			assert.is_nil((explained(record, { role = "s2sout", policy = must })):match "exception")
			assert.is_nil((explained(record, { role = "c2s" })):match "exception")
		end
	end)

	it("says who closed the connection without an alert, as servers do that have nothing of what we offer", function ()
		-- That is what OpenSSL says; the alert is for nobody.
		local record = { reason = "unexpected eof while reading", alert = "decode_error", alert_sent = true }
		local what = "closed the connection in the handshake, without an alert"
		assert.equal(what .. "; an exception may help", (explained(record, { role = "s2sout" })))
		assert.equal(what, (explained(record, { role = "s2sout", policy = must })))
		assert.equal(what, (explained(record, { role = "c2s" })))
		local reported = tls_policy.policy()
		reported.mode = "report"
		assert.equal(what, (explained(record, { role = "s2sout", policy = reported })))
	end)

	it("says that an exception does not reach direct TLS from outside", function ()
		local record = { offer = raw(made_offers.tls10), alert = "protocol_version", alert_sent = true }
		assert.equal("offers nothing newer than TLS 1.0; needs TLS 1.2 or an exception, and STARTTLS",
			(explained(record, { role = "s2sin", direct_tls = true })))
	end)

	it("says what we found wanting in a server that we connected to", function ()
		assert.same({ "showed an ephemeral DH key that is too short; needs an exception", "cipher.export key.dh2048" },
			{ explained({ reason = "dh key too small", alert_sent = true, alert = "handshake_failure" },
				{ role = "s2sout" }) })
		assert.same({ "chose a TLS version that is not allowed; needs an exception",
			"version.sslv2 version.sslv3 version.tls10 version.tls12" },
			{ explained({ reason = "unsupported protocol", alert_sent = true, alert = "protocol_version" },
				{ role = "s2sout" }) })
	end)

	it("says what was no TLS, and who just went away", function ()
		assert.equal("speaks HTTP", (explained { reason = "http request" }))
		assert.equal("sent something that is no TLS", (explained { reason = "wrong version number" }))
		assert.equal("went away before the handshake was finished", (explained {}))
		assert.equal("failed in the handshake (a reason of OpenSSL's)", (explained { reason = "a reason of OpenSSL's" }))
		assert.equal("was refused with the alert internal_error", (explained { alert = "internal_error", alert_sent = true }))
	end)
end)
