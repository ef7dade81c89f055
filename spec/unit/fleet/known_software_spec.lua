-- The names of software beside the shapes of the programs of this system.
local core = require "xmpp_tls_policy.core"
local known_software = require "xmpp_tls_policy.fleet.known_software"
local pki = require "support.pki"
local process = require "support.process"
local shape = require "xmpp_tls_policy.fleet.shape"
local socket = require "socket"
local ssl = require "ssl"

-- "openssl 3.0.19" -> "3.0.19"
local function version_of(command)
	return process.check(command):match "%d+%.%d+%.%d+"
end

-- Versions that were not measured may have the shape of one that was.
local openssl_names = { ["3.0"] = "OpenSSL 3.0", ["3.5"] = "OpenSSL 3.5 or 3.6", ["3.6"] = "OpenSSL 3.5 or 3.6" }
local gnutls_names = {
	["3.7.9"] = { "GnuTLS 3.7 or 3.8", "GnuTLS 3.7 or 3.8.13 without TLS 1.3" },
	["3.8.9"] = { "GnuTLS 3.7 or 3.8" },
	["3.8.13"] = { "GnuTLS 3.8.13", "GnuTLS 3.7 or 3.8.13 without TLS 1.3" },
}

describe("the software behind a shape", function ()
	local listener, port, context

	setup(function ()
		local files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
		context = assert(ssl.newcontext {
			mode = "server", protocol = "any", certificate = files.certificate, key = files.key,
		})
		local adopted = assert(core.context.adopt(context))
		assert(adopted:observe(1))
		adopted:close()
		listener = assert(socket.bind("127.0.0.1", 0))
		listener:settimeout(process.PATIENCE)
		port = select(2, listener:getsockname())
	end)

	teardown(function ()
		listener:close()
		pki.remove()
	end)

	-- The shape of a client that connects to us.
	local function shape_of(command)
		local child = process.spawn(command)
		local connection = assert(ssl.wrap(assert(listener:accept()), context))
		connection:settimeout(process.PATIENCE)
		assert(connection:dohandshake())
		local packed = assert(core.observer.take_shape(connection))
		connection:close()
		child:close()
		return packed
	end

	local function openssl(...)
		return shape_of { "openssl", "s_client", "-connect", "127.0.0.1:" .. port, ... }
	end

	it("is named for openssl s_client", function ()
		local name = openssl_names[version_of { "openssl", "version" }:match "^%d+%.%d+"]
		for _, case in ipairs {
			{ "", {} }, { "", { "-servername", "example.test", "-alpn", "xmpp-client" } },
			{ " without TLS 1.3", { "-tls1_2" } }, { " with TLS 1.3 alone", { "-tls1_3" } },
		} do
			local packed = openssl((table.unpack or unpack)(case[2]))
			if name then
				assert.equal(name .. case[1], known_software.name(packed), shape.id(packed))
			end
		end
	end)

	it("is named for gnutls-cli", function ()
		local names = gnutls_names[version_of { "gnutls-cli", "--version" }] or {}
		local packed = shape_of { "gnutls-cli", "--insecure", "--port=" .. port, "127.0.0.1" }
		if names[1] then
			assert.equal(names[1], known_software.name(packed), shape.id(packed))
		end
		packed = shape_of { "gnutls-cli", "--insecure", "--priority=NORMAL:-VERS-TLS1.3", "--port=" .. port, "127.0.0.1" }
		if names[2] then
			assert.equal(names[2], known_software.name(packed), shape.id(packed))
		end
	end)

	it("has no name where it was not measured", function ()
		assert.is_nil(known_software.name(openssl("-cipher", "ECDHE-RSA-AES128-GCM-SHA256")))
		assert.is_nil(known_software.name(shape.WITHOUT_TLS))
		assert.is_nil(known_software.name(shape.of_answer { version = "TLSv1.3" }))
	end)
end)
