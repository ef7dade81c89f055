-- The outcome of a handshake between a ClientHello and a server that allows only certain
-- versions, suites and groups, as OpenSSL decides it.
local signatures = require "xmpp_tls_policy.policy.signatures"
local suites = require "xmpp_tls_policy.policy.suites"

local rank = suites.rank
local newest = suites.versions[#suites.versions]

local negotiation = {}

local methods = {}
local metatable = { __index = methods }

-- Number -> record, and number -> place in the order of preference, in which the records on
-- request come last, unless the list is in force.
local function by_number(list, is_in_force)
	local records, places = {}, {}
	for index, record in ipairs(list) do
		records[record.number] = record
		places[record.number] = index + (record.on_request and not is_in_force and #list or 0)
	end
	return { records = records, places = places }
end

-- The negotiation of a server. `allowed`: { minimum_version; maximum_version (nil: the newest);
-- ciphers, ciphersuites, groups (lists of records of suites.lua in order of preference); dh_bits;
-- security_level (nil: 0); keys = of its certificates (see signatures.lua), nil: any; is_in_force =
-- whether the lists are in force; client_order = whether the client's order counts }.
function negotiation.new(allowed)
	local is_in_force = allowed.is_in_force
	return setmetatable({
		_minimum_version = allowed.minimum_version,
		_maximum_version = allowed.maximum_version or newest,
		_ciphers = by_number(allowed.ciphers, is_in_force),
		_ciphersuites = by_number(allowed.ciphersuites, is_in_force),
		_groups = by_number(allowed.groups, is_in_force),
		_dh_bits = allowed.dh_bits,
		_security_level = allowed.security_level or 0,
		_client_order = allowed.client_order,
		_keys = allowed.keys,
	}, metatable)
end

-- The version that the server chooses; nil if there is none in common. An old client sends one
-- number, which stands for all older versions, too.
local function version_of(self, hello)
	local best
	local function consider(version)
		if version and rank[version] >= rank[self._minimum_version] and rank[version] <= rank[self._maximum_version]
			and (not best or rank[version] > rank[best]) then
			best = version
		end
	end
	for _, number in ipairs(hello.versions or {}) do
		consider(suites.versions_by_number[number])
	end
	local only = hello.versions and #hello.versions == 1 and suites.versions_by_number[hello.versions[1]]
	if only and only ~= newest and rank[only] > rank[self._maximum_version] then
		consider(self._maximum_version)
	end
	return best
end

-- Some groups are for TLS 1.3 alone, and some for older versions alone.
local function is_for_version(group, version)
	local is_new = group.name:find "tls13$" or group.kind ~= "curve"
	if version ~= newest then
		return not is_new
	end
	return is_new or group.bits >= 250 and not group.name:find "^brainpool"
end

-- Whether there is a group in common. OpenSSL finds none for a client without a list
-- (rfc8422.4.no-list-of-groups).
local function has_group(self, hello, version)
	for _, number in ipairs(hello.groups or {}) do
		local group = self._groups.records[number]
		if group and is_for_version(group, version) then
			return true
		end
	end
	return false
end

-- What the server lacks for a suite that it allows: "suite", "group", "signature", or nil. Without a
-- certificate nothing signs.
local function lack_of(self, suite, hello, version)
	local needs_group = version == newest or suite.key_exchange:find "^ECDHE" ~= nil
	if rank[version] < rank["TLSv1.2"] and suite.needs_tls12 then
		return "suite"
	elseif needs_group and not has_group(self, hello, version) then
		return "group"
	elseif suite.authentication == "anonymous" or suite.authentication == "PSK" then
		return nil
	end
	return signatures.lack(self._keys, suite.authentication, version, hello, self._security_level)
end

local function suites_of(self, version)
	return version == newest and self._ciphersuites or self._ciphers
end

-- The kind of thing that a ClientHello lacks for a handshake: "version", "suite", "group" or
-- "signature"; nil if it lacks nothing.
function methods:missing(hello)
	local version = version_of(self, hello)
	if not version then
		return "version"
	end
	local allowed, least = suites_of(self, version).records, "suite"
	for _, number in ipairs(hello.suites or {}) do
		local lack = allowed[number] and lack_of(self, allowed[number], hello, version) or not allowed[number] and "suite"
		if not lack then
			return nil
		end
		least = least == "suite" and lack or least
	end
	return least
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

-- The record that comes first in our order of those offered, or in the client's, or nil.
-- `is_possible(record)`: whether it counts.
local function preferred(self, allowed, numbers, is_possible)
	local best, least
	for _, number in ipairs(numbers or {}) do
		local record, place = allowed.records[number], allowed.places[number]
		if record and (not least or place < least) and is_possible(record) then
			if self._client_order then
				return record
			end
			best, least = record, place
		end
	end
	return best
end

-- The version, suite and group (records; group: nil if there is none) that the server
-- negotiates of a ClientHello that lacks nothing.
function methods:choose(hello)
	local version = version_of(self, hello)
	local suite = preferred(self, suites_of(self, version), hello.suites, function (record)
		return lack_of(self, record, hello, version) == nil
	end)
	local group = preferred(self, self._groups, hello.groups, function (record)
		return is_for_version(record, version)
	end)
	return { version = version, suite = suite, group = group }
end

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
			return version_of(self, { versions = { number } }) ~= nil
		end),
		suites = common(hello.suites, function (number)
			local suite = self._ciphers.records[number] or self._ciphersuites.records[number]
			return suite and signatures.has_key(self._keys, suite.authentication)
		end),
		groups = common(hello.groups, function (number)
			return self._groups.records[number]
		end),
		signature_schemes = hello.signature_schemes,
	}
end

-- The schemes with SHA-1 (rfc8446.4.2.3.signature-schemes).
local sha1_schemes = { [0x0201] = true, [0x0203] = true }

local function offers_sha2(hello)
	for _, scheme in ipairs(hello.signature_schemes or {}) do
		if not sha1_schemes[scheme] then
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
	if offers_sha2(hello) then
		changed.signature_scheme = nil
	end
	return changed
end

return negotiation
