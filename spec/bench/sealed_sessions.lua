-- Sessions of no client in particular, as another server of a cluster appends them.
local core = require "xmpp_tls_policy.core"
local key_file = require "xmpp_tls_policy.sessions.key_file"

local sealed_sessions = {}

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

--- Commands for the client's --pipe that append so many sessions of a process of the cluster's. `series`: a number,
-- so that those of another call are others; 1 if nil.
function sealed_sessions.commands(cluster, count, series)
	local store = assert(core.session_store.new { memory = 1, lifetime = 3600 })
	local sharing = assert(core.session_sharing {
		store = store, name = cluster.name, keys = assert(key_file.read(cluster.key_file)), queue_limit = 65536,
	})
	local now, list = os.time(), {}
	for index = 1, count do
		local sealed = assert(core.session_store_trial.seal(sharing, plain((series or 1) * 2 ^ 24 + index, now), now))
		list[index] = ("*5\r\n$4\r\nXADD\r\n$%d\r\n%s\r\n$1\r\n*\r\n$1\r\nr\r\n$%d\r\n%s\r\n"):format(#cluster.name,
			cluster.name, #sealed, sealed)
	end
	sharing:close()
	store:close()
	return table.concat(list)
end

return sealed_sessions
