-- The outcome of a handshake between a ClientHello and a server that allows only certain
-- versions, suites and groups.
local client_hello = require "xmpp_tls_policy.policy.client_hello"
local suites = require "xmpp_tls_policy.policy.suites"

local rank = suites.rank

local negotiation = {}

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
	return { records = records, places = places }
end

-- The negotiation of a server. `allowed`: { minimum_version, ciphers, ciphersuites, groups
-- (lists of records of suites.lua in order of preference), dh_bits }.
function negotiation.new(allowed)
	return setmetatable({
		_minimum_version = allowed.minimum_version,
		_ciphers = by_number(allowed.ciphers),
		_ciphersuites = by_number(allowed.ciphersuites),
		_groups = by_number(allowed.groups),
		_dh_bits = allowed.dh_bits,
	}, metatable)
end

local function has_any(numbers, set)
	for _, number in ipairs(numbers or {}) do
		if set[number] then
			return true
		end
	end
	return false
end

-- Whether a suite before TLS 1.3 can be negotiated, and whether one that needs no group can.
local function has_cipher(self, hello, version)
	local found = false
	for _, number in ipairs(hello.suites or {}) do
		local suite = self._ciphers.records[number]
		if suite and (version == "TLSv1.2" or not suite.needs_tls12) then
			if not suite.key_exchange:find "^ECDHE" then
				return true, true
			end
			found = true
		end
	end
	return found, false
end

-- The kind of thing that a ClientHello lacks for a handshake: "version", "suite" or "group";
-- nil if it lacks nothing. A ClientHello without a list of groups leaves the group to the
-- server (rfc8422.4.no-list-of-groups).
function methods:missing(hello)
	local newest, before_tls13 = client_hello.newest_versions(hello)
	if not newest or rank[newest] < rank[self._minimum_version] then
		return "version"
	end
	local has_tls12, needs_no_group = false, false
	if before_tls13 and rank[before_tls13] >= rank[self._minimum_version] then
		has_tls12, needs_no_group = has_cipher(self, hello, before_tls13)
	end
	if needs_no_group then
		return nil
	end
	if not has_tls12 and not (newest == "TLSv1.3" and has_any(hello.suites, self._ciphersuites.records)) then
		return "suite"
	end
	return hello.groups ~= nil and not has_any(hello.groups, self._groups.records) and "group" or nil
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

-- The record that comes first in our order of those offered, or nil. `except`: a kind of group that
-- does not count.
local function preferred(allowed, numbers, except)
	local best, least
	for _, number in ipairs(numbers or {}) do
		local place = allowed.places[number]
		if place and (not least or place < least) and (not except or allowed.records[number].kind ~= except) then
			best, least = allowed.records[number], place
		end
	end
	return best
end

-- The version, suite and group (records; group: nil if there is none) that the server
-- negotiates of a ClientHello that lacks nothing.
function methods:choose(hello)
	local suite = has_any(hello.versions, { [0x0304] = true }) and preferred(self._ciphersuites, hello.suites)
	if suite then
		return { version = "TLSv1.3", suite = suite, group = preferred(self._groups, hello.groups) }
	end
	local _, before_tls13 = client_hello.newest_versions(hello)
	-- Older versions have no hybrid groups.
	return {
		version = before_tls13, suite = preferred(self._ciphers, hello.suites),
		group = preferred(self._groups, hello.groups, "hybrid"),
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
