--- The names of suites, groups and signature schemes that OpenSSL's lists take in all versions from 1.1.1 on. They are
-- computed, so that a configuration does not depend on the machine that renders it.
local openssl_names = {}

--- The name of a suite by its IANA name: "ECDHE-RSA-AES256-GCM-SHA384". Suites of TLS 1.3 have one name.
-- It holds for the suites that a policy permits (AES, CHACHA20).
function openssl_names.suite(name)
	local exchange, cipher = name:match "^TLS_(.+)_WITH_(.+)$"
	if not exchange then
		return name
	end
	cipher = cipher:gsub("^AES_(%d+)_", "AES%1_"):gsub("_CBC_", "_")
		:gsub("^CHACHA20_POLY1305_SHA256$", "CHACHA20_POLY1305")
	return ((exchange == "RSA" and "" or exchange .. "_") .. cipher):gsub("_", "-")
end

-- By IANA's names, in lower case.
local groups = { x25519 = "X25519", x448 = "X448", secp256r1 = "P-256", secp384r1 = "P-384", secp521r1 = "P-521" }

--- The name of a group by its IANA name.
function openssl_names.group(name)
	return groups[name:lower()] or name
end

--- The name of a signature scheme by its IANA name: the same, but for those that older versions take only by key and
-- hash.
function openssl_names.scheme(name)
	local key, hash = name:match "^(ecdsa)_(sha%d+)$"
	return key and ("%s+%s"):format(key:upper(), hash:upper()) or name
end

return openssl_names
