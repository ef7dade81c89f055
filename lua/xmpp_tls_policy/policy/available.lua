-- The suites and groups that OpenSSL has here.
local core = require "xmpp_tls_policy.core"
local settings = require "xmpp_tls_policy.policy.settings"
local suites = require "xmpp_tls_policy.policy.suites"

local available = {}

-- The names in lower case that a context drops; found once.
local unknown

local function find_unknown()
	local all, found = { security_level = 0 }, {}
	for _, list in ipairs(settings.lists) do
		all[list] = {}
		for index, record in ipairs(suites[list]) do
			all[list][index] = record.name
		end
	end
	local context = core.context.new({ role = "server" })
	local dropped = context and context:apply(all)
	if context then
		context:close()
	end
	for _, list in ipairs(dropped and settings.lists or {}) do
		for _, name in ipairs(dropped[list] or {}) do
			found[name:lower()] = true
		end
	end
	return found
end

-- Settings without the names that OpenSSL does not have, as a new table. Without memory for a
-- context, all names stay.
function available.only(made)
	unknown = unknown or find_unknown()
	local kept = {}
	for field, value in pairs(made) do
		kept[field] = value
	end
	for _, list in ipairs(settings.lists) do
		kept[list] = made[list] and {}
		for _, name in ipairs(made[list] or {}) do
			kept[list][#kept[list] + 1] = not unknown[name:lower()] and name or nil
		end
	end
	return kept
end

return available
