-- TCP ports on which a program is told to listen. Between our choice and its use nobody must take them.
--
-- The system gives ports of a range of its own to connections and to sockets that ask for any port. A port of that
-- range may be taken at any time, so these come from below it.
local files = require "support.files"
local socket = require "socket"

local FIRST = 10240
-- Where the system's range leaves fewer below it, ports come from all up to the usual one: those who start a program
-- choose again if its port was taken.
local FEWEST = 1000
-- What Linux does where /proc does not tell.
local USUAL_RANGE = "32768 60999"

-- The end of our range: the first port of the system's, if that is not too low.
local function first_of_others()
	local range = files.read "/proc/sys/net/ipv4/ip_local_port_range" or USUAL_RANGE
	local first = tonumber(range:match "%d+")
	return first >= FIRST + FEWEST and first or tonumber(USUAL_RANGE:match "%d+")
end

-- Other runs on this machine must not choose the same.
local function random(most)
	local source = assert(io.open("/dev/urandom", "rb"))
	local high, low = source:read(2):byte(1, 2)
	source:close()
	return (high * 256 + low) % most
end

-- Whether nothing listens on it, at any address.
local function is_free(port)
	local listening = socket.bind("*", port)
	if listening then
		listening:close()
	end
	return listening ~= nil
end

local given = {}

--- `count` different ports that nothing listens on, and that were not given before in this process.
return function (count)
	local first = first_of_others()
	local list = {}
	while #list < count do
		local port = FIRST + random(first - FIRST)
		if not given[port] and is_free(port) then
			given[port] = true
			list[#list + 1] = port
		end
	end
	return list
end
