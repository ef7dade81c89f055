-- The versions that a server can negotiate with the key of its certificate. Before TLS 1.3 each suite
-- needs a certain kind of key.
local negotiation = require "xmpp_tls_policy.policy.negotiation"
local signature_schemes = require "xmpp_tls_policy.policy.signature_schemes"
local suites = require "xmpp_tls_policy.policy.suites"
local usable_versions = require "xmpp_tls_policy.policy.usable_versions"

local rank, version_names = suites.rank, suites.version_names

local negotiable_versions = {}

local function numbers_of(...)
	local numbers = {}
	for _, list in ipairs { ... } do
		for _, record in ipairs(list) do
			numbers[#numbers + 1] = record.number
		end
	end
	return numbers
end

local function all_schemes()
	local numbers = {}
	for number in pairs(signature_schemes.by_number) do
		numbers[#numbers + 1] = number
	end
	return numbers
end

-- The best that a client can offer, but for the versions.
local best = {
	suites = numbers_of(suites.ciphers, suites.ciphersuites), groups = numbers_of(suites.groups),
	signature_schemes = all_schemes(),
}

local version_numbers = {}
for number, version in pairs(suites.versions_by_number) do
	version_numbers[version] = number
end

local function range_of(settings)
	return rank[settings.minimum_version or suites.versions[1]], rank[settings.maximum_version or "TLSv1.3"]
end

-- The versions, the oldest first, that a server can negotiate with a client that offers everything.
-- `settings`: see settings.lua; `certificate`: the facts of the server's, nil: any key will do, as of a
-- client; false: there is none, so none can be negotiated.
function negotiable_versions.of(settings, certificate)
	local server, list = negotiation.of_settings(settings, certificate), {}
	local first, last = range_of(settings)
	for place = first, last do
		local version = suites.versions[place]
		local hello = {
			versions = { version_numbers[version] }, suites = best.suites, groups = best.groups,
			signature_schemes = best.signature_schemes,
		}
		list[#list + 1] = usable_versions.is_usable(settings, version) and not server:missing(hello) and version or nil
	end
	return list
end

-- Settings -> kind of key -> the last result of `lost`, as a table. Many contexts have the same settings.
local known = setmetatable({}, { __mode = "k" })

local function lost(settings, certificate)
	local fitting, is_fitting, names = negotiable_versions.of(settings, certificate), {}, {}
	for _, version in ipairs(fitting) do
		is_fitting[version] = true
	end
	for _, version in ipairs(negotiable_versions.of(settings)) do
		names[#names + 1] = not is_fitting[version] and version_names[version] or nil
	end
	local noun = settings.signature_schemes and "cipher suites or signature schemes" or "cipher suites"
	local sentence = names[1] and ("%s cannot be negotiated: none of the %s fits the %s key of the certificate")
		:format(table.concat(names, " and "), noun, tostring(certificate.key_type))
	return { sentence = sentence, all = fitting[1] == nil }
end

-- The versions that settings allow, and that the certificate of the server (its facts) has no key for: a
-- sentence, and whether no version is left. nil if there are none.
function negotiable_versions.lost(settings, certificate)
	local key = ("%s %s"):format(tostring(certificate.key_type), tostring(certificate.curve))
	local by_key = known[settings] or {}
	known[settings] = by_key
	by_key[key] = by_key[key] or lost(settings, certificate)
	return by_key[key].sentence, by_key[key].sentence and by_key[key].all
end

return negotiable_versions
