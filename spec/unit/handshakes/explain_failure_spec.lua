-- Why a handshake failed: the peer's fault, the clauses that rule it out, and the remedy.
local explain_failure = require "xmpp_tls_policy.handshakes.explain_failure"
local hello_numbers = require "support.hello_numbers"
local offers = require "support.offers"
local tls_policy = require "xmpp_tls_policy"

local should, must = tls_policy.policy(), tls_policy.policy { level = "must" }

local function explained(record, given)
	given = given or {}
	given.policy, given.role = given.policy or should, given.role or "c2s"
	local sentence, ids = explain_failure(record, given)
	return sentence, table.concat(ids, " ")
end

describe("the explanation of a failed handshake", function ()
	it("names the fault of the ClientHello, and the remedy", function ()
		local record = { offer = hello_numbers.of(offers.tls10), alert = "protocol_version", alert_sent = true }
		assert.same({ "offers nothing newer than TLS 1.0; needs TLS 1.2 or an exception",
			"version.tls10 version.tls12 cipher.aead" }, { explained(record, { role = "s2sin" }) })
		assert.equal('offers nothing newer than TLS 1.0; needs TLS 1.2 or level = "must"', (explained(record)))
		record.offer = hello_numbers.of(offers.sslv3)
		assert.equal("offers nothing newer than SSL 3.0; needs TLS 1.2", (explained(record, { role = "s2sin" })))
		record.offer = hello_numbers.of(offers.static_rsa)
		assert.equal("offers no cipher suite that is allowed (TLS_RSA_WITH_AES_128_CBC_SHA, TLS_RSA_WITH_AES_256_CBC_SHA, "
			.. "TLS_RSA_WITH_AES_128_CBC_SHA256, TLS_RSA_WITH_AES_128_GCM_SHA256 and 1 more); needs one such as "
			.. "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 or an exception", (explained(record, { role = "s2sin" })))
		record.offer = hello_numbers.of(offers.tls12, { 19 })
		assert.equal("offers no group that is allowed (secp192r1); needs one such as x25519", (explained(record)))
	end)

	it("does not blame the policy if the server's own configuration allows less", function ()
		local record = { offer = hello_numbers.of(offers.tls12), alert = "handshake_failure", alert_sent = true,
			reason = "no shared cipher" }
		local settings = should:settings()
		settings.ciphers = { "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" }
		local sentence, ids = explained(record, { settings = settings, key_type = "RSA" })
		assert.matches("^offers parameters that the policy allows, but the server's own configuration or certificate "
			.. "does not", sentence)
		assert.equal("", ids)
		-- A certificate of one kind, and suites of the other.
		record.offer = hello_numbers.of { suites = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" } }
		assert.matches("certificate of the other kind",
			(explained(record, { settings = should:settings(), key_type = "EC" })))
		assert.equal("failed in the handshake (no shared cipher)",
			(explained(record, { settings = should:settings(), key_type = "RSA" })))
	end)

	it("does not blame a policy in report mode", function ()
		local reported = tls_policy.policy()
		reported.mode = "report"
		local record = { offer = hello_numbers.of(offers.tls10), alert_sent = true, alert = "protocol_version" }
		local sentence, ids = explained(record,
			{ policy = reported, settings = { minimum_version = "TLSv1.2" } })
		assert.matches("^offers parameters that the policy allows, but", sentence)
		assert.equal("", ids)
	end)

	it("rfc8446.6.2.alert-meanings: has the meaning of the peer's alert", function ()
		local record = { alert = "unknown_ca", alert_sent = false, offer = hello_numbers.of(offers.tls12) }
		assert.equal("does not know who issued the server's certificate; needs a certificate that it trusts, "
			.. "with the whole chain", (explained(record)))
		assert.equal("ended the handshake with the alert user_canceled",
			(explained { alert = "user_canceled", alert_sent = false }))
	end)

	it("proposes an exception if a server accepts nothing of our ClientHello", function ()
		for alert in pairs { protocol_version = true, handshake_failure = true, insufficient_security = true } do
			local record = { alert = alert, alert_sent = false }
			assert.matches("; an exception may help$", (explained(record, { role = "s2sout" })))
			assert.is_nil((explained(record, { role = "s2sout", policy = must })):match "exception")
			assert.is_nil((explained(record, { role = "c2s" })):match "exception")
		end
	end)

	it("proposes an exception if a server closes the connection without an alert, too", function ()
		-- OpenSSL reports an alert here that nobody receives.
		local record = { reason = "unexpected eof while reading", alert = "decode_error", alert_sent = true }
		local closed = "closed the connection in the handshake, without an alert"
		assert.equal(closed .. "; an exception may help", (explained(record, { role = "s2sout" })))
		assert.equal(closed, (explained(record, { role = "s2sout", policy = must })))
		assert.equal(closed, (explained(record, { role = "c2s" })))
		local reported = tls_policy.policy()
		reported.mode = "report"
		assert.equal(closed, (explained(record, { role = "s2sout", policy = reported })))
	end)

	it("says that an exception does not reach direct TLS from outside", function ()
		local record = { offer = hello_numbers.of(offers.tls10), alert = "protocol_version", alert_sent = true }
		assert.equal("offers nothing newer than TLS 1.0; needs TLS 1.2 or an exception, and STARTTLS",
			(explained(record, { role = "s2sin", direct_tls = true })))
	end)

	it("names the fault of a server that we connected to, and the clauses that forbid it", function ()
		assert.same({ "showed an ephemeral DH key that is too short; needs an exception", "cipher.export key.dh2048" },
			{ explained({ reason = "dh key too small", alert_sent = true, alert = "handshake_failure" },
				{ role = "s2sout" }) })
		assert.same({ "chose a TLS version that is not allowed; needs an exception",
			"version.sslv2 version.sslv3 version.tls10 version.tls12" },
			{ explained({ reason = "unsupported protocol", alert_sent = true, alert = "protocol_version" },
				{ role = "s2sout" }) })
	end)

	it("knows other protocols, and peers that went away", function ()
		assert.equal("speaks HTTP", (explained { reason = "http request" }))
		assert.equal("sent something that is no TLS", (explained { reason = "wrong version number" }))
		assert.equal("went away before the handshake was finished", (explained {}))
		assert.equal("failed in the handshake (a reason of OpenSSL's)", (explained { reason = "a reason of OpenSSL's" }))
		assert.equal("was refused with the alert internal_error", (explained { alert = "internal_error", alert_sent = true }))
	end)
end)
