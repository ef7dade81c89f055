-- Whether a server can sign a handshake, as OpenSSL decides it: by the kind of its certificate's key,
-- the schemes that the client offers, and the security level.
local signatures = {}

-- Scheme -> the type of key that it is for, whether it has SHA-1, and its curve in TLS 1.3 (nil: it
-- is for TLS 1.2 alone). rfc8446.4.2.3.signature-schemes, rfc5246.7.4.1.4.1.hash-and-signature.
local schemes = {}

local function add(key_type, rows)
	for number, row in pairs(rows) do
		schemes[number] = { key_type = key_type, sha1 = row.sha1, tls13 = row.tls13, curve = row.curve }
	end
end

add("RSA", {
	[0x0201] = { sha1 = true }, [0x0301] = {}, [0x0401] = {}, [0x0501] = {}, [0x0601] = {},
	[0x0804] = { tls13 = true }, [0x0805] = { tls13 = true }, [0x0806] = { tls13 = true },
})
add("RSA-PSS", { [0x0809] = { tls13 = true }, [0x080A] = { tls13 = true }, [0x080B] = { tls13 = true } })
add("EC", {
	[0x0203] = { sha1 = true }, [0x0303] = {},
	[0x0403] = { tls13 = true, curve = "secp256r1" }, [0x0503] = { tls13 = true, curve = "secp384r1" },
	[0x0603] = { tls13 = true, curve = "secp521r1" },
})
add("ED25519", { [0x0807] = { tls13 = true } })
add("ED448", { [0x0808] = { tls13 = true } })

-- The type of key -> the schemes of clients of TLS 1.2 that offer none
-- (rfc5246.7.4.1.4.1.hash-and-signature).
local unsaid = { RSA = { 0x0201 }, EC = { 0x0203 } }

-- The authentication of suites before TLS 1.3 that a type of key serves.
local authentications = {
	RSA = "RSA", ["RSA-PSS"] = "RSA", EC = "ECDSA", ED25519 = "ECDSA", ED448 = "ECDSA",
}

local function has(list, value)
	for _, item in ipairs(list) do
		if item == value then
			return true
		end
	end
	return false
end

-- rfc8446.4.2.3.signature-schemes: in TLS 1.3 a scheme of ECDSA is for one curve, and none has SHA-1.
local function serves(scheme, key, version, security_level)
	if scheme.key_type ~= key.type or scheme.sha1 and (version == "TLSv1.3" or security_level > 0) then
		return false
	end
	return version ~= "TLSv1.3" or scheme.tls13 == true and (not scheme.curve or scheme.curve == key.curve)
end

-- Before TLS 1.2 nothing is offered (rfc4346.7.4.3.md5-and-sha1), and the limits of versions tell
-- whether the security level forbids that.
local function finds_scheme(key, version, hello, security_level)
	if version ~= "TLSv1.3" and version ~= "TLSv1.2" then
		return key.type == "RSA" or key.type == "EC"
	end
	for _, number in ipairs(hello.signature_schemes or version == "TLSv1.2" and unsaid[key.type] or {}) do
		if schemes[number] and serves(schemes[number], key, version, security_level) then
			return true
		end
	end
	return false
end

-- What one key lacks: see signatures.lack.
local function lack_of(key, authentication, version, hello, security_level)
	if authentication ~= "certificate" then
		if authentications[key.type] ~= authentication then
			return "suite"
		elseif key.curve_number and hello.groups and not has(hello.groups, key.curve_number) then
			return "group"
		end
	end
	return not finds_scheme(key, version, hello, security_level) and "signature" or nil
end

-- What the certificates of a server lack to serve a suite to a client (numbers, as the core has its
-- hello) in a version: "suite", none is of that kind; "group", before TLS 1.3 OpenSSL wants the curve
-- of the key among the client's groups; "signature", no scheme is in common; or nil, nothing.
--   keys            list of { type = as the facts of a certificate have it, curve = of an EC key,
--                   by IANA's name, curve_number = the curve's, nil: unknown }; nil: any
--   authentication  of the suite: "RSA", "ECDSA", "certificate" (TLS 1.3)
function signatures.lack(keys, authentication, version, hello, security_level)
	local least
	for _, key in ipairs(keys or {}) do
		local lack = lack_of(key, authentication, version, hello, security_level)
		if not lack then
			return nil
		end
		least = (not least or least == "suite") and lack or least
	end
	return keys and (least or "suite") or nil
end

-- Whether one of the keys (nil: any) is of the kind that a suite needs.
function signatures.has_key(keys, authentication)
	for _, key in ipairs(keys or {}) do
		if authentications[key.type] == authentication then
			return true
		end
	end
	return keys == nil or authentication == "certificate"
end

return signatures
