-- The parts of clauses: predicates, and the judges and checks that are built from them. No clause is named here;
-- profiles.lua says which section of which document asks for one.
--
-- A predicate returns whether a record has a property. Predicates on suites take a record of suites.lua or the facts
-- of a connection, which have the same fields; a missing field raises no error. A judge, a check of support and a
-- check of our own certificates return nil, or a sentence about the fault; clauses.lua has their arguments.
local signature_schemes = require "xmpp_tls_policy.policy.signature_schemes"
local suites = require "xmpp_tls_policy.policy.suites"
local text = require "xmpp_tls_policy.text"

local rank, version_names = suites.rank, suites.version_names

-- A misspelt rule would be nil, and a clause without a rule checks nothing.
local rules = setmetatable({}, {
	__index = function(_, name)
		error("no such rule: " .. tostring(name), 2)
	end,
})

-- ---- predicates --------------------------------------------------------------

local function is_whole(value)
	return type(value) == "number" and value % 1 == 0
end

--- Encrypts at all. False for a suite of unknown encryption.
function rules.encrypts(suite)
	return suite.encryption ~= nil and suite.encryption ~= "NULL" and suite.bits ~= 0
end

--- Has another encryption than RC4. False for unknown encryption.
function rules.is_no_rc4(suite)
	return suite.encryption ~= nil and tostring(suite.encryption):find("RC4", 1, true) ~= 1
end

--- Has more than 56 bits. A suite that encrypts nothing counts as none of export grade: rules.encrypts is
-- about it. False for unknown bits.
function rules.is_no_export(suite)
	return is_whole(suite.bits) and (suite.bits > 56 or suite.bits == 0)
end

-- 3DES has 112 bits whatever it advertises (draft 4.3).
local function strength(suite)
	if suite.encryption == "DES-EDE3-CBC" and is_whole(suite.bits) then
		return math.min(suite.bits, 112)
	end
	return suite.bits
end

--- A predicate: at least so many bits of strength. False for unknown bits.
function rules.has_bits(least)
	return function(suite)
		return is_whole(suite.bits) and strength(suite) >= least
	end
end

--- Has authenticated encryption (RFC 5116).
function rules.is_aead(suite)
	return suite.aead == true
end

--- Has another mode than CBC. False for unknown encryption.
function rules.is_no_cbc(suite)
	return suite.encryption ~= nil and not tostring(suite.encryption):find("CBC", 1, true)
end

--- Has an ephemeral key exchange, as far as the record or the connection says.
function rules.is_forward_secret(suite)
	return suite.forward_secrecy == true
end

--- Has another key exchange than DHE. True for an unknown one.
function rules.is_no_dhe(suite)
	return suite.key_exchange ~= "DHE"
end

--- Has another key exchange than RSA, with or without a PSK. True for an unknown one.
function rules.is_no_static_rsa(suite)
	return not tostring(suite.key_exchange):find("^RSA")
end

--- Has ChaCha20-Poly1305 (RFC 7905).
function rules.is_chacha20(suite)
	return suite.encryption == "CHACHA20-POLY1305"
end

--- Has AES-GCM or ChaCha20-Poly1305; before TLS 1.3 also ECDHE and a certificate.
function rules.is_gcm_or_chacha20(suite)
	local encryption = tostring(suite.encryption)
	if not rules.is_chacha20(suite) and not encryption:find "^AES%-%d+%-GCM$" then
		return false
	end
	-- Facts have a version, the records of suites a name.
	local tls13 = suite.version == "TLSv1.3" or suite.name and not suite.name:find("_WITH_", 1, true)
	return tls13 or suite.key_exchange == "ECDHE" and rules.has_certificate(suite)
end

-- The suites of TLS 1.2 and older name their MAC, those of TLS 1.3 and AEAD need none.
local function has_sha2(suite)
	return suite.aead == true or tostring(suite.cipher_suite or suite.name):find "_SHA%d%d%d$" ~= nil
end

--- Has AES with GCM, CCM or CBC, and a certificate.
function rules.is_aes(suite)
	local mode = tostring(suite.encryption):match "^AES%-%d+%-(%u+)$"
	return (mode == "GCM" or mode == "CCM" or mode == "CBC") and rules.has_certificate(suite)
end

--- As rules.is_aes, with forward secrecy and SHA-2.
function rules.is_ephemeral_aes_with_sha2(suite)
	return rules.is_aes(suite) and rules.is_forward_secret(suite) and has_sha2(suite)
end

--- A predicate on groups: one of these names.
function rules.is_among(names)
	local is_one = {}
	for _, name in ipairs(names) do
		is_one[name:lower()] = true
	end
	return function(group)
		return is_one[tostring(group.name):lower()] or false
	end
end

local without_certificate = { anonymous = true, PSK = true, SRP = true }

--- A resumed TLS 1.3 handshake has no authentication of its own.
function rules.has_certificate(suite)
	return not without_certificate[suite.authentication or "none"]
end

-- A curve has half as many bits of strength as its field. x25519, of 253 bits, counts as
-- 128 bits strong.
rules.CURVE_OF_128_BITS = 250

--- A predicate on groups: no curve, or one of about 128 bits of strength or more.
function rules.is_long_enough(group)
	return group.kind ~= "curve" or group.bits >= rules.CURVE_OF_128_BITS
end

--- A predicate on groups: no curve, or one of at least 224 bits.
function rules.has_224_bits(group)
	return group.kind ~= "curve" or group.bits >= 224
end

-- ---- sentences ---------------------------------------------------------------

local function suite_name(facts)
	return tostring(facts.cipher_suite or facts.cipher or "an unknown cipher suite")
end

--- Names the encryption of a connection, for rules.suite_judge.
function rules.with_encryption(facts)
	return tostring(facts.encryption or "unknown") .. " encryption"
end

--- Names the bits of strength of a connection, for rules.suite_judge.
function rules.with_strength(facts)
	return is_whole(facts.bits) and ("%d bits of strength"):format(strength(facts)) or "unknown strength"
end

--- Names the key exchange of a connection, for rules.suite_judge.
function rules.with_key_exchange(facts)
	return tostring(facts.key_exchange or "unknown") .. " key exchange"
end

local function with_authentication(facts)
	return tostring(facts.authentication) .. " authentication"
end

--- The judge of a clause on suites. `fulfils`: a predicate of this file; `with(facts)`: the words for the
-- property that decided; `needed`: the end of the sentence.
function rules.suite_judge(fulfils, with, needed)
	return function(facts)
		if not fulfils(facts) then
			return ("%s was negotiated, with %s; %s"):format(suite_name(facts), with(facts), needed)
		end
	end
end

local function version_name(facts)
	return version_names[facts.version] or "an unknown TLS version"
end

--- The judge of a clause that forbids one version.
function rules.not_version(version)
	return function(facts)
		if not rank[facts.version] or facts.version == version then
			return ("%s was negotiated; a version newer than %s is needed"):format(
				version_name(facts), version_names[version])
		end
	end
end

--- The judge of a clause that demands this version (a name of suites.versions) or a newer one. An unknown
-- version is a breach.
function rules.version_judge(least)
	return function(facts)
		if not rank[facts.version] or rank[facts.version] < rank[least] then
			return ("%s was negotiated; %s or newer is needed"):format(version_name(facts), version_names[least])
		end
	end
end

--- Whether a connection has an older version than TLS 1.3, or an unknown one.
function rules.is_before_tls13(facts)
	return not rank[facts.version] or rank[facts.version] < rank["TLSv1.3"]
end

--- The judge of a clause on the length of ephemeral DH keys, in bits. An unknown length is a breach, except of a
-- resumed session.
function rules.dh_judge(least)
	return function(facts)
		if facts.key_exchange == "ECDHE" or not tostring(facts.key_exchange):find("^DHE") then
			return nil
		elseif facts.resumed and facts.group_bits == nil then
			-- The session was made under the same policy; TLS 1.2 makes no new key.
			return nil
		elseif not is_whole(facts.group_bits) then
			return ("an ephemeral DH key of unknown length was negotiated; at least %d bits are needed"):format(least)
		elseif facts.group_bits < least then
			return ("an ephemeral DH key of %d bits was negotiated; at least %d are needed"):format(
				facts.group_bits, least)
		end
	end
end

--- The judge of a clause on the length of curves. `least`: bits; `needed`: the number that the sentence says.
-- An unknown length is no breach.
function rules.curve_judge(least, needed)
	return function(facts)
		if facts.key_exchange == "ECDHE" and is_whole(facts.group_bits) and facts.group_bits < least then
			return ("the curve %s of %d bits was negotiated; at least %d are needed"):format(
				tostring(facts.group or "of unknown name"), facts.group_bits, needed)
		end
	end
end

--- The judge of a clause on groups. `fulfils`: a predicate on groups, which gets the name alone; `kinds`: those
-- wanted, for the sentence. An unknown group is no breach.
function rules.group_judge(fulfils, kinds)
	return function(facts)
		local group = facts.group
		if group and facts.key_exchange ~= "RSA" and not fulfils({ name = group }) then
			return ("the group %s was negotiated; %s is needed"):format(tostring(group), kinds)
		end
	end
end

--- A predicate on signature schemes: RSASSA-PSS, or ECDSA, with a hash of at least 128 bits of strength.
function rules.is_pss_or_ecdsa(scheme)
	return scheme.bits >= 128 and (scheme.name:find "^rsa_pss_" ~= nil or scheme.name:find "^ecdsa_" ~= nil)
end

--- The judge of a clause on the signature schemes of a handshake, of both sides. `fulfils`: a predicate on records of
-- signature_schemes.lua; `kinds`: those wanted, for the sentence.
function rules.scheme_judge(fulfils, kinds)
	return function(facts)
		for _, field in ipairs({ "signature_scheme", "client_signature_scheme" }) do
			local name = facts[field]
			if name and not fulfils(signature_schemes.by_name[name] or { name = tostring(name), bits = 0 }) then
				return ("the handshake was signed with %s; %s is needed"):format(tostring(name), kinds)
			end
		end
	end
end

--- A judge that asks a second judge if the first finds no breach.
function rules.either(first, second)
	return function(facts, connection)
		return first(facts, connection) or second(facts, connection)
	end
end

-- ---- support -----------------------------------------------------------------

local function allows_version(settings, version)
	return rank[settings.minimum_version or "SSLv2"] <= rank[version]
		and rank[settings.maximum_version or "TLSv1.3"] >= rank[version]
end

-- Whether the settings leave a usable suite that fulfils the predicate.
local function offers(settings, fulfils)
	for _, name in ipairs(allows_version(settings, "TLSv1.3") and settings.ciphersuites or {}) do
		if suites.by_name[name] and fulfils(suites.by_name[name]) then
			return true
		end
	end
	local tls12 = allows_version(settings, "TLSv1.2")
	for _, name in ipairs(settings.ciphers or {}) do
		local suite = suites.by_name[name]
		if suite and fulfils(suite) and (tls12 or not suite.needs_tls12) then
			return true
		end
	end
	return false
end

--- The support check of a clause that needs a suite: one that can be negotiated fulfils the predicate.
-- `needed`: the end of the sentence.
function rules.supports_suite(fulfils, needed)
	return function(settings)
		return not offers(settings, fulfils) and ("no cipher suite is offered %s"):format(needed) or nil
	end
end

--- The support check of a clause that needs all these names in a list of the settings (`field`: "ciphers",
-- "groups"). `version`: one that the settings have to allow, too, or nil. The case of letters does not count.
function rules.supports_all(field, names, version)
	return function(settings)
		local offered, missing = {}, {}
		for _, name in ipairs(settings[field] or {}) do
			offered[name:lower()] = true
		end
		for _, name in ipairs(names) do
			if not offered[name:lower()] or version and not allows_version(settings, version) then
				missing[#missing + 1] = name
			end
		end
		return missing[1] and "not offered: " .. table.concat(missing, ", ") or nil
	end
end

--- The support check of a clause that needs this version, a name of suites.versions.
function rules.supports_version(version)
	return function(settings)
		return not allows_version(settings, version) and version_names[version] .. " is not offered" or nil
	end
end

-- ---- certificates ------------------------------------------------------------

--- The judge of rfc6120.13.7.2.trusted-and-named. The clause unauth.encrypt is about unauthenticated peers, and for
-- those with another proof of their domain no root and no name has to vouch, too.
function rules.judge_identity(facts, connection)
	if not rules.has_certificate(facts) then
		return ("%s was negotiated, with %s; a certificate to check is needed"):format(
			suite_name(facts), with_authentication(facts))
	elseif type(connection) ~= "table" or connection.domain == nil or connection.authenticated == false then
		return nil
	elseif connection.authenticated and connection.proved_otherwise then
		return nil
	end
	local domain = text.printable(connection.domain)
	if facts.verified == false then
		return ("the certificate shown for %s is not valid (%s); a valid one is needed"):format(
			domain, tostring(facts.verify_error or "reason unknown"))
	elseif connection.identity == false then
		return ("the certificate shown for %s does not cover it; one that does is needed"):format(domain)
	elseif connection.authenticated and (not facts.verified or not connection.identity) then
		return ("the certificate shown for %s was not checked; it has to be"):format(domain)
	end
end

--- The judge of RFC 9325 4.5 on the RSA key of a server's certificate. Asks the certificate in the facts.
function rules.judge_rsa_key(facts)
	if facts.role ~= "client" or facts.certificate == nil then
		return nil
	end
	local certificate = facts.certificate:facts()
	if certificate.key_type == "RSA" and (certificate.key_bits or 0) < 2048 then
		return ("the server's certificate has an RSA key of %d bits; at least 2048 are needed"):format(
			certificate.key_bits or 0)
	end
end

-- OpenSSL's names of keys that agree on a secret, and cannot sign.
local is_for_agreement = { DH = true, DHX = true, X25519 = true, X448 = true }

--- RFC 10015 2: the key of a certificate can sign. `certificate`: facts of one; returns nil, or the end of a sentence.
function rules.own_signing_key(certificate)
	if is_for_agreement[certificate.key_type] then
		return ("has a key of type %s; one that can sign is needed"):format(certificate.key_type)
	end
end

--- The judge of RFC 10015 2 on the peer's certificate.
function rules.judge_signing_key(facts)
	local fault = facts.certificate and rules.own_signing_key(facts.certificate:facts())
	return fault and "the peer's certificate " .. fault
end

--- The judge of xep0178.1.server-auth-is-enough: on the certificate by which a server authenticates itself, in both
-- directions. Without the extension it is good for all.
function rules.judge_server_auth(facts, connection)
	if type(connection) ~= "table" or connection.service ~= "xmpp-server" or not connection.authenticated
		or facts.certificate == nil then
		return nil
	end
	local usages = facts.certificate:facts().extended_key_usages
	for _, usage in ipairs(usages or {}) do
		if usage == "serverAuth" or usage == "anyExtendedKeyUsage" then
			return nil
		end
	end
	return usages and ("the extended key usages of the certificate shown for %s lack serverAuth; a server needs it, "
		.. "and clientAuth is not needed"):format(text.printable(connection.domain or "an unknown domain")) or nil
end

--- The judge of RFC 9325 4.5 on the signatures of the handshake.
function rules.judge_signature(facts)
	for _, field in ipairs({ "signature_scheme", "client_signature_scheme" }) do
		local scheme = tostring(facts[field])
		if scheme:find("sha1", 1, true) or scheme:find("md5", 1, true) then
			return ("the handshake was signed with %s; SHA-256 or better is needed"):format(scheme)
		end
	end
end

-- ---- own certificates --------------------------------------------------------

local DAY = 24 * 60 * 60

-- `kind`: pattern of OpenSSL's names of keys; `noun`: its name.
local function own_bits(kind, noun, least)
	return function(certificate)
		if tostring(certificate.key_type):find(kind) and (certificate.key_bits or 0) < least then
			return ("has %s key of %s bits; at least %d are needed"):format(noun, tostring(certificate.key_bits or "unknown"),
				least)
		end
	end
end

--- A check of our own certificates: an RSA key has at least so many bits. Keys of other types pass.
function rules.own_rsa_key(least)
	return own_bits("^RSA", "an RSA", least)
end

--- A check of our own certificates: an EC key has at least so many bits. Keys of other types pass.
function rules.own_ec_key(least)
	return own_bits("^EC$", "an EC", least)
end

local signs_with_rsa_or_ecdsa = { RSA = true, ["RSA-PSS"] = true, EC = true }

--- A check of our own certificates: the key is for RSA, RSASSA-PSS or ECDSA.
function rules.own_rsa_or_ecdsa_key(certificate)
	if not signs_with_rsa_or_ecdsa[certificate.key_type or "unknown"] then
		return ("has a key of type %s; one for RSA or ECDSA is needed"):format(
			text.printable(certificate.key_type or "unknown"))
	end
end

-- OpenSSL's name and SECG's of the same curve.
local of_two_curves = { prime256v1 = true, secp256r1 = true, secp384r1 = true }

--- A check of our own certificates: an EC key is on P-256 or P-384. Keys of other types pass.
function rules.own_curve(certificate)
	if certificate.key_type == "EC" and not of_two_curves[certificate.curve] then
		return ("has a key on %s; P-256 or P-384 is needed"):format(
			certificate.curve and "the curve " .. text.printable(certificate.curve) or "an unknown curve")
	end
end

--- A check of our own certificates: the key is for ECDSA.
function rules.own_ecdsa_key(certificate)
	if certificate.key_type ~= "EC" then
		return ("has a key of type %s; one for ECDSA is needed"):format(text.printable(certificate.key_type or "unknown"))
	end
end

--- A check of our own certificates: the signature is by one of these algorithms (OpenSSL's names). The signature of a
-- self-signed certificate protects nothing.
function rules.own_signature(algorithms)
	return function(certificate)
		local algorithm = certificate.signature_algorithm
		for _, good in ipairs(algorithms) do
			if algorithm == good then
				return nil
			end
		end
		return certificate.subject ~= certificate.issuer and ("is signed with %s; %s is needed"):format(
			text.printable(algorithm or "an unknown algorithm"), table.concat(algorithms, " or ")) or nil
	end
end

local function is_pkcs1(certificate)
	return certificate.subject ~= certificate.issuer
		and tostring(certificate.signature_algorithm):find "WithRSAEncryption$" ~= nil
end

--- A check of our own certificates: neither the certificate nor those that are sent after it are signed by PKCS #1
-- v1.5. A root that is sent, too, is trusted without its signature.
function rules.own_pss(certificate, chain)
	if is_pkcs1(certificate) then
		return ("is signed with %s, which is PKCS #1 v1.5; RSASSA-PSS or ECDSA is wanted"):format(
			text.printable(certificate.signature_algorithm))
	end
	for _, authority in ipairs(chain or {}) do
		if is_pkcs1(authority) then
			return ("is sent with the certificate of %s, which is signed with %s (PKCS #1 v1.5); RSASSA-PSS or ECDSA is wanted")
				:format(text.printable(authority.subject or ""), text.printable(authority.signature_algorithm))
		end
	end
end

--- A check of our own certificates: valid for at most so many days. A certificate of 90 days ends 90 days less a second
-- after its begin (rfc5280.4.1.2.5.both-ends-count).
function rules.own_lifespan(days)
	return function(certificate)
		local life = certificate.not_before and certificate.not_after
			and certificate.not_after - certificate.not_before + 1
		if not life or life > days * DAY then
			return ("is valid for %s days; at most %d are wanted"):format(
				life and tostring(math.ceil(life / DAY)) or "an unknown number of", days)
		end
	end
end

return rules
