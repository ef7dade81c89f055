-- The life of the module on Metronome: what it refuses while a part of it is missing, reloads, and its end. For
-- Prosody see fail_closed_spec.lua and plugin_spec.lua, which look into Prosody's own code.
local client = require "support.client"
local files_of = require "support.files"
local lfs = require "lfs"
local metronome = require "support.servers.metronome"
local pki = require "support.pki"
local process = require "support.process"
local xmpp = require "support.xmpp"

local services = { "c2s", "c2s_direct_tls", "s2s", "s2s_direct_tls" }

if not metronome.path then
	return
end

describe("on Metronome, the module", function ()
	local servers = metronome.group()
	local authority, files
	local version = _VERSION:match "%d+%.%d+"

	setup(function ()
		authority = pki.authority()
		files = authority:issue { names = { "example.test" }, key = "rsa2048" }
	end)

	after_each(servers.stop)
	teardown(pki.remove)

	local function start(spec)
		spec.hosts, spec.with_policy = { ["example.test"] = files }, spec.with_policy ~= false
		spec.users = { ["juliet@example.test"] = "secret" }
		return servers.start(spec)
	end

	-- A copy of the installed files, without one of them.
	local function tree_without(path)
		local tree = process.scratch "tree"
		assert(lfs.mkdir(tree))
		process.check { "cp", "-r", metronome.tree .. "/share", metronome.tree .. "/lib", tree }
		assert(os.remove(("%s/%s"):format(tree, path:format(version))))
		return tree
	end

	local function answer_of(server, service)
		local peer, features, text = xmpp.open(server:target(service), { from = service:find "s2s" and "remote.test" or nil })
		if peer then
			peer:close()
			return "features"
		end
		return (text or ""):match "<stream:error><([%l-]+)" or text or features
	end

	local function is_under_policy(server, service)
		local answer = client.openssl(server:target(service), {
			arguments = { "-tls1_2", "-cipher", "AES256-GCM-SHA384" }, from = service:find "s2s" and "remote.test" or nil,
		})
		return not answer.ok
	end

	for what, path in pairs {
		["the core"] = "lib/lua/%s/xmpp_tls_policy/core.so",
		["a file of the library"] = "share/lua/%s/xmpp_tls_policy/policy/clauses.lua",
		["a file of the plugin"] = "share/lua/%s/xmpp_tls_policy/stream/admission.lua",
		["a file of the adapter"] = "share/lua/%s/xmpp_tls_policy/servers/metronome/contexts.lua",
	} do
		it(("refuses all streams while %s is missing, and the log says so"):format(what), function ()
			local server = start { tree = tree_without(path), broken = true, environment = { LUA_CPATH = ";;" } }
			for _, service in ipairs(services) do
				assert.equal("internal-server-error", answer_of(server, service), service)
			end
			server:wait_for_log "Refusing all clients and servers on example.test: mod_xmpp_tls_policy is not active"
			server:configure { with_policy = false }
			server:reload()
			for _, service in ipairs(services) do
				assert.equal("features", answer_of(server, service), service)
			end
		end)
	end

	it("lets no stream further than the features while the file that would refuse all is missing", function ()
		local server = start {
			tree = tree_without "share/lua/%s/xmpp_tls_policy/servers/metronome/fail_closed.lua", broken = true,
		}
		local peer = assert(xmpp.open(server:target "c2s_direct_tls"))
		peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>"
		assert.truthy(peer:read_until "<stream:error><internal%-server%-error")
		peer:close()
		server:wait_for_log "Refusing all clients and servers: xmpp_tls_policy is only partly installed"
	end)

	it("goes on with its counts and sessions over reloads of the module, and is under its policy all the time", function ()
		local server = start {}
		for _ = 1, 2 do
			local peer = assert(xmpp.open(server:target "c2s"))
			assert(peer:login("juliet", "secret"))
			peer:close()
			assert.equal(0, select(2, server:shell [[module:reload("xmpp_tls_policy")]]))
			for _, service in ipairs(services) do
				assert.is_true(is_under_policy(server, service), service)
			end
		end
		assert.matches("PLAIN +none +2\n", (server:shell "tlspolicy:stats()"))
		assert.is_nil(server:log():match "Traceback")
	end)

	it("gives everything back when it is unloaded, and takes it again when it is loaded", function ()
		local server = start {}
		assert.equal(0, select(2, server:shell [[module:unload("xmpp_tls_policy")]]))
		server:wait_for_log "mod_xmpp_tls_policy is unloaded: connections are accepted"
		for _, service in ipairs(services) do
			assert.is_false(is_under_policy(server, service), service)
		end
		assert.equal(1, select(2, server:shell "tlspolicy:show()"))
		server:shell [[module:load("xmpp_tls_policy")]]
		for _, service in ipairs(services) do
			assert.is_true(is_under_policy(server, service), service)
		end
		assert.is_nil(server:log():match "Traceback")
	end)

	it("writes the metrics into the file that the operator names", function ()
		local path = process.scratch "metrics.prom"
		start { options = { xmpp_tls_policy_metrics_file = path } }
		local text = assert(files_of.read(path))
		assert.matches("\n# TYPE xmpp_tls_policy_handshakes_total counter\n", text)
		assert.matches("\nxmpp_tls_policy_session_store_sessions 0\n", text)
	end)

	it("has its commands in the help of the console", function ()
		local server = start {}
		assert.matches("tlspolicy:show%(", (server:shell "help tlspolicy"))
		assert.matches("tlspolicy | ", (server:shell "help"))
	end)
end)

