-- Offers of clients (see client_hello.lua): each with one fault, and three without: tls13, tls12 and
-- dhe.

local suites = require "support.cipher_suites"

local good_suites = {
	"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
}

local old_suites = {
	"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
	"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
	"TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
	"TLS_RSA_WITH_AES_128_CBC_SHA",
	"TLS_RSA_WITH_3DES_EDE_CBC_SHA",
}

-- Every known suite of TLS whose name matches a pattern, in order of number.
local function matching(pattern)
	local list = {}
	for name in pairs(suites) do
		if name:match("^TLS_") and name:match(pattern) then
			list[#list + 1] = name
		end
	end
	table.sort(list, function(a, b) return suites[a] < suites[b] end)
	return list
end

return {
	tls13 = { versions = { "TLSv1.3" }, suites = { "TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256" } },
	tls12 = { suites = good_suites },
	dhe = { suites = { "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" } },
	sslv2 = { version = "SSLv2", suites = { "SSL_CK_RC4_128_WITH_MD5", "SSL_CK_DES_192_EDE3_CBC_WITH_MD5" } },
	sslv3 = { version = "SSLv3", suites = old_suites },
	tls10 = { version = "TLSv1", suites = old_suites },
	tls11 = { version = "TLSv1.1", suites = old_suites },
	null = { suites = matching "_WITH_NULL_" },
	rc4 = { suites = matching "_WITH_RC4_128_" },
	export = { suites = matching "_EXPORT" },
	des = { suites = matching "_WITH_DES_CBC" },
	["3des"] = { suites = matching "_3DES_" },
	anonymous = { suites = matching "_anon_" },
	static_rsa = { suites = matching "^TLS_RSA_WITH_AES_" },
	cbc = { suites = matching "DHE_.*_AES_.*_CBC_" },
	deflate = { suites = good_suites, compressions = { "deflate", "null" } },
}
