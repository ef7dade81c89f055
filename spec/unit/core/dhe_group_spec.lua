-- DHE before TLS 1.3 where OpenSSL negotiates its group (4.0), and where it does not: a server has it for all
-- clients that can use the policy's least bits, and TLS 1.3 gets no finite field by that.
local client_hello = require "support.client_hello"
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local negotiation = require "xmpp_tls_policy.policy.negotiation"
local pki = require "support.pki"
local suites = require "xmpp_tls_policy.policy.suites"

local DHE = "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"

describe("the group of DHE", function ()
	local files

	setup(function ()
		files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
	end)

	teardown(pki.remove)

	local function server(settings)
		local context = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
		local asked = { ciphers = { DHE }, security_level = 0 }
		for name, value in pairs(settings) do
			asked[name] = value
		end
		assert(context:apply(asked))
		return context
	end

	local function client(version, groups)
		local context = assert(core.context.new { role = "client", verify = "none" })
		assert(context:apply { ciphers = { DHE }, groups = groups, minimum_version = version, maximum_version = version,
			security_level = 0 })
		return context
	end

	local function bits_of(name)
		local record = suites.groups_by_name[name]
		return record.kind == "finite field" and record.bits or nil
	end

	-- The smallest field with so many bits.
	local function smallest(least)
		for _, name in ipairs { "ffdhe2048", "ffdhe3072", "ffdhe4096" } do
			if bits_of(name) >= least then
				return name
			end
		end
	end

	local function shares(own, offered, least)
		for _, name in ipairs(offered) do
			for _, same in ipairs(own) do
				if name == same and (bits_of(name) or least) >= least then
					return true
				end
			end
		end
		return false
	end

	-- Whether the rule allows such a handshake.
	local function is_possible(own, least, version, offered)
		if version == "TLSv1.3" then
			return shares(own, offered, least)
		end
		local fields = {}
		for _, name in ipairs(offered) do
			fields[#fields + 1] = bits_of(name) and name or nil
		end
		if not core.negotiates_dhe or not fields[1] then
			return true
		end
		return shares(own, fields, least) or shares({ smallest(least) }, fields, least)
	end

	local of_servers = { { "x25519" }, { "x25519", "ffdhe3072" }, { "x25519", "ffdhe2048", "ffdhe4096" } }
	local of_clients = {
		{ "x25519" }, { "x25519", "ffdhe2048" }, { "ffdhe2048", "ffdhe3072" }, { "ffdhe3072" }, { "x25519", "ffdhe4096" },
	}

	local function numbers(names)
		local list = {}
		for index, name in ipairs(names) do
			list[index] = suites.groups_by_name[name].number
		end
		return list
	end

	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		for _, least in ipairs { 2048, 3000 } do
			-- rfc7919.4.shared-group
			it(("is shared in %s with at least %d bits, or there is none"):format(version, least), function ()
				for _, own in ipairs(of_servers) do
					local context = server { groups = own, dh_bits = least }
					local predicted = negotiation.of_settings(context:settings())
					for _, offered in ipairs(of_clients) do
						local case = ("%s with %s"):format(table.concat(own, ":"), table.concat(offered, ":"))
						local ours, theirs = handshake.between(client(version, offered), context)
						assert.equal(is_possible(own, least, version, offered), ours ~= nil, case)
						local hello = { versions = { suites.version_numbers[version] }, groups = numbers(offered),
							suites = { suites.by_name[DHE].number, 0x1301 }, signature_schemes = { 0x0804 } }
						assert.equal(ours ~= nil, predicted:missing(hello) == nil, case)
						for _, connection in ipairs(ours and version == "TLSv1.2" and { ours, theirs } or {}) do
							local facts = connection:facts()
							assert.same({ "DHE", nil, true }, { facts.key_exchange, facts.group, facts.group_bits >= least }, case)
						end
					end
				end
			end)
		end
	end

	it("is none for a client that lists unknown finite fields alone", function ()
		for number, is_field in pairs { [0x00FF] = false, [0x01FF] = true, [0x0200] = false } do
			local connection = assert(core.connection.new(server { groups = { "x25519" }, dh_bits = 2048 }, { role = "server" }))
			assert(connection:feed(client_hello.build { suites = { DHE }, groups = { number } }))
			connection:handshake()
			-- A handshake message, or an alert.
			assert.equal(is_field and core.negotiates_dhe and 21 or 22, connection:take():byte(1), number)
		end
	end)

	it("is not among the settings that are read back, and leaves with them", function ()
		local context = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
		local before = context:settings()
		for _ = 1, 2 do
			assert(context:apply { groups = { "x25519", "secp256r1" }, dh_bits = 2048 })
			assert.same({ "x25519", "secp256r1" }, context:settings().groups)
			assert(context:release())
			assert.same(before, context:settings())
		end
	end)

	it("stays where later settings leave the groups, or the bits, as they are", function ()
		for _, later in ipairs { { groups = { "secp256r1" } }, { dh_bits = 3072 }, { server_preference = true } } do
			local context = server { groups = { "x25519" }, dh_bits = 2048 }
			assert(context:apply(later))
			local ours = assert(handshake.between(client("TLSv1.2", { "secp384r1", "ffdhe2048", "ffdhe3072" }), context))
			assert.equal(later.dh_bits or 2048, ours:facts().group_bits)
			assert.same(later.groups or { "x25519" }, context:settings().groups)
			assert.is_nil((handshake.between(client("TLSv1.3", { "ffdhe2048", "ffdhe3072" }), context)))
		end
	end)

	it("is as before if settings are refused", function ()
		local context = server { groups = { "x25519" }, dh_bits = 2048 }
		assert.is_nil((context:apply { groups = { "nothing" }, dh_bits = 3072 }))
		assert.equal(2048, assert(handshake.between(client("TLSv1.2", { "ffdhe2048" }), context)):facts().group_bits)
		assert.is_nil((handshake.between(client("TLSv1.3", { "ffdhe2048", "ffdhe3072" }), context)))
	end)

	it("is no group that a client of ours offers", function ()
		local ours = assert(core.context.new { role = "client", verify = "none" })
		local ciphers = { DHE, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" }
		assert(ours:apply { ciphers = ciphers, groups = { "x25519" }, dh_bits = 2048 })
		for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
			assert(ours:apply { maximum_version = version })
			local connection = assert(core.connection.new(ours))
			connection:handshake()
			assert.same({ "x25519" }, client_hello.parse(connection:take()).groups)
		end
	end)
end)
