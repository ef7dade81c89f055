local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local pki = require "support.pki"

local lengths = { TLS_AES_256_GCM_SHA384 = 48, TLS_AES_128_GCM_SHA256 = 32 }

describe("the binder of a pre-shared key", function ()
	local files

	setup(function ()
		files = pki.authority():issue { names = { "a.test" }, key = "p256" }
	end)

	teardown(pki.remove)

	-- A session of this suite's, and the hello that offers it.
	local function resumption(settings)
		local server = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
		assert(server:apply(settings))
		local client = assert(core.context.new { role = "client", verify = "none" })
		assert(client:apply {})
		local one = assert(handshake.between(client, server))
		one:read()
		local session = assert(one:insecure_session())
		local again = assert(core.connection.new(client, { session = session }))
		again:handshake()
		return session, again:take()
	end

	for suite, length in pairs(lengths) do
		it("rfc8446.4.2.11.2.binder, rfc8446.7.1.key-schedule: is OpenSSL's, with " .. suite, function ()
			local session, hello = resumption { ciphersuites = { suite } }
			-- The list of binders is at the end: two bytes of length, one binder after its own length.
			local before = #hello - (2 + 1 + length)
			assert.equal(hello:sub(before + 4), core.psk_binder(session, hello:sub(6, before)))
			assert.is_not.equal(hello:sub(before + 4), core.psk_binder(session, hello:sub(6, before - 1)))
		end)
	end

	it("is not made for a session of TLS 1.2, or for none", function ()
		local old = resumption { maximum_version = "TLSv1.2" }
		for _, bytes in ipairs { old, "", "garbage" } do
			local binder, message, code = core.psk_binder(bytes, "hello")
			assert.is_nil(binder)
			assert.matches("^that is no session of TLS 1.3", message)
			assert.equal("parse", code)
		end
	end)
end)
