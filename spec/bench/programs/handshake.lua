-- Full handshakes over memory, for callgrind: arguments are "stock" or "policy",
-- the highest version, how many handshakes, certificate, key.
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local ssl = require "ssl"
local tls_policy = require "xmpp_tls_policy"

local mode, version, count, certificate, key = arg[1], arg[2], tonumber(arg[3]), arg[4], arg[5]

-- As Prosody 0.12 makes it (core.certmanager: defaults and profile "intermediate").
local luasec = assert(ssl.newcontext {
	mode = "server", protocol = "any", certificate = certificate, key = key, verify = "none", depth = 9,
	verifyext = { "lsec_continue", "lsec_ignore_purpose" },
	options = { "no_ticket", "no_compression", "single_dh_use", "single_ecdh_use", "no_renegotiation", "no_sslv2",
		"no_sslv3", "no_tlsv1", "no_tlsv1_1" },
	curveslist = "X25519:prime256v1:secp384r1",
	ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
		.. "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
		.. "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384",
	ciphersuites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
})

local server = assert(core.context.adopt(luasec))
if mode == "policy" then
	assert(server:apply(assert(tls_policy.policy():settings_for(assert(server:settings())))))
end
local client = assert(core.context.new { role = "client", verify = "none" })
assert(client:apply { maximum_version = version })

for _ = 1, count do
	local one, other = assert(handshake.between(client, server, nil, { role = "server" }))
	one:close()
	other:close()
end
