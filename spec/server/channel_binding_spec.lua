-- Channel bindings on a live server, which resumes sessions only with us.
local core = require "xmpp_tls_policy.core"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local scram = require "support.scram"
local xmpp = require "support.xmpp"

describe("a login with SCRAM-SHA-1-PLUS and tls-unique", function ()
	local servers = prosody.group()
	local files, context

	setup(function ()
		files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
		context = assert(core.context.new { role = "client", verify = "none" })
		assert(context:apply { maximum_version = "TLSv1.2" })
	end)

	after_each(servers.stop)

	teardown(function ()
		pki.remove()
	end)

	local function start(options)
		return servers.start {
			hosts = { ["example.test"] = files }, users = { ["juliet@example.test"] = "wherefore" }, with_policy = true,
			options = options,
		}
	end

	-- Returns the peer, on an encrypted stream, and the session for the next connection.
	local function connect(server, service, session)
		local peer, features = assert(xmpp.open(server:target(service), { tls = { context = context, session = session } }))
		assert.equal(session ~= nil, peer:tls_info().resumed)
		assert.matches("<mechanism>SCRAM%-SHA%-1%-PLUS</mechanism>", features)
		return peer, peer.socket:session()
	end

	-- Logs in with our core's value of tls-unique, or with another one.
	local function login(peer, value)
		local accepted, answer = scram.login(peer, "juliet", "wherefore", {
			name = "tls-unique", value = value or assert(peer.socket.connection:channel_binding "tls-unique"),
		})
		peer:close()
		return accepted, answer
	end

	for _, service in ipairs { "c2s", "c2s_direct_tls" } do
		for _, backend in ipairs { "epoll", "select", "event" } do
			it(("rfc5929.3.1.first-finished: succeeds on new and resumed connections: %s, %s"):format(service, backend),
				function ()
					local server = start { network_backend = backend }
					local peer, session = connect(server, service)
					assert.is_true(login(peer))
					for _ = 1, 2 do
						assert.is_true(login((connect(server, service, session))))
					end
				end)
		end

		it("fails with another value, on new and resumed connections: " .. service, function ()
			local server = start()
			local peer, session = connect(server, service)
			assert.is_false(login(peer, ("\0"):rep(12)))
			local accepted, answer = login(connect(server, service, session), ("\0"):rep(12))
			assert.is_false(accepted)
			assert.matches("Invalid channel binding value", answer)
		end)
	end

	it("succeeds after the module was reloaded, and after another one failed", function ()
		local server = start()
		local peer, session = connect(server, "c2s")
		assert.is_true(login(peer))
		server:shell [[module:reload("xmpp_tls_policy")]]
		assert.is_true(login((connect(server, "c2s", session))))
		assert.is_false(login(connect(server, "c2s", session), "other"))
		assert.is_true(login((connect(server, "c2s", session))))
	end)

	it("leaves LuaSec as it was when the module is unloaded", function ()
		local server = start()
		local function language_of_method()
			return (server:shell [[> debug.getinfo(debug.getregistry()["SSL:Connection"].__index.getpeerfinished).what]])
		end
		assert.matches("Result: Lua", language_of_method())
		server:shell [[module:unload("xmpp_tls_policy")]]
		server:wait_for_log "mod_xmpp_tls_policy is unloaded"
		assert.matches("Result: C", language_of_method())
	end)

	-- GnuTLS computes its own tls-unique.
	it("rfc5929.3.1.first-finished: succeeds with GnuTLS's value, on new and resumed connections", function ()
		local server = start()
		for _, resumes in ipairs { false, true } do
			local client = process.spawn {
				"gnutls-cli", "--verbose", "--insecure", resumes and "--resume" or "--no-ca-verification",
				"--port=" .. server.ports.c2s_direct_tls, "--sni-hostname=example.test",
				"--priority=NORMAL:-VERS-ALL:+VERS-TLS1.2", "127.0.0.1",
			}
			assert(client:wait_for(resumes and "This is a resumed session.-Simple Client Mode" or "Simple Client Mode"))
			local position = #client:output()
			local value = client:output():match ".*tls%-unique': (%x+)"
			assert.is_string(value, client:output())
			local peer = {}
			function peer.send(_, text)
				client:write(text .. "\n")
			end
			function peer.read_until(_, patterns)
				local found
				process.poll(30, function ()
					local output = client:output()
					for _, pattern in ipairs(patterns) do
						local _, last = output:find(pattern, position)
						found = found or last
					end
					return found
				end)
				assert(found, client:output())
				local text = client:output():sub(position, found)
				position = found + 1
				return text
			end
			peer:send(xmpp.stream_header("c2s", "example.test"))
			peer:read_until { "</stream:features>" }
			local accepted, answer = scram.login(peer, "juliet", "wherefore", {
				name = "tls-unique", value = value:gsub("%x%x", function (pair) return string.char(tonumber(pair, 16)) end),
			})
			client:close()
			assert.is_true(accepted, answer)
		end
	end)
end)
