-- Handshakes that a server refuses, one after the other: what stays of them in memory
-- and in the log.
local client_hello = require "support.client_hello"
local measure = require "bench.measure"
local offers = require "support.offers"
local pair = require "bench.pair"
local prosody = require "support.prosody"
local socket = require "socket"

local refusals = { title = "Refused handshakes" }

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

local function start(bench, name)
	local server = prosody.start(pair.specification(name, { hosts = { ["example.test"] = bench.certificate "p256" } }))
	return { server = server, port = server.ports.c2s_direct_tls, cpu = 0 }
end

-- So many refused handshakes to each server, in turns, after a tenth of that to warm up.
function refusals.run(bench)
	local count = tonumber(os.getenv "REFUSALS") or 100000
	local bytes, turns = client_hello.build(offers.cbc), 10
	local subjects = { stock = start(bench, "stock"), module = start(bench, "module") }
	for _, subject in pairs(subjects) do
		refuse(subject.port, bytes, math.ceil(count / turns))
		subject.resident, subject.mark = pair.resident(subject.server), subject.server:mark()
	end
	for _ = 1, turns do
		for _, subject in pairs(subjects) do
			local before = pair.cpu_time(subject.server)
			refuse(subject.port, bytes, math.ceil(count / turns))
			subject.cpu = subject.cpu + pair.cpu_time(subject.server) - before
		end
	end
	for _, name in ipairs { "stock", "module" } do
		local subject, what = subjects[name], ("%d refused handshakes, %s"):format(count, name)
		local _, lines = subject.server:log(subject.mark):gsub("\n", "")
		measure.note(what .. ", resident memory", "KiB more", pair.resident(subject.server) - subject.resident,
			name == "module" and 2048 or nil)
		measure.note(what .. ", log", "lines", lines)
		measure.note(what .. ", server CPU", "µs each", subject.cpu / count / 1000)
		subject.server:stop()
	end
end

return refusals
