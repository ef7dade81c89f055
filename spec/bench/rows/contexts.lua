-- Bringing a server's context under a policy.
local callgrind = require "bench.callgrind"
local measure = require "bench.measure"
local pki = require "support.pki"
local process = require "support.process"

local contexts = { title = "Contexts" }

-- Instructions of the program; what happens once is left out by taking a difference.
local function run(bench, mode, count)
	local output, certificate = pki.path ".callgrind", bench.certificate "rsa2048"
	local command = { "env", "LUA_PATH=" .. package.path, "LUA_CPATH=" .. package.cpath }
	for _, word in ipairs(callgrind.command(bench.interpreter, output, {})) do
		command[#command + 1] = word
	end
	for _, word in ipairs { "spec/bench/programs/contexts.lua", mode, tostring(count), certificate.certificate,
		certificate.key } do
		command[#command + 1] = word
	end
	process.check(command, { timeout = 600 })
	return callgrind.total(output)
end

function contexts.run(bench)
	local few, more = 2, 10
	for _, case in ipairs { { "enforce", 4e6 }, { "report", 2e6 } } do
		local cost = (run(bench, case[1], few + more) - run(bench, case[1], few)) / more
		measure.note(("a context under the policy, mode %s"):format(case[1]), "instructions", cost, case[2])
	end
end

return contexts
