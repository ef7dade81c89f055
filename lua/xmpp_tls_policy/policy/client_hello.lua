-- A ClientHello as the core reads it (numbers; doc/scripting.md has the shape), in names and words.
local signature_schemes = require "xmpp_tls_policy.policy.signature_schemes"
local suites = require "xmpp_tls_policy.policy.suites"
local text = require "xmpp_tls_policy.text"

local rank, version_names = suites.rank, suites.version_names

local client_hello = {}

-- Longer lists are of no help, and the admin shell of Prosody 13 takes no longer lines.
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

local function all_shown(list)
	local shown = {}
	for index, name in ipairs(list or {}) do
		shown[index] = text.shown(name)
	end
	return list and shown
end

local function is_long(hello)
	for _, field in ipairs({ "versions", "suites", "groups", "signature_schemes" }) do
		if hello[field] and #hello[field] > MOST_NAMES then
			return true
		end
	end
	return false
end

-- The same with names in place of numbers: IANA's (versions: OpenSSL's), or "0x" and four
-- digits for an unknown number. Strings are as text.shown has them, and long lists are cut.
function client_hello.named(hello)
	return {
		versions = names(hello.versions, suites.versions_by_number),
		suites = names(hello.suites, suites.by_number),
		groups = names(hello.groups, suites.groups_by_number),
		signature_schemes = names(hello.signature_schemes, signature_schemes.by_number),
		server_name = hello.server_name and text.shown(hello.server_name),
		alpn = all_shown(hello.alpn),
		cut = hello.cut or is_long(hello) or nil,
	}
end

-- The newest version of a ClientHello, and its newest version before TLS 1.3, by OpenSSL's
-- names; nil if it has none that is known.
function client_hello.newest_versions(hello)
	local newest, before_tls13
	for _, number in ipairs(hello.versions or {}) do
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

-- The oldest version of a ClientHello by OpenSSL's name; nil if it has none that is known.
function client_hello.oldest(hello)
	local oldest
	for _, number in ipairs(hello.versions or {}) do
		local version = suites.versions_by_number[number]
		if version and (not oldest or rank[version] < rank[oldest]) then
			oldest = version
		end
	end
	return oldest
end

local function newest_name(hello)
	return version_names[client_hello.newest_versions(hello)] or "an unknown version"
end

-- "offers nothing newer than TLS 1.0"
function client_hello.newest(hello)
	return ("offers nothing newer than %s"):format(newest_name(hello))
end

-- A sentence about a ClientHello of which nothing can be negotiated. `missing`: "version",
-- "suite", "group" or "signature" (see negotiation.lua); `minimum_version`: the oldest that is
-- allowed.
function client_hello.sentence(hello, missing, minimum_version)
	if missing == "version" then
		return ("nothing newer than %s is offered; %s or newer is needed"):format(
			newest_name(hello), version_names[minimum_version])
	elseif missing == "suite" then
		return ("none of the cipher suites offered complies: %s"):format(
			text.short_list(names(hello.suites, suites.by_number) or {}, 4))
	elseif missing == "signature" then
		return ("none of the signature schemes offered complies: %s"):format(
			text.short_list(names(hello.signature_schemes, signature_schemes.by_number) or {}, 4))
	end
	return ("none of the groups offered complies: %s"):format(
		text.short_list(names(hello.groups, suites.groups_by_number) or {}, 4))
end

return client_hello
