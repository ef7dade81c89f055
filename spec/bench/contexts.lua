-- Bringing a server's context under the policy, in instructions.
--
-- As a script, for callgrind: makes twelve contexts of LuaSec's and brings the first few under
-- the policy. Arguments are "enforce" or "report", how many, certificate, key.
local measure = require "bench.measure"
local pki = require "support.pki"
local process = require "support.process"

local contexts = {}

local MADE = 12

-- As Prosody 0.12 makes it (core.certmanager: defaults and profile "intermediate").
local function new_context(certificate, key)
	return assert(require "ssl".newcontext {
		mode = "server", protocol = "any", certificate = certificate, key = key, verify = "none", depth = 9,
		options = { "no_ticket", "no_compression", "single_dh_use", "single_ecdh_use", "no_renegotiation",
			"no_sslv3", "no_tlsv1", "no_tlsv1_1" },
		curveslist = "X25519:prime256v1:secp384r1", ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM",
	})
end

local function script(mode, count, certificate, key)
	local tls_contexts = require "xmpp_tls_policy.contexts"
	local policy = assert(require "xmpp_tls_policy".policy { mode = mode })
	local made = {}
	for index = 1, MADE do
		made[index] = new_context(certificate, key)
	end
	for index = 1, count do
		local given = { policy = policy, host = "example.test", role = "c2s", operator = {} }
		local entry = tls_contexts.enforce(made[index], given)
		assert(not entry.failure, entry.failure)
	end
end

local function run(interpreter, mode, count, files)
	local output = pki.path ".callgrind"
	process.check({
		"env", "LUA_PATH=" .. package.path, "LUA_CPATH=" .. package.cpath,
		"valgrind", "--tool=callgrind", "--callgrind-out-file=" .. output,
		interpreter, "spec/bench/contexts.lua", mode, tostring(count), files.certificate, files.key,
	}, { timeout = 600 })
	return measure.callgrind_total(output)
end

function contexts.run(interpreter, files)
	local few = 2
	for _, row in ipairs { { "enforce", 4e6 }, { "report", 2e6 } } do
		local mode, limit = row[1], row[2]
		local cost = (run(interpreter, mode, MADE, files) - run(interpreter, mode, few, files)) / (MADE - few)
		measure.note(("a context under the policy, mode = %q"):format(mode), "instructions", cost, limit)
	end
	measure.report "Contexts"
end

if arg and arg[0]:find "bench/contexts%.lua$" then
	script(arg[1], tonumber(arg[2]), arg[3], arg[4])
end

return contexts
