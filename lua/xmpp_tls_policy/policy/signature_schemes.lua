-- The signature schemes of TLS 1.2 and 1.3, as data (rfc8446.4.2.3.signature-schemes, which replaced
-- rfc5246.7.4.1.4.1.hash-and-signature), and the keys that can sign by them.
local signature_schemes = {}

-- Number, name, type of the key by OpenSSL's name, bits of strength of the hash; the curve that TLS
-- 1.3 demands; whether TLS 1.3 has it.
local rows = {
	{ 0x0201, "rsa_pkcs1_sha1", "RSA", 64 },
	{ 0x0203, "ecdsa_sha1", "EC", 64 },
	{ 0x0301, "rsa_pkcs1_sha224", "RSA", 112 },
	{ 0x0303, "ecdsa_sha224", "EC", 112 },
	{ 0x0401, "rsa_pkcs1_sha256", "RSA", 128 },
	{ 0x0501, "rsa_pkcs1_sha384", "RSA", 192 },
	{ 0x0601, "rsa_pkcs1_sha512", "RSA", 256 },
	{ 0x0403, "ecdsa_secp256r1_sha256", "EC", 128, curve = "secp256r1", tls13 = true },
	{ 0x0503, "ecdsa_secp384r1_sha384", "EC", 192, curve = "secp384r1", tls13 = true },
	{ 0x0603, "ecdsa_secp521r1_sha512", "EC", 256, curve = "secp521r1", tls13 = true },
	{ 0x0804, "rsa_pss_rsae_sha256", "RSA", 128, tls13 = true },
	{ 0x0805, "rsa_pss_rsae_sha384", "RSA", 192, tls13 = true },
	{ 0x0806, "rsa_pss_rsae_sha512", "RSA", 256, tls13 = true },
	{ 0x0807, "ed25519", "ED25519", 128, tls13 = true },
	{ 0x0808, "ed448", "ED448", 224, tls13 = true },
	{ 0x0809, "rsa_pss_pss_sha256", "RSA-PSS", 128, tls13 = true },
	{ 0x080A, "rsa_pss_pss_sha384", "RSA-PSS", 192, tls13 = true },
	{ 0x080B, "rsa_pss_pss_sha512", "RSA-PSS", 256, tls13 = true },
}

-- A list of { number, name, key_type, bits, curve, tls13 }, and the same by number and by name.
signature_schemes.list, signature_schemes.by_number, signature_schemes.by_name = {}, {}, {}
for index, row in ipairs(rows) do
	local scheme = {
		number = row[1], name = row[2], key_type = row[3], bits = row[4], curve = row.curve, tls13 = row.tls13 or false,
	}
	signature_schemes.list[index] = scheme
	signature_schemes.by_number[scheme.number], signature_schemes.by_name[scheme.name] = scheme, scheme
end

-- The schemes of a client of TLS 1.2 that lists none
-- (rfc5246.7.4.1.4.1.schemes-if-none-listed).
signature_schemes.unlisted = { 0x0201, 0x0203 }

-- Whether a key can sign by a scheme under a version. `key`: { key_type, curve }, as a
-- certificate's facts have them; `least_bits`: of the hash.
function signature_schemes.suits(scheme, key, version, least_bits)
	if scheme.key_type ~= key.key_type or scheme.bits < least_bits then
		return false
	elseif version ~= "TLSv1.3" then
		return true
	end
	return scheme.tls13 and (not scheme.curve or scheme.curve == key.curve)
end

return signature_schemes
