-- The plugin in a live server: options, reloads, renewals, loading and unloading.
local client = require "support.client"
local client_hello = require "support.client_hello"
local configuration = require "support.configuration"
local core = require "xmpp_tls_policy.core"
local free_ports = require "support.free_ports"
local offers = require "support.offers"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local socket = require "socket"
local versions = require "support.versions"
local xmpp = require "support.xmpp"

describe("the plugin", function ()
	local servers = prosody.group()
	local authority, files

	setup(function ()
		authority = pki.authority()
		files = authority:issue { names = { "example.test", "other.test" }, key = "rsa2048" }
	end)

	after_each(servers.stop)

	teardown(function ()
		pki.remove()
	end)

	local function start(spec)
		spec.hosts = spec.hosts or { ["example.test"] = files }
		spec.with_policy = spec.with_policy ~= false
		return servers.start(spec)
	end

	local function negotiates(server, service, arguments, domain, more)
		local options = { arguments = arguments, from = service:find "s2s" and "remote.test" or nil }
		for name, value in pairs(more or {}) do
			options[name] = value
		end
		return client.openssl(server:target(service, domain), options)
	end

	local dhe = { "-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384" }
	local prefers_128 = { "-ciphersuites", "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384" }

	-- Stock Prosody follows the client's order of suites. The draft's policy has DHE; that of RFC 9325
	-- does not.
	local function policy_of(server, service, domain)
		local suite = negotiates(server, service, prefers_128, domain).suite
		if suite == "TLS_AES_128_GCM_SHA256" then
			return "stock"
		end
		assert.equal("TLS_AES_256_GCM_SHA384", suite)
		return negotiates(server, service, dhe, domain).ok and "draft" or "rfc9325"
	end

	local function assert_policy(expected, server, domain)
		for _, service in ipairs { "c2s", "c2s_direct_tls", "s2s", "s2s_direct_tls" } do
			assert.equal(expected, policy_of(server, service, domain), service)
		end
	end

	describe("with options", function ()
		it("uses profile and level for all hosts", function ()
			local server = start { policy = { profile = "rfc9325", level = "should" } }
			assert_policy("rfc9325", server)
			assert.truthy(server:wait_for_log "all hosts: rfc9325, level should")
		end)

		it("uses the options of a VirtualHost before those for all hosts", function ()
			local server = start {
				hosts = {
					["example.test"] = files,
					["other.test"] = { certificate = files.certificate, key = files.key,
						options = { xmpp_tls_policy = { profile = "rfc9325" } } },
				},
				domain = "example.test",
			}
			assert_policy("draft", server, "example.test")
			assert_policy("rfc9325", server, "other.test")
		end)

		it("logs every mistake in them at the start, and runs with the defaults instead", function ()
			local server = start {
				policy = { profile = "draft", levle = "must" }, options = { xmpp_tls_polcy = { mode = "report" } },
			}
			server:wait_for_log 'warn\tconfiguration: "xmpp_tls_polcy" is no option[^\n]*did you mean "xmpp_tls_policy"'
			assert_policy("draft", server)
			server:wait_for_log "error\t[^\n]*xmpp_tls_policy.levle [^\n]*did you mean \"?level"
			server:wait_for_log "error\t[^\n]*xmpp_tls_policy.profile is \"draft\"[^\n]*draft%-saintandre%-xmpp%-tls%-02"
			server:wait_for_log("all hosts: because of the errors above, the policy is "
				.. "draft%-saintandre%-xmpp%-tls%-02, level should")
		end)

		it("stays in report mode with mistakes elsewhere", function ()
			local server = start { policy = { mode = "report", levle = "must", unauthenticated_s2s = "refuse" } }
			assert.equal("stock", policy_of(server, "c2s"))
			server:wait_for_log 'xmpp_tls_policy.levle is no option[^\n]*; in force: level = "should"'
		end)

		it("gives a host at least the valid ones", function ()
			for _, case in ipairs {
				{ all = { profle = "rfc7590" }, own = { profile = "rfc9325" } },
				{ all = "nonsense", own = { profile = "rfc9325" } },
				{ all = { profile = "rfc9325" }, own = { levle = "must" } },
			} do
				local server = start {
					hosts = { ["example.test"] = { certificate = files.certificate, key = files.key,
						options = { xmpp_tls_policy = case.own } } },
					policy = case.all,
				}
				assert.equal("rfc9325", policy_of(server, "c2s"))
			end
		end)

		for what, value in pairs { text = "should", ["a number"] = 1, ["true"] = true, ["a list"] = { "should" } } do
			it("runs with the defaults when they are " .. what, function ()
				local server = start { policy = value }
				assert.equal("draft", policy_of(server, "c2s"))
				server:wait_for_log "error\t[^\n]*xmpp_tls_policy"
			end)
		end

		it("keeps the policy if a reload of the configuration brings invalid ones", function ()
			local server = start { policy = { profile = "rfc9325" } }
			server:configure { policy = { profile = "rfc9235" } }
			server:reload()
			assert_policy("rfc9325", server)
			server:wait_for_log "xmpp_tls_policy.profile is \"rfc9235\"[^\n]*did you mean \"rfc9325\""
			server:wait_for_log "because of the errors above, the policy is rfc9325, level should"
		end)

		it("keeps the policy if the module is reloaded with invalid ones", function ()
			local server = start { policy = { profile = "rfc9325" } }
			server:configure { policy = { profile = "rfc9235" } }
			server:reload()
			server:shell [[module:reload("xmpp_tls_policy")]]
			assert_policy("rfc9325", server)
		end)

		it("accepts at level must what SHOULD NOT be negotiated, if the server allows it", function ()
			local server = start {
				-- doc/options.md has these options.
				policy = { level = "must" }, options = { ssl = { protocol = "tlsv1+", ciphers = "HIGH:!aNULL:@SECLEVEL=0" } },
			}
			local tls10 = negotiates(server, "c2s", { "-tls1", "-cipher", "ALL:@SECLEVEL=0" })
			assert.is_true(tls10.ok, tls10.raw)
			assert.equal("TLSv1", tls10.version)
			assert.matches("<mechanisms", tls10.stream)
			local static = negotiates(server, "c2s", { "-tls1_2", "-cipher", "AES128-SHA" })
			assert.equal("TLS_RSA_WITH_AES_128_CBC_SHA", static.suite)
			local refused = { "null", "rc4", "3des", "export", "anonymous", "sslv3" }
			for _, offer in ipairs(refused) do
				assert.equal("alert", client_hello.send(server:target "c2s", offers[offer]).kind, offer)
			end
			server:shell [[module:unload("xmpp_tls_policy")]]
			for _, offer in ipairs(refused) do
				assert.equal("alert", client_hello.send(server:target "c2s", offers[offer]).kind, offer)
			end
		end)

		it("loses only the version for which the operator's list has nothing, and the log says so", function ()
			local server = start { options = { ssl = { ciphers = "ECDHE-RSA-AES256-SHA384:AES256-SHA" } } }
			for _, service in ipairs { "c2s", "c2s_direct_tls" } do
				assert.equal("TLSv1.3", negotiates(server, service, {}).version)
				assert.is_false(negotiates(server, service, { "-tls1_2", "-cipher", "ALL:@SECLEVEL=0" }).ok)
			end
			server:wait_for_log("warn\t[^\n]*c2s[^\n]*: without TLS 1.2: no cipher suite of TLS 1.2 or older is left")
			assert.matches("Overridden: [^\n]*without TLS 1.2", (server:shell [[tlspolicy:status("width=1000")]]))
		end)
	end)

	describe("beside the operator's own ssl", function ()
		it("uses those of its ciphers that the policy allows", function ()
			local server = start {
				options = { ssl = { ciphers = { "ECDHE-RSA-AES128-GCM-SHA256", "AES128-SHA" } } },
			}
			for _, service in ipairs { "c2s", "c2s_direct_tls" } do
				assert.equal("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", negotiates(server, service, { "-tls1_2" }).suite)
				assert.is_false(negotiates(server, service, { "-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384" }).ok)
				assert.is_false(negotiates(server, service, { "-tls1_2", "-cipher", "AES128-SHA" }).ok)
			end
		end)

		local his = { ciphers = { "ECDHE-RSA-AES128-GCM-SHA256", "AES128-SHA" } }

		local function assert_his(server)
			local strong = { "-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384" }
			assert.equal("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", negotiates(server, "c2s_direct_tls", { "-tls1_2" }).suite)
			assert.is_false(negotiates(server, "c2s_direct_tls", strong).ok)
			assert.is_true(negotiates(server, "c2s", strong).ok)
		end

		it("uses those ciphers of a listener that the policy allows", function ()
			assert_his(start { options = { c2s_direct_tls_ssl = his } })
		end)

		it("uses those ciphers of a port of a listener that the policy allows", function ()
			if versions.prosody_from(13) then
				pending("Prosody " .. versions.prosody() .. " itself cannot read a port's own ssl: its util.sslconfig takes "
					.. "the port's number for a name, and the listener does not start")
			end
			local server = start {}
			server:configure { options = { c2s_direct_tls_ssl = { [server.ports.c2s_direct_tls] = his } } }
			server:reload()
			server:shell [[module:reload("c2s")]]
			assert_his(server)
		end)

		it("uses those ciphers of the parent domain that the policy allows", function ()
			local server = start {
				hosts = {
					["example.test"] = { certificate = files.certificate, key = files.key,
						options = { ssl = { ciphers = "ECDHE-RSA-AES128-GCM-SHA256" } } },
					["sub.example.test"] = { certificate = files.certificate, key = files.key },
				},
				domain = "example.test",
			}
			local answer = negotiates(server, "c2s", { "-tls1_2" }, "sub.example.test")
			assert.equal("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", answer.suite)
		end)

		it("uses its versions if they are stricter", function ()
			local server = start { options = { ssl = { protocol = "tlsv1_3" } } }
			for _, service in ipairs { "c2s", "c2s_direct_tls", "s2s" } do
				assert.is_false(negotiates(server, service, { "-tls1_2" }).ok)
				assert.is_true(negotiates(server, service, {}).ok)
			end
		end)

		it("uses its options for a single role", function ()
			local server = start { options = { c2s_ssl = { curveslist = { "P-384" } } } }
			assert.matches("secp384r1", negotiates(server, "c2s", {}).group)
			assert.equal(versions.has_group "X25519MLKEM768" and "X25519MLKEM768" or "X25519",
				negotiates(server, "s2s", {}).group)
		end)

		it("keeps its Diffie-Hellman parameters if they are long enough", function ()
			local parameters = pki.path ".pem"
			for bits, expected in pairs { [1024] = 2048, [3072] = 3072 } do
				pki.run { "openssl", "dhparam", "-dsaparam", "-out", parameters, tostring(bits) }
				local server = start { options = { ssl = { dhparam = parameters, ciphers = "ALL:@SECLEVEL=0" } } }
				assert.equal(expected, negotiates(server, "c2s", dhe).group_bits)
				if bits < 2048 then
					server:wait_for_log "warn\t[^\n]*DH parameters of 1024 bits in ssl were replaced"
				end
			end
		end)
	end)

	describe("at a reload", function ()
		it("applies to the new contexts of the server", function ()
			local server = start {}
			for _ = 1, 3 do
				server:reload()
				assert_policy("draft", server)
			end
		end)

		it("applies a changed policy to new and old contexts", function ()
			local server = start {}
			assert_policy("draft", server)
			server:configure { policy = { profile = "rfc9325" } }
			server:reload()
			assert_policy("rfc9325", server)
			server:configure { policy = { level = "must" } }
			server:reload()
			assert_policy("draft", server)
		end)

		it("applies to a renewed certificate, which is shown", function ()
			local server = start {}
			local renewed = authority:issue { names = { "example.test" }, key = "p256", common_name = "renewed" }
			server:renew("example.test", renewed)
			server:reload()
			for _, service in ipairs { "c2s", "c2s_direct_tls" } do
				local answer = negotiates(server, service, prefers_128)
				assert.matches("renewed", answer.subject)
				assert.equal("TLS_AES_256_GCM_SHA384", answer.suite)
				assert.equal(1, answer.tickets)
			end
		end)

		-- LuaSec does not keep the context of the name alive itself.
		it("keeps the old context until the handshakes that use it are over", function ()
			local server = start {}
			local function evaluate(code)
				return (server:shell("> " .. code:gsub("%s+", " "))):match "Result: ([^\n]*)"
			end
			assert.truthy(evaluate [[
				local watched = setmetatable({}, { __mode = "v" })
				for _, found in ipairs(require "xmpp_tls_policy.servers.prosody.contexts".direct_tls_contexts()) do
					if found.service == "c2s_direct_tls" then watched[1] = found.names["example.test"] end
				end
				rawset(_G, "watched", watched)
				return tostring(assert(watched[1]))
			]])
			local function is_there()
				return evaluate [[collectgarbage() return tostring(rawget(_G, "watched")[1] ~= nil)]]
			end
			local peer = xmpp.connect(server:target "c2s_direct_tls")
			local tls = assert(core.connection.new(assert(core.context.new { role = "client", verify = "none" }),
				{ server_name = "example.test" }))
			tls:handshake()
			peer:send(tls:take())
			local answer = assert(peer:receive(socket.gettime() + process.PATIENCE))
			server:renew("example.test", authority:issue { names = { "example.test" }, key = "p256" })
			server:reload()
			assert.equal("true", is_there())
			assert(tls:feed(answer))
			while not tls:handshake() do
				assert(tls:feed((assert(peer:receive(socket.gettime() + process.PATIENCE)))))
			end
			peer:send(tls:take())
			assert(tls:write(xmpp.stream_header("c2s", "example.test")))
			peer:send(tls:take())
			local text = ""
			repeat
				assert(tls:feed((assert(peer:receive(socket.gettime() + process.PATIENCE)))))
				text = text .. (tls:read() or "")
			until text:find("</stream:features>", 1, true)
			peer:close()
			server:reload()
			assert.equal("false", is_there())
		end)

		it("logs an unusable certificate and goes on serving other hosts", function ()
			local server = start {
				hosts = {
					["example.test"] = files,
					["other.test"] = { certificate = files.certificate, key = files.key },
				},
				domain = "example.test",
			}
			for _, broken in pairs(pki.broken(files)) do
				server:renew("other.test", { certificate = broken, key = files.key })
				server:reload()
				assert.equal("draft", policy_of(server, "c2s", "example.test"))
				assert.is_true(server:alive())
			end
		end)
	end)

	describe("when it is loaded and unloaded", function ()
		it("undoes its changes, and applies them again", function ()
			local server = start {}
			assert_policy("draft", server)
			server:shell [[module:unload("xmpp_tls_policy")]]
			assert_policy("stock", server)
			assert.is_false(negotiates(server, "c2s_direct_tls", {}, nil, { server_name = "elsewhere.test" }).ok)
			server:shell [[module:load("xmpp_tls_policy")]]
			assert_policy("draft", server)
		end)

		it("leaves nothing of the module of before in memory after a reload", function ()
			local server = start {}
			assert_policy("draft", server)
			server:shell('> package.loaded.test_before = setmetatable({ require "core.modulemanager".get_module("*", '
				.. '"xmpp_tls_policy").module }, { __mode = "v" })')
			assert.matches("Result: true", (server:shell "> package.loaded.test_before[1] ~= nil"))
			server:shell [[module:reload("xmpp_tls_policy")]]
			server:shell "> collectgarbage()"
			server:shell "> collectgarbage()"
			assert.matches("Result: true", (server:shell "> package.loaded.test_before[1] == nil"))
		end)

		local function start_two()
			return start {
				hosts = { ["example.test"] = files, ["other.test"] = { certificate = files.certificate, key = files.key } },
				domain = "example.test",
			}
		end

		it("stays in force on the hosts that module:unload does not name", function ()
			for _, named in ipairs { "example.test", "other.test" } do
				local rest = named == "example.test" and "other.test" or "example.test"
				local server = start_two()
				local mark = server:mark()
				server:shell(('module:unload("xmpp_tls_policy", %q)'):format(named))
				server:wait_for_log('warn\tmodule:unload%("xmpp_tls_policy", host%) unloads from all hosts: the module was loaded '
					.. "again on " .. rest, mark)
				for _ = 1, 2 do
					assert.equal("draft", policy_of(server, "c2s", rest))
					assert.equal("draft", policy_of(server, "s2s", rest))
					assert.equal("stock", policy_of(server, "c2s", named))
					server:reload()
				end
				server:shell [[module:unload("xmpp_tls_policy")]]
				assert.equal("stock", policy_of(server, "c2s", rest))
				assert.is_nil(server:log(mark):match "Refusing all[^\n]*")
				servers.stop()
			end
		end)

		it("stays in force if it is taken out of the configuration, and says how to end that", function ()
			local server = start_two()
			server:configure { with_policy = false }
			local mark = server:mark()
			server:reload()
			local line = server:wait_for_log("warn\tmodules_enabled does not list xmpp_tls_policy for example.test, other.test "
				.. "any more, and the policy stays in force there [^\n]*", mark)
			assert.equal("draft", policy_of(server, "c2s", "other.test"))
			server:shell(line:match "module:unload.*$")
			assert.equal("stock", policy_of(server, "c2s", "example.test"))
			assert.equal("stock", policy_of(server, "c2s", "other.test"))
		end)

		it("stays in force on a host for which it is disabled, and says how to end that", function ()
			local server = start_two()
			server:configure { hosts = { ["example.test"] = files, ["other.test"] = {
				certificate = files.certificate, key = files.key, options = { modules_disabled = { "xmpp_tls_policy" } },
			} } }
			local mark = server:mark()
			server:reload()
			local line = server:wait_for_log("warn\tmodules_enabled does not list xmpp_tls_policy for other.test [^\n]*", mark)
			assert.equal("draft", policy_of(server, "c2s", "other.test"))
			server:shell(line:match "module:unload.*$")
			assert.equal("draft", policy_of(server, "c2s", "example.test"))
			assert.equal("stock", policy_of(server, "c2s", "other.test"))
		end)

		it("enforces the policy all through a reload of the module", function ()
			local server = start { policy = { profile = "rfc9325" } }
			assert_policy("rfc9325", server)
			server:shell [[module:reload("xmpp_tls_policy")]]
			assert_policy("rfc9325", server)
			assert.is_nil(server:log():match "mod_xmpp_tls_policy\terror")
		end)

		it("applies to contexts that mod_tls and the listeners make later", function ()
			local server = start {}
			server:shell [[module:reload("tls")]]
			assert_policy("draft", server)
			server:shell [[module:unload("c2s")]]
			server:shell [[module:load("c2s")]]
			assert_policy("draft", server)
		end)

		it("can be loaded into a running server", function ()
			local server = start { with_policy = false, options = { installer_plugin_path = configuration.tree } }
			assert_policy("stock", server)
			server:shell [[module:load("xmpp_tls_policy")]]
			assert_policy("draft", server)
		end)
	end)

	-- support.direct
	it("applies to other ports that speak XMPP over direct TLS", function ()
		local ports = free_ports(2)
		start {
			modules = { "net_multiplex" },
			options = { legacy_ssl_ports = { ports[1] }, ssl_ports = { ports[2] }, ports = {},
				legacy_ssl_ssl = { certificate = files.certificate, key = files.key },
				ssl_ssl = { certificate = files.certificate, key = files.key } },
		}
		for _, port in ipairs(ports) do
			local target = { port = port, kind = "c2s", direct_tls = true, domain = "example.test" }
			local answer = client.openssl(target, { arguments = dhe })
			assert.is_true(answer.ok, answer.raw)
			assert.equal(2048, answer.group_bits)
			assert.matches("<stream:features", answer.stream)
		end
	end)

	it("uses the operator's ciphers on such a port, too", function ()
		local port = free_ports(1)[1]
		start {
			modules = { "net_multiplex" },
			options = { ssl_ports = { port }, ports = {}, ssl_ssl = { certificate = files.certificate, key = files.key,
				ciphers = "ECDHE-RSA-AES128-GCM-SHA256" } },
		}
		local target = { port = port, kind = "c2s", direct_tls = true, domain = "example.test" }
		local answer = client.openssl(target, { arguments = { "-tls1_2" }, server_name = false })
		assert.equal("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", answer.suite)
	end)

	-- rfc6066.3.name-without-case
	it("finds the host of a server name in capitals", function ()
		local other = authority:issue { names = { "other.test" }, key = "p256", key_name = "other" }
		local server = start { hosts = { ["example.test"] = files, ["other.test"] = other }, domain = "example.test" }
		local answer = negotiates(server, "c2s_direct_tls", {}, "other.test", { server_name = "OTHER.test" })
		assert.matches("other.test", answer.subject)
	end)

	it("leaves hosts alone if it is disabled or unloaded there", function ()
		local server = start {
			hosts = {
				["example.test"] = files,
				["other.test"] = { certificate = files.certificate, key = files.key,
					options = { modules_disabled = { "xmpp_tls_policy" } } },
			},
			components = { ["chat.test"] = { module = "muc", options = {
				modules_disabled = { "xmpp_tls_policy" }, ssl = { certificate = files.certificate, key = files.key },
			} } },
			domain = "example.test",
		}
		assert.equal("draft", policy_of(server, "c2s", "example.test"))
		assert.equal("stock", policy_of(server, "c2s", "other.test"))
		assert.equal("stock", policy_of(server, "s2s", "chat.test"))
		server = start {
			hosts = { ["example.test"] = files, ["other.test"] = { certificate = files.certificate, key = files.key } },
			domain = "example.test",
		}
		assert.equal("draft", policy_of(server, "c2s", "other.test"))
		server:shell [[> return require "core.modulemanager".unload("other.test", "xmpp_tls_policy")]]
		assert.equal("stock", policy_of(server, "c2s", "other.test"))
		assert.equal("draft", policy_of(server, "c2s", "example.test"))
		-- It was the last host.
		server:shell [[module:unload("xmpp_tls_policy", "example.test")]]
		for _, host in ipairs { "example.test", "other.test" } do
			assert.equal("stock", policy_of(server, "c2s", host))
		end
		server:shell [[module:load("xmpp_tls_policy")]]
		server:configure { policy = { profile = "rfc9325" } }
		server:reload()
		for _, host in ipairs { "example.test", "other.test" } do
			assert.equal("rfc9325", policy_of(server, "c2s", host))
		end
		server:shell [[module:reload("xmpp_tls_policy")]]
		server:configure { policy = {} }
		server:reload()
		for _, host in ipairs { "example.test", "other.test" } do
			assert.equal("draft", policy_of(server, "c2s", host))
		end
	end)

	it("leaves XMPP over WebSocket alone", function ()
		local server = start { modules = { "websocket" }, http = true, options = { c2s_require_encryption = false } }
		local peer = xmpp.connect { port = server.ports.https, kind = "c2s", direct_tls = true, domain = "example.test" }
		assert(peer:secure())
		peer:send("GET /xmpp-websocket HTTP/1.1\r\nHost: example.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
			.. "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: xmpp\r\n"
			.. "Sec-WebSocket-Version: 13\r\n\r\n")
		assert.matches("101 Switching", (assert(peer:read_until "\r\n\r\n")))
		local open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.test' version='1.0'/>"
		peer:send("\129" .. string.char(128 + #open) .. "\0\0\0\0" .. open) -- a text frame, masked with zeros
		local text = assert(peer:read_until { "</stream:features>", "<close", "<stream:error" })
		peer:close()
		assert.matches("<stream:features", text)
	end)

	it("leaves HTTPS, and XMPP over it, alone", function ()
		local server = start { modules = { "bosh" }, http = true, options = { c2s_require_encryption = false } }
		local https = { port = server.ports.https, kind = "c2s", direct_tls = true, domain = "example.test" }
		local answer = client.openssl(https, { stream = false, arguments = prefers_128 })
		assert.equal("TLS_AES_128_GCM_SHA256", answer.suite)

		local peer = xmpp.connect(https)
		assert(peer:secure())
		peer:close()
		for _, version in ipairs { "ver='1.6' ", "" } do
			local body = "<body content='text/xml' hold='1' rid='1' to='example.test' wait='5' xml:lang='en' " .. version
				.. "xmpp:version='1.0' xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'/>"
			peer = xmpp.connect(https)
			assert(peer:secure())
			peer:send(("POST /http-bind HTTP/1.1\r\nHost: example.test\r\nContent-Length: %d\r\n\r\n%s")
				:format(#body, body))
			local text = assert(peer:read_until "</body>")
			peer:close()
			assert.matches("<stream:features", text)
		end
	end)

	describe("with bad input", function ()
		for _, service in ipairs { "c2s", "c2s_direct_tls", "s2s" } do
			it("goes on serving on " .. service, function ()
				local server = start {}
				local target = server:target(service)
				local options = { from = service == "s2s" and "remote.test" or nil }
				local hello = client_hello.build(offers.tls12)
				for _, bytes in ipairs { ("\0\255"):rep(2000), "GET / HTTP/1.1\r\n\r\n", "\22\3\1\255\255" .. ("x"):rep(70000) } do
					local answer = client_hello.send(target, bytes, options)
					assert.is_true(answer.kind == "alert" or answer.kind == "closed" or answer.kind == "other", answer.kind)
				end
				for length = 1, #hello, 20 do
					client_hello.abandon(target, hello:sub(1, length), options)
				end
				assert.is_true(negotiates(server, service, {}).ok)
				assert.is_nil(server:log():match "Traceback")
			end)
		end
	end)
end)
