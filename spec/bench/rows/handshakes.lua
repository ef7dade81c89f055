-- Handshakes over memory, the server's side alone, without any XMPP: full ones under the policy
-- and as Prosody makes them, resumed ones from our store and from OpenSSL's cache.
local callgrind = require "bench.callgrind"
local measure = require "bench.measure"
local pki = require "support.pki"
local process = require "support.process"

local handshakes = { title = "Handshakes in memory" }

-- Instructions inside SSL_accept in a program of so many handshakes; what happens once is
-- left out by taking a difference.
local function cost(bench, program, mode, version, kind)
	local few, more = 5, 20
	local function run(count)
		local output, certificate = pki.path ".callgrind", bench.certificate(kind)
		local command = { "env", "LUA_PATH=" .. package.path, "LUA_CPATH=" .. package.cpath }
		for _, word in ipairs(callgrind.command(bench.interpreter, output, { "--toggle-collect=SSL_accept" })) do
			command[#command + 1] = word
		end
		for _, word in ipairs { "spec/bench/programs/" .. program .. ".lua", mode, version, tostring(count),
			certificate.certificate, certificate.key } do
			command[#command + 1] = word
		end
		process.check(command, { timeout = 600 })
		return callgrind.total(output)
	end
	return (run(few + more) - run(few)) / more
end

local function compare(bench, what, program, version, kind, modes, goal)
	measure.compare { name = ("%s, %s, %s"):format(what, version, kind), unit = "instructions", goal = goal,
		stock = { cost(bench, program, modes[1], version, kind) },
		module = { cost(bench, program, modes[2], version, kind) } }
end

function handshakes.run(bench)
	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		for _, kind in ipairs { "rsa2048", "p256" } do
			compare(bench, "full handshake", "handshake", version, kind, { "stock", "policy" }, 1.01)
		end
		compare(bench, "resumed, to OpenSSL's cache", "resumption", version, "rsa2048", { "openssl", "store" }, 1.05)
	end
end

return handshakes
