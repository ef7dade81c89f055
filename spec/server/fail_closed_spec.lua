-- Connections are refused, or the stricter state stays, while a part of the module is missing or fails:
-- a real server, of which one part after the other is broken. For each decision on a stream see
-- failing_decisions_spec.lua; for wrong options plugin_spec.lua and spec/unit/policy/options_spec.lua.
local client = require "support.client"
local configuration = require "support.configuration"
local files_of = require "support.files"
local injection = require "support.injection"
local lfs = require "lfs"
local mime = require "mime"
local other_openssl = require "support.other_openssl"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

local lua_version = _VERSION:match "%d+%.%d+"
local core_file = ("/lib/lua/%s/xmpp_tls_policy/core.so"):format(lua_version)
local services = { "c2s", "c2s_direct_tls", "s2s", "s2s_direct_tls" }

-- A copy of what LuaRocks installed, to be broken.
local function copied_tree()
	local path = process.scratch "tree"
	assert(lfs.mkdir(path))
	process.check { "cp", "-r", configuration.tree .. "/share", configuration.tree .. "/lib", path }
	return path
end

local function lua_file(tree, name)
	return ("%s/share/lua/%s/%s.lua"):format(tree, lua_version, name)
end

-- Changes a file's text: what Lua's gsub takes.
local function change(path, pattern, replacement)
	local text, count = assert(files_of.read(path)):gsub(pattern, replacement)
	assert.equal(1, count, path)
	files_of.write(path, text)
end

-- Puts code at the end of a Lua file, before it returns its table. The locals of the file are in scope.
local function append(tree, name, code)
	change(lua_file(tree, name), "\n(return [%a_]+%s*)$", ("\n%s\n%%1"):format(code))
end

describe("a server on which a part of the module is broken", function ()
	local servers = prosody.group()
	local authority, files, theirs

	setup(function ()
		authority = pki.authority()
		files = authority:issue { names = { "example.test", "strict.test", "free.test" }, key = "rsa2048" }
		theirs = authority:issue { names = { "remote.test" }, key = "rsa2048" }
	end)

	after_each(servers.stop)

	teardown(function ()
		pki.remove()
	end)

	local function start(spec)
		spec.hosts = spec.hosts or { ["example.test"] = files }
		spec.domain = "example.test"
		spec.with_policy = spec.with_policy ~= false
		return servers.start(spec)
	end

	local inject, fail = injection.run, injection.fail

	-- How a stream to a service is answered: "features", or the condition of its error.
	local function answer_of(server, service, domain)
		local options = { from = service:find "s2s" and "remote.test" or nil }
		local peer, features, text = xmpp.open(server:target(service, domain), options)
		if peer then
			peer:close()
			return "features", features
		end
		return (text or ""):match "<stream:error><([%l-]+)" or text or features, text
	end

	local function assert_refused(server, condition, domain)
		for _, service in ipairs(services) do
			assert.equal(condition or "internal-server-error", (answer_of(server, service, domain)), service)
		end
	end

	local function assert_served(server, domain)
		for _, service in ipairs(services) do
			assert.equal("features", (answer_of(server, service, domain)), service)
		end
	end

	-- Stock Prosody follows the client's order of suites.
	local function is_under_policy(server, service)
		local answer = client.openssl(server:target(service), {
			arguments = { "-ciphersuites", "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384" },
			from = service:find "s2s" and "remote.test" or nil,
		})
		assert.is_true(answer.ok, answer.raw)
		return answer.suite == "TLS_AES_256_GCM_SHA384"
	end

	local function assert_under_policy(server)
		for _, service in ipairs(services) do
			assert.is_true(is_under_policy(server, service), service)
		end
	end

	local function lines(server, pattern, mark)
		local list = {}
		for line in server:log(mark):gmatch "[^\n]+" do
			list[#list + 1] = line:match("\terror\t") and line:match(pattern) and line or nil
		end
		return list
	end

	local not_let_in = "Refusing all clients and servers on (.-): mod_xmpp_tls_policy is not active: (.*)"

	-- One line says for whom, why, and what to do.
	local function assert_said(server, why, hosts)
		server:wait_for_log(not_let_in)
		local found = lines(server, not_let_in)
		assert.equal(1, #found, table.concat(found, "\n"))
		local named, reason = found[1]:match(not_let_in)
		assert.equal(hosts or "example.test", named)
		assert.matches(why, reason)
		assert.matches("restart the server%. To go on without the policy, take xmpp_tls_policy out of modules_enabled and "
			.. "reload the configuration%.", reason)
	end

	-- A message from one of our hosts to remote.test.
	local function send_to_remote(server)
		inject(server, 'prosody.hosts["example.test"].events.fire_event("route/remote", { from_host = "example.test", '
			.. 'to_host = "remote.test", '
			.. 'stanza = require "util.stanza".message { from = "example.test", to = "remote.test" } })')
	end

	---- The core, and what it is loaded with -------------------------------------

	describe("the core", function ()
		local function without_core(spec, break_it)
			spec.tree = copied_tree()
			break_it(spec.tree .. core_file, spec.tree, spec)
			return start(spec)
		end

		local function core_for(version, headers)
			if not lfs.attributes("/usr/include/lua" .. version) then
				pending("the headers of Lua " .. version .. " are not installed: `make luas` does that")
			end
			local made = process.scratch "core.so"
			process.check({ "make", "core", "LUA_VERSION=" .. version, "CORE=" .. made, "CFLAGS=-O1",
				"OPENSSL_INCDIR=" .. (headers or "") }, { timeout = 600 })
			return made
		end

		local cases = {
			["is missing"] = { os.remove, "module 'xmpp_tls_policy.core' not found" },
			["is no library"] = { function (core)
				files_of.write(core, "no library\n")
			end, "error loading module 'xmpp_tls_policy.core'" },
			["is cut short"] = { function (core)
				files_of.write(core, files_of.read(core):sub(1, 30))
			end, "error loading module 'xmpp_tls_policy.core'" },
			["calls a function that this Lua does not have"] = { function (core)
				files_of.write(core, (files_of.read(core):gsub("lua_newuserdatauv", "lua_newuserdatavu")))
			end, "undefined symbol: lua_newuserdatavu" },
			["is for Lua 5.1"] = { function (core)
				files_of.write(core, files_of.read(core_for "5.1"))
			end, "undefined symbol: lua" },
			["is for Lua 5.3"] = { function (core)
				files_of.write(core, files_of.read(core_for "5.3"))
			end, "undefined symbol: lua" },
			["is older than the Lua files"] = { function (_, tree)
				change(lua_file(tree, "xmpp_tls_policy/init"), "\nlocal interface = %d+\n", "\nlocal interface = 99\n")
			end, "the Lua files of xmpp_tls_policy are for version 99 of its core, and the core is version %d+" },
			["was compiled for a newer minor version of OpenSSL"] = { function (core)
				files_of.write(core, files_of.read(core_for(lua_version, other_openssl.newer_headers())))
			end, "was compiled for OpenSSL newer, and OpenSSL here is 3[%d.]+; only a newer one" },
			["meets an OpenSSL of an older major version"] = { function (_, _, spec)
				spec.environment = { LD_PRELOAD = other_openssl.saying("0x1010117f", "1.1.1w") }
			end, "was compiled for OpenSSL 3[%d.]+ [^,]*, and OpenSSL here is 1.1.1w; only a newer one" },
			["meets an OpenSSL of a newer major version"] = { function (_, _, spec)
				spec.environment = { LD_PRELOAD = other_openssl.saying("0x40000000", "4.0.0") }
			end, "was compiled for OpenSSL 3[%d.]+ [^,]*, and OpenSSL here is 4.0.0; only a newer one" },
			["uses another libssl than LuaSec"] = { function (core, _, spec)
				local directory = other_openssl.with_own_libssl(core, core)
				spec.environment = { LD_LIBRARY_PATH = directory }
			end, "LuaSec uses another OpenSSL than the core: %S+/libssl.so.3 instead of %S+/libssl.so.x" },
		}

		for what, case in pairs(cases) do
			it(what .. ": all streams are refused, and the log says why", function ()
				local server = without_core({}, case[1])
				assert_refused(server)
				assert_said(server, case[2])
				assert.equal(1, #lines(server, "Refused a stream"))
				assert.matches("\terror\tRefused a stream: c2s, example.test, 127.0.0.1: mod_xmpp_tls_policy is not active: ",
					server:log())
				assert.is_nil(server:log():match "Traceback")
			end)
		end

		it("is cut short where glibc's loader dies of it: the server does not start", function ()
			if configuration.sanitized then
				pending "AddressSanitizer reports a crash, and this is one"
			end
			local started, problem = pcall(without_core, {}, function (core)
				files_of.write(core, files_of.read(core):sub(1, 20000))
			end)
			assert.is_false(started)
			assert.matches("died at start", problem)
		end)

		it("works with a newer minor version of OpenSSL than it was compiled for, and says so", function ()
			local server = start { environment = { LD_PRELOAD = other_openssl.saying("0x30F00000", "3.15.0") } }
			assert_under_policy(server)
			server:wait_for_log "info\tThe core was compiled for OpenSSL 3[^\n]* and runs with OpenSSL 3.15.0"
			assert.same({}, lines(server, "."))
		end)

		it("does not reach other servers while it is missing", function ()
			local listener = xmpp.listen "s2s"
			local server = without_core({ routes = { ["remote.test"] = { s2s = listener.port } } }, os.remove)
			send_to_remote(server)
			local peer = assert(listener:accept())
			assert(peer:answer(xmpp.starttls_feature .. "<dialback xmlns='urn:xmpp:features:dialback'/>"))
			local text = assert(peer:read_all())
			peer:close()
			send_to_remote(server)
			local old = assert(listener:accept())
			assert(old:read_until "<stream:stream[^>]*>")
			old:send((xmpp.stream_header("s2s", "example.test", "remote.test", "1"):gsub("(<stream:.-) version='1.0'", "%1")))
			local of_old = assert(old:read_all())
			old:close()
			listener:close()
			for _, answer in ipairs { text, of_old } do
				assert.matches("<stream:error><internal%-server%-error", answer)
				assert.is_nil(answer:match "<starttls")
				assert.is_nil(answer:match "<db:")
			end
		end)

		it("is missing: nothing passes on streams of before XMPP 1.0, which have no features", function ()
			local server = without_core({ options = { c2s_require_encryption = false } }, os.remove)
			for service, element in pairs {
				c2s = "<iq type='get' id='1'><query xmlns='jabber:iq:auth'/></iq>",
				s2s = "<db:result from='remote.test' to='example.test'>key</db:result>",
			} do
				local peer = xmpp.connect(server:target(service))
				local header = xmpp.stream_header(service, "example.test", service == "s2s" and "remote.test" or nil)
				peer:send((header:gsub("(<stream:.-) version='1.0'", "%1")) .. element)
				local text = assert(peer:read_all())
				peer:close()
				assert.matches("<stream:error>", text)
				assert.is_nil(text:match "<db:")
				assert.is_nil(text:match "<iq")
			end
		end)

		it("is missing: hosts that are not under the policy, or in report mode, are served", function ()
			local own = { certificate = files.certificate, key = files.key }
			local server = without_core({
				hosts = {
					["example.test"] = files,
					["free.test"] = { certificate = own.certificate, key = own.key,
						options = { modules_disabled = { "xmpp_tls_policy" } } },
					["reported.test"] = { certificate = own.certificate, key = own.key,
						options = { xmpp_tls_policy = { mode = "report" } } },
				},
				components = { ["chat.test"] = { module = "muc", options = { ssl = own } } },
			}, os.remove)
			assert_refused(server)
			assert.equal("internal-server-error", (answer_of(server, "s2s", "chat.test")))
			for _, host in ipairs { "free.test", "reported.test" } do
				assert_served(server, host)
			end
			assert_said(server, ".", "chat.test, example.test")
			assert.matches("%[error%] Not active; see the log", (server:shell 'module:info("xmpp_tls_policy")'))
			server:wait_for_log "error\tNo report is made on reported.test: mod_xmpp_tls_policy is not active"
			-- A stream to a free host does not carry anything to another.
			local peer = xmpp.open(server:target("s2s", "free.test"), { from = "remote.test" })
			inject(server, 'for session in pairs(prosody.incoming_s2s) do prosody.hosts["free.test"].events.fire_event('
				.. '"s2s-authenticated", { session = session, host = "remote.test" }) end')
			peer:send "<message from='a@remote.test' to='juliet@example.test'><body>x</body></message>"
			assert.truthy(peer:read_until "<stream:error><internal%-server%-error")
			peer:close()
		end)

		it("is missing: the host on which alone the module is enabled is closed", function ()
			local server = without_core({
				with_policy = false,
				options = { modules_disabled = { "xmpp_tls_policy" } },
				hosts = {
					["example.test"] = files,
					["strict.test"] = { certificate = files.certificate, key = files.key,
						options = { modules_enabled = { "xmpp_tls_policy" } } },
				},
			}, function (core, tree, spec)
				os.remove(core)
				spec.options.installer_plugin_path = tree
			end)
			assert_refused(server, nil, "strict.test")
			assert_served(server)
			assert_said(server, ".", "strict.test")
		end)

		it("is missing, in report mode: all are served", function ()
			local server = without_core({ policy = { mode = "report" } }, os.remove)
			assert_served(server)
			server:wait_for_log "error\tNo report is made on example.test"
			assert.same({}, lines(server, not_let_in))
		end)

		it("comes back with the next load of the module", function ()
			local core
			local server = without_core({}, function (path)
				core = files_of.read(path)
				os.remove(path)
			end)
			assert_refused(server)
			files_of.write(server.spec.tree .. core_file, core)
			server:shell [[module:reload("xmpp_tls_policy")]]
			assert_under_policy(server)
			server:wait_for_log "info\tAccepting connections again"
		end)

		it("is missing: an administrator can do without, by the configuration or by unloading", function ()
			local server = without_core({}, os.remove)
			assert_refused(server)
			server:configure { with_policy = false }
			server:reload()
			assert_served(server)
			local mark = server:mark()
			server:wait_for_log "info\tAccepting connections again"
			server:configure { with_policy = true }
			server:reload()
			assert_refused(server)
			server:wait_for_log(not_let_in, mark)
			server:shell [[module:unload("xmpp_tls_policy")]]
			assert_served(server)
			server:wait_for_log "info\tmod_xmpp_tls_policy is unloaded: connections are accepted"
		end)
	end)

	---- Lua files that fail while they are loaded ----------------------------------

	describe("a Lua file", function ()
		local function without_file(name)
			return function (tree)
				assert(os.remove(lua_file(tree, name)))
			end
		end

		local function failing(name, code)
			return function (tree)
				append(tree, name, code)
			end
		end

		for what, case in pairs {
			["of the library that is missing"] = { without_file "xmpp_tls_policy/policy/clauses",
				"error\t[^\n]*module 'xmpp_tls_policy.policy.clauses' not found",
				"module 'xmpp_tls_policy.policy.clauses' not found" },
			["of the plugin that is missing"] = { without_file "xmpp_tls_policy/stream/admission",
				"error\tError initializing module[^\n]*module 'xmpp_tls_policy.stream.admission' not found" },
			["that fails in the middle of the plugin"] = {
				failing("xmpp_tls_policy/servers/prosody/metrics", "function prosody_metrics.serve() error 'injected' end"),
				"error\tError initializing module[^\n]*injected" },
			["that fails in module.load"] = {
				failing("xmpp_tls_policy/contexts/tls_contexts", "function methods:search() error 'injected' end"),
				"error\tInternal error of the TLS policy in becoming active: [^\n]*injected", "injected %(Prosody " },
			["that fails where a host's policy is put in force"] = {
				failing("xmpp_tls_policy/service", "function methods:add_host() error 'injected' end"),
				"error\tInternal error of the TLS policy in becoming active on example.test: [^\n]*injected" },
		} do
			it(what .. ": all streams are refused, and the log says why", function ()
				local tree = copied_tree()
				case[1](tree)
				local server = start { tree = tree, broken = true }
				assert_refused(server)
				assert_said(server, case[3] or "see the error above")
				server:wait_for_log(case[2])
			end)
		end

		it("that would refuse all is itself missing: no stream gets further than the features", function ()
			local tree = copied_tree()
			without_file "xmpp_tls_policy/servers/prosody/fail_closed"(tree)
			local server = start { tree = tree, broken = true, options = { c2s_require_encryption = false } }
			for service, element in pairs {
				c2s = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
				s2s_direct_tls = "<db:result from='remote.test' to='example.test'>key</db:result>",
			} do
				local peer = xmpp.connect(server:target(service), { from = service ~= "c2s" and "remote.test" or nil })
				if service ~= "c2s" then
					assert(peer:secure())
				end
				assert(peer:open())
				peer:send(element)
				assert.truthy(peer:read_until "<stream:error><internal%-server%-error")
				peer:close()
			end
			server:wait_for_log "error\t[^\n]*Refusing all clients and servers: xmpp_tls_policy is only partly installed"
		end)

		it("that would refuse all fails when it is started: no stream gets further than the features", function ()
			local tree = copied_tree()
			change(lua_file(tree, "xmpp_tls_policy/servers/prosody/filters"), "filters%.add_filter_hook",
				"function () error 'injected' end")
			local server = start { tree = tree, broken = true }
			local peer = assert(xmpp.open(server:target "c2s_direct_tls"))
			peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>"
			assert.truthy(peer:read_until "<stream:error><internal%-server%-error")
			peer:close()
			server:wait_for_log "error\t[^\n]*Refusing all clients and servers: [^\n]*injected"
		end)

		-- The server tries again to load the module, for each host.
		it("that would refuse all fails when it is started: after the next attempt nothing of it is missing", function ()
			local tree = copied_tree()
			change(lua_file(tree, "xmpp_tls_policy/servers/prosody/filters"), "filters%.add_filter_hook", [[(function ()
				local failed = false
				return function (...)
					if not failed then
						failed = true
						error "injected"
					end
					return filters.add_filter_hook(...)
				end
			end)()]])
			local server = start { tree = tree, broken = true }
			server:wait_for_log "Refusing all clients and servers: [^\n]*injected"
			injection.run(server, 'require "xmpp_tls_policy.servers.prosody.fail_closed".close "example.test"')
			for service, element in pairs {
				c2s_direct_tls = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
				s2s_direct_tls = "<db:result from='remote.test' to='example.test'>key</db:result>",
			} do
				local peer = xmpp.connect(server:target(service), { from = service == "s2s_direct_tls" and "remote.test" or nil })
				assert(peer:secure())
				peer:open()
				peer:send(element)
				assert.truthy((peer:read_all()):find("<internal%-server%-error"), service)
				peer:close()
			end
		end)

		it("that would refuse all is itself missing, in report mode: all are served", function ()
			local tree = copied_tree()
			without_file "xmpp_tls_policy/servers/prosody/fail_closed"(tree)
			local server = start { tree = tree, broken = true, policy = { mode = "report" },
				users = { ["juliet@example.test"] = "secret" } }
			local peer = assert(xmpp.open(server:target "c2s"))
			assert(peer:login("juliet", "secret"))
			peer:close()
		end)

		it("that would refuse all is itself missing: a stream of before is authenticated for nothing more", function ()
			local tree = copied_tree()
			without_file "xmpp_tls_policy/servers/prosody/fail_closed"(tree)
			local server = start { with_policy = false, users = { ["juliet@example.test"] = "secret" },
				options = { installer_plugin_path = tree } }
			local client_before, new_client = assert(xmpp.open(server:target "c2s")), assert(xmpp.open(server:target "c2s"))
			assert(client_before:login("juliet", "secret"))
			server:configure { options = { installer_plugin_path = tree,
				modules_enabled = { "saslauth", "tls", "ping", "admin_shell", "xmpp_tls_policy" } } }
			server:reload()
			server:shell [[module:load("xmpp_tls_policy")]]
			server:wait_for_log "Refusing all clients and servers"
			assert.is_nil((new_client:login("juliet", "secret")))
			client_before:send "<iq type='get' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>"
			assert.truthy(client_before:read_until "id='ping'")
			client_before:close()
			new_client:close()
		end)

		it("that fails again and again leaves no more handlers than one attempt", function ()
			local tree = copied_tree()
			failing("xmpp_tls_policy/servers/prosody/metrics", "function prosody_metrics.serve() error 'injected' end")(tree)
			local function handlers(hosts)
				local server = start { tree = tree, broken = true, hosts = hosts }
				inject(server, 'prosody.log("info", "handlers: %d", #prosody.events.get_handlers("s2s-check-certificate"))')
				return server:wait_for_log "handlers: (%d+)"
			end
			local own = { certificate = files.certificate, key = files.key }
			assert.equal(handlers { ["example.test"] = files }, handlers {
				["example.test"] = files, ["strict.test"] = own, ["free.test"] = own,
			})
		end)

		it("that would refuse all is itself missing: an administrator can do without it, or mend it", function ()
			local tree = copied_tree()
			local gate = lua_file(tree, "xmpp_tls_policy/servers/prosody/fail_closed")
			local whole = files_of.read(gate)
			without_file "xmpp_tls_policy/servers/prosody/fail_closed"(tree)
			local server = start { tree = tree, broken = true }
			local function answer_inside()
				local peer = assert(xmpp.open(server:target "c2s_direct_tls"))
				peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>"
				local answer = peer:read_until { "<failure", "<stream:error><internal%-server%-error" }
				peer:close()
				return assert(answer):find("<stream:error", 1, true) and "refused" or "served"
			end
			assert.equal("refused", answer_inside())
			server:configure { with_policy = false }
			server:reload()
			assert.equal("served", answer_inside())
			server:configure { with_policy = true }
			server:reload()
			assert.equal("refused", answer_inside())
			files_of.write(gate, whole)
			server:shell [[module:reload("xmpp_tls_policy")]]
			assert_under_policy(server)
			assert.equal("served", answer_inside())
		end)

		it("that fails on one host leaves the others under the policy", function ()
			local tree = copied_tree()
			append(tree, "xmpp_tls_policy/service", [[
				local add_host = methods.add_host
				function methods:add_host(host)
					assert(host ~= "strict.test", "injected")
					return add_host(self, host)
				end]])
			local server = start {
				tree = tree, broken = true,
				hosts = { ["example.test"] = files, ["strict.test"] = { certificate = files.certificate, key = files.key } },
			}
			assert_refused(server, nil, "strict.test")
			assert_under_policy(server)
			assert_said(server, ".", "strict.test")
		end)

		it("that fails leaves nothing behind once it was loaded and unloaded", function ()
			local tree = copied_tree()
			append(tree, "xmpp_tls_policy/servers/prosody/safe_hooks", [[
				local hook = safe_hooks.hook
				function safe_hooks.hook(module, event, ...)
					assert(event ~= "module-loaded" or safe_hooks.whole, "injected")
					return hook(module, event, ...)
				end]])
			local server = start { tree = tree, broken = true }
			assert_refused(server)
			inject(server, 'require "xmpp_tls_policy.servers.prosody.safe_hooks".whole = true')
			server:shell [[module:reload("xmpp_tls_policy")]]
			assert_under_policy(server)
			server:shell [[module:unload("xmpp_tls_policy")]]
			assert_served(server)
			-- A stream that names no host is under the policy for all.
			local peer = xmpp.connect(server:target "s2s_direct_tls")
			assert(peer:secure())
			peer:send((xmpp.stream_header("s2s", nil, "remote.test"):gsub("(<stream:.-) version='1.0'", "%1")))
			peer:send "<db:verify from='remote.test' to='example.test' id='1'>key</db:verify>"
			local answer = peer:read_until { "<db:verify[^>]*>", "<stream:error>.-</stream:error>" }
			peer:close()
			assert.matches("<db:verify", answer)
		end)

		it("that fails at a reload: new streams are refused until the next reload", function ()
			local tree = copied_tree()
			local server = start { tree = tree, broken = true, users = { ["juliet@example.test"] = "secret" } }
			local peer = assert(xmpp.open(server:target "c2s"))
			assert(peer:login("juliet", "secret"))
			local plugin = lua_file(tree, "mod_xmpp_tls_policy")
			local whole = files_of.read(plugin)
			change(plugin, "\nlocal life = ", "\nerror 'injected'\nlocal life = ")
			server:shell [[module:reload("xmpp_tls_policy")]]
			assert_refused(server)
			assert_said(server, ".")
			-- A client that was accepted under the policy stays.
			peer:send "<iq type='get' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>"
			assert.truthy(peer:read_until "id='ping'")
			peer:close()
			files_of.write(plugin, whole)
			server:shell [[module:reload("xmpp_tls_policy")]]
			assert_under_policy(server)
		end)
	end)

	---- Streams of other hosts, and older ones ---------------------------------------

	-- If the policy could not be made active on a host again, its older streams go on, and dialback
	-- keys are verified over those to other servers.
	describe("a host that a reload has closed is not reached", function ()
		local server, listener, verifiers

		-- A stream from the server to a domain, over which keys can be verified.
		local function open_verifier(domain)
			inject(server, ('prosody.hosts["example.test"].events.fire_event("route/remote", { from_host = "example.test", '
				.. 'to_host = %q, stanza = require "util.stanza".message { from = "example.test", to = %q } })'):format(
				domain, domain))
			local verifier = assert(listener:accept())
			assert(verifier:answer(xmpp.starttls_feature))
			assert(verifier:proceed())
			assert(verifier:secure { mode = "server", certificate = theirs.certificate, key = theirs.key })
			assert(verifier:answer "<dialback xmlns='urn:xmpp:features:dialback'/>")
			assert(verifier:read_until "</db:result>")
			verifier:send(("<db:result from='%s' to='example.test' type='valid'/>"):format(domain))
			assert(verifier:read_until "<message[^>]*>")
			verifiers[domain] = verifier
		end

		before_each(function ()
			local tree = copied_tree()
			append(tree, "xmpp_tls_policy/service", [[
				local add_host = methods.add_host
				function methods:add_host(host)
					assert(host ~= "example.test" or not service.failing, "injected")
					return add_host(self, host)
				end]])
			listener, verifiers = xmpp.listen "s2s", {}
			server = start {
				tree = tree, broken = true,
				routes = { ["remote.test"] = { s2s = listener.port }, ["other.test"] = { s2s = listener.port } },
				hosts = { ["example.test"] = files, ["strict.test"] = { certificate = files.certificate, key = files.key } },
			}
			open_verifier "remote.test"
			open_verifier "other.test"
		end)

		after_each(function ()
			for _, verifier in pairs(verifiers) do
				verifier:close()
			end
			listener:close()
		end)

		local function close()
			inject(server, 'require "xmpp_tls_policy.service".failing = true')
			server:shell [[module:reload("xmpp_tls_policy")]]
			assert.equal("internal-server-error", (answer_of(server, "s2s", "example.test")))
		end

		-- A stream of remote.test's, without a certificate; `to`: nil for none, in the version
		-- from before XMPP 1.0, which needs no features.
		local function connect(to)
			local peer = xmpp.connect(server:target "s2s_direct_tls")
			assert(peer:secure())
			local header = xmpp.stream_header("s2s", to, "remote.test")
			peer:send(to and header or (header:gsub("(<stream:.-) version='1.0'", "%1")))
			assert(peer:read_until(to and "</stream:features>" or "<stream:stream[^>]*>"))
			return peer
		end

		-- "valid", or "refused" where the stream is ended instead.
		local function result_of_dialback(peer, domain)
			peer:send(("<db:result from='%s' to='example.test'>key</db:result>"):format(domain))
			return process.poll(process.PATIENCE, function ()
				local verify = verifiers[domain]:read_until("<db:verify[^>]*>", 0.1)
				if verify then
					verifiers[domain]:send(("<db:verify from='%s' to='example.test' id='%s' type='valid'/>"):format(domain,
						verify:match "id=['\"]([^'\"]*)"))
				end
				local answer = peer:read_until({ "<db:result [^>]*>", "<stream:error><internal%-server%-error" }, 0.1)
				return answer and (answer:match "type='(.-)'" or "refused")
			end)
		end

		it("on a stream that names no host", function ()
			close()
			local peer = connect(nil)
			assert.equal("refused", result_of_dialback(peer, "remote.test"))
			peer:close()
		end)

		it("on a stream to another host", function ()
			close()
			local peer = connect "strict.test"
			assert.equal("refused", result_of_dialback(peer, "remote.test"))
			peer:close()
		end)

		it("by a domain that is added to a stream which was accepted before", function ()
			local peer = connect "example.test"
			assert.equal("valid", result_of_dialback(peer, "remote.test"))
			close()
			assert.equal("refused", result_of_dialback(peer, "other.test"))
			peer:close()
		end)
	end)

	---- Functions that fail while the server runs ----------------------------------

	local own_failure = "Internal error of the TLS policy in (.-):"

	local authenticate = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"

	-- A stream of remote.test's, which shows a certificate.
	local function open_from_remote(server, service)
		return xmpp.open(server:target(service or "s2s"), {
			from = "remote.test", tls = { certificate = theirs.certificate, key = theirs.key },
		})
	end

	describe("a failure", function ()
		for what, case in pairs {
			["bringing a context under the policy"] = { "xmpp_tls_policy.contexts.adopted_contexts", "enforce",
				{ "c2s", "s2s" } },
			["reading the facts of a connection"] = { "xmpp_tls_policy.core", "observer.facts",
				{ "c2s", "c2s_direct_tls" } },
			["judging a stream"] = { "xmpp_tls_policy.stream.admission", "opened",
				{ "c2s", "c2s_direct_tls", "s2s", "s2s_direct_tls" } },
			["asking whether STARTTLS has to be offered alone"] = { "xmpp_tls_policy.stream.admission", "policy_of",
				{ "c2s", "s2s" } },
		} do
			it("in " .. what .. " refuses the stream, with one line in the log", function ()
				local server = start {}
				fail(server, case[1], case[2])
				for _, service in ipairs(case[3]) do
					assert.equal("internal-server-error", (answer_of(server, service)), service)
					assert.equal("internal-server-error", (answer_of(server, service)), service)
				end
				local found = lines(server, own_failure)
				for _, line in ipairs(found) do
					assert.matches("injected", line)
				end
				assert.is_true(#found >= 1 and #found <= 3, table.concat(found, "\n"))
				assert.is_nil(server:log():match "Traceback%[")
			end)
		end

		it("in reading the facts at a server's certificate check refuses its stream", function ()
			local server = start { ca = authority.certificate }
			fail(server, "xmpp_tls_policy.core", "observer.facts")
			for _, service in ipairs { "s2s", "s2s_direct_tls" } do
				local peer, reason, text = open_from_remote(server, service)
				assert.is_nil(peer)
				assert.equal("error", reason)
				assert.matches("<internal%-server%-error", text)
			end
			assert.equal("s2s-check-certificate", lines(server, own_failure)[1]:match(own_failure))
		end)

		it("when a server has authenticated leaves it unauthenticated", function ()
			local server = start { ca = authority.certificate }
			local peer, features = assert(open_from_remote(server))
			assert.matches("EXTERNAL", features)
			fail(server, "xmpp_tls_policy.stream.admission", "authenticated")
			peer:send(authenticate)
			assert.truthy(peer:read_until "<stream:error><internal%-server%-error")
			peer:close()
			assert.equal("s2s-authenticated", lines(server, own_failure)[1]:match(own_failure))
			assert.is_nil(server:log():match "s2s connection remote.test%->example.test complete")
		end)

		it("in judging an element lets nothing pass", function ()
			local server = start { options = { c2s_require_encryption = false } }
			local peer = xmpp.connect(server:target "c2s")
			assert(peer:open())
			fail(server, "xmpp_tls_policy.stream.starttls", "requires_tls")
			peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>"
			local text = assert(peer:read_all())
			peer:close()
			assert.matches("<stream:error><internal%-server%-error", text)
			assert.is_nil(text:match "<failure")
			assert.equal("elements that come in", lines(server, own_failure)[1]:match(own_failure))
		end)

		it("on streams to other servers ends them", function ()
			local listener = xmpp.listen "s2s"
			local server = start { routes = { ["remote.test"] = { s2s = listener.port } } }
			fail(server, "xmpp_tls_policy.contexts.adopted_contexts", "enforce")
			send_to_remote(server)
			local peer = assert(listener:accept())
			assert(peer:answer(xmpp.starttls_feature))
			local text = assert(peer:read_all())
			peer:close()
			listener:close()
			assert.matches("<stream:error><internal%-server%-error", text)
			assert.is_nil(text:match "<starttls")
		end)

		it("in closing a stream closes its connection, with one line for all of a minute", function ()
			local server = start {}
			inject(server, 'prosody.hosts["example.test"].events.add_handler("pre-session-close", '
				.. 'function () error "injected" end)')
			fail(server, "xmpp_tls_policy.contexts.adopted_contexts", "enforce")
			for _ = 1, 3 do
				local peer = xmpp.connect(server:target "c2s")
				peer:send(xmpp.stream_header("c2s", "example.test"))
				assert.truthy(peer:read_all())
				peer:close()
			end
			assert.equal(1, #lines(server, "A stream could not be closed, so its connection is: [^\n]*injected"))
		end)

		it("refuses nothing in report mode", function ()
			local server = start { policy = { mode = "report" } }
			fail(server, "xmpp_tls_policy.stream.admission", "opened")
			assert_served(server)
			assert.truthy(lines(server, own_failure)[1])
		end)

		-- Of a stream that breaks the policy that a reload brings.
		for _, field in ipairs { "policies_changed", "judge_again" } do
			for mode, is_ended in pairs { enforce = true, report = false } do
				it(("in %s, mode %s: the next stanza is judged all the same"):format(field, mode), function ()
					local server = start { ca = authority.certificate, policy = { mode = mode } }
					inject(server, 'prosody.hosts["example.test"].events.add_handler("message/host", function (event) '
						.. 'prosody.log("info", "delivered: " .. event.stanza.attr.id) return true end, 10)')
					local peer = assert(xmpp.open(server:target "s2s_direct_tls", { from = "remote.test", tls = {
						certificate = theirs.certificate, key = theirs.key, protocol = "tlsv1_2",
						-- In report mode Prosody's own context has no DHE.
						ciphers = is_ended and "DHE-RSA-AES256-GCM-SHA384" or "ECDHE-RSA-AES256-GCM-SHA384",
					} }))
					peer:send(authenticate)
					assert(peer:read_until "<success[^>]*>")
					assert(peer:open())
					local message = "<message from='remote.test' to='example.test' id='%s'/>"
					peer:send(message:format "before")
					server:wait_for_log "delivered: before"
					fail(server, "xmpp_tls_policy.stream.admission", field)
					server:configure { policy = { mode = mode, profile = "rfc9325" } }
					server:reload()
					assert.equal("judging streams again", lines(server, own_failure)[1]:match(own_failure))
					peer:send(message:format "after")
					if is_ended then
						assert.truthy(peer:read_until "<stream:error><policy%-violation")
						assert.is_nil(server:log():match "delivered: after")
					else
						server:wait_for_log "delivered: after"
					end
					peer:close()
				end)
			end
		end

		it("in a reload of the configuration leaves the earlier one in force, and the rest is done", function ()
			local server = start { policy = { profile = "rfc9325" } }
			local renewed = authority:issue { names = { "example.test" }, key = "p256", common_name = "renewed" }
			fail(server, "xmpp_tls_policy.policy.policies", "load")
			server:configure { policy = { level = "must" } }
			server:renew("example.test", renewed)
			server:reload()
			assert_under_policy(server)
			for _, service in ipairs(services) do
				local answer = client.openssl(server:target(service), {
					arguments = { "-tls1_2" }, from = service:find "s2s" and "remote.test" or nil,
				})
				assert.matches("renewed", answer.subject)
				local dhe = client.openssl(server:target(service), {
					arguments = { "-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384" },
					from = service:find "s2s" and "remote.test" or nil,
				})
				assert.is_false(dhe.ok)
			end
			assert.equal("loading the options", lines(server, own_failure)[1]:match(own_failure))
		end)

		it("while it is unloaded leaves contexts under the policy that could not be given back", function ()
			local server = start {}
			assert_under_policy(server)
			fail(server, "xmpp_tls_policy.contexts.adopted_contexts", "release")
			server:shell [[module:unload("xmpp_tls_policy")]]
			assert.is_true(is_under_policy(server, "c2s"))
			assert.is_true(is_under_policy(server, "c2s_direct_tls"))
			assert.matches("^giving back the contexts of ", lines(server, own_failure)[1]:match(own_failure))
			server:shell [[module:load("xmpp_tls_policy")]]
			assert_under_policy(server)
		end)

		it("in a task of each second does not end the task", function ()
			local server = start {}
			local failing = { "xmpp_tls_policy.handshakes.failed_handshakes", "collect" }
			fail(server, failing[1], failing[2])
			server:wait_for_log "in collecting failed handshakes: [^\n]*injected"
			inject(server, injection.whole(failing[1], failing[2]))
			local mark = server:mark()
			assert.is_false(client.openssl(server:target "c2s_direct_tls", {
				arguments = { "-tls1_2", "-cipher", "AES128-SHA" },
			}).ok)
			server:wait_for_log("c2s, example.test, 127.0.0.1: ", mark)
		end)
	end)

	describe("a host that is deactivated and activated again", function ()
		local function activate_again(server, host)
			for _, command in ipairs { "deactivate", "activate" } do
				local output, status = server:shell(("host:%s(%q)"):format(command, host))
				assert.equal(0, status, output)
			end
		end

		it("is under the policy, though Prosody loads few modules on a component", function ()
			local server = start {
				components = { ["chat.test"] = { module = "muc", options = {
					ssl = { certificate = files.certificate, key = files.key },
				} } },
			}
			activate_again(server, "chat.test")
			local answer = client.openssl(server:target("s2s", "chat.test"), {
				arguments = { "-ciphersuites", "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384" }, from = "remote.test",
			})
			assert.equal("TLS_AES_256_GCM_SHA384", answer.suite, answer.raw)
		end)

		it("is closed if the policy cannot be made active on it again", function ()
			local server = start {
				hosts = { ["example.test"] = files, ["strict.test"] = { certificate = files.certificate, key = files.key } },
			}
			fail(server, "xmpp_tls_policy.service", "add_host")
			activate_again(server, "strict.test")
			assert_refused(server, nil, "strict.test")
			assert_said(server, "see the error above", "strict.test")
			assert_under_policy(server)
		end)
	end)

	---- Other modules that fail before us --------------------------------------------

	describe("another module that fails", function ()
		-- Its handlers come before or behind ours, as their priority is.
		local function fail_in(server, host, event, priority)
			local events = host == "*" and "prosody.events" or ("prosody.hosts[%q].events"):format(host)
			inject(server, ("%s.add_handler(%q, function () error 'injected' end, %s)"):format(events, event, priority))
		end

		local weak = { server_name = "example.test", protocol = "tlsv1_2", ciphers = "DHE-RSA-AES256-GCM-SHA384" }

		it("where features are offered does not open a stream that is under a stricter policy", function ()
			local server = start {
				hosts = { ["example.test"] = files, ["strict.test"] = { certificate = files.certificate, key = files.key,
					options = { xmpp_tls_policy = { profile = "rfc9325" } } } },
				users = { ["juliet@strict.test"] = "secret" },
			}
			fail_in(server, "strict.test", "stream-features", 2000)
			local peer = xmpp.connect(server:target("c2s_direct_tls", "strict.test"))
			assert(peer:secure(weak))
			peer:send(xmpp.stream_header("c2s", "strict.test"))
			peer:send(("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>"):format(
				(mime.b64("\0juliet\0secret"))))
			local text = assert(peer:read_all())
			peer:close()
			assert.matches("<policy%-violation.*key.dhe", text)
			assert.is_nil(text:match "<success")
		end)

		it("where STARTTLS is offered does not lead to TLS that is not under the policy", function ()
			local server = start {}
			fail_in(server, "example.test", "stream-features", -500)
			local peer = xmpp.connect(server:target "c2s")
			peer:send(xmpp.stream_header("c2s", "example.test"))
			assert(peer:read_until "<stream:stream[^>]*>")
			assert(peer:request_tls())
			assert.is_falsy((peer:secure { protocol = "tlsv1_2", ciphers = "AES128-SHA" }))
			peer:close()
		end)

		it("where features are offered without TLS lets nothing pass but STARTTLS", function ()
			local server = start { options = { c2s_require_encryption = false } }
			fail_in(server, "example.test", "stream-features", 2000)
			local peer = xmpp.connect(server:target "c2s")
			peer:send(xmpp.stream_header("c2s", "example.test"))
			peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>"
			assert.truthy(peer:read_until "<stream:error><policy%-violation")
			peer:close()
		end)

		-- Before the certificate was looked at at all; and where that it names the server is
		-- what mod_s2s_auth_certs says, and not yet what we say.
		for when, priority in pairs { ["before us"] = 1000, ["after mod_s2s_auth_certs"] = 508.5 } do
			describe("where a certificate is checked, " .. when, function ()
				local common_name

				setup(function ()
					common_name = authority:issue { names = {}, common_name = "remote.test", key = "p256" }
				end)

				it("does not let a server in without the rest of it", function ()
					local server = start { ca = authority.certificate, policy = { unauthenticated_s2s = "refuse" } }
					fail_in(server, "*", "s2s-check-certificate", priority)
					local peer = xmpp.connect(server:target "s2s_direct_tls", { from = "remote.test" })
					assert(peer:secure { certificate = common_name.certificate, key = common_name.key })
					peer:send(xmpp.stream_header("s2s", "example.test", "remote.test"))
					peer:send "<db:result from='remote.test' to='example.test'>key</db:result>"
					local text = assert(peer:read_all())
					peer:close()
					assert.matches("<stream:error>", text)
					assert.is_nil(text:match "<db:")
				end)

				it("does not send a server anything without the rest of it", function ()
					local listener = xmpp.listen "s2s"
					local server = start {
						ca = authority.certificate, policy = { unauthenticated_s2s = "refuse" },
						routes = { ["remote.test"] = { s2s = listener.port } },
					}
					fail_in(server, "*", "s2s-check-certificate", priority)
					send_to_remote(server)
					local peer = assert(listener:accept())
					assert(peer:answer(xmpp.starttls_feature))
					assert(peer:proceed())
					assert(peer:secure { mode = "server", certificate = common_name.certificate, key = common_name.key })
					assert(peer:answer "<dialback xmlns='urn:xmpp:features:dialback'/>")
					local text = assert(peer:read_all())
					peer:close()
					listener:close()
					assert.matches("<policy%-violation", text)
					assert.is_nil(text:match "<db:")
				end)
			end)
		end

		it("when modules are loaded leaves no component that is open and without the policy", function ()
			local server = start {
				components = { ["chat.test"] = { module = "muc", options = {
					ssl = { certificate = files.certificate, key = files.key },
				} } },
			}
			assert.equal("features", (answer_of(server, "s2s", "chat.test")))
			server:shell [[module:unload("xmpp_tls_policy")]]
			fail_in(server, "*", "module-loaded", 1000)
			server:shell [[module:load("xmpp_tls_policy")]]
			assert.equal("internal-server-error", (answer_of(server, "s2s", "chat.test")))
			assert_said(server, "see the error above", "chat.test")
			-- Which a reload of the configuration mends.
			server:reload()
			assert.equal("features", (answer_of(server, "s2s", "chat.test")))
			assert_under_policy(server)
		end)

		it("when a component is activated again leaves it closed until the next reload", function ()
			local server = start {
				components = { ["chat.test"] = { module = "muc", options = {
					ssl = { certificate = files.certificate, key = files.key },
				} } },
			}
			-- After Prosody has loaded modules (0), before ours is loaded on components (-1).
			fail_in(server, "*", "host-activated", -0.5)
			server:shell [[host:deactivate("chat.test")]]
			server:shell [[host:activate("chat.test")]]
			assert.equal("internal-server-error", (answer_of(server, "s2s", "chat.test")))
			assert_said(server, "see the error above", "chat.test")
			server:reload()
			assert.equal("features", (answer_of(server, "s2s", "chat.test")))
		end)

		it("when the configuration is reloaded leaves no host open on which the module is enabled now", function ()
			local own = { certificate = files.certificate, key = files.key }
			local disabled = { certificate = files.certificate, key = files.key,
				options = { modules_disabled = { "xmpp_tls_policy" } } }
			local server = start { hosts = { ["example.test"] = files, ["strict.test"] = disabled } }
			assert_served(server, "strict.test")
			fail_in(server, "*", "config-reloaded", 1000)
			server:configure { hosts = { ["example.test"] = files, ["strict.test"] = own } }
			server:shell "config:reload()"
			assert_refused(server, nil, "strict.test")
			assert_said(server, ".", "strict.test")
		end)

		it("when a server has authenticated leaves it unauthenticated", function ()
			local server = start { ca = authority.certificate }
			local peer = assert(open_from_remote(server))
			fail_in(server, "example.test", "s2s-authenticated", 1000)
			peer:send(authenticate)
			assert(peer:read_until "<success[^>]*>")
			server:wait_for_log "Traceback%[s2s%]: [^\n]*injected"
			peer:close()
			assert.is_nil(server:log():match "s2s connection remote.test%->example.test complete")
		end)

		it("where contexts were made anew leaves no stream on them that the policy has not seen", function ()
			local server = start {}
			fail_in(server, "*", "config-reloaded", -1.5)
			server:shell "config:reload()"
			server:wait_for_log "Reloading configuration file"
			local condition, text = answer_of(server, "c2s_direct_tls")
			if condition ~= "features" then
				assert.equal("internal-server-error", condition, text)
			end
			assert_under_policy(server)
		end)
	end)
end)
