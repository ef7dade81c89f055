-- Sockets that disturb the bytes that a client sends. Each replaces a socket of tasks.lua.
local tasks = require "soak.tasks"

local faults = {}

-- A socket that sends with `send(bytes)`, and uses another socket for everything else.
local function instead(beneath, send)
	return setmetatable({
		send = function (_, bytes)
			return send(bytes)
		end,
	}, {
		__index = function (_, name)
			return function (_, ...)
				return beneath[name](beneath, ...)
			end
		end,
	})
end

--- Closes the connection after a number of bytes, with a reset if `reset`.
function faults.cut(beneath, length, reset)
	return instead(beneath, function (bytes)
		local part = bytes:sub(1, length)
		length = length - #part
		local sent, reason = beneath:send(part)
		if sent and length == 0 then
			if reset then
				beneath:setoption("linger", { on = true, timeout = 0 })
			end
			return nil, "cut"
		end
		return sent, reason
	end)
end

local function flip(bytes, random)
	for _ = 1, 1 + random:below(4) do
		local position = 1 + random:below(#bytes)
		local byte = (bytes:byte(position) + 1 + random:below(255)) % 256
		bytes = bytes:sub(1, position - 1) .. string.char(byte) .. bytes:sub(position + 1)
	end
	return bytes
end

--- Changes one to four bytes in the flight with this number (1: the ClientHello), and sends the rest
-- unchanged. Returns the socket, and a function that tells whether bytes were changed.
function faults.flip(beneath, flight, random)
	return instead(beneath, function (bytes)
		flight = flight - 1
		return beneath:send(flight == 0 and flip(bytes, random) or bytes)
	end), function ()
		return flight <= 0
	end
end

--- Sends byte by byte, with a pause of up to that many seconds between two.
function faults.slow(beneath, longest, random)
	return instead(beneath, function (bytes)
		for position = 1, #bytes do
			local sent, reason = beneath:send(bytes:sub(position, position))
			if not sent then
				return nil, reason
			end
			tasks.pause(random:number(longest))
		end
		return #bytes
	end)
end

return faults
