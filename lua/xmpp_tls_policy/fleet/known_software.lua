--- Software by the shapes of its ClientHellos, as far as our specs drive it: our own measurements, of Debian's
-- packages with their defaults. A program with another configuration has another shape, and other programs with
-- the same library and its defaults have the same one.
local shape = require "xmpp_tls_policy.fleet.shape"

local known_software = {}

-- Names of shapes without ALPN -> software.
local names = {
	-- openssl s_client, LuaSec's client
	["d257be9e71bc"] = "OpenSSL 3.0",
	["9dea1062221d"] = "OpenSSL 3.0 without TLS 1.3",
	["2689b22d0a74"] = "OpenSSL 3.0 with TLS 1.3 alone",
	["99da0a946f1b"] = "OpenSSL 3.5 or 3.6",
	["92fcda6e526f"] = "OpenSSL 3.5 or 3.6 without TLS 1.3",
	["1dc63c585af2"] = "OpenSSL 3.5 or 3.6 with TLS 1.3 alone",
	-- gnutls-cli
	["bec7245046e7"] = "GnuTLS 3.7 or 3.8",
	["5a064e7b30be"] = "GnuTLS 3.8.13",
	["f264ca3ea6c1"] = "GnuTLS 3.7 or 3.8.13 without TLS 1.3",
	-- when they connect to another server
	["846e3bf49f0b"] = "Prosody 0.12 with OpenSSL 3.0",
	["a79c2e0d6978"] = "Prosody 13.0 with OpenSSL 3.5",
	["8c17801e5d50"] = "ejabberd 23.01",
	["9d374a8ece5c"] = "ejabberd 24.12",
}

--- The software behind a shape; nil if it is not known.
function known_software.name(packed)
	return names[shape.id(shape.without_alpn(packed))]
end

return known_software
