-- Bringing contexts of LuaSec under a policy, for callgrind: makes twelve and brings the first few
-- under it. Arguments are "enforce" or "report", how many, certificate, key.
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local luasec = require "ssl"
local tls_policy = require "xmpp_tls_policy"

local mode, count, certificate, key = arg[1], tonumber(arg[2]), arg[3], arg[4]

local MADE = 12

-- As Prosody 0.12 makes it (core.certmanager: defaults and profile "intermediate").
local function new_context()
	return assert(luasec.newcontext {
		mode = "server", protocol = "any", certificate = certificate, key = key, verify = "none", depth = 9,
		options = { "no_ticket", "no_compression", "single_dh_use", "single_ecdh_use", "no_renegotiation",
			"no_sslv3", "no_tlsv1", "no_tlsv1_1" },
		curveslist = "X25519:prime256v1:secp384r1", ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM",
	})
end

local policy, adopted, made = assert(tls_policy.policy { mode = mode }), adopted_contexts.new(), {}
assert(adopted:keep_sessions { enabled = true, lifetime = 86400, memory = 1 })
for index = 1, MADE do
	made[index] = new_context()
end
for index = 1, count do
	local entry = adopted:enforce(made[index], { policy = policy, host = "example.test", role = "c2s", operator = {} })
	assert(not entry.failure, entry.failure)
end
