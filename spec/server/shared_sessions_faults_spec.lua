-- Faults of the engine that servers share sessions through: clients log in and resume all the same.
local engine = require "support.engine"
local pki = require "support.pki"
local process = require "support.process"
local sharing_servers = require "support.sharing_servers"

local missing = engine.missing()
if missing then
	describe("the engine of shared sessions", function ()
		it("is missing", function ()
			pending(missing)
		end)
	end)
	return
end

describe("sharing sessions", function ()
	local store, cluster, a
	local PASSWORD = "a-long-secret"

	setup(function ()
		store = engine.start { requirepass = PASSWORD }
		store.url = ("unix://:%s@%s"):format(PASSWORD, store.path)
		cluster = sharing_servers.new(store, pki.authority():issue { names = { "example.test" }, key = "p256" })
		a = cluster:start()
		a:wait_for_log "Sessions are shared through"
	end)

	teardown(function ()
		cluster.servers.stop()
		store:stop()
		pki.remove()
	end)

	after_each(function ()
		assert.not_matches(PASSWORD, a:log(), 1, true)
		assert.not_matches("Internal error", a:log(), 1, true)
	end)

	-- A client logs in, comes back, and is resumed by what the process itself knows.
	local function clients_are_served(server)
		local _, session, peer = cluster:meet(server or a, "TLSv1.3", nil, true)
		assert.matches("^juliet@example.test/", (peer:login("juliet", "wherefore")))
		peer:close()
		assert.is_true((cluster:meet(server or a, "TLSv1.3", session)))
	end

	local function wait_for_sessions()
		assert.equal(1, #cluster:make_sessions(a, "TLSv1.3", 1))
	end

	-- Lines of the log from a mark on that match.
	local function lines(mark, pattern)
		return select(2, a:log(mark):gsub(pattern, ""))
	end

	it("waits for an engine that is down when the server starts", function ()
		local other = cluster:start { url = "redis://127.0.0.1:1" }
		other:wait_for_log "warn\tNo session is shared through redis://127.0.0.1:1: Connection refused"
		clients_are_served(other)
		assert.equal(0, cluster:metric(other, "connected"))
		local mark = other:mark()
		other:configure { policy = cluster:policy() }
		other:reload()
		other:wait_for_log("info\tSessions are shared through unix://", mark)
	end)

	it("goes on when the engine has died and is back", function ()
		local mark = a:mark()
		store:kill()
		a:wait_for_log("warn\tNo session is shared through unix://", mark)
		clients_are_served()
		clients_are_served()
		store:start_again()
		a:wait_for_log("info\tSessions are shared through", mark)
		-- The sessions of meanwhile come.
		assert.is_truthy(process.poll(process.PATIENCE, function ()
			return cluster:entries() >= 2
		end))
		wait_for_sessions()
		-- The reason may change, such as from a connection that was closed to one that is refused.
		local last
		for reason in a:log(mark):gmatch "No session is shared through unix://[^:]*: ([^\n]*)" do
			assert.not_equal(last, reason)
			last = reason
		end
		assert.is_string(last)
	end)

	it("makes nobody wait for an engine that is stopped", function ()
		wait_for_sessions()
		local before = cluster:entries()
		local mark = a:mark()
		store:signal "STOP"
		for _ = 1, 20 do
			clients_are_served()
		end
		a:wait_for_log("the engine does not answer", mark, process.PATIENCE)
		clients_are_served()
		store:signal "CONT"
		a:wait_for_log("info\tSessions are shared through", mark, process.PATIENCE)
		assert.is_truthy(process.poll(process.PATIENCE, function ()
			return cluster:entries() >= before + 21
		end))
	end)

	it("says once that the engine is full, and once that it is not", function ()
		local mark = a:mark()
		store:cli("CONFIG", "SET", "maxmemory", "1")
		for _ = 1, 3 do
			clients_are_served()
		end
		a:wait_for_log("warn\tThe engine refuses new sessions: OOM", mark)
		assert.is_true(cluster:metric(a, "dropped_total", "refused") >= 3)
		store:cli("CONFIG", "SET", "maxmemory", "0")
		clients_are_served()
		a:wait_for_log("info\tThe engine takes new sessions again", mark)
		assert.equal(1, lines(mark, "The engine refuses"))
		assert.equal(0, lines(mark, "No session is shared"))
	end)

	it("goes on when the engine was emptied", function ()
		local _, session = cluster:meet(a, "TLSv1.3")
		store:cli "FLUSHALL"
		assert.is_true((cluster:meet(a, "TLSv1.3", session)))
		wait_for_sessions()
		local b = cluster:start()
		cluster:wait_for_sharing(a, b)
		cluster:wait_for_sharing(b, a)
	end)

	it("looks for another master when its engine became a replica", function ()
		local mark = a:mark()
		store:cli("REPLICAOF", "127.0.0.1", "1")
		clients_are_served()
		a:wait_for_log("No session is shared through [^\n]*READONLY", mark)
		clients_are_served()
		store:cli("REPLICAOF", "NO", "ONE")
		a:wait_for_log("info\tSessions are shared through", mark, process.PATIENCE)
		wait_for_sessions()
	end)

	it("says that the password is wrong, and not which it is", function ()
		local other = cluster:start { url = ("unix://:%s-not@%s"):format(PASSWORD, store.path) }
		other:wait_for_log "No session is shared through unix:///[^\n]*the engine refuses the user or the password"
		clients_are_served(other)
		assert.not_matches(PASSWORD, other:log() .. other:shell "tlspolicy:status()", 1, true)
		-- Nor where the URL is wrong; options_spec.lua has more of them.
		for _, shared in ipairs { { url = ("redis://:%s@127.0.0.1:http"):format(PASSWORD) },
			{ url = ("unix://:%%zz%s@%s"):format(PASSWORD, store.path) }, { key_file = store.url } } do
			local mark = other:mark()
			other:configure { policy = cluster:policy(shared) }
			other:reload()
			other:wait_for_log("resumption.shared", mark)
		end
		for _, format in ipairs { "text", "json" } do
			local output = process.run(other:prosodyctl("mod_xmpp_tls_policy", "check", "--format", format))
			assert.matches("resumption.shared", output, 1, true)
			assert.not_matches(PASSWORD, output, 1, true)
		end
		for _, output in ipairs { other:log(), (other:shell "tlspolicy:status()"), (other:shell "tlspolicy:stats()") } do
			assert.not_matches(PASSWORD, output, 1, true)
		end
	end)

	it("leaves another program's data under its name alone", function ()
		store:cli("SET", "other", "data of another program")
		local other = cluster:start { name = "other" }
		other:wait_for_log "No session is shared through [^\n]*WRONGTYPE"
		clients_are_served(other)
		assert.equal("data of another program\n", store:cli("GET", "other"))
	end)

	it("drops what is sealed with another key, with one line a minute", function ()
		local b = cluster:start { key_file = sharing_servers.new_key() }
		b:wait_for_log "Sessions are shared through"
		local sessions = cluster:make_sessions(a, "TLSv1.3", 5)
		local others = cluster:make_sessions(b, "TLSv1.3", 5)
		b:wait_for_log "warn\tRecords of shared sessions were dropped: [^\n]*%d+ sealed with another key"
		assert.is_false((cluster:meet(b, "TLSv1.3", sessions[1])))
		assert.is_false((cluster:meet(a, "TLSv1.3", others[1])))
		assert.is_true((cluster:meet(a, "TLSv1.3", sessions[1])))
		assert.is_true((cluster:meet(b, "TLSv1.3", others[1])))
		assert.equal(1, select(2, b:log():gsub("Records of shared sessions were dropped", "")))
		assert.is_true(cluster:metric(b, "dropped_total", "not_opened") >= 5)
	end)

	it("drops entries that are none of ours, whole or half", function ()
		wait_for_sessions()
		local before = cluster:metric(a, "dropped_total", "malformed") + cluster:metric(a, "dropped_total", "not_opened")
		local record = store:cli("XREVRANGE", "cluster", "+", "-", "COUNT", "1"):match "\nr\n(.*)\n$"
		store:cli("XADD", "cluster", "*", "r", "")
		store:cli("XADD", "cluster", "*", "r", "garbage")
		store:cli("XADD", "cluster", "*", "other", "field")
		store:cli("XADD", "cluster", "*", "r", "one", "s", "two")
		for length = 1, #record - 1, 40 do
			local half = record:sub(1, length):gsub("%z.*", "")
			store:cli("XADD", "cluster", "*", "r", half)
		end
		wait_for_sessions()
		assert.is_truthy(process.poll(process.PATIENCE, function ()
			return cluster:metric(a, "dropped_total", "malformed") + cluster:metric(a, "dropped_total", "not_opened")
				>= before + 4
		end))
		clients_are_served()
	end)

	it("leaves others their place in the stream when one client resumes again and again", function ()
		store:cli "FLUSHALL"
		local policy = cluster:policy()
		policy.resumption.address_share = 1024
		local b = cluster:start(nil, { policy = policy })
		cluster:wait_for_sharing(a, b)
		local most, session = math.floor(250000 / 1024), select(2, cluster:meet(b, "TLSv1.3"))
		-- An hour of the clock may end meanwhile.
		for count = 1, 2 * most do
			local resumed, following = cluster:meet(b, "TLSv1.3", session)
			assert.is_true(resumed, "the client is served all the same")
			session = following
			if count >= most - 10 and cluster:metric(b, "dropped_total", "address") > 0 then
				break
			end
		end
		assert.is_true(cluster:metric(b, "dropped_total", "address") > 0)
		assert.is_true(cluster:entries() <= 2 * most)
		-- The next one is not sent; a client with another address has its own share.
		assert.is_false((cluster:meet(a, "TLSv1.3", session)))
		local other = select(2, cluster:meet(b, "TLSv1.3", nil, false, "127.0.0.2"))
		assert.is_truthy(process.poll(process.PATIENCE, function ()
			return (cluster:meet(a, "TLSv1.3", other))
		end))
	end)

	it("serves clients while 50,000 entries come", function ()
		store:cli "FLUSHALL"
		local b = cluster:start()
		cluster:wait_for_sharing(a, b)
		local before = cluster:metric(a, "dropped_total", "malformed")
		store:cli("EVAL", "for i = 1, 50000 do redis.call('XADD', KEYS[1], '*', 'r', ARGV[1]) end", "1", "cluster",
			("garbage"):rep(40))
		for _ = 1, 10 do
			clients_are_served()
		end
		cluster:wait_for_sharing(b, a)
		cluster:wait_for_sharing(a, b)
		assert.equal(before + 50000, cluster:metric(a, "dropped_total", "malformed"))
	end)
end)
