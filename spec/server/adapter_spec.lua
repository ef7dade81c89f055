-- The adapter for Prosody, in a Prosody without the rest of the module.
local lfs = require "lfs"
local pki = require "support.pki"
local prosody = require "support.prosody"

describe("Prosody's adapter", function ()
	local servers = prosody.group()
	local authority

	setup(function ()
		authority = pki.authority()
	end)

	after_each(servers.stop)

	teardown(pki.remove)

	local function start(options)
		local function issue()
			return authority:issue { names = { "a.test", "b.test" } }
		end
		local hosts = { ["a.test"] = issue(), ["b.test"] = issue() }
		hosts["b.test"].options = options
		local here = lfs.currentdir()
		return servers.start { hosts = hosts, domain = "a.test", environment = {
			LUA_PATH = ("%s/lua/?.lua;%s/lua/?/init.lua;;"):format(here, here),
			LUA_CPATH = ("%s/%s;;"):format(here, package.cpath:match "%./(build/[^;]*)"),
		} }
	end

	-- Runs Lua text that calls a function of the adapter, in the server. Returns its result as text.
	local function ask(server, text)
		local output, status = server:shell(([[>(function ()
			local module = require "core.modulemanager".get_module("*", "s2s").module
			local server = require "xmpp_tls_policy.servers.prosody".new(module)
			return "<" .. tostring(%s) .. ">"
		end)()]]):format(text):gsub("%s+", " "))
		assert.equal(0, status, output)
		return assert(output:match "<(.*)>", output)
	end

	local function source(server, host, role)
		return ask(server, ("require 'util.hashes'.sha256(server.certificate_source(%q, %q), true)"):format(host, role))
	end

	it("changes the certificate source only when the certificate may change", function ()
		local server = start { ssl = { certificate = "keys/b.test.crt", key = "keys/b.test.key" } }
		for _, host in ipairs { "a.test", "b.test" } do
			local before = source(server, host, "c2s")
			assert.equal(before, source(server, host, "s2sin"))
			server:reload()
			assert.equal(before, source(server, host, "c2s"))
			server:renew(host, authority:issue { names = { host }, key_name = host })
			local after = source(server, host, "c2s")
			assert.are_not.equal(before, after)
		end
		local before = { source(server, "a.test", "c2s"), source(server, "a.test", "s2sin") }
		server:configure { options = { s2s_ssl = { ciphers = "ECDHE+AESGCM" } } }
		server:reload()
		assert.equal(before[1], source(server, "a.test", "c2s"))
		assert.are_not.equal(before[2], source(server, "a.test", "s2sin"))
	end)

	it("makes contexts with the certificate of the configuration", function ()
		local server = start()
		for _, role in ipairs { "c2s", "s2sin", "s2sout" } do
			assert.equal("true", ask(server, ([[(function ()
				local core = require "xmpp_tls_policy.core"
				local made = assert(server.own_context("b.test", %q))
				local context = assert(core.context.adopt(made))
				return context:inspect().certificate:matches("b.test", "xmpp-client")
			end)()]]):format(role)))
		end
	end)

	-- rfc6125.6.4.2.compared-as-a-labels
	it("writes a domain in U-labels as it prepares it", function ()
		local server = start()
		assert.equal("true", ask(server,
			[[server.unicode_form("xn--bcher-kva.test") == server.prepare_domain("B\195\188cher.test")]]))
		assert.equal("true", ask(server, [[server.unicode_form("far.test") == "far.test"]]))
	end)

	it("knows whom a host serves, and whether it offers STARTTLS", function ()
		local server = start()
		assert.equal("true true nil nil nil", ask(server, [[("%s %s %s %s %s"):format(server.serves_clients("a.test"),
			server.serves_servers("a.test"), server.serves_clients("none.test"), server.serves_servers("none.test"),
			server.lacks_starttls("a.test"))]]))
		assert.matches("mod_tls is not loaded", ask(server, [[server.lacks_starttls("none.test")]]))
	end)

	it("calls an action later, and logs its failure", function ()
		local server = start()
		local mark = server:mark()
		ask(server, [[(function ()
			server.later(0, "the spec", function () error "injected" end)
			return true
		end)()]])
		server:wait_for_log("Internal error of the TLS policy in the spec: [^\n]*injected", mark)
		assert.equal("true", ask(server, "server.monotonic() <= server.monotonic()"))
	end)

	it("stores tables of a host, also under long keys", function ()
		local server = start()
		assert.equal("1 2 2", ask(server, [[(function ()
			local store = server.open_store("a.test", "test_store", "The things")
			local long = ("x-"):rep(60) .. "far.test"
			assert(store:set("far.test", { number = 1 }))
			assert(store:set(long, { number = 2 }))
			local count = 0
			for key in store:keys() do
				assert(store:get(key), key)
				count = count + 1
			end
			return ("%d %d %d"):format(store:get("far.test").number, store:get(long).number, count)
		end)()]]))
	end)
end)
