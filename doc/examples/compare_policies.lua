-- Runs the same client against a server under two policies, in memory, and prints what each handshake
-- negotiated. No port is opened.
--
--     lua5.4 compare_policies.lua CERTIFICATE.pem KEY.pem PROFILE PROFILE
local core = require "xmpp_tls_policy.core"
local tls_policy = require "xmpp_tls_policy"

local certificate, key = arg[1], arg[2]

-- An old client: no TLS 1.3, no ECDHE.
local function new_client()
	local context = assert(core.context.new { role = "client", verify = "none" })
	assert(context:apply {
		minimum_version = "TLSv1.2", maximum_version = "TLSv1.2",
		ciphers = { "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" }, dh_bits = 2048, security_level = 2,
	})
	return assert(core.connection.new(context))
end

local function new_server(policy)
	local context = assert(core.context.new { role = "server", certificate = certificate, key = key })
	assert(context:apply(policy:settings()))
	return assert(core.connection.new(context))
end

-- Carries bytes both ways until both ends are done. Returns true, or nil and a message.
local function shake_hands(client, server)
	repeat
		local client_done, client_message, client_code = client:handshake()
		assert(server:feed(client:take()))
		local server_done, server_message, server_code = server:handshake()
		assert(client:feed(server:take()))
		if client_code == "tls" or server_code == "tls" then
			return nil, server_code == "tls" and server_message or client_message
		end
	until client_done and server_done
	return true
end

for index = 3, 4 do
	local policy = assert(tls_policy.policy { profile = arg[index] }, "there is no such profile")
	local client, server = new_client(), new_server(policy)
	local done, message = shake_hands(client, server)
	print(policy:name())
	if done then
		local facts = assert(server:facts())
		print(("\t%s, %s, %d bits"):format(facts.version, facts.cipher_suite, facts.bits))
		local verdict = policy:judge(facts)
		print(verdict.refuse and "\trefused: " .. policy:sentences(verdict) or "\taccepted")
	else
		print("\trefused: " .. message)
	end
end
