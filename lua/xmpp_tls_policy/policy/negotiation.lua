-- The outcome of a handshake between a ClientHello and a server that allows only certain
-- versions, suites and groups.
local core = require "xmpp_tls_policy.core"
local setting_lists = require "xmpp_tls_policy.policy.settings".lists
local rules = require "xmpp_tls_policy.policy.rules"
local signature_schemes = require "xmpp_tls_policy.policy.signature_schemes"
local suites = require "xmpp_tls_policy.policy.suites"

local rank = suites.rank

local negotiation = {}

-- More than the places of any list.
local AHEAD = 2 ^ 16

local methods = {}
local metatable = { __index = methods }

-- Number -> record, and number -> place in the order of preference, in which the records on
-- request come last.
local function by_number(list)
	local records, places = {}, {}
	for index, record in ipairs(list) do
		records[record.number] = record
		places[record.number] = index + (record.on_request and #list or 0)
	end
	return { list = list, records = records, places = places }
end

-- OpenSSL's security level -> the least bits of strength (SSL_CTX_set_security_level(3)).
local least_bits = { [0] = 0, 80, 112, 128, 192, 256 }

-- The numbers of the finite fields that DHE may use before TLS 1.3, as a set: those that are listed, and
-- the one that the core adds for the least bits (c/dhe_group.c).
local function fields_for_dhe(allowed, limits)
	local fields, is_listed, added = {}, {}, nil
	for _, record in ipairs(allowed.groups) do
		is_listed[record] = true
	end
	local least = math.max(allowed.dh_bits or 0, limits.own_dh_bits or 0)
	for _, record in ipairs(suites.groups) do
		if record.kind == "finite field" and record.bits >= (allowed.dh_bits or 0) then
			local is_added = allowed.dh_bits and not limits.without_dh and not added and record.bits >= least
			added = added or is_added
			fields[record.number] = is_listed[record] or is_added or nil
		end
	end
	return fields
end

-- The negotiation of a server.
--   allowed  { minimum_version, maximum_version (nil: the newest), ciphers, ciphersuites, groups
--            (lists of records of suites.lua in order of preference), signature_schemes (of records
--            of signature_schemes.lua; nil: all), dh_bits }
--   limits   of the server itself, nil if they are unknown:
--     certificate     { key_type, curve }, as a certificate's facts have them; false: the server
--                     has none; nil: any suite and signature will do
--     security_level  OpenSSL's
--     without_dh      true: there are no DH parameters
--     own_dh_bits     of the operator's DH parameters
--     negotiates_dhe  whether OpenSSL negotiates DHE before TLS 1.3 by its group, with clients that list
--                     one (rfc7919.4.shared-group); nil: as here
--     client_preference  true: the client's order decides
--     chacha20_preference  true: the server's order decides, but suites with ChaCha20 come first for
--                     a client that puts one first (SSL_OP_PRIORITIZE_CHACHA)
function negotiation.new(allowed, limits)
	limits = limits or {}
	local negotiates_dhe = limits.negotiates_dhe
	if negotiates_dhe == nil then
		negotiates_dhe = core.negotiates_dhe
	end
	return setmetatable({
		_fields = negotiates_dhe and fields_for_dhe(allowed, limits) or nil,
		_minimum_version = allowed.minimum_version,
		_maximum_version = allowed.maximum_version or suites.versions[#suites.versions],
		_ciphers = by_number(allowed.ciphers),
		_ciphersuites = by_number(allowed.ciphersuites),
		_groups = by_number(allowed.groups),
		_schemes = allowed.signature_schemes and by_number(allowed.signature_schemes).records,
		_dh_bits = allowed.dh_bits,
		_clients_order = limits.client_preference,
		_chacha20_preference = limits.chacha20_preference and not limits.client_preference,
		_certificate = limits.certificate,
		_security_level = limits.security_level or 0,
		_without_dh = limits.without_dh,
	}, metatable)
end

local function records_of(names, list)
	local is_listed, records = {}, {}
	for _, name in ipairs(names or {}) do
		is_listed[name:lower()] = true
	end
	for _, record in ipairs(list) do
		if not names or is_listed[record.name:lower()] then
			records[#records + 1] = record
		end
	end
	return records
end

-- The negotiation of a server with settings (see settings.lua; a list that is nil allows
-- everything). `certificate`: see new.
function negotiation.of_settings(settings, certificate)
	local allowed = {
		minimum_version = settings.minimum_version or suites.versions[1], maximum_version = settings.maximum_version,
		dh_bits = settings.dh_bits,
	}
	for _, list in ipairs(setting_lists) do
		allowed[list] = records_of(settings[list], suites[list])
	end
	allowed.signature_schemes = settings.signature_schemes
		and records_of(settings.signature_schemes, signature_schemes.list)
	return negotiation.new(allowed, {
		certificate = certificate, without_dh = settings.dh_bits == nil, own_dh_bits = settings.own_dh_bits,
		security_level = not settings.insecure_strength and settings.security_level or nil,
		client_preference = settings.client_preference, chacha20_preference = settings.chacha20_preference,
	})
end

-- ---- versions --------------------------------------------------------------------

-- OpenSSL has no version before TLS 1.2 above its security level 0.
local function has_version(self, version)
	return rank[version] >= rank[self._minimum_version] and rank[version] <= rank[self._maximum_version]
		and (self._security_level == 0 or rank[version] >= rank["TLSv1.2"])
end

-- The version that the server negotiates of a ClientHello, nil if none. Suites do not count for it.
-- A single version before TLS 1.3 may be the newest of those that the client has
-- (rfc8446.4.2.1.versions-in-extension).
function methods:version(hello)
	local best
	for _, number in ipairs(hello.versions or {}) do
		local version = suites.versions_by_number[number]
		if version and has_version(self, version) and (not best or rank[version] > rank[best]) then
			best = version
		end
	end
	local only = hello.versions and #hello.versions == 1 and suites.versions_by_number[hello.versions[1]]
	if not best and only and only ~= "TLSv1.3" and rank[only] > rank[self._maximum_version]
		and has_version(self, self._maximum_version) then
		return self._maximum_version
	end
	return best
end

-- ---- suites, groups and signatures -----------------------------------------------

-- Whether the server's certificate can authenticate a suite before TLS 1.3.
local function fits_key(self, suite)
	local certificate = self._certificate
	if not certificate then
		return certificate == nil
	elseif certificate.key_type == "RSA" then
		return suite.authentication == "RSA"
	elseif certificate.key_type == "RSA-PSS" then
		return suite.authentication == "RSA" and suite.key_exchange ~= "RSA"
	end
	return suite.authentication == "ECDSA"
end

-- Whether a ClientHello negotiates the group of DHE: its list has a finite field, known or not
-- (rfc7919.4.shared-group).
local function negotiates_dhe(self, hello)
	for _, number in ipairs(self._fields and hello.groups or {}) do
		if number >= 256 and number <= 511 then
			return true
		end
	end
	return false
end

-- Whether the server can use a suite of its own in a version.
local function can_use(self, suite, version, hello)
	if suite.bits < least_bits[self._security_level] then
		return false
	elseif version == "TLSv1.3" then
		return true
	end
	return (version == "TLSv1.2" or not suite.needs_tls12) and fits_key(self, suite)
		and (suite.key_exchange ~= "DHE" or not self._without_dh or negotiates_dhe(self, hello))
end

local function has_group(self, group, version)
	if version == "TLSv1.3" then
		return group.tls13 and (group.kind ~= "finite field" or group.bits >= (self._dh_bits or 0))
	end
	return group.before_tls13
end

local function lists(numbers, wanted)
	for _, number in ipairs(numbers or {}) do
		if number == wanted then
			return true
		end
	end
	return false
end

local function shares_field(self, hello)
	for _, number in ipairs(hello.groups or {}) do
		if self._fields[number] then
			return true
		end
	end
	return false
end

local function shares_group(self, hello, version)
	for _, number in ipairs(hello.groups or {}) do
		local group = self._groups.records[number]
		if group and has_group(self, group, version) then
			return true
		end
	end
	return false
end

-- rfc8422.5.1.curve-of-certificate: before TLS 1.3 a client lists the curves that it can verify.
local function has_curve_of_key(self, hello)
	local certificate = self._certificate
	local curve = certificate and certificate.key_type == "EC" and suites.groups_by_name[certificate.curve or ""]
	return not curve or not hello.groups or lists(hello.groups, curve.number)
end

-- Whether the groups of a ClientHello are enough for a suite. Before TLS 1.3 a client without a
-- list leaves the group to the server, and OpenSSL chooses none (rfc8422.4.no-list-of-groups).
local function has_groups_for(self, hello, suite, version)
	if version ~= "TLSv1.3" then
		if suite.authentication == "ECDSA" and not has_curve_of_key(self, hello) then
			return false
		elseif suite.key_exchange == "DHE" and negotiates_dhe(self, hello) then
			return shares_field(self, hello)
		elseif not suite.key_exchange:find "^ECDHE" then
			return true
		end
	end
	return shares_group(self, hello, version)
end

-- Whether the server can sign by a scheme under a version. With an unknown certificate it has a key for each.
local function can_sign(self, scheme, version)
	if self._schemes and not self._schemes[scheme.number] then
		return false
	end
	local key = self._certificate or { key_type = scheme.key_type, curve = scheme.curve }
	return signature_schemes.suits(scheme, key, version, least_bits[self._security_level])
end

-- Before TLS 1.2 no scheme is listed (rfc4346.7.4.3.md5-and-sha1). OpenSSL wants a scheme in TLS 1.2
-- for RSA key transport, too.
local function shares_signature(self, hello, version)
	if self._certificate == nil and not self._schemes or rank[version] < rank["TLSv1.2"] then
		return true
	end
	local offered = hello.signature_schemes or version == "TLSv1.2" and signature_schemes.unlisted or {}
	for _, number in ipairs(offered) do
		local scheme = signature_schemes.by_number[number]
		if scheme and can_sign(self, scheme, version) then
			return true
		end
	end
	return false
end

local function suites_of(self, version)
	return version == "TLSv1.3" and self._ciphersuites or self._ciphers
end

-- The kind of thing that a ClientHello lacks for a handshake: "version", "suite", "group" or
-- "signature"; "certificate" if the server has none; nil if nothing is missing.
function methods:missing(hello)
	local version = self:version(hello)
	if not version then
		return "version"
	elseif self._certificate == false then
		return "certificate"
	end
	local missing, own = "suite", suites_of(self, version)
	for _, number in ipairs(hello.suites or {}) do
		local suite = own.records[number]
		if suite and can_use(self, suite, version, hello) then
			if has_groups_for(self, hello, suite, version) then
				return not shares_signature(self, hello, version) and "signature" or nil
			end
			missing = "group"
		end
	end
	return missing
end

-- How many of the suites offered are allowed.
function methods:count_suites(hello)
	local count = 0
	for _, number in ipairs(hello.suites or {}) do
		if self._ciphers.records[number] or self._ciphersuites.records[number] then
			count = count + 1
		end
	end
	return count
end

-- The record that comes first of those offered and usable, in our order or in the client's, or nil.
local function preferred(self, own, numbers, is_usable)
	local first = suites.by_number[(numbers or {})[1]]
	local chacha20_first = self._chacha20_preference and first and rules.is_chacha20(first)
	local best, least
	for index, number in ipairs(numbers or {}) do
		local place = own.places[number] and (self._clients_order and index or own.places[number])
		if place and chacha20_first and rules.is_chacha20(own.records[number]) then
			place = place - AHEAD
		end
		if place and (not least or place < least) and is_usable(own.records[number]) then
			best, least = own.records[number], place
		end
	end
	return best
end

-- The version, suite and group (records; group: nil if there is none) that the server
-- negotiates of a ClientHello that lacks nothing.
function methods:choose(hello)
	local version = self:version(hello)
	return {
		version = version,
		suite = preferred(self, suites_of(self, version), hello.suites, function (suite)
			return can_use(self, suite, version, hello) and has_groups_for(self, hello, suite, version)
		end),
		group = preferred(self, self._groups, hello.groups, function (group)
			return has_group(self, group, version)
		end),
	}
end

-- ---- parts of an offer -----------------------------------------------------------

local function common(numbers, is_common)
	local kept = numbers and {}
	for _, number in ipairs(numbers or {}) do
		kept[#kept + 1] = is_common(number) and number or nil
	end
	return kept
end

-- A ClientHello without the versions, suites and groups that the server does not have, or has no
-- certificate for: a new table.
function methods:reduced(hello)
	return {
		versions = common(hello.versions, function (number)
			return self:version { versions = { number } } ~= nil
		end),
		suites = common(hello.suites, function (number)
			return self._ciphersuites.records[number]
				or self._ciphers.records[number] and fits_key(self, self._ciphers.records[number])
		end),
		groups = common(hello.groups, function (number)
			return self._groups.records[number]
		end),
		signature_schemes = hello.signature_schemes,
	}
end

-- ---- facts -----------------------------------------------------------------------

local function offers_sha2(hello)
	for _, number in ipairs(hello.signature_schemes or {}) do
		local scheme = signature_schemes.by_number[number]
		if not scheme or scheme.bits > 64 then
			return true
		end
	end
	return false
end

-- Whether a client that signed by a scheme (its name) would have another one that the server allows, of those in its
-- ClientHello, which it can most likely sign by, too.
local function has_other_scheme(self, hello, name)
	local used = signature_schemes.by_name[name or ""]
	for _, number in ipairs(used and self._schemes and hello.signature_schemes or {}) do
		local scheme = self._schemes[number]
		if scheme and scheme.key_type == used.key_type then
			return true
		end
	end
	return false
end

-- The facts of a handshake as they would be with another outcome (`chosen`, as choose
-- returns it): a new table.
function methods:facts_with(chosen, hello, facts)
	local suite, group, changed = chosen.suite, chosen.group, {}
	for fact, value in pairs(facts) do
		changed[fact] = value
	end
	changed.version, changed.compression = chosen.version, false
	changed.cipher_suite, changed.cipher = suite.name, nil
	changed.key_exchange, changed.encryption, changed.bits = suite.key_exchange, suite.encryption, suite.bits
	if group and group.kind == "hybrid" then
		changed.key_exchange = "hybrid"
	end
	changed.aead, changed.forward_secrecy = suite.aead, suite.forward_secrecy
	if suite.authentication ~= "certificate" then
		changed.authentication = suite.authentication
	end
	changed.group, changed.group_bits = group and group.name, group and group.bits
	if suite.key_exchange == "DHE" then
		changed.group, changed.group_bits = nil, self._dh_bits
	end
	-- The server would have signed by one of its schemes.
	if self._schemes or offers_sha2(hello) then
		changed.signature_scheme = nil
	end
	if has_other_scheme(self, hello, changed.client_signature_scheme) then
		changed.client_signature_scheme = nil
	end
	return changed
end

return negotiation
