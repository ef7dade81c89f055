--- The remedies for an offer that a server of ours refused. Each is applied to the settings or to the
-- offer, and counts only if the offer would then be accepted.
local available = require "xmpp_tls_policy.policy.available"
local client_hello = require "xmpp_tls_policy.policy.client_hello"
local copy = require "xmpp_tls_policy.copy"
local negotiation = require "xmpp_tls_policy.policy.negotiation"
local signature_schemes = require "xmpp_tls_policy.policy.signature_schemes"
local suites = require "xmpp_tls_policy.policy.suites"

local rank, version_names = suites.rank, suites.version_names

local remedies = {}

--- Whether a server with settings (nil: with none) and a certificate (see policy/negotiation.lua) would
-- accept a ClientHello.
function remedies.accepts(settings, certificate, hello)
	return settings ~= nil and negotiation.of_settings(available.only(settings), certificate):missing(hello) == nil
end

local accepts = remedies.accepts

-- ---- the peer --------------------------------------------------------------------

-- A client that is too old to have these lists has them with a newer version.
local lists_since = {
	groups = { "TLSv1", suites.groups }, signature_schemes = { "TLSv1.2", signature_schemes.list },
}

local function numbers_of(records)
	local numbers = {}
	for index, record in ipairs(records) do
		numbers[index] = record.number
	end
	return numbers
end

local function with_version(hello, version)
	local made, newest = copy(hello), client_hello.newest_versions(hello)
	for field, since in pairs(lists_since) do
		if not made[field] and (not newest or rank[newest] < rank[since[1]]) then
			made[field] = numbers_of(since[2])
		end
	end
	made.versions = made.versions or {}
	table.insert(made.versions, suites.version_numbers[version])
	return made
end

-- The records of the names in a list of settings; nil: all that there are.
local function candidates_of(settings, list)
	local records = {}
	for _, name in ipairs(settings[list] or {}) do
		records[#records + 1] = suites.by_name[name] or suites.groups_by_name[name:lower()]
	end
	return settings[list] and records or suites[list]
end

-- Strong schemes are advised before those with SHA-1.
local strong_schemes, weak_schemes = {}, {}
for _, scheme in ipairs(signature_schemes.list) do
	table.insert(scheme.bits >= 128 and strong_schemes or weak_schemes, scheme)
end

-- What is missing -> the field of a ClientHello, and the lists of records that may be added to it.
local function additions_to(missing, settings)
	if missing == "suite" then
		return "suites", { candidates_of(settings, "ciphersuites"), candidates_of(settings, "ciphers") }
	elseif missing == "group" then
		return "groups", { candidates_of(settings, "groups") }
	elseif missing == "signature" then
		return "signature_schemes", { strong_schemes, weak_schemes }
	end
end

-- The first record whose addition to a ClientHello provides what is missing, and the ClientHello
-- with it; nil if none does.
local function add(server, hello, missing, settings)
	local field, lists = additions_to(missing, settings)
	for _, list in ipairs(lists or {}) do
		for _, record in ipairs(list) do
			local made = copy(hello)
			made[field] = made[field] or {}
			table.insert(made[field], record.number)
			if server:missing(made) ~= missing then
				return record, made
			end
		end
	end
end

-- Adds to a ClientHello until the server accepts it. Returns { suite, group, signature } by name, as
-- far as needed; nil if nothing helps.
local function completed(server, hello, settings)
	local needs = {}
	while true do
		local missing = server:missing(hello)
		if not missing then
			return needs
		elseif needs[missing] then
			return nil
		end
		local record, made = add(server, hello, missing, settings)
		if not record then
			return nil
		end
		needs[missing], hello = record.name, made
	end
end

-- TLS 1.2 and newer are advised before older versions.
local advised_versions = { "TLSv1.2", "TLSv1.3", "TLSv1.1", "TLSv1" }

-- What the peer would have to offer: as `completed`, and `version`.
local function needs_of(server, hello, settings)
	if server:missing(hello) ~= "version" then
		return completed(server, hello, settings)
	end
	for _, version in ipairs(advised_versions) do
		local made = with_version(hello, version)
		local needs = server:missing(made) ~= "version" and completed(server, made, settings)
		if needs then
			needs.version = version
			return needs
		end
	end
end

local nouns = { suite = "a cipher suite", group = "a group", signature = "a signature scheme" }

--- What the peer has to offer, in words; nil if nothing would be accepted. `missing`: of what the
-- sentence before speaks.
function remedies.of_peer(hello, missing, given)
	local settings = given.settings
	local needs = needs_of(negotiation.of_settings(settings, given.certificate), hello, settings)
	if not needs then
		return nil
	end
	local parts = {}
	for _, kind in ipairs({ "suite", "group", "signature" }) do
		if needs[kind] then
			local noun = kind == missing and "one" or nouns[kind]
			parts[#parts + 1] = ("%s such as %s"):format(noun, needs[kind])
		end
	end
	local rest = table.concat(parts, " and ")
	if not needs.version then
		return rest
	end
	return version_names[needs.version] .. (parts[1] and " with " .. rest or "")
end

-- ---- the policy ------------------------------------------------------------------

local function accepts_under(policy, hello, given)
	return accepts(policy:settings_for(given.before, given.operator), given.certificate, hello)
end

--- The milder level or the exception that would let the peer in, in words; nil if neither does.
function remedies.of_policy(hello, given)
	local policy = given.policy
	if policy.mode == "report" then
		return nil
	elseif given.role == "c2s" then
		local milder = policy:milder()
		return milder and accepts_under(milder, hello, given) and ('level = "%s"'):format(milder.level) or nil
	elseif accepts_under(policy:mildest_exception(), hello, given) then
		-- Direct TLS ends its handshake before the server names its domain.
		return given.direct_tls and "an exception, and STARTTLS" or "an exception"
	end
end

-- ---- the server's own configuration ----------------------------------------------

-- The newest version of a ClientHello beside those of the server.
local function widen_versions(before, hello)
	local version = client_hello.newest_versions(hello)
	if version and before.maximum_version and rank[version] > rank[before.maximum_version] then
		before.maximum_version = version
	elseif version and before.minimum_version and rank[version] < rank[before.minimum_version] then
		before.minimum_version = version
	end
end

-- The suites or groups of a ClientHello beside those of a list of the server's, as the operator's own.
local function widen_list(list, field)
	return function (before, hello, operator)
		local names = before[list] and copy(before[list])
		for _, number in ipairs(names and hello[field] or {}) do
			for _, record in ipairs(suites[list]) do
				names[#names + 1] = record.number == number and record.name or nil
			end
		end
		before[list], operator[list] = names, names ~= nil
	end
end

-- The changes of the server's own configuration that are tried: function(before, hello, operator), and
-- function(hello, chosen) -> the words for it.
local changes = {
	{ widen_versions, function (hello)
		return version_names[client_hello.newest_versions(hello)]
	end },
	{ widen_list("ciphers", "suites"), function (_, chosen)
		return chosen.suite.name
	end },
	{ widen_list("ciphersuites", "suites"), function (_, chosen)
		return chosen.suite.name
	end },
	{ widen_list("groups", "groups"), function (_, chosen)
		return chosen.group and chosen.group.name
	end },
	{ function (before)
		before.dh_bits, before.has_dhe = before.dh_bits or 2048, true
	end, function (_, chosen)
		return chosen.suite.key_exchange == "DHE" and "DH parameters" or nil
	end },
	{ function (before)
		before.security_level = before.security_level and 0
	end, function ()
		return "a lower security level of OpenSSL"
	end },
}

-- The settings in force after changes; nil if nothing would be left.
local function settings_after(list, hello, given)
	local before, operator = copy(given.before or {}), copy(given.operator or {})
	for _, change in ipairs(list) do
		change[1](before, hello, operator)
	end
	if given.policy.mode == "report" then
		return before
	end
	return (given.policy:settings_for(before, operator))
end

local function words_for(list, hello, settings, certificate)
	local chosen, words, is_listed = negotiation.of_settings(settings, certificate):choose(hello), {}, {}
	for _, change in ipairs(list) do
		local word = change[2](hello, chosen)
		words[#words + 1] = word and not is_listed[word] and word or nil
		is_listed[word or ""] = true
	end
	return table.concat(words, " and ") .. " in the server's ssl options"
end

-- A list without one of its places.
local function without(list, place)
	local rest = {}
	for index, item in ipairs(list) do
		rest[#rest + 1] = index ~= place and item or nil
	end
	return rest
end

--- The changes of the server's own options that would let the peer in, in words, none of them in vain;
-- nil if none do.
function remedies.of_configuration(hello, given)
	local needed = changes
	if not accepts(settings_after(needed, hello, given), given.certificate, hello) then
		return nil
	end
	for place = #changes, 1, -1 do
		local fewer = without(needed, place)
		if accepts(settings_after(fewer, hello, given), given.certificate, hello) then
			needed = fewer
		end
	end
	return needed[1] and words_for(needed, hello, settings_after(needed, hello, given), given.certificate) or nil
end

-- ---- the certificate -------------------------------------------------------------

local keys = {
	{ { key_type = "RSA" }, "an RSA certificate" },
	{ { key_type = "EC", curve = "secp256r1" }, "an ECDSA certificate on P-256" },
}

--- The kind of certificate that would let the peer in, in words; nil if none does.
function remedies.of_certificate(hello, given)
	for _, key in ipairs(keys) do
		if accepts(given.settings, key[1], hello) then
			return key[2]
		end
	end
end

--- The kind of certificate that a server without one needs for a peer, { key_type, curve }, and in
-- words: one that would let it in, if there is such a kind.
function remedies.of_no_certificate(hello, given)
	for _, key in ipairs(keys) do
		if accepts(given.settings, key[1], hello) then
			return key[1], key[2]
		end
	end
	return keys[1][1], keys[1][2]
end

return remedies
