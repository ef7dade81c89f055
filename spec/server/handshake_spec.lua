-- Parameters that the handshake refuses or prefers. Tried with clients of other projects, and with
-- ClientHellos made by hand if no client offers them any more.
local client = require "support.client"
local client_hello = require "support.client_hello"
local offers = require "support.offers"
local pki = require "support.pki"
local prosody = require "support.prosody"
local versions = require "support.versions"
local xmpp = require "support.xmpp"

local services = { "c2s", "c2s_direct_tls", "s2s", "s2s_direct_tls" }

-- Everything that OpenSSL can still do, so that every refusal comes from the policy.
local everything = {
	protocol = "sslv3+",
	ciphers = "ALL:COMPLEMENTOFALL:@SECLEVEL=0",
	options = { no_compression = false, cipher_server_preference = false, no_renegotiation = false },
}

for description, ssl in pairs {
	["with the server's defaults"] = false,
	["with everything allowed by the operator"] = everything,
} do
describe("under the draft, at level should, " .. description .. ",", function ()
	local server, authority

	setup(function ()
		authority = pki.authority()
		local files = authority:issue { names = { "example.test", "chat.example.test" }, key = "rsa2048" }
		server = prosody.start {
			hosts = { ["example.test"] = files },
			components = { ["chat.example.test"] = { module = "muc" } },
			users = { ["juliet@example.test"] = "wherefore" },
			options = { ssl = ssl or nil },
			modules = { "test_facts" },
			routes = {},
			with_policy = true,
		}
	end)

	teardown(function ()
		if server then
			server:stop()
		end
		pki.remove()
	end)

	for _, service in ipairs(services) do
		describe(service, function ()
			local from = service:find "s2s" and "remote.test" or nil

			local function openssl(arguments, more)
				local options = { arguments = arguments, ca = authority.certificate, from = from }
				for name, value in pairs(more or {}) do
					options[name] = value
				end
				return client.openssl(server:target(service), options)
			end

			local function gnutls(priority)
				return client.gnutls(server:target(service), {
					priority = priority, ca = authority.certificate, from = from,
				})
			end

			local function refuses(offer, alert)
				local answer = client_hello.send(server:target(service), offer, { from = from })
				assert.same({ kind = "alert", level = "fatal", description = alert, closed = true }, answer)
				assert.is_true(server:alive())
			end

			it("version.sslv2: answers SSLv2 by closing the connection, or with an alert", function ()
				local answer = client_hello.send(server:target(service), offers.sslv2, { from = from })
				assert.is_true(answer.kind == "closed" or answer.kind == "alert", answer.kind)
			end)

			it("version.sslv3: answers SSLv3 with an alert", function ()
				-- SSLv3 knows no alert protocol_version.
				refuses(offers.sslv3, "handshake_failure")
			end)

			it("version.tls10: answers TLS 1.0 with an alert", function ()
				refuses(offers.tls10, "protocol_version")
				local answer = openssl { "-tls1", "-cipher", "ALL:@SECLEVEL=0" }
				assert.is_false(answer.ok)
				assert.equal("protocol_version", answer.alert)
			end)

			it("version.tls11: answers TLS 1.1 with an alert", function ()
				refuses(offers.tls11, "protocol_version")
				local answer = gnutls "NORMAL:-VERS-ALL:+VERS-TLS1.1:%COMPAT"
				assert.is_false(answer.ok)
			end)

			it("version.tls12: negotiates TLS 1.2 with a client that also offers older versions", function ()
				for _, answer in ipairs {
					openssl { "-tls1_2" }, gnutls "NORMAL:-VERS-ALL:+VERS-TLS1.2",
					openssl { "-no_tls1_3", "-cipher", "ALL:@SECLEVEL=0" },
				} do
					assert.is_true(answer.ok, answer.raw)
					assert.equal("TLSv1.2", answer.version)
					assert.is_true(answer.verified)
					assert.is_true(answer.extended_master_secret)
				end
			end)

			it("version.latest: prefers TLS 1.3", function ()
				for _, answer in ipairs { openssl {}, gnutls "NORMAL" } do
					assert.is_true(answer.ok, answer.raw)
					assert.equal("TLSv1.3", answer.version)
					assert.is_true(answer.verified)
				end
			end)

			for clause, offer in pairs {
				["cipher.null"] = "null", ["cipher.rc4"] = "rc4", ["cipher.export"] = "export", ["cipher.fs"] = "static_rsa",
				["cipher.aead"] = "cbc",
			} do
				it(("%s: answers an offer of %s with an alert"):format(clause, offer), function ()
					refuses(offers[offer], "handshake_failure")
				end)
			end

			it("cipher.bits128: answers 3DES and DES with an alert", function ()
				refuses(offers["3des"], "handshake_failure")
				refuses(offers.des, "handshake_failure")
			end)

			it("refuses anonymous suites", function ()
				refuses(offers.anonymous, "handshake_failure")
			end)

			it("cipher.bits256: chooses 256 bits even if the client prefers 128", function ()
				local tls12 = openssl { "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384" }
				assert.equal("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", tls12.suite)
				local tls13 = openssl { "-ciphersuites", "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384" }
				assert.equal("TLS_AES_256_GCM_SHA384", tls13.suite)
			end)

			it("cipher.aead: chooses authenticated encryption even if the client prefers CBC", function ()
				local answer = openssl { "-tls1_2", "-cipher", "ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-GCM-SHA256" }
				assert.equal("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", answer.suite)
			end)

			it("cipher.fs: chooses forward secrecy even if the client prefers none", function ()
				local answer = openssl { "-tls1_2", "-cipher", "AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256" }
				assert.equal("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", answer.suite)
			end)

			for suite, names in pairs {
				TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 = { "DHE-RSA-AES128-GCM-SHA256", "+DHE-RSA:+AES-128-GCM" },
				TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 = { "ECDHE-RSA-AES128-GCM-SHA256", "+ECDHE-RSA:+AES-128-GCM" },
				TLS_DHE_RSA_WITH_AES_256_GCM_SHA384 = { "DHE-RSA-AES256-GCM-SHA384", "+DHE-RSA:+AES-256-GCM" },
				TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 = { "ECDHE-RSA-AES256-GCM-SHA384", "+ECDHE-RSA:+AES-256-GCM" },
			} do
				it("cipher.recommended: negotiates " .. suite, function ()
					local one = openssl { "-tls1_2", "-cipher", names[1] }
					local other = gnutls("NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:-CIPHER-ALL:" .. names[2])
					for _, answer in ipairs { one, other } do
						assert.is_true(answer.ok, answer.raw)
						assert.equal(suite, answer.suite)
					end
				end)
			end

			it("key.dh2048: uses Diffie-Hellman of at least 2048 bits", function ()
				local answer = openssl { "-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384" }
				assert.is_true(answer.ok, answer.raw)
				assert.is_true(answer.group_bits >= 2048)
			end)

			it("key.ecdhe: chooses ECDHE even if the client prefers DHE", function ()
				local answer = openssl { "-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384" }
				assert.equal("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", answer.suite)
			end)

			it("compress.tls: answers an offer of DEFLATE with no compression", function ()
				local answer = client_hello.send(server:target(service), offers.deflate, { from = from })
				assert.equal("server_hello", answer.kind)
				assert.equal("null", answer.compression)
			end)

			-- rfc8446.4.6.1.ticket-is-a-name, rfc8446.4.6.1.number-of-tickets
			it("resume.session-id: sends no ticket in TLS 1.2, and one with a session ID in TLS 1.3", function ()
				assert.equal(0, openssl({ "-tls1_2" }).tickets)
				local answer = openssl {}
				assert.equal(1, answer.tickets)
			end)

			for what, name in pairs { ["the right name"] = "example.test", ["no name"] = false,
				["a wrong name"] = "elsewhere.test" } do
				it("sni.harmless: accepts " .. what, function ()
					for _, arguments in ipairs { {}, { "-tls1_2" } } do
						local answer = openssl(arguments, { server_name = name })
						assert.is_true(answer.ok, answer.raw)
						assert.is_true(answer.verified)
						assert.matches("<stream:features>", answer.stream)
						assert.equal("example.test", server:name_in_header(answer.stream))
					end
				end)
			end
		end)
	end

	it("prefers X25519MLKEM768 if OpenSSL has it, and names it in the facts", function ()
		prosody.surface.need("groups.list", pending)
		if not versions.has_group "X25519MLKEM768" then
			pending(("OpenSSL %s has no X25519MLKEM768; 3.5 is the first that has"):format(versions.openssl))
		end
		for _, service in ipairs(services) do
			local function group_with(arguments)
				local answer = client.openssl(server:target(service), {
					arguments = arguments, from = service:find "s2s" and "remote.test" or nil,
				})
				assert.matches("<stream:features", answer.stream)
				return answer.group
			end
			assert.equal("X25519MLKEM768", group_with {})
			-- A client with key shares for both groups, which prefers the other one.
			assert.equal("X25519MLKEM768", group_with { "-groups", "*x25519:*X25519MLKEM768" })
			assert.equal("X25519", group_with { "-groups", "x25519:secp256r1" })
		end
		local peer = assert(xmpp.open(server:target "c2s"))
		assert(peer:login("juliet", "wherefore"))
		peer:close()
		server:wait_for_log "Facts of c2s: server TLSv1.3 [^\n]* group=X25519MLKEM768"
	end)

	it("applies to a component, too", function ()
		local target = server:target("s2s", "chat.example.test")
		assert.equal("alert", client_hello.send(target, offers.static_rsa, { from = "remote.test" }).kind)
		local answer = client.openssl(target, {
			from = "remote.test", ca = authority.certificate, arguments = { "-tls1_2", "-cipher", "DHE" },
		})
		assert.is_true(answer.ok, answer.raw)
		assert.equal(2048, answer.group_bits)
	end)
end)
end
