-- Sessions that two real servers share through a real engine: resume.session-id, resume.sealed.
local engine = require "support.engine"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local sharing_servers = require "support.sharing_servers"

local missing = engine.missing()
if missing then
	describe("shared sessions", function ()
		it("need an engine", function ()
			pending(missing)
		end)
	end)
	return
end

describe("a session", function ()
	local store, cluster, a, b

	setup(function ()
		store = engine.start()
		cluster = sharing_servers.new(store, pki.authority():issue { names = { "example.test" }, key = "p256" })
		a, b = cluster:start(), cluster:start()
		cluster:wait_for_sharing(a, b)
	end)

	teardown(function ()
		cluster.servers.stop()
		store:stop()
		pki.remove()
	end)

	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		it("resume.session-id: of " .. version .. " resumes on the other server, in both directions, and logs in", function ()
			for _, pair in ipairs { { a, b }, { b, a } } do
				local resumed, address = cluster:log_in_elsewhere(pair[1], pair[2], version)
				assert.is_true(resumed)
				assert.matches("^juliet@example.test/", address)
			end
		end)
	end

	it("resume.sealed: is in the engine as sealed bytes only", function ()
		local session = cluster:make_sessions(a, "TLSv1.3", 20)[1]
		local keys = store:cli("KEYS", "*")
		assert.equal("cluster\n", keys)
		-- Each entry has one field, whose value begins with the record's form and looks random.
		local count = 0
		for id, field in store:cli("--no-raw", "XRANGE", "cluster", "-", "+"):gmatch '1%) "(%d+%-%d+)"%s+2%) 1%) "([^"]*)"' do
			assert.matches("^%d+%-0$", (id:gsub("%-%d+$", "-0")))
			assert.equal("r", field)
			count = count + 1
		end
		assert.equal(cluster:entries(), count)
		local bytes = store:dump()
		assert.is_true(#bytes > 20 * 100)
		for _, text in ipairs { "example.test", "juliet", "wherefore" } do
			assert.is_nil(bytes:find(text, 1, true), text)
		end
		-- The client's session has the ticket, which is the session ID.
		for position = 1, #session - 32, 8 do
			assert.is_nil(bytes:find(session:sub(position, position + 31), 1, true))
		end
	end)

	it("is shown in the status, and counted", function ()
		local status = a:shell "tlspolicy:status()":gsub("\n%s*", " ")
		assert.matches("Sharing sessions through unix:/[^\n]*sock as cluster: connected, key %x+, lag %d+%.%d+ s, %d+ ",
			status)
		assert.equal(1, cluster:metric(a, "connected"))
		assert.is_true(cluster:metric(a, "appended_total") > 0)
		assert.is_true(cluster:metric(b, "received_total") > 0)
	end)

	for _, backend in ipairs(prosody.backends) do
		it("is shared over TCP, with the network backend " .. backend, function ()
			local url = ("redis://127.0.0.1:%d/0"):format(store.port)
			local other = cluster:start({ url = url }, { options = { network_backend = backend } })
			cluster:wait_for_sharing(a, other)
			cluster:wait_for_sharing(other, a)
			other:stop()
		end)
	end

	-- rfc5246.7.2.2.fatal-alert-ends-session
	it("that a fatal alert ends is not resumed on the other server either", function ()
		local _, session, peer = cluster:meet(a, "TLSv1.2", nil, true)
		assert.is_truthy(process.poll(process.PATIENCE, function ()
			return (cluster:meet(b, "TLSv1.2", session))
		end))
		peer.socket.connection:feed("\23\3\3\0\40" .. ("x"):rep(40))
		peer.socket.connection:read()
		peer.socket.socket:send(peer.socket.connection:take())
		assert.is_truthy(process.poll(process.PATIENCE, function ()
			return not cluster:meet(b, "TLSv1.2", session)
		end))
		peer:close()
	end)

	it("is shared after a reload of the module, too", function ()
		a:shell [[module:reload("xmpp_tls_policy")]]
		cluster:wait_for_sharing(a, b)
		cluster:wait_for_sharing(b, a)
	end)

	it("of before the server was killed resumes at once on the new one", function ()
		local list = {
			["TLSv1.2"] = cluster:make_sessions(a, "TLSv1.2", 10), ["TLSv1.3"] = cluster:make_sessions(a, "TLSv1.3", 10),
		}
		a:kill()
		a = cluster:start()
		a:wait_for_log "Replayed %d+ entries"
		for version, sessions in pairs(list) do
			for index, session in ipairs(sessions) do
				assert.is_true((cluster:meet(a, version, session)), ("%s, session %d"):format(version, index))
			end
		end
	end)

	it("outlives a rolling restart of both servers", function ()
		local sessions = cluster:make_sessions(a, "TLSv1.3", 10)
		cluster:wait_for_sharing(a, b)
		b:stop()
		b = cluster:start()
		cluster:wait_for_sharing(a, b)
		a:stop()
		a = cluster:start()
		cluster:wait_for_sharing(b, a)
		for index, session in ipairs(sessions) do
			assert.is_true((cluster:meet(index % 2 == 0 and a or b, "TLSv1.3", session)))
		end
	end)
end)
