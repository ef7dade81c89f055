-- From clauses to settings: what is left of all that TLS knows.
local suites = require "xmpp_tls_policy.policy.suites"

local rank = suites.rank

local settings = {}

-- The switches of a settings table: on where a clause asks for it.
settings.switches = {
	"server_preference", "no_compression", "no_renegotiation", "no_stateless_tickets", "no_early_data",
}

-- The lists, and which predicate of a clause's settings they go through.
settings.lists = { "ciphers", "ciphersuites", "groups" }
local predicate_of = { ciphers = "suite", ciphersuites = "suite", groups = "group" }

-- Everything that TLS knows, none of it ruled out yet.
function settings.widest()
	local state = { minimum_version = suites.versions[1], orders = {} }
	for _, list in ipairs(settings.lists) do
		state[list] = suites[list]
	end
	return state
end

local function filter(list, allows)
	local kept = {}
	for _, record in ipairs(list) do
		if allows(record) then
			kept[#kept + 1] = record
		end
	end
	return kept
end

function settings.newer(a, b)
	return rank[a] >= rank[b] and a or b
end

-- The higher of two numbers, either of which may be missing.
function settings.higher(a, b)
	return math.max(a or b, b or a)
end

-- field of a clause's settings -> how it narrows the state
local narrowing = {
	minimum_version = function(state, version)
		state.minimum_version = settings.newer(state.minimum_version, version)
	end,
	dh_bits = function(state, bits)
		state.dh_bits = settings.higher(state.dh_bits, bits)
	end,
	security_level = function(state, level)
		state.security_level = settings.higher(state.security_level, level)
	end,
	order = function(state, order)
		state.orders[#state.orders + 1] = order
	end,
}
for _, list in ipairs(settings.lists) do
	local predicate = predicate_of[list]
	local others = narrowing[predicate]
	narrowing[predicate] = function(state, allows)
		if others then
			others(state, allows)
		end
		state[list] = filter(state[list], allows)
	end
end
for _, switch in ipairs(settings.switches) do
	narrowing[switch] = function(state, on)
		state[switch] = state[switch] or on
	end
end

-- Narrows the state by what a clause asks, `enforced` or not.
function settings.narrow(state, clause, enforced)
	local asked = clause.settings or {}
	for _, part in ipairs({ asked.always or {}, enforced and asked.enforced or {} }) do
		for field, value in pairs(part) do
			narrowing[field](state, value)
		end
	end
end

-- A new list by the orders, the weightiest first; of equals, as in suites.lua.
function settings.sorted(list, orders)
	table.sort(orders, function(a, b)
		return a[1] < b[1]
	end)
	local sorted, place = {}, {}
	for index, record in ipairs(list) do
		sorted[index], place[record] = record, index
	end
	table.sort(sorted, function(a, b)
		for _, order in ipairs(orders) do
			local first, second = order[2](a), order[2](b)
			if first ~= second then
				return first
			end
		end
		return place[a] < place[b]
	end)
	return sorted
end

-- Names of what is offered, and a set of the lower-case names of what is allowed.
local function offered_and_allowed(list)
	local offered, allowed = {}, {}
	for _, record in ipairs(list) do
		allowed[record.name:lower()] = true
		if not record.on_request then
			offered[#offered + 1] = record.name
		end
	end
	return offered, allowed
end

local groups_by_name = {}
for _, record in ipairs(suites.groups) do
	groups_by_name[record.name:lower()] = record
end

-- How many of the groups (names) a client sends key shares of at once (RFC 8446 4.2.8):
-- where hybrids come first, also of the first that is none, so that a peer without hybrids
-- need not ask for another. Else nil: OpenSSL sends one.
function settings.key_shares(groups)
	for index, name in ipairs(groups or {}) do
		local record = groups_by_name[name:lower()]
		if not record or record.kind ~= "hybrid" then
			return index > 1 and index or nil
		end
	end
end

-- state -> settings as a context takes them, and what else is allowed, by list
function settings.finish(state)
	local made, allowed = {
		minimum_version = state.minimum_version,
		dh_bits = state.dh_bits,
		security_level = state.security_level,
	}, {}
	for _, list in ipairs({ "ciphers", "ciphersuites" }) do
		state[list] = settings.sorted(state[list], state.orders)
	end
	for _, list in ipairs(settings.lists) do
		made[list], allowed[list] = offered_and_allowed(state[list])
	end
	made.key_shares = settings.key_shares(made.groups)
	for _, switch in ipairs(settings.switches) do
		made[switch] = state[switch]
	end
	return made, allowed
end

return settings
