-- How soon a session of one server is resumed by another.
local clients = require "bench.clients"
local engine = require "support.engine"
local measure = require "bench.measure"
local sharing_servers = require "support.sharing_servers"
local socket = require "socket"

local sharing_lag = { title = "A session of one server resumes on another" }

local SESSIONS = 300

function sharing_lag.run(bench)
	local store = engine.start()
	local cluster = sharing_servers.new(store, bench.certificate "p256")
	local a, b = cluster:start(), cluster:start()
	cluster:wait_for_sharing(a, b)
	local context = clients.context "TLSv1.3"
	for _, wait in ipairs { 0, 0.05 } do
		local resumed = 0
		for _ = 1, SESSIONS do
			local peer = clients.open(a, { context = context })
			local session = peer.socket:session()
			peer:close()
			socket.sleep(wait)
			peer = clients.open(b, { context = context, session = session })
			resumed = resumed + (peer:tls_info().resumed and 1 or 0)
			peer:close()
		end
		measure.note(("resumed by a client that comes %.0f ms later"):format(wait * 1000), "%", 100 * resumed / SESSIONS,
			wait > 0 and 99 or nil, true)
	end
	cluster.servers.stop()
	store:stop()
end

return sharing_lag
