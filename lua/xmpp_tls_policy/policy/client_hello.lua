-- What a peer offers in a handshake, as the core has it (numbers: README.md has the
-- shape), and whether some of it can be negotiated.
local suites = require "xmpp_tls_policy.policy.suites"
local text = require "xmpp_tls_policy.text"

local rank, version_names = suites.rank, suites.version_names

local offer = {}

-- RFC 8446 4.2.3, and the pairs of hash and signature of RFC 5246 that it replaced.
local signature_schemes = {
	[0x0201] = "rsa_pkcs1_sha1", [0x0203] = "ecdsa_sha1", [0x0401] = "rsa_pkcs1_sha256",
	[0x0403] = "ecdsa_secp256r1_sha256", [0x0501] = "rsa_pkcs1_sha384", [0x0503] = "ecdsa_secp384r1_sha384",
	[0x0601] = "rsa_pkcs1_sha512", [0x0603] = "ecdsa_secp521r1_sha512", [0x0804] = "rsa_pss_rsae_sha256",
	[0x0805] = "rsa_pss_rsae_sha384", [0x0806] = "rsa_pss_rsae_sha512", [0x0807] = "ed25519", [0x0808] = "ed448",
	[0x0809] = "rsa_pss_pss_sha256", [0x080A] = "rsa_pss_pss_sha384", [0x080B] = "rsa_pss_pss_sha512",
}

-- Longer lists tell nobody more, and the admin shell of Prosody 13 takes no longer lines.
local MOST_NAMES = 32

local function names(numbers, known)
	if not numbers then
		return nil
	end
	local list = {}
	for index = 1, math.min(#numbers, MOST_NAMES) do
		local number = numbers[index]
		local record = known[number]
		list[index] = type(record) == "table" and record.name or record or ("0x%04X"):format(number)
	end
	return list
end

local function escaped(list)
	local shown = {}
	for index, name in ipairs(list or {}) do
		shown[index] = text.escaped(name)
	end
	return list and shown
end

local function is_long(raw)
	for _, field in ipairs({ "versions", "suites", "groups", "signature_schemes" }) do
		if raw[field] and #raw[field] > MOST_NAMES then
			return true
		end
	end
	return false
end

-- The same with names for numbers, IANA's (versions: OpenSSL's); what has none here is
-- "0x" and four digits. Strings are escaped, and long lists are cut.
function offer.named(raw)
	return {
		versions = names(raw.versions, suites.versions_by_number),
		suites = names(raw.suites, suites.by_number),
		groups = names(raw.groups, suites.groups_by_number),
		signature_schemes = names(raw.signature_schemes, signature_schemes),
		server_name = raw.server_name and text.escaped(raw.server_name),
		alpn = escaped(raw.alpn),
		cut = raw.cut or is_long(raw) or nil,
	}
end

-- The newest version offered, and the newest before TLS 1.3: what a hello without
-- supported_versions names is the newest of all that it has.
local function newest_versions(raw)
	local newest, before_tls13
	for _, number in ipairs(raw.versions or {}) do
		local version = suites.versions_by_number[number]
		if version and (not newest or rank[version] > rank[newest]) then
			newest = version
		end
		if version and version ~= "TLSv1.3" and (not before_tls13 or rank[version] > rank[before_tls13]) then
			before_tls13 = version
		end
	end
	return newest, before_tls13
end

local function numbers_of(list)
	local set = {}
	for _, record in ipairs(list) do
		set[record.number] = record
	end
	return set
end

local function any(numbers, fulfils)
	for _, number in ipairs(numbers or {}) do
		if fulfils(number) then
			return true
		end
	end
	return false
end

-- What keeps an offer from being accepted where only so much is allowed: nil (nothing
-- does), "version", "suite" or "group". `allowed`: { minimum_version, ciphers,
-- ciphersuites, groups }, lists of records of suites.lua.
function offer.lacks(raw, allowed)
	local newest, before_tls13 = newest_versions(raw)
	if not newest or rank[newest] < rank[allowed.minimum_version] then
		return "version"
	end
	local ciphers, ciphersuites = numbers_of(allowed.ciphers), numbers_of(allowed.ciphersuites)
	local groups = numbers_of(allowed.groups)
	local has_group = raw.groups == nil or any(raw.groups, function (number) return groups[number] end)
	local tls13 = newest == "TLSv1.3" and any(raw.suites, function (number) return ciphersuites[number] end)
	local tls12, tls12_without_group = false, false
	if before_tls13 and rank[before_tls13] >= rank[allowed.minimum_version] then
		for _, number in ipairs(raw.suites or {}) do
			local suite = ciphers[number]
			if suite and (before_tls13 == "TLSv1.2" or not suite.needs_tls12) then
				tls12 = true
				tls12_without_group = tls12_without_group or not suite.key_exchange:find "^ECDHE"
			end
		end
	end
	if tls12_without_group or has_group and (tls12 or tls13) then
		return nil
	end
	return (tls12 or tls13) and "group" or "suite"
end

-- How many of the suites offered are allowed.
function offer.count(raw, allowed)
	local ciphers, ciphersuites, count = numbers_of(allowed.ciphers), numbers_of(allowed.ciphersuites), 0
	for _, number in ipairs(raw.suites or {}) do
		count = count + ((ciphers[number] or ciphersuites[number]) and 1 or 0)
	end
	return count
end

-- The first name of a list whose number is among those offered, as its record; or the
-- first of what else is allowed, records.
local function first_offered(list, records, numbers, allowed)
	local offered = {}
	for _, number in ipairs(numbers or {}) do
		offered[records[number] and records[number].name:lower() or number] = records[number]
	end
	for _, name in ipairs(list) do
		if offered[name:lower()] then
			return offered[name:lower()]
		end
	end
	for _, record in ipairs(allowed) do
		if offered[record.name:lower()] then
			return record
		end
	end
end

local function has_sha2(raw)
	return any(raw.signature_schemes, function (number)
		return number ~= 0x0201 and number ~= 0x0203
	end)
end

-- The facts of a handshake as they would have been if our side had had these settings
-- (a policy's, whose order counts; `allowed`, as in lacks, is all that it allows) and the
-- offer is not lacking anything: a new table.
function offer.outcome(raw, facts, settings, allowed)
	local _, before_tls13 = newest_versions(raw)
	local suite = first_offered(settings.ciphersuites, suites.by_number, raw.suites, allowed.ciphersuites)
	local tls13 = suite and any(raw.versions, function (number) return number == 0x0304 end)
	suite = tls13 and suite or first_offered(settings.ciphers, suites.by_number, raw.suites, allowed.ciphers)
	local outcome = {}
	for fact, value in pairs(facts) do
		outcome[fact] = value
	end
	outcome.version, outcome.compression = tls13 and "TLSv1.3" or before_tls13, false
	for _, fact in ipairs({ "key_exchange", "encryption", "bits", "aead", "forward_secrecy" }) do
		outcome[fact] = suite[fact]
	end
	outcome.cipher_suite, outcome.cipher = suite.name, nil
	if suite.authentication ~= "certificate" then
		outcome.authentication = suite.authentication
	end
	local group = first_offered(settings.groups, suites.groups_by_number, raw.groups, allowed.groups)
	outcome.group, outcome.group_bits = group and group.name, group and group.bits
	if suite.key_exchange == "DHE" then
		outcome.group, outcome.group_bits = nil, settings.dh_bits
	end
	if has_sha2(raw) then
		outcome.signature_scheme = nil
	end
	return outcome
end

-- "offers nothing newer than TLS 1.0"
function offer.newest(raw)
	return ("offers nothing newer than %s"):format(version_names[newest_versions(raw)] or "an unknown version")
end

-- What is lacking, in words.
function offer.sentence(raw, lack, allowed)
	local named = offer.named(raw)
	if lack == "version" then
		local newest = newest_versions(raw)
		return ("nothing newer than %s is offered; %s or newer is needed"):format(
			version_names[newest] or "an unknown version", version_names[allowed.minimum_version])
	elseif lack == "suite" then
		return ("none of the cipher suites offered complies: %s"):format(text.short_list(named.suites or {}, 4))
	end
	return ("none of the groups offered complies: %s"):format(text.short_list(named.groups or {}, 4))
end

return offer
