-- Handshakes that a server refuses, one after the other: what stays of them in memory
-- and in the log.
local client_hello = require "support.client_hello"
local files = require "support.files"
local measure = require "bench.measure"
local offers = require "support.offers"
local prosody = require "support.prosody"
local socket = require "socket"

local refusals = {}

-- KiB of resident memory.
local function resident(pid)
	return tonumber(files.read("/proc/" .. pid .. "/status"):match "VmRSS:%s+(%d+)")
end

local function cpu_time(pid)
	return tonumber(files.read("/proc/" .. pid .. "/schedstat"):match "^(%d+)")
end

local function refuse(port, bytes, count)
	for number = 1, count do
		local connection = assert(socket.tcp())
		-- Linux has all of 127.0.0.0/8: many addresses, one of them most of the time.
		local address = number % 3 > 0 and "127.0.0.1" or
			("127.%d.%d.%d"):format(1 + math.floor(number / 62500) % 250, math.floor(number / 250) % 250, 1 + number % 250)
		assert(connection:bind(address, 0))
		assert(connection:connect("127.0.0.1", port))
		connection:settimeout(30)
		assert(connection:send(bytes))
		assert(connection:receive(7), "no alert")
		connection:close()
	end
end

-- So many refused handshakes, after a tenth of that to warm up.
function refusals.run(certificates, count)
	for _, with_policy in ipairs { false, true } do
		local server = prosody.start {
			hosts = { ["example.test"] = certificates.p256 }, log_level = "info", with_policy = with_policy,
			options = { limits = {} },
		}
		local pid = files.read(server.directory .. "/prosody.pid"):match "%d+"
		local port, bytes = server.ports.c2s_direct_tls, client_hello.build(offers.cbc)
		refuse(port, bytes, math.ceil(count / 10))
		local before, mark, cpu = resident(pid), server:mark(), cpu_time(pid)
		refuse(port, bytes, count)
		local name = ("%d refused handshakes, %s"):format(count, with_policy and "module" or "stock")
		local _, lines = server:log(mark):gsub("\n", "")
		measure.note(name .. ", resident memory", "KiB more", resident(pid) - before, with_policy and 2048 or nil)
		measure.note(name .. ", log", "lines", lines)
		measure.note(name .. ", server CPU", "µs each", (cpu_time(pid) - cpu) / count / 1000)
		server:stop()
	end
	measure.report "Refused handshakes"
end

return refusals
