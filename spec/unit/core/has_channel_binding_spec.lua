-- Whether a connection has a type of channel binding is the same answer as that of the function that computes it:
-- each version x extended master secret x new or resumed x certificate, on both ends.
local core = require "xmpp_tls_policy.core"
local mixed_pair = require "support.mixed_pair"
local pki = require "support.pki"
local ssl = require "ssl"

describe("has_channel_binding", function ()
	local connections = mixed_pair.group()
	local issued, store

	-- key: see pki.lua; none: the signature has no digest. `signature_options`: of the openssl command.
	local certificates = {
		["RSA"] = { key = "rsa2048", digest = "sha256" },
		["RSA with SHA-1"] = { key = "rsa2048", digest = "sha1" },
		["RSA with MD5"] = { key = "rsa2048", digest = "md5" },
		["RSA with SHA-512"] = { key = "rsa2048", digest = "sha512" },
		["RSA-PSS"] = { key = "rsa2048", digest = "sha384", signature_options = { "rsa_padding_mode:pss" } },
		["RSA-PSS with a second digest"] = {
			key = "rsa2048", digest = "sha256", signature_options = { "rsa_padding_mode:pss", "rsa_mgf1_md:sha512" },
		},
		["ECDSA"] = { key = "p256", digest = "sha384" },
		["ECDSA with SHA-224"] = { key = "p384", digest = "sha224" },
		["Ed25519"] = { key = "ed25519", none = true },
		["Ed448"] = { key = "ed448", none = true },
	}
	-- Servers: a name -> the certificates that they have.
	local servers = { ["RSA and ECDSA"] = { "RSA", "ECDSA" }, ["RSA and Ed25519"] = { "RSA", "Ed25519" } }

	setup(function ()
		issued = {}
		for name, options in pairs(certificates) do
			servers[name] = { name }
			-- OpenSSL takes a signature with SHA-1 only where it protects nothing.
			issued[name] = pki.self_signed {
				names = { "example.test" }, key = options.key, key_name = name:gsub("%W", ""), digest = options.digest,
				signature_options = options.signature_options,
			}
		end
	end)

	before_each(function ()
		store = assert(core.session_store.new { memory = 1, lifetime = 3600 })
	end)

	after_each(function ()
		connections.close()
		store:close()
	end)

	teardown(pki.remove)

	local function server_context(names, has_master_secret)
		local files = {}
		for index, name in ipairs(names) do
			files[index] = { certificate = issued[name].certificate, key = issued[name].key }
		end
		local context = assert(ssl.newcontext {
			mode = "server", protocol = "any", certificates = files, verify = "none", ciphers = "ALL:@SECLEVEL=0",
			options = not has_master_secret and { "no_extended_master_secret" } or nil,
		})
		local adopted = assert(core.context.adopt(context))
		assert(adopted:observe(1))
		-- Our own sessions need the extended master secret; OpenSSL's own tickets do not.
		if has_master_secret then
			assert(adopted:apply { no_stateless_tickets = true })
			assert(adopted:resume(store, "name"))
		end
		return context
	end

	-- The two answers of one end, as they can be compared: true, or the code of the reason.
	local function answers(has, value)
		local present, message, code = has()
		local bytes, computed_message, computed_code = value()
		assert.equal(computed_message, message)
		return present or code, bytes and true or computed_code
	end

	local function of_server(far, type)
		return answers(function ()
			return core.observer.has_channel_binding(far, type)
		end, function ()
			return core.observer.channel_binding(far, type)
		end)
	end

	local function of_client(near, type)
		return answers(function ()
			return near.connection:has_channel_binding(type)
		end, function ()
			return near.connection:channel_binding(type)
		end)
	end

	local function end_point(shown)
		return certificates[shown].none and "unsupported" or true
	end

	-- Which certificate a server with several showed.
	local key_types = { RSA = "RSA", ECDSA = "EC", Ed25519 = "ED25519" }

	local function shown_of(near, names)
		local kind = near.connection:facts().certificate:facts().key_type
		for _, name in ipairs(names) do
			if #names == 1 or key_types[name] == kind then
				return name
			end
		end
		error("nobody knows a certificate of the kind " .. kind)
	end

	local function check(near, far, case)
		local unique = case.version == "TLSv1.2" or "unsupported"
		local exporter = (case.version == "TLSv1.3" or case.has_master_secret) or "unsupported"
		local is_resumed = core.observer.facts(far).resumed
		for type, expected in pairs {
			["tls-unique"] = { unique, unique },
			["tls-exporter"] = { exporter, exporter },
			["tls-server-end-point"] = {
				is_resumed and case.names[2] and "missing" or end_point(case.shown), end_point(case.shown),
			},
		} do
			assert.same({ type, expected[1], expected[1] }, { type, of_server(far, type) })
			assert.same({ type, expected[2], expected[2] }, { type, of_client(near, type) })
		end
	end

	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		for _, has_master_secret in ipairs { true, false } do
			it(("is what channel_binding says, with every certificate: %s, %s the extended master secret"):format(version,
				has_master_secret and "with" or "without"), function ()
				local client = assert(core.context.new { role = "client", verify = "none" })
				assert(client:apply { minimum_version = version, maximum_version = version, security_level = 0 })
				for _, names in pairs(servers) do
					local context = server_context(names, has_master_secret)
					local near, far = connections.connect(client, context)
					local session = mixed_pair.session(near, far)
					local case = {
						version = version, has_master_secret = has_master_secret, names = names,
						shown = shown_of(near, names),
					}
					check(near, far, case)
					near, far = connections.connect(client, context, session)
					assert.is_true(core.observer.facts(far).resumed)
					check(near, far, case)
				end
			end)
		end
	end

	it("is known neither in a handshake nor of a connection that is not ours, and raises an error for other types",
		function ()
			local client = assert(core.context.new { role = "client", verify = "none" })
			local context = assert(ssl.newcontext {
				mode = "server", protocol = "any", certificate = issued.RSA.certificate, key = issued.RSA.key,
			})
			local near, far = connections.connect(client, context)
			for _, type in ipairs { "tls-unique", "tls-exporter", "tls-server-end-point" } do
				local connection = assert(core.connection.new(client))
				assert.equal("handshake", (select(3, connection:has_channel_binding(type))))
				assert.equal("unobserved", (select(3, core.observer.has_channel_binding(far, type))))
			end
			assert.has_error(function ()
				near.connection:has_channel_binding "tls-nothing"
			end)
			far:close()
			assert.equal("closed", (select(3, core.observer.has_channel_binding(far, "tls-unique"))))
		end)
end)
