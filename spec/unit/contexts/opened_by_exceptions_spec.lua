-- What an exception opens on the contexts of a host.
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local command_service = require "support.command_service"
local core = require "xmpp_tls_policy.core"
local opened_by_exceptions = require "xmpp_tls_policy.contexts.opened_by_exceptions"
local pki = require "support.pki"
local ssl = require "ssl"
local tls_policy = require "xmpp_tls_policy"

describe("an exception opens", function ()
	local files

	setup(function ()
		files = pki.authority():issue { names = { "a.test" }, key = "rsa2048" }
	end)

	teardown(pki.remove)

	local function policy_with(exceptions, options)
		options = options or {}
		options.exceptions = exceptions
		return assert(tls_policy.policy(options))
	end

	local function exception(changes)
		local made = { level = "must", expires = "2999-01-01", reason = "old" }
		for name, value in pairs(changes or {}) do
			made[name] = value ~= "none" and value or nil
		end
		return made
	end

	-- A context as a server makes it, and the server that has it.
	local function server_with(more)
		local options = {
			mode = "server", protocol = "any", options = { "no_tlsv1", "no_tlsv1_1" }, verify = "none",
			certificate = files.certificate, key = files.key,
			ciphers = "ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=2", curveslist = "X25519:P-256",
		}
		for name, value in pairs(more or {}) do
			options[name] = value
		end
		local luasec = assert(ssl.newcontext(options))
		local made_for = more and more.mode == "client" and "s2sout" or "s2sin"
		return command_service.server { own_context = function (_, role)
			return role == made_for and luasec or nil
		end }, luasec
	end

	local function opened(policy, server)
		return opened_by_exceptions.on_host(server, adopted_contexts.new(), "a.test", policy, os.time())
	end

	it("what its level permits and all others do not get", function ()
		local server, luasec = server_with()
		local before = assert(core.context.adopt(luasec)):settings()
		local list = opened(policy_with { ["old.test"] = exception() }, server)
		assert.equal(1, #list)
		local more = list[1]
		assert.same({ "old.test", { "TLSv1", "TLSv1.1" }, 1024 }, { more.domain, more.versions, more.dh_bits })
		local ciphers = table.concat(more.ciphers, " ")
		for _, name in ipairs { "TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
			"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" } do
			assert.truthy(ciphers:find(name, 1, true), name)
		end
		-- Others get these, too.
		assert.is_nil(ciphers:find("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", 1, true))
		assert.is_nil(ciphers:find("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 1, true))
		assert.is_nil(ciphers:find("3DES", 1, true))
		assert.same({ "x448", "secp384r1", "secp521r1" }, more.groups)
		assert.matches("^TLS 1.0, TLS 1.1; suites TLS_[%w_, ]+ and %d+ more; groups x448, secp384r1, secp521r1; "
			.. "DH from 1024 bits$", more.text)
		-- The context is as before.
		assert.same(before, assert(core.context.adopt(luasec)):settings())
	end)

	it("less where the profile permits less", function ()
		local more = opened(policy_with({ ["old.test"] = exception() }, { profile = "rfc9325" }), (server_with()))[1]
		assert.same({ {}, nil }, { more.versions, more.dh_bits })
		assert.truthy(table.concat(more.ciphers, " "):find("TLS_RSA_WITH_AES_128_CBC_SHA", 1, true))
	end)

	it("nothing on the context without a level, or after its end", function ()
		assert.same({}, opened(policy_with({
			["dialback.test"] = exception { level = "none", unauthenticated_s2s = "dialback" },
			["gone.test"] = exception { expires = "2020-01-01" },
		}, { unauthenticated_s2s = "refuse" }), (server_with())))
	end)

	it("nothing more where all others get it", function ()
		local list = opened(policy_with({ ["old.test"] = exception() }, { level = "must" }), (server_with {
			options = {}, ciphers = "ALL:@SECLEVEL=0", dhparam = function ()
				return pki.run { "openssl", "dhparam", "-dsaparam", "2048" }
			end, curveslist = "X25519:P-256:X448:P-384:P-521",
		}))
		assert.equal("nothing more than all others get", list[1].text)
	end)

	it("in each role what it opens there", function ()
		local server = server_with()
		local client = server_with { mode = "client" }
		local policy = policy_with { ["old.test"] = exception() }
		local outgoing = opened(policy, client)
		assert.same({ 1, { "s2sout" }, 1024 }, { #outgoing, outgoing[1].roles, outgoing[1].dh_bits })
		local both = command_service.server { own_context = function (host, role)
			return server.own_context(host, role) or client.own_context(host, role)
		end }
		local incoming = opened(policy, server)
		assert.same({ "s2sin" }, incoming[1].roles)
		local list = opened(policy, both)
		if incoming[1].text == outgoing[1].text then
			assert.same({ 1, { "s2sin", "s2sout" } }, { #list, list[1].roles })
		else
			assert.same({ incoming[1], outgoing[1] }, list)
		end
		-- Where the context for incoming streams has more, there are two items.
		local wide = server_with { ciphers = "ALL:@SECLEVEL=0", options = {} }
		list = opened(policy, command_service.server { own_context = function (host, role)
			return wide.own_context(host, role) or client.own_context(host, role)
		end })
		assert.same({ { "s2sin" }, { "s2sout" } }, { list[1].roles, list[2].roles })
		assert.equal(outgoing[1].text, list[2].text)
	end)

	it("to clients what one for their network opens, and to no servers", function ()
		local server = server_with()
		local incoming = opened(policy_with { ["old.test"] = exception() }, server)[1]
		local of_all = command_service.server { own_context = function (host, role)
			return role ~= "s2sout" and server.own_context(host, "s2sin") or nil
		end }
		local list = opened(policy_with { ["192.0.2.0/24"] = exception() }, of_all)
		assert.same({ 1, { "c2s" }, "192.0.2.0/24", incoming.text },
			{ #list, list[1].roles, list[1].domain, list[1].text })
		assert.same({ "s2sin" }, opened(policy_with { ["old.test"] = exception() }, of_all)[1].roles)
	end)

	it("nothing on a host without a context", function ()
		assert.same({}, opened(policy_with { ["old.test"] = exception() }, command_service.server {}))
	end)
end)
