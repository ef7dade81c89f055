-- Channel bindings, compared with that which LuaSec reads from OpenSSL, and with the openssl command.
local core = require "xmpp_tls_policy.core"
local mixed_pair = require "support.mixed_pair"
local pki = require "support.pki"
local process = require "support.process"
local ssl = require "ssl"

describe("tls-unique", function ()
	local connections = mixed_pair.group()
	local files, store

	setup(function ()
		files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
	end)

	before_each(function ()
		store = assert(core.session_store.new { memory = 1, lifetime = 3600 })
	end)

	after_each(function ()
		connections.close()
		store:close()
	end)

	teardown(function ()
		pki.remove()
	end)

	local function luasec(mode, version)
		return assert(ssl.newcontext {
			mode = mode, protocol = version, certificate = mode == "server" and files.certificate or nil,
			key = mode == "server" and files.key or nil, verify = "none",
		})
	end

	local function core_client(version)
		local context = assert(core.context.new { role = "client", verify = "none" })
		assert(context:apply { minimum_version = version, maximum_version = version })
		return context
	end

	it("rfc5929.3.1.first-finished: is the client's Finished, and the server's if a session is resumed", function ()
		local context, client_context = luasec("server", "tlsv1_2"), core_client "TLSv1.2"
		local adopted = assert(core.context.adopt(context))
		assert(adopted:observe(1))
		assert(adopted:resume(store, "name"))
		local client, server = connections.connect(client_context, context)
		local session = client:session()
		local unique = assert(core.observer.channel_binding(server, "tls-unique"))
		assert.equal(12, #unique)
		assert.equal(server:getpeerfinished(), unique)
		assert.equal(unique, client.connection:channel_binding "tls-unique")
		for _ = 1, 2 do
			client, server = connections.connect(client_context, context, session)
			assert.is_true(core.observer.facts(server).resumed)
			unique = assert(core.observer.channel_binding(server, "tls-unique"))
			assert.equal(server:getfinished(), unique)
			assert.not_equal(server:getpeerfinished(), unique)
			assert.equal(unique, client.connection:channel_binding "tls-unique")
		end
	end)

	it("is not defined in TLS 1.3", function ()
		local context = luasec("server", "tlsv1_3")
		assert(assert(core.context.adopt(context)):observe(1))
		local client, server = connections.connect(core_client "TLSv1.3", context)
		assert.equal("unsupported", (select(3, core.observer.channel_binding(server, "tls-unique"))))
		assert.equal("unsupported", (select(3, client.connection:channel_binding "tls-unique")))
	end)

	it("is not known of a connection that is not ours, that is in its handshake, or closed", function ()
		local context = luasec("server", "tlsv1_2")
		local _, server = connections.connect(core_client "TLSv1.2", context)
		assert.equal("unobserved", (select(3, core.observer.channel_binding(server, "tls-unique"))))
		server:close()
		assert.equal("closed", (select(3, core.observer.channel_binding(server, "tls-unique"))))
		local connection = assert(core.connection.new(core_client "TLSv1.2"))
		assert.equal("handshake", (select(3, connection:channel_binding "tls-unique")))
		connection:handshake()
		assert.equal("handshake", (select(3, connection:channel_binding "tls-unique")))
	end)
end)

describe("the channel binding", function ()
	local connections = mixed_pair.group()
	local authority, issued, store

	setup(function ()
		authority = pki.authority()
		issued = {}
		for key, digest in pairs { rsa2048 = "sha256", p256 = "sha384" } do
			issued[key] = authority:issue { names = { "example.test" }, key = key, digest = digest }
		end
		-- OpenSSL takes SHA-1 only where the signature protects nothing.
		issued.sha1 = pki.self_signed { names = { "example.test" }, key_name = "sha1", digest = "sha1" }
	end)

	before_each(function ()
		store = assert(core.session_store.new { memory = 1, lifetime = 3600 })
	end)

	after_each(function ()
		connections.close()
		store:close()
	end)

	teardown(pki.remove)

	local function server_context(names, resumes, options)
		local certificates = {}
		for index, name in ipairs(names) do
			certificates[index] = { certificate = issued[name].certificate, key = issued[name].key }
		end
		local context = assert(ssl.newcontext {
			mode = "server", protocol = "any", certificates = certificates, verify = "none", options = options,
			ciphers = names[1] == "sha1" and "ALL:@SECLEVEL=0" or nil,
		})
		local adopted = assert(core.context.adopt(context))
		assert(adopted:observe(1))
		if resumes then
			assert(adopted:resume(store, "name"))
		end
		return context
	end

	local function client_context(version, authentication)
		local context = assert(core.context.new { role = "client", verify = "none" })
		assert(context:apply {
			minimum_version = version, maximum_version = version, security_level = 0, ciphers = authentication and {
				("TLS_ECDHE_%s_WITH_AES_128_GCM_SHA256"):format(authentication),
			} or nil,
		})
		return context
	end

	-- The digest of a certificate, as the openssl command computes it.
	local function fingerprint(name, digest)
		local output = process.check {
			"openssl", "x509", "-in", issued[name].own, "-noout", "-fingerprint", "-" .. digest,
		}
		return (output:match "=([%x:]+)":gsub("(%x%x):?", function (digits)
			return string.char(tonumber(digits, 16))
		end))
	end

	local kinds = {
		["an RSA certificate"] = { { "rsa2048" } },
		["an ECDSA certificate"] = { { "p256" } },
		["both, of which RSA is shown"] = { { "rsa2048", "p256" }, "RSA", "rsa2048" },
		["both in the other order, of which RSA is shown"] = { { "p256", "rsa2048" }, "RSA", "rsa2048" },
		["both, of which ECDSA is shown"] = { { "rsa2048", "p256" }, "ECDSA", "p256" },
		["both in the other order, of which ECDSA is shown"] = { { "p256", "rsa2048" }, "ECDSA", "p256" },
	}

	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		for kind, case in pairs(kinds) do
			local names, authentication = case[1], version == "TLSv1.2" and case[2] or nil

			it(("rfc5929.4.1.digest-of-signature, rfc9266.2.exporter-value: of %s with %s"):format(version, kind), function ()
				local context, client = server_context(names, true), client_context(version, authentication)
				local near, far = connections.connect(client, context)
				local session = mixed_pair.session(near, far)
				for count = 1, 3 do
					local shown = case[3] or names[1]
					if version == "TLSv1.3" and names[2] then
						-- OpenSSL chose.
						local is_rsa = near.connection:facts().certificate:facts().key_type == "RSA"
						shown = is_rsa and "rsa2048" or "p256"
					end
					local value, _, code = core.observer.channel_binding(far, "tls-server-end-point")
					if count > 1 and names[2] then
						assert.same({ nil, "missing" }, { value, code })
					else
						assert.equal(fingerprint(shown, shown == "p256" and "sha384" or "sha256"), value)
						assert.equal(value, near.connection:channel_binding "tls-server-end-point")
					end
					value = assert(core.observer.channel_binding(far, "tls-exporter"))
					assert.equal(32, #value)
					assert.equal(far:exportkeyingmaterial("EXPORTER-Channel-Binding", 32, ""), value)
					assert.equal(value, near.connection:channel_binding "tls-exporter")
					near, far = connections.connect(client, context, session)
					assert.is_true(core.observer.facts(far).resumed)
				end
			end)
		end
	end

	it("rfc5929.4.1.digest-of-signature: tls-server-end-point has SHA-256 for a certificate signed with SHA-1", function ()
		local _, far = connections.connect(client_context "TLSv1.2", server_context { "sha1" })
		assert.equal(fingerprint("sha1", "sha256"), core.observer.channel_binding(far, "tls-server-end-point"))
	end)

	it("rfc9266.2.needs-extended-master-secret: tls-exporter is not there without the extended master secret", function ()
		local context = server_context({ "p256" }, false, { "no_extended_master_secret" })
		local near, far = connections.connect(client_context "TLSv1.2", context)
		assert.is_false(core.observer.facts(far).extended_master_secret)
		assert.equal("unsupported", (select(3, core.observer.channel_binding(far, "tls-exporter"))))
		assert.equal("unsupported", (select(3, near.connection:channel_binding "tls-exporter")))
	end)

	it("raises an error for a type that is unknown", function ()
		local _, far = connections.connect(client_context "TLSv1.2", server_context { "p256" })
		assert.has_error(function ()
			core.observer.channel_binding(far, "tls-nothing")
		end)
	end)
end)
