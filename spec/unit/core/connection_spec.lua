local collector_pace = require "support.collector_pace"
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local pki = require "support.pki"
local ssl = require "ssl"
local ssl_context = require "ssl.context"
local tls_policy = require "xmpp_tls_policy"
local versions = require "support.versions"

describe("a connection", function ()
	local authority, certificates

	setup(function ()
		authority = pki.authority()
		certificates = {
			rsa = authority:issue { names = { "example.test" }, key = "rsa2048" },
			p256 = authority:issue { names = { "example.test" }, key = "p256" },
			ed25519 = authority:issue { names = { "example.test" }, key = "ed25519" },
		}
	end)

	teardown(function ()
		pki.remove()
	end)

	local function server(settings, kind, more)
		local options = {
			role = "server", certificate = certificates[kind or "rsa"].certificate, key = certificates[kind or "rsa"].key,
		}
		for name, value in pairs(more or {}) do
			options[name] = value
		end
		local context = assert(core.context.new(options))
		assert(context:apply(settings or {}))
		return context
	end

	local function client(settings, options)
		local context = assert(core.context.new(options or { role = "client", ca_file = authority.certificate }))
		assert(context:apply(settings or {}))
		return context
	end

	local function both(client_settings, server_settings, kind)
		local one, other = handshake.between(client(client_settings), server(server_settings, kind),
			{ server_name = "example.test" })
		assert(one, other)
		return one:facts(), other:facts()
	end

	it("carries bytes both ways", function ()
		local one, other = handshake.between(client(), server())
		assert(one:write(("x"):rep(40000)))
		assert(other:feed(one:take()))
		local read = {}
		repeat
			local bytes, _, code = other:read()
			read[#read + 1] = bytes
		until code == "wantread"
		assert.equal(("x"):rep(40000), table.concat(read))
		assert(other:write "answer")
		assert(one:feed(other:take()))
		assert.equal("answer", one:read())
		assert(one:shutdown())
		assert(other:feed(one:take()))
		assert.equal("closed", select(3, other:read()))
	end)

	it("waits for more bytes", function ()
		local made = assert(core.connection.new(server()))
		local done, message, code = made:handshake()
		assert.is_nil(done)
		assert.equal("wantread", message)
		assert.equal("wantread", code)
		assert.equal("", made:take())
	end)

	for name, bytes in pairs {
		garbage = ("\0\255"):rep(200),
		["plain HTTP"] = "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n",
		["an endless record"] = "\22\3\1\255\255" .. ("x"):rep(100),
	} do
		it("refuses " .. name .. " without harm to others", function ()
			local context = server()
			local made = assert(core.connection.new(context))
			assert(made:feed(bytes))
			local done, message, code = made:handshake()
			assert.is_nil(done)
			assert.matches("^the handshake failed %(", message)
			assert.equal("tls", code)
			assert.truthy(handshake.between(client(), context))
		end)
	end

	it("bears a ClientHello that comes byte by byte, or not to its end", function ()
		local context = server()
		local one, other = core.connection.new(client()), core.connection.new(context)
		one:handshake()
		local hello = one:take()
		for index = 1, #hello - 1 do
			assert(other:feed(hello:sub(index, index)))
			assert.equal("wantread", select(3, other:handshake()))
		end
		local half = core.connection.new(context)
		half:feed(hello:sub(1, math.floor(#hello / 2)))
		half:handshake()
		half:close()
		assert(other:feed(hello:sub(-1)))
		other:handshake()
		assert(one:feed(other:take()))
		assert.is_true(handshake.run(one, other))
	end)

	it("takes no more than it has to hold", function ()
		local made = core.connection.new(server())
		assert.is_true(made:feed(("x"):rep(2 ^ 20)))
		local fed, message, code = made:feed "x"
		assert.is_nil(fed)
		assert.equal("more than 1048576 bytes wait to be read", message)
		assert.equal("full", code)
	end)

	it("cannot be used after it was closed, but closed twice", function ()
		local made = core.connection.new(server())
		made:close()
		made:close()
		for _, method in ipairs { "handshake", "feed", "take", "read", "write", "shutdown", "facts",
			"renegotiate", "ticket", "peer_chain" } do
			local ok, message = pcall(made[method], made, "")
			assert.is_false(ok)
			assert.matches("connection is closed", message)
		end
	end)

	for _, case in ipairs {
		{ { name = "x" }, "connection.new: unknown option 'name'" },
		{ { server_name = {} }, "connection.new: server_name is no string" },
		{ { role = "peer" }, "role is neither 'server' nor 'client'" },
		{ { alpn = "" }, "connection.new: alpn has 1 to 255 bytes" },
		{ { alpn = ("a"):rep(256) }, "connection.new: alpn has 1 to 255 bytes" },
	} do
		it("raises an error for misuse: " .. case[2], function ()
			local ok, message = pcall(core.connection.new, client(), case[1])
			assert.is_false(ok)
			assert.matches(case[2], message)
		end)
	end

	it("has no ticket and no chain before the handshake, and renegotiates only as a client of TLS 1.2", function ()
		local one, other = core.connection.new(client()), core.connection.new(server())
		assert.equal("handshake", select(3, one:ticket()))
		assert.equal("handshake", select(3, one:peer_chain()))
		assert(handshake.run(one, other))
		assert.equal("tls", select(3, one:renegotiate()))
		assert.equal("tls", select(3, other:renegotiate()))
		assert.equal("handshake", select(3, other:peer_chain()))
		local old = handshake.between(client { maximum_version = "TLSv1.2" }, server())
		assert.is_true(old:renegotiate())
	end)

	it("tells the number of the alert that the peer sent, and none for its own failures", function ()
		local one = core.connection.new(client { maximum_version = "TLSv1.2" })
		assert.is_nil(one:handshake())
		assert(one:feed "\21\3\3\0\2\2\40")
		assert.same({ "tls", 40 }, { select(3, one:handshake()) })
		local other = core.connection.new(client())
		assert.is_nil(other:handshake())
		assert(other:feed "no TLS at all")
		assert.same({ "tls" }, { select(3, other:handshake()) })
	end)

	it("refuses a session that is none", function ()
		local made, message, code = core.connection.new(client(), { session = "garbage" })
		assert.is_nil(made)
		assert.matches("^the session cannot be resumed", message)
		assert.equal("parse", code)
	end)

	it("needs to be told its role where the context has none", function ()
		local adopted = core.context.adopt(assert(ssl.newcontext { mode = "client", protocol = "any" }))
		local ok, message = pcall(core.connection.new, adopted)
		assert.is_false(ok)
		assert.matches("an adopted context needs a role, 'server' or 'client'", message)
	end)

	it("keeps the objects alive that its context calls back into", function ()
		local parameters = pki.run { "openssl", "dhparam", "-dsaparam", "2048" }
		local function adopted()
			return core.context.adopt(assert(require "ssl".newcontext {
				mode = "server", protocol = "any", ciphers = "ALL", dhparam = function () return parameters end,
				certificate = certificates.rsa.certificate, key = certificates.rsa.key,
			}))
		end
		local one = core.connection.new(client { maximum_version = "TLSv1.2",
			ciphers = { "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" } })
		local other = core.connection.new(adopted(), { role = "server" })
		collectgarbage()
		collectgarbage()
		assert(handshake.run(one, other))
		assert.equal("DHE", one:facts().key_exchange)
	end)

	it("survives a collector that runs all the time", function ()
		local pause, multiplier = collector_pace.set(1, 10000)
		for _ = 1, 5 do
			local one, other = handshake.between(client(), server())
			assert.equal("TLSv1.3", one:facts().version)
			assert.equal("TLSv1.3", other:facts().version)
		end
		collector_pace.set(pause, multiplier)
	end)

	describe("has facts", function ()
		it("only once the handshake is finished", function ()
			local made = core.connection.new(server())
			local facts, message, code = made:facts()
			assert.is_nil(facts)
			assert.equal("the handshake is not finished", message)
			assert.equal("handshake", code)
		end)

		-- rfc8446.1.2.suite-without-key-exchange, rfc8446.4.1.2.no-renegotiation, rfc8446.D.ems-built-in
		it("of TLS 1.3 with RSA", function ()
			local one, other = both { groups = { "x25519" } }
			local expected = {
				version = "TLSv1.3", cipher_suite = "TLS_AES_256_GCM_SHA384", cipher = "TLS_AES_256_GCM_SHA384",
				bits = 256, aead = true, encryption = "AES-256-GCM", key_exchange = "ECDHE", authentication = "RSA",
				group = "x25519", group_bits = 253, forward_secrecy = true, signature_scheme = "rsa_pss_rsae_sha256",
				compression = false, resumed = false, server_name = "example.test", role = "server",
			}
			assert.same(expected, other)
			assert.is_true(one.certificate:matches("example.test", "xmpp-server"))
			one.certificate = nil
			expected.role, expected.verified, expected.verify_code, expected.verify_error = "client", true, 0, nil
			assert.same(expected, one)
		end)

		for suite, expected in pairs {
			TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 = { bits = 256, aead = true, key_exchange = "ECDHE",
				encryption = "AES-256-GCM", group = "x25519", group_bits = 253, forward_secrecy = true,
				cipher = "ECDHE-RSA-AES256-GCM-SHA384", signature_scheme = "rsa_pss_rsae_sha256" },
			TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 = { bits = 128, aead = true, key_exchange = "DHE",
				encryption = "AES-128-GCM", group_bits = 2048, forward_secrecy = true,
				cipher = "DHE-RSA-AES128-GCM-SHA256", signature_scheme = "rsa_pss_rsae_sha256" },
			TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 = { bits = 256, aead = true, key_exchange = "ECDHE",
				encryption = "CHACHA20-POLY1305", group = "x25519", group_bits = 253, forward_secrecy = true,
				cipher = "ECDHE-RSA-CHACHA20-POLY1305", signature_scheme = "rsa_pss_rsae_sha256" },
			TLS_RSA_WITH_AES_128_CBC_SHA = { bits = 128, aead = false, key_exchange = "RSA",
				encryption = "AES-128-CBC", forward_secrecy = false, cipher = "AES128-SHA" },
			TLS_RSA_WITH_NULL_SHA256 = { bits = 0, aead = false, key_exchange = "RSA",
				encryption = "NULL", forward_secrecy = false, cipher = "NULL-SHA256" },
		} do
			-- rfc5746.3.secure-renegotiation
			it("of TLS 1.2 with " .. suite .. ", the same at both ends", function ()
				local settings = { maximum_version = "TLSv1.2", ciphers = { suite }, dh_bits = 2048, security_level = 0 }
				local one, other = both(settings, settings)
				for _, facts in ipairs { one, other } do
					assert.equal("TLSv1.2", facts.version)
					assert.equal(suite, facts.cipher_suite)
					assert.equal("RSA", facts.authentication)
					assert.is_true(facts.extended_master_secret)
					assert.is_true(facts.secure_renegotiation)
					for _, field in ipairs { "bits", "aead", "key_exchange", "encryption", "group", "group_bits",
						"forward_secrecy", "cipher", "signature_scheme" } do
						assert.equal(expected[field], facts[field], field)
					end
				end
			end)
		end

		it("of anonymous Diffie-Hellman", function ()
			local settings = { maximum_version = "TLSv1.2", ciphers = { "TLS_ECDH_anon_WITH_AES_256_CBC_SHA" },
				security_level = 0 }
			local one, other = handshake.between(client(settings, { role = "client", verify = "none" }), server(settings))
			assert.equal("anonymous", one:facts().authentication)
			assert.equal("anonymous", other:facts().authentication)
			assert.is_nil(one:facts().signature_scheme)
			assert.is_nil(one:facts().verified)
		end)

		for version, scheme in pairs { ["TLSv1"] = "rsa_pkcs1_md5_sha1", ["TLSv1.1"] = "rsa_pkcs1_md5_sha1" } do
			it("of " .. version .. " where OpenSSL still has it", function ()
				local settings = { minimum_version = version, maximum_version = version, security_level = 0 }
				local one, other = both(settings, settings)
				assert.equal(version, one.version)
				assert.equal(version, other.version)
				assert.equal(scheme, one.signature_scheme)
			end)
		end

		-- rfc8446.4.2.3.signature-schemes
		it("of the kind of certificate", function ()
			for kind, expected in pairs {
				p256 = { "ECDSA", "ecdsa_secp256r1_sha256" }, ed25519 = { "EdDSA", "ed25519" },
			} do
				for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
					local one, other = both({ maximum_version = version }, nil, kind)
					for _, facts in ipairs { one, other } do
						assert.equal(expected[1], facts.authentication)
						assert.equal(expected[2], facts.signature_scheme)
					end
				end
			end
		end)

		it("of the group", function ()
			for group, expected in pairs {
				secp256r1 = { "ECDHE", 256 }, x448 = { "ECDHE", 448 }, secp521r1 = { "ECDHE", 521 },
				ffdhe2048 = { "DHE", 2048 },
			} do
				local one, other = both({ groups = { group } })
				for _, facts in ipairs { one, other } do
					assert.equal(group, facts.group)
					assert.equal(expected[1], facts.key_exchange)
					assert.equal(expected[2], facts.group_bits)
					assert.is_true(facts.forward_secrecy)
				end
			end
		end)

		it("of X25519MLKEM768, which every profile that permits it prefers where OpenSSL has it", function ()
			if not versions.has_group "X25519MLKEM768" then
				pending(("OpenSSL %s has no X25519MLKEM768; 3.5 is the first that has"):format(versions.openssl))
			end
			for _, name in ipairs(tls_policy.profile_names) do
				for _, level in ipairs { "must", "should" } do
					local policy = assert(tls_policy.policy { profile = name, level = level })
					local context = server()
					assert(context:apply(assert(policy:settings_for(context:settings()))))
					local is_permitted = policy:settings().groups[1] == "X25519MLKEM768"
					assert.equal(is_permitted, context:settings().groups[1] == "X25519MLKEM768", name)
					-- A client as OpenSSL makes it, and one that is under the policy itself.
					for _, groups in ipairs(is_permitted and { false, context:settings().groups } or {}) do
						local one, other = handshake.between(client { groups = groups or nil }, context)
						for _, facts in ipairs { one:facts(), other:facts() } do
							assert.equal("TLSv1.3", facts.version)
							assert.equal("X25519MLKEM768", facts.group, name)
							assert.equal("hybrid", facts.key_exchange)
							assert.is_true(facts.forward_secrecy)
							assert.is_nil(facts.group_bits)
						end
						local verdict = policy:judge(other:facts(), {})
						assert.is_false(verdict.refuse)
						-- The BSI's document does not have it, and level must does not refuse it.
						for _, breach in ipairs(verdict.broken) do
							assert.equal("group.brainpool", breach.clause)
						end
					end
					local one = handshake.between(client { groups = { "x25519", "secp256r1" } }, context)
					assert.equal(is_permitted and "x25519" or "secp256r1", one:facts().group)
				end
			end
		end)

		it("of a peer's chain with SHA-1, which is not valid where a clause asks for security level 2", function ()
			local leaf = { names = { "example.test" }, key = "p256" }
			-- The signature of a root is not looked at.
			local old_root = pki.authority { digest = "sha1" }
			local chains = {
				sha256 = authority:intermediate {}:issue(leaf), sha1 = authority:intermediate { digest = "sha1" }:issue(leaf),
				root = old_root:issue(leaf),
			}
			for _, name in ipairs(tls_policy.profile_names) do
				local policy = assert(tls_policy.policy { profile = name })
				assert.is_true(not policy:explain "signature.sha1" or policy:settings().security_level == 2)
				for kind, files in pairs(chains) do
					-- OpenSSL would not load the chain at the usual level.
					local luasec = assert(ssl.newcontext { mode = "server", protocol = "any", ciphers = "ALL:@SECLEVEL=0",
						options = {} })
					assert(ssl_context.loadcert(luasec, files.certificate))
					assert(ssl_context.loadkey(luasec, files.key, nil))
					local from = assert(core.context.adopt(luasec))
					local to = assert(core.context.new { role = "client", verify = "none",
						ca_file = kind == "root" and old_root.certificate or authority.certificate })
					assert(to:apply { security_level = 0 })
					assert(to:apply((assert(policy:settings_for(to:settings())))))
					local one = assert(handshake.between(to, from, nil, { role = "server" }))
					local facts = one:facts()
					local expected = kind ~= "sha1" or policy:settings().security_level == nil
					assert.equal(expected, facts.verified, name .. " " .. kind .. " " .. tostring(facts.verify_error))
					local verdict = policy:judge(facts, { domain = "example.test", service = "xmpp-server", identity = true })
					assert.equal(not expected, verdict.refuse, name)
				end
			end
		end)

		it("of a client's certificate", function ()
			local with_certificate = client(nil, {
				role = "client", ca_file = authority.certificate, certificate = certificates.p256.certificate,
				key = certificates.p256.key,
			})
			local demanding = server(nil, "rsa", { verify = "require", ca_file = authority.certificate })
			local one, other = handshake.between(with_certificate, demanding)
			assert.equal("ecdsa_secp256r1_sha256", one:facts().client_signature_scheme)
			local facts = other:facts()
			assert.equal("ecdsa_secp256r1_sha256", facts.client_signature_scheme)
			assert.equal("rsa_pss_rsae_sha256", facts.signature_scheme)
			assert.is_true(facts.verified)
			assert.equal("EC", facts.certificate:facts().key_type)
		end)

		it("of a chain that does not verify", function ()
			local lenient = client(nil, { role = "client", verify = "none" })
			local facts = handshake.between(lenient, server()):facts()
			assert.is_false(facts.verified)
			assert.equal(20, facts.verify_code)
			assert.equal("unable to get local issuer certificate", facts.verify_error)
		end)
	end)
end)
