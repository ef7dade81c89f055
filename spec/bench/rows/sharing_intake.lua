-- What a server computes for sessions of others that come through the engine.
local engine = require "support.engine"
local files = require "support.files"
local measure = require "bench.measure"
local pair = require "bench.pair"
local process = require "support.process"
local prosody = require "support.prosody"
local sealed_sessions = require "bench.sealed_sessions"
local sharing_servers = require "support.sharing_servers"
local socket = require "socket"

local sharing_intake = { title = "Sessions of other servers, taken in" }

local SESSIONS, TIMES = 50000, 3

-- Microseconds of CPU, system's included, for each session.
local function cost_of(cluster, server, path)
	local taken, before = cluster:metric(server, "received_total"), pair.cpu_time(server)
	cluster.engine:pipe(path)
	local used
	repeat
		used = pair.cpu_time(server)
		socket.sleep(0.3)
	until pair.cpu_time(server) - used < 3e6
	assert(cluster:metric(server, "received_total") - taken == SESSIONS, "not all were taken in")
	return (used - before) / 1000 / SESSIONS
end

function sharing_intake.run(bench)
	local store = engine.start()
	local cluster = sharing_servers.new(store, bench.certificate "p256")
	local policy, path = cluster:policy(), process.scratch "commands"
	policy.resumption.memory = 64
	local server = prosody.start(pair.specification("module", {
		hosts = { ["example.test"] = bench.certificate "p256" }, policy = policy,
	}))
	pair.wait_until_idle(server)
	local costs = {}
	for index = 1, TIMES do
		files.write(path, sealed_sessions.commands(cluster, SESSIONS, index))
		costs[index] = cost_of(cluster, server, path)
	end
	-- A quarter of a core for 5,000 a second.
	measure.note("for each session, of 50,000 at once", "us CPU", measure.median(costs), 50)
	server:stop()
	store:stop()
end

return sharing_intake
