-- The ClientHello of a stranger, as the audit reads it: a whole record. Each input is also the start of a
-- mutation of a seed.
local client_hello = require "xmpp_tls_policy.audit.client_hello"
local core = require "xmpp_tls_policy.core"
local mutations = require "support.mutations"
local offers = require "support.offers"

local target = {}

-- Names are ours, or numbers; the rest was sent.
local function check(hello, sent)
	for _, field in ipairs { "suites", "compressions", "versions", "groups", "key_shares" } do
		local list = hello[field] or {}
		assert(#list <= #sent, field)
		for _, name in ipairs(list) do
			assert(name:find "^[%w_.]+$", field)
		end
	end
	assert(sent:find(hello.server_name or "", 1, true), "server_name")
	for _, name in ipairs(hello.alpn or {}) do
		assert(sent:find(name, 1, true), "alpn")
	end
	assert(#hello.random == 32 and #hello.session_id <= 255)
end

local function try(bytes)
	local hello = client_hello.parse(bytes)
	if hello then
		check(hello, bytes)
	end
end

target.test = mutations.test(target, try)

local function openssl_hello(settings)
	local context = assert(core.context.new { role = "client", verify = "none" })
	assert(context:apply(settings))
	local connection = assert(core.connection.new(context, { server_name = "a.test", alpn = "xmpp-server" }))
	connection:handshake()
	local bytes = connection:take()
	connection:close()
	return bytes
end

function target.seeds()
	local list = { openssl_hello {}, openssl_hello { maximum_version = "TLSv1.2" } }
	for _, name in ipairs { "tls13", "tls12", "sslv3", "sslv2", "deflate", "export" } do
		list[#list + 1] = client_hello.build(offers[name])
	end
	return list
end

return target
