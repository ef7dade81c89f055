local files = require "support.files"
local free_ports = require "support.free_ports"
local socket = require "socket"

describe("the ports that specs choose for programs", function ()
	it("are none that the system gives to connections, and none twice", function ()
		local range = files.read "/proc/sys/net/ipv4/ip_local_port_range" or "32768 60999"
		local first, seen = tonumber(range:match "%d+"), {}
		if first < 12000 then
			return pending("the system gives all ports from " .. first .. " on")
		end
		for _ = 1, 50 do
			for _, port in ipairs(free_ports(4)) do
				assert.is_true(port >= 1024 and port < first, port)
				assert.is_nil(seen[port])
				seen[port] = true
				assert(socket.bind("127.0.0.1", port)):close()
			end
		end
	end)
end)
