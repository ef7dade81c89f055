-- Channel bindings on a live server, which resumes sessions only with us.
local core = require "xmpp_tls_policy.core"
local mime = require "mime"
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
				process.poll(process.PATIENCE, function ()
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

-- Every type that fits the version is offered, announced (XEP-0440) and right.
describe("channel binding", function ()
	local servers = prosody.group()
	local authority, files

	setup(function ()
		authority, files = pki.authority(), {}
		for _, key in ipairs { "rsa2048", "p256" } do
			files[key] = authority:issue { names = { "example.test" }, key = key }
		end
	end)

	after_each(servers.stop)
	teardown(pki.remove)

	local types = {
		["TLSv1.2"] = { "tls-exporter", "tls-server-end-point", "tls-unique" },
		["TLSv1.3"] = { "tls-exporter", "tls-server-end-point" },
	}

	local function start(key, policy, options, modules)
		return servers.start {
			hosts = { ["example.test"] = files[key] }, users = { ["juliet@example.test"] = "wherefore" },
			with_policy = true, policy = policy, options = options, modules = modules,
		}
	end

	local function context_of(version)
		local context = assert(core.context.new { role = "client", verify = "none" })
		assert(context:apply { minimum_version = version, maximum_version = version })
		return context
	end

	-- Returns the peer and its features.
	local function connect(server, service, context, session)
		local peer, features = assert(xmpp.open(server:target(service), { tls = { context = context, session = session } }))
		assert.equal(session ~= nil, peer:tls_info().resumed)
		return peer, features
	end

	local function announced(features)
		local list = {}
		for name in features:gmatch "<channel%-binding type='([^']*)'" do
			list[#list + 1] = name
		end
		table.sort(list)
		return list
	end

	local function login(peer, name, value, password)
		return scram.login(peer, "juliet", password or "wherefore", {
			name = name, value = value or assert(peer.socket.connection:channel_binding(name)),
		})
	end

	for _, key in ipairs { "rsa2048", "p256" } do
		for version, names in pairs(types) do
			it(("rfc9266.2.exporter-value, rfc5929.4.1.digest-of-signature: is right under %s with %s"):format(version,
				key), function ()
				local server, context = start(key), context_of(version)
				for _, service in ipairs { "c2s", "c2s_direct_tls" } do
					local session
					for _, name in ipairs(names) do
						for _ = 1, 2 do
							local peer, features = connect(server, service, context, session)
							assert.same(names, announced(features))
							assert.matches("<mechanism>SCRAM%-SHA%-1%-PLUS</mechanism>", features)
							assert.is_true(login(peer, name))
							session = peer.socket:session()
							peer:close()
						end
					end
				end
			end)
		end
	end

	it("that does not match is refused, logged, counted, and told to other modules", function ()
		local server, context = start("p256"), context_of "TLSv1.3"
		server:shell([[> prosody.hosts["example.test"].events.add_handler("tls-policy/binding-mismatch", function (event) ]]
			.. [[require "util.logger".init("test")("info", "mismatch of %s: %s %s", event.account, event.type, ]]
			.. [[event.address) end)]])
		for _, name in ipairs(types["TLSv1.3"]) do
			local peer = connect(server, "c2s", context)
			local accepted, answer = login(peer, name, ("x"):rep(32))
			assert.is_false(accepted)
			assert.matches("<failure", answer)
			peer:close()
		end
		server:wait_for_log('warn.-Login of "juliet" from 127%.0%.0%.1: the channel binding tls%-exporter does not match%.')
		server:wait_for_log "mismatch of juliet: tls%-server%-end%-point 127%.0%.0%.1"
		local stats = server:shell [[tlspolicy:stats()]]
		assert.matches("tls%-exporter%s+1\ntls%-server%-end%-point%s+1", stats)
	end)

	for what, text in pairs {
		["with PLAIN"] = ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>"):format(
			(mime.b64 "\0juliet\0wherefore")),
		["with channel binding"] = ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1-PLUS'>%s</auth>")
			:format((mime.b64 "p=tls-exporter,,n=juliet,r=a")),
		["of XEP-0078"] = "<iq type='set' id='a'><query xmlns='jabber:iq:auth'><username>juliet</username>"
			.. "<password>wherefore</password><resource>a</resource></query></iq>",
	} do
		it("rfc5802.6.binding-finds-interception: lets no login pass after it did not match: " .. what, function ()
			local server = start("p256", nil, nil, { "legacyauth" })
			local peer = connect(server, "c2s", context_of "TLSv1.3")
			assert.is_false(login(peer, "tls-exporter", ("x"):rep(32)))
			peer:send(text)
			assert.matches("<policy%-violation.-did not match on this stream", (assert(peer:read_all())))
			peer:close()
		end)
	end

	it("is shown with the client, and counted with its mechanism", function ()
		local server, context = start("p256"), context_of "TLSv1.3"
		local peer = connect(server, "c2s", context)
		assert.is_true(login(peer, "tls-exporter"))
		peer:send(xmpp.stream_header("c2s", "example.test"))
		assert(peer:read_until { "</stream:features>" })
		peer:send "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
		assert(peer:read_until { "</iq>" })
		assert.matches('"binding":"tls%-exporter"', server:shell [[tlspolicy:show("c2s", "json")]])
		assert.matches("SCRAM%-SHA%-1%-PLUS, tls%-exporter", server:shell [[tlspolicy:show("c2s")]])
		assert.matches("SCRAM%-SHA%-1%s+tls%-exporter%s+1\n", server:shell [[tlspolicy:stats()]])
		peer:close()
	end)

	local function is_stock(server, context)
		local peer, features = connect(server, "c2s", context)
		peer:close()
		local offered = announced(features)
		for _, name in ipairs(offered) do
			assert.not_equal("tls-server-end-point", name)
		end
		for mechanism in features:gmatch "<mechanism>(.-)</mechanism>" do
			offered[#offered + 1] = mechanism
		end
		table.sort(offered)
		return offered
	end

	it("is the server's own where the option is off, in report mode, and after the module was unloaded", function ()
		local context = context_of "TLSv1.3"
		local off = start("p256", { channel_binding = false })
		local features = is_stock(off, context)
		off:stop()
		local report = start("p256", { mode = "report" })
		assert.same(features, is_stock(report, context))
		report:stop()
		local server = start "p256"
		server:shell [[module:unload("xmpp_tls_policy")]]
		server:wait_for_log "mod_xmpp_tls_policy is unloaded"
		assert.same(features, is_stock(server, context))
	end)

	it("is not offered where the operator has disabled the mechanisms", function ()
		local server = start("p256", nil, { disable_sasl_mechanisms = { "SCRAM-SHA-1-PLUS" } })
		local peer, features = connect(server, "c2s", context_of "TLSv1.3")
		assert.not_matches("PLUS", features)
		assert.matches("SCRAM%-SHA%-1<", features)
		assert.is_false(login(peer, "tls-exporter"))
		peer:close()
	end)

	-- After each of these the server takes a new handler for the next login.
	local beginnings = {
		["a failed login"] = function (peer, name)
			assert.is_false(login(peer, name, nil, "another"))
		end,
		["an abort"] = function (peer)
			peer:send "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
			assert(peer:read_until { "</failure>" })
		end,
		["text that is not Base64"] = function (peer)
			peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1-PLUS'>!</auth>"
			assert(peer:read_until { "</failure>" })
		end,
		["the beginning of another login"] = function (peer)
			peer:send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biwsbj1qdWxpZXQscj1h</auth>")
			assert(peer:read_until { "</challenge>" })
		end,
	}

	for what, begin in pairs(beginnings) do
		it("rfc5802.6.downgrade-is-refused: stays as it was offered after " .. what, function ()
			local server = start "p256"
			for version, names in pairs(types) do
				local context = context_of(version)
				for _, name in ipairs(names) do
					local peer = connect(server, "c2s", context)
					begin(peer, name)
					assert.is_true(login(peer, name))
					peer:close()
				end
				local peer = connect(server, "c2s", context)
				begin(peer, names[1])
				assert.is_false(scram.login(peer, "juliet", "wherefore", { flag = "y" }))
				assert.is_true(scram.login(peer, "juliet", "wherefore", { flag = "n" }))
				peer:close()
			end
		end)
	end

	it("is each connection's own where a module shares one profile between sessions", function ()
		local server = start "p256"
		server:shell([[> local users, shared = prosody.hosts["example.test"].users, nil ]]
			.. [[local stock = users.get_sasl_handler ]]
			.. [[function users.get_sasl_handler(...) local handler = stock(...) ]]
			.. [[shared = shared or handler.profile handler.profile = shared return handler end]])
		local context = context_of "TLSv1.3"
		local peers = {}
		for index, name in ipairs { "tls-exporter", "tls-server-end-point", "tls-exporter" } do
			peers[index] = { connect(server, "c2s", context), name }
		end
		for _, peer in ipairs(peers) do
			assert.is_true(login(peer[1], peer[2]))
			peer[1]:close()
		end
		-- The server puts tls-unique into the shared profile.
		for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
			local peer, features = connect(server, "c2s", context_of(version))
			assert.same(types[version], announced(features))
			peer:close()
		end
	end)

	it("is announced anew on each stream where another module adds a type to the announcement", function ()
		local server = start "p256"
		server:shell([[> prosody.hosts["example.test"].events.add_handler("stream-features", function (event) ]]
			.. [[local element = event.features:get_child("sasl-channel-binding", "urn:xmpp:sasl-cb:0") ]]
			.. [[if element then element:tag("channel-binding", { type = "tls-other" }):up() end end, -3)]])
		for _ = 1, 2 do
			local peer, features = connect(server, "c2s", context_of "TLSv1.3")
			assert.same({ "tls-exporter", "tls-other", "tls-server-end-point" }, announced(features))
			peer:close()
		end
	end)

	it("makes no list of mechanisms where another module has removed it", function ()
		local server = start "p256"
		server:shell([[> prosody.hosts["example.test"].events.add_handler("stream-features", function (event) ]]
			.. [[event.features:maptags(function (tag) return tag.name ~= "mechanisms" and tag or nil end) end, -1)]])
		for version in pairs(types) do
			local peer, features = connect(server, "c2s", context_of(version))
			assert.is_nil(features:find("<mechanism", 1, true))
			peer:close()
		end
	end)

	it("is offered for SASL 2, too, where a module has that", function ()
		local server = servers.start {
			hosts = { ["example.test"] = files.p256 }, with_policy = true, routes = {}, modules = { "test_sasl2" },
		}
		for version in pairs(types) do
			local peer, features = connect(server, "c2s", context_of(version))
			local offer = features:match "<authentication.-</authentication>"
			assert.matches("<mechanism>SCRAM%-SHA%-1</mechanism>", offer)
			assert.matches("<mechanism>SCRAM%-SHA%-1%-PLUS</mechanism>", offer)
			peer:close()
		end
	end)

	for what, disabled in pairs {
		["all mechanisms without it"] = { "PLAIN", "SCRAM-SHA-1" },
		["some mechanisms without it"] = { "SCRAM-SHA-1" },
	} do
		it("is offered in all its types, and is right, where the operator has disabled " .. what, function ()
			local server = start("p256", nil, { disable_sasl_mechanisms = disabled })
			for version, names in pairs(types) do
				for _, name in ipairs(names) do
					local peer, features = connect(server, "c2s", context_of(version))
					assert.same(names, announced(features))
					local mechanisms = features:match "<mechanisms.-</mechanisms>"
					assert.matches("^<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp%-sasl'>", mechanisms)
					assert.equal(1, select(2, mechanisms:gsub("<mechanism>SCRAM%-SHA%-1%-PLUS</mechanism>", "")))
					for _, absent in ipairs(disabled) do
						assert.is_nil(mechanisms:find(("<mechanism>%s</mechanism>"):format(absent), 1, true))
					end
					assert.is_true(login(peer, name))
					peer:close()
				end
			end
		end)
	end

	it("follows the list of disabled mechanisms when the configuration is reloaded", function ()
		local server, context = start "p256", context_of "TLSv1.3"
		local function is_offered()
			local peer, features = connect(server, "c2s", context)
			peer:close()
			-- No server offers this type by itself.
			return features:find("tls-server-end-point", 1, true) ~= nil
		end
		assert.is_true(is_offered())
		server:configure { options = { disable_sasl_mechanisms = { "SCRAM-SHA-1-PLUS" } } }
		server:reload()
		assert.is_false(is_offered())
	end)

	it("leaves logins without channel binding as they were", function ()
		local server, context = start("p256"), context_of "TLSv1.3"
		local peer = connect(server, "c2s", context)
		peer:login("juliet", "wherefore")
		peer:close()
	end)
end)

