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

local function start(certificates, with_policy)
	local server = prosody.start {
		hosts = { ["example.test"] = certificates.p256 }, log_level = "info", with_policy = with_policy,
		options = { limits = {} },
	}
	local pid = files.read(server.directory .. "/prosody.pid"):match "%d+"
	return { server = server, pid = pid, port = server.ports.c2s_direct_tls, cpu = 0 }
end

-- So many refused handshakes to each server, in turns, after a tenth of that to warm up.
function refusals.run(certificates, count)
	local bytes, turns = client_hello.build(offers.cbc), 10
	local subjects = { stock = start(certificates, false), module = start(certificates, true) }
	for _, subject in pairs(subjects) do
		refuse(subject.port, bytes, math.ceil(count / turns))
		subject.resident, subject.mark = resident(subject.pid), subject.server:mark()
	end
	for _ = 1, turns do
		for _, subject in pairs(subjects) do
			local before = cpu_time(subject.pid)
			refuse(subject.port, bytes, math.ceil(count / turns))
			subject.cpu = subject.cpu + cpu_time(subject.pid) - before
		end
	end
	for _, name in ipairs { "stock", "module" } do
		local subject, what = subjects[name], ("%d refused handshakes, %s"):format(count, name)
		local _, lines = subject.server:log(subject.mark):gsub("\n", "")
		measure.note(what .. ", resident memory", "KiB more", resident(subject.pid) - subject.resident,
			name == "module" and 2048 or nil)
		measure.note(what .. ", log", "lines", lines)
		measure.note(what .. ", server CPU", "µs each", subject.cpu / count / 1000)
		subject.server:stop()
	end
	measure.report "Refused handshakes"
end

return refusals
