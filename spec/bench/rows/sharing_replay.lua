-- A server starts while the engine has 100,000 sessions.
local clients = require "bench.clients"
local core = require "xmpp_tls_policy.core"
local engine = require "support.engine"
local files = require "support.files"
local key_file = require "xmpp_tls_policy.sessions.key_file"
local measure = require "bench.measure"
local pair = require "bench.pair"
local process = require "support.process"
local prosody = require "support.prosody"
local sharing_servers = require "support.sharing_servers"
local socket = require "socket"

local sharing_replay = { title = "Replay of 100,000 sessions at the start" }

local SESSIONS = 100000

local function number(value, bytes)
	local text = ""
	for _ = 1, bytes do
		text, value = string.char(value % 256) .. text, math.floor(value / 256)
	end
	return text
end

-- A plain record (c/shared_session.c) of TLS 1.3, of no client in particular.
local function plain(index, now)
	local head = "\1" .. number(now, 4) .. number(3600, 4) .. "\3\4\19\1\0\29" .. "\0" .. ("\0"):rep(6) .. "\0\48"
	local id = number(index, 4) .. core.digest("SHA256", number(index, 4)):sub(5)
	return head .. id .. ("\0"):rep(152 - #head - #id)
end

-- Commands for the client's --pipe.
local function commands(cluster)
	local store = assert(core.session_store.new { memory = 1, lifetime = 3600 })
	local sharing = assert(core.session_sharing {
		store = store, name = cluster.name, keys = assert(key_file.read(cluster.key_file)), queue_limit = 65536,
	})
	local now, list = os.time(), {}
	for index = 1, SESSIONS do
		local sealed = assert(core.session_store_trial.seal(sharing, plain(index, now), now))
		list[index] = ("*5\r\n$4\r\nXADD\r\n$%d\r\n%s\r\n$1\r\n*\r\n$1\r\nr\r\n$%d\r\n%s\r\n"):format(#cluster.name,
			cluster.name, #sealed, sealed)
	end
	sharing:close()
	store:close()
	return table.concat(list)
end

-- Milliseconds, and those that the server computed meanwhile: what of the replay the client waits for, whatever
-- else the machine does.
local function log_in(server, context)
	local began, used = socket.gettime(), pair.cpu_time(server)
	clients.open(server, { context = context }):close()
	return (socket.gettime() - began) * 1000, (pair.cpu_time(server) - used) / 1e6
end

-- Milliseconds of CPU; see the module.
local function longest(server)
	local output, status = server:shell "> require'core.modulemanager'.get_module('*', 'test_loop').longest()"
	assert(status == 0, output)
	local event, busy = output:match "event ([%d.]+), without timers ([%d.]+)"
	return tonumber(event), tonumber(busy)
end

function sharing_replay.run(bench)
	local store = engine.start()
	local cluster = sharing_servers.new(store, bench.certificate "p256")
	local path = process.scratch "commands"
	files.write(path, commands(cluster))
	store:pipe(path)
	assert(cluster:entries() == SESSIONS)
	local policy = cluster:policy()
	policy.resumption.memory = 16
	local server = prosody.start(pair.specification("module", {
		hosts = { ["example.test"] = bench.certificate "p256" }, policy = policy, log_level = "debug", routes = {},
		modules = { "test_loop" },
	}))
	local context = clients.context "TLSv1.3"
	local during, idle, used_during, used_idle = {}, {}, {}, {}
	repeat
		during[#during + 1], used_during[#during + 1] = log_in(server, context)
		local entries, seconds = server:log():match "Replayed (%d+) entries of shared sessions in ([%d.]+) s"
		if entries then
			assert(tonumber(entries) >= SESSIONS, entries)
			measure.note("replay of 100,000 sessions, with logins meanwhile", "s", tonumber(seconds), 3)
		end
	until entries
	local received = cluster:metric(server, "received_total")
	assert(received == SESSIONS, received .. " were taken in")
	local event, busy = longest(server)
	measure.note("the longest event meanwhile", "ms CPU", event, 20)
	measure.note("the longest time without timers meanwhile", "ms CPU", busy, 20)
	for index = 1, 200 do
		idle[index], used_idle[index] = log_in(server, context)
	end
	local usual = measure.median(used_idle)
	measure.note("the server computes longer during a login: median", "ms CPU", measure.median(used_during) - usual, 20)
	measure.note("the server computes longer during a login: longest", "ms CPU", measure.largest(used_during) - usual, 20)
	measure.note("a login takes longer meanwhile: median", "ms", measure.median(during) - measure.median(idle), 20)
	measure.note("the longest login meanwhile", "ms", measure.largest(during))
	measure.note("logins meanwhile", "logins", #during)
	server:stop()
	store:stop()
end

return sharing_replay
