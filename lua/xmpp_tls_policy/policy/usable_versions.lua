-- The versions of TLS that lists of suites and groups leave something to negotiate for.
local suites = require "xmpp_tls_policy.policy.suites"

local rank = suites.rank

local usable_versions = {}

-- Whether ECDHE can use one of the groups in a version. A group that we do not know counts.
local function has_group(groups, version)
	local field = version == "TLSv1.3" and "tls13" or "before_tls13"
	for _, name in ipairs(groups) do
		local record = suites.groups_by_name[name:lower()]
		if not record or record[field] then
			return true
		end
	end
	return false
end

local function needs_group(suite)
	return suite ~= nil and suite.key_exchange:find "^ECDHE" ~= nil
end

-- Whether a version before TLS 1.3 can use one of the suites, and whether it can use one that needs
-- no group. A suite that we do not know counts.
local function has_cipher(ciphers, version)
	local any = false
	for _, name in ipairs(ciphers) do
		local suite = suites.by_name[name]
		if not suite or version == "TLSv1.2" or not suite.needs_tls12 then
			if not needs_group(suite) then
				return true, true
			end
			any = true
		end
	end
	return any, false
end

-- The lists that have nothing for a version, as a set by name; empty if it can be negotiated.
-- `lists`: { ciphers, ciphersuites, groups }, lists of names; nil: unknown, so that it does not
-- lack.
local function lacking(lists, version)
	local lacks = {}
	local needs = true
	if version == "TLSv1.3" then
		lacks.ciphersuites = lists.ciphersuites and not lists.ciphersuites[1] or nil
	elseif lists.ciphers then
		local any, without_group = has_cipher(lists.ciphers, version)
		lacks.ciphers = not any or nil
		needs = any and not without_group
	end
	lacks.groups = needs and lists.groups and not has_group(lists.groups, version) or nil
	return lacks
end

-- Whether lists leave something to negotiate for a version.
function usable_versions.is_usable(lists, version)
	return next(lacking(lists, version)) == nil
end

-- The versions from `minimum` to `maximum` for which lists leave something:
--   oldest, newest  of them; nil if there is none
--   unusable        list of { name, lacking = set of the lists that have nothing for it }, the
--                   oldest first
--   lacking         the set of all these lists
function usable_versions.of(lists, minimum, maximum)
	local found = { unusable = {}, lacking = {} }
	for place = rank[minimum], rank[maximum] do
		local version = suites.versions[place]
		local lacks = lacking(lists, version)
		if next(lacks) == nil then
			found.oldest, found.newest = found.oldest or version, version
		else
			found.unusable[#found.unusable + 1] = { name = version, lacking = lacks }
		end
		for list in pairs(lacks) do
			found.lacking[list] = true
		end
	end
	return found
end

-- Those of the suites before TLS 1.3 that need no group; nil for nil.
function usable_versions.without_groups(ciphers)
	local kept = {}
	for _, name in ipairs(ciphers or {}) do
		kept[#kept + 1] = not needs_group(suites.by_name[name]) and name or nil
	end
	return ciphers and kept
end

return usable_versions
