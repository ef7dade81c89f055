-- Why a handshake failed: the peer's fault, the clauses that rule it out, and the remedy.
local explain_failure = require "xmpp_tls_policy.handshakes.explain_failure"
local hello_numbers = require "support.hello_numbers"
local offers = require "support.offers"
local tls_policy = require "xmpp_tls_policy"
local versions = require "support.versions"

local should, must = tls_policy.policy(), tls_policy.policy { level = "must" }

local rsa = { key_type = "RSA" }

-- As a server reads it back that has nothing of its own against a policy.
local free = { minimum_version = "SSLv3", maximum_version = "TLSv1.3", security_level = 0 }

-- Settings in force under a policy on a server with other ones.
local function given_of(policy, before, operator)
	local settings = assert(policy:settings_for(before, operator))
	return { policy = policy, before = before, operator = operator, settings = settings }
end

local function explained(record, given)
	given = given or given_of(should, free)
	given.policy, given.role = given.policy or should, given.role or "c2s"
	if given.certificate == nil then
		given.certificate = rsa
	end
	local sentence, ids = explain_failure(record, given)
	return sentence, table.concat(ids, " ")
end

-- A refused ClientHello; see hello_numbers.lua.
local function refused(offer, groups)
	local hello = hello_numbers.of(offer, groups)
	hello.signature_schemes = { 0x0804, 0x0403, 0x0401 }
	return { offer = hello, alert = "handshake_failure", alert_sent = true }
end

local with_suite = " with a cipher suite such as TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"

describe("the explanation of a failed handshake", function ()
	it("names the fault of the ClientHello, and the remedy", function ()
		local record = refused(offers.tls10)
		local function of(role)
			local given = given_of(should, free)
			given.role = role
			return given
		end
		assert.same({ "offers nothing newer than TLS 1.0; needs TLS 1.2" .. with_suite .. " or an exception",
			"version.tls10 version.tls12 cipher.aead" }, { explained(record, of "s2sin") })
		assert.equal("offers nothing newer than TLS 1.0; needs TLS 1.2" .. with_suite .. ' or level = "must"',
			(explained(record)))
		assert.equal("offers nothing newer than SSL 3.0; needs TLS 1.2" .. with_suite,
			(explained(refused(offers.sslv3), of "s2sin")))
		assert.equal("offers no cipher suite that is allowed (TLS_RSA_WITH_AES_128_CBC_SHA, TLS_RSA_WITH_AES_256_CBC_SHA, "
			.. "TLS_RSA_WITH_AES_128_CBC_SHA256, TLS_RSA_WITH_AES_256_CBC_SHA256 and 6 more); needs one such as "
			.. "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 or an exception", (explained(refused(offers.static_rsa), of "s2sin")))
		assert.equal("offers no group that is allowed (secp192r1); needs one such as x25519",
			(explained(refused(offers.tls12, { 19 }))))
	end)

	it("proposes a suite that goes with the certificate", function ()
		for key_type, suite in pairs {
			RSA = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", EC = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
		} do
			local given = given_of(must, { minimum_version = "TLSv1.2", security_level = 2 })
			given.certificate = { key_type = key_type, curve = key_type == "EC" and "secp256r1" or nil }
			assert.equal(("offers no cipher suite that is allowed (%s); needs one such as %s"):format(
				"TLS_RSA_WITH_NULL_SHA256", suite), (explained(refused { suites = { "TLS_RSA_WITH_NULL_SHA256" } }, given)))
		end
	end)

	it("proposes no level that would not let the client in", function ()
		-- OpenSSL's level 2 has no TLS 1.0.
		assert.equal("offers nothing newer than TLS 1.0; needs TLS 1.2" .. with_suite, (explained(refused(offers.tls10),
			given_of(should, { minimum_version = "TLSv1.2", maximum_version = "TLSv1.3", security_level = 2 }))))
	end)

	it("does not blame the policy if the server's own configuration allows less", function ()
		local given = given_of(should, { ciphers = { "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" } }, { ciphers = true })
		assert.same({ "offers no cipher suite that the server's own configuration has "
			.. "(TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256); needs one such as TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 or "
			.. "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 in the server's ssl options", "" },
			{ explained(refused { suites = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" } }, given) })
	end)

	it("blames neither alone if each allows another part of the offer", function ()
		local given = given_of(should, { ciphers = {
			"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_RSA_WITH_AES_128_CBC_SHA" }, security_level = 0 }, { ciphers = true })
		assert.same({ "offers no cipher suite that the policy and the server's own configuration both allow "
			.. "(TLS_RSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256); needs one such as "
			.. "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 or TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 in the server's ssl options "
			.. 'or level = "must"', "" }, { explained(refused {
				suites = { "TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" } }, given) })
	end)

	it("blames the clauses that ask for a security level for weak signatures", function ()
		local record = refused { suites = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" } }
		record.offer.signature_schemes = { 0x0201 }
		assert.same({ "offers no signature scheme that is allowed (rsa_pkcs1_sha1); needs one such as rsa_pkcs1_sha256 or "
			.. 'level = "must"', "key.dh2048" }, { explained(record) })
	end)

	-- signature.pss; with an RSA certificate, in TLS 1.2
	it("blames the clause on signature schemes, whatever other keys the client could verify", function ()
		local bsi = tls_policy.policy { profile = "bsi-tr-02102-2-2025" }
		for _, schemes in ipairs { { 0x0401, 0x0601 }, { 0x0401, 0x0403 } } do
			local record = refused { suites = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" } }
			record.offer.signature_schemes = schemes
			local sentence, clauses = explained(record, given_of(bsi, free))
			assert.matches("^offers no signature scheme that is allowed %(rsa_pkcs1_sha256, %S+%); needs one such as "
				.. 'rsa_pss_rsae_sha256 or level = "must"$', sentence)
			assert.equal("signature.pss", clauses)
		end
	end)

	it("does not blame the lowest version for the highest one of the server's own configuration", function ()
		local given = given_of(should, { minimum_version = "TLSv1.2", maximum_version = "TLSv1.2" })
		assert.same({ "offers nothing older than TLS 1.3, which the server's own configuration does not have; needs TLS 1.2"
			.. with_suite .. " or TLS 1.3 in the server's ssl options", "" }, { explained(refused(offers.tls13), given) })
	end)

	it("names the certificate if it is of the wrong kind", function ()
		local given = given_of(should, free)
		given.certificate = { key_type = "EC", curve = "secp256r1" }
		assert.same({ "offers no cipher suite that goes with the server's ECDSA certificate "
			.. "(TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256); needs one such as TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 or "
			.. "an RSA certificate", "" },
			{ explained(refused { suites = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" } }, given) })
		local record = refused(offers.tls13)
		record.offer.signature_schemes = { 0x0804 }
		assert.equal("offers no signature scheme that goes with the server's ECDSA certificate (rsa_pss_rsae_sha256); needs "
			.. "one such as ecdsa_secp256r1_sha256 or an RSA certificate", (explained(record, given)))
	end)

	it("names a certificate that is missing", function ()
		local given = given_of(should, free)
		given.certificate = false
		local missing = "found no certificate, because the server has none here; needs an RSA certificate in the server's "
			.. "configuration"
		assert.same({ missing, "" }, { explained(refused(offers.tls13), given) })
		assert.same({ missing .. ", and to offer TLS 1.2" .. with_suite, "version.tls10 version.tls12 cipher.aead" },
			{ explained(refused(offers.tls10), given) })
	end)

	it("says nothing of an offer that would have been accepted", function ()
		local record = refused(offers.tls12)
		record.reason = "no shared cipher"
		assert.equal("failed in the handshake (no shared cipher)", (explained(record)))
	end)

	it("does not blame a policy in report mode", function ()
		local reported = tls_policy.policy { mode = "report" }
		local settings = { minimum_version = "TLSv1.2", maximum_version = "TLSv1.3", security_level = 2, dh_bits = 2048 }
		assert.same({ "offers nothing newer than TLS 1.0, which the server's own configuration does not have; needs TLS 1.2",
			"" }, { explained(refused(offers.tls10), { policy = reported, settings = settings }) })
	end)

	it("rfc8446.6.2.alert-meanings: has the meaning of the peer's alert", function ()
		local record = { alert = "unknown_ca", alert_sent = false, offer = hello_numbers.of(offers.tls12) }
		assert.equal("does not know who issued the server's certificate; needs a certificate that it trusts, "
			.. "with the whole chain", (explained(record)))
		assert.equal("ended the handshake with the alert user_canceled",
			(explained { alert = "user_canceled", alert_sent = false }))
	end)

	local alerts = { protocol_version = true, handshake_failure = true, insufficient_security = true }

	local function of_server(policy, before)
		local given = given_of(policy, before or free)
		given.role = "s2sout"
		return given
	end

	it("proposes an exception if a server accepts nothing of our ClientHello", function ()
		for alert in pairs(alerts) do
			local record = { alert = alert, alert_sent = false }
			assert.matches("; an exception may help$", (explained(record, of_server(should))))
			assert.is_nil((explained(record, of_server(must))):match "exception")
			assert.is_nil((explained(record)):match "exception")
		end
	end)

	it("says of a client's alert that it does not accept our choice", function ()
		for alert, sentence in pairs {
			protocol_version = "does not accept the TLS version that was chosen",
			handshake_failure = "does not accept our choice from its offer",
			insufficient_security = "wants stronger ciphers than the one that was chosen",
		} do
			for _, role in ipairs { "c2s", "s2sin" } do
				local given = given_of(should, free)
				given.role = role
				local record = refused(offers.tls12)
				record.alert, record.alert_sent = alert, false
				assert.same({ sentence, "" }, { explained(record, given) })
			end
		end
	end)

	it("proposes an exception if a server closes the connection without an alert, too", function ()
		-- OpenSSL reports an alert here that nobody receives.
		local record = { reason = "unexpected eof while reading", alert = "decode_error", alert_sent = true }
		local closed = "closed the connection in the handshake, without an alert"
		assert.equal(closed .. "; an exception may help", (explained(record, of_server(should))))
		assert.equal(closed, (explained(record, of_server(must))))
		assert.equal(closed, (explained(record)))
		assert.equal(closed, (explained(record, {
			role = "s2sout", policy = tls_policy.policy { mode = "report" }, settings = free,
		})))
	end)

	-- Silence, a reset and an end of the connection, with and without a hybrid share, an answer and report mode.
	for _, reason in ipairs { false, "unexpected eof while reading" } do
		for _, unanswered in ipairs { false, 1563 } do
			for _, groups in ipairs { { "X25519MLKEM768", "x25519" }, { "x25519", "X25519MLKEM768" }, { "x25519" } } do
				for _, mode in ipairs { "enforce", "report" } do
					it(("%s classical groups: %s, %s, %s, %s"):format(unanswered and groups[1] ~= "x25519" and "proposes"
						or "does not propose", reason or "silence", unanswered or "answered", groups[1], mode), function ()
						local settings = { minimum_version = "TLSv1.2", ciphersuites = { "TLS_AES_256_GCM_SHA384" }, groups = groups,
							key_shares = groups[1] ~= "x25519" and 2 or nil }
						local sentence = explained({ reason = reason or nil, unanswered = unanswered or nil }, {
							role = "s2sout", policy = tls_policy.policy { mode = mode }, settings = settings, before = free,
						})
						local is_long = unanswered and groups[1] ~= "x25519" and versions.has_group "X25519MLKEM768"
						local expected = (reason and "closed the connection at our" or "did not answer our")
							.. " ClientHello of 1563 bytes, which has a hybrid key share"
						assert.equal(is_long and expected or nil, sentence:match "^[^;]*hybrid key share")
						assert.equal(is_long and mode == "enforce",
							sentence:find('an exception with groups = "classical" helps', 1, true) ~= nil)
						assert.equal(is_long and mode == "enforce" and reason ~= false,
							sentence:find('; else one with level = "must" may', 1, true) ~= nil)
					end)
				end
			end
		end
	end

	it("proposes no exception that would offer a server no more", function ()
		local same = of_server(should)
		same.settings = should:mildest_exception():settings_for(free)
		for alert in pairs(alerts) do
			assert.is_nil((explained({ alert = alert, alert_sent = false }, same)):match "exception")
		end
	end)

	it("says that an exception does not reach direct TLS from outside", function ()
		local given = given_of(should, free)
		given.role, given.direct_tls = "s2sin", true
		assert.equal("offers nothing newer than TLS 1.0; needs TLS 1.2" .. with_suite .. " or an exception, and STARTTLS",
			(explained(refused(offers.tls10), given)))
	end)

	it("names the fault of a server that we connected to, and the clauses that forbid it", function ()
		local function chose(reason, given)
			return { explained({ reason = reason, alert_sent = true, alert = "handshake_failure" }, given) }
		end
		-- A key of 1024 bits is not of export grade.
		assert.same({ "showed an ephemeral DH key of less than 2048 bits; needs 2048 bits or an exception (for 1024 bits and "
			.. "more)", "key.dh2048" }, chose("dh key too small", of_server(should)))
		assert.same({ "showed an ephemeral DH key of less than 1024 bits; needs 1024 bits", "cipher.export" },
			chose("dh key too small", of_server(must)))
		assert.same({ "chose a TLS version older than TLS 1.2; needs TLS 1.2 or an exception (for TLS 1.0 and newer)",
			"version.tls12" }, chose("unsupported protocol", of_server(should)))
		assert.same({ "signed with less than SHA-256; needs SHA-256 or an exception (for SHA-1 and better)", "key.dh2048" },
			chose("wrong signature type", of_server(should)))
		assert.same({ "chose a cipher suite that was not offered to it", "" },
			chose("wrong cipher returned", of_server(should)))
	end)

	it("proposes no exception for a server that does not let the server in", function ()
		local strict = tls_policy.policy { profile = "rfc9325" }
		for reason, sentence in pairs {
			["dh key too small"] = "showed an ephemeral DH key of less than 2048 bits; needs 2048 bits",
			["unsupported protocol"] = "chose a TLS version older than TLS 1.2; needs TLS 1.2",
			["wrong signature type"] = "signed with less than SHA-256; needs SHA-256",
		} do
			assert.equal(sentence, (explained({ reason = reason, alert_sent = true }, of_server(strict))))
		end
	end)

	it("blames no clause for what the server's own configuration refuses", function ()
		assert.same({ "showed an ephemeral DH key of less than 3072 bits; needs 3072 bits or an exception "
			.. "(for 1024 bits and more)", "" },
			{ explained({ reason = "dh key too small", alert_sent = true }, of_server(must, { security_level = 3 })) })
	end)

	it("names this server's own certificate if OpenSSL does not serve it", function ()
		assert.equal("was shown no certificate, because the key of the server's certificate is too short for OpenSSL's "
			.. "security level; needs another certificate here", (explained { reason = "ee key too small" }))
	end)

	it("knows other protocols, and peers that went away", function ()
		assert.equal("speaks HTTP", (explained { reason = "http request" }))
		assert.equal("sent something that is no TLS", (explained { reason = "wrong version number" }))
		assert.equal("went away before the handshake was finished", (explained {}))
		assert.equal("failed in the handshake (a reason of OpenSSL's)", (explained { reason = "a reason of OpenSSL's" }))
		assert.equal("was refused with the alert internal_error", (explained { alert = "internal_error", alert_sent = true }))
	end)
end)
