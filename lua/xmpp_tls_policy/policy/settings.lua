-- From clauses to settings: each clause restricts the versions, suites, groups and signature schemes of TLS.
local signature_schemes = require "xmpp_tls_policy.policy.signature_schemes"
local suites = require "xmpp_tls_policy.policy.suites"

local rank = suites.rank

local settings = {}

-- The switches of a settings table: on if a clause asks for it.
settings.switches = {
	"server_preference", "client_preference", "chacha20_preference", "no_compression", "no_renegotiation",
	"no_stateless_tickets", "no_early_data",
}

-- The fields of a settings table that hold one value; nil: no limit.
settings.limits = { "minimum_version", "maximum_version", "dh_bits", "security_level" }

-- The lists of a settings table that every policy has, and those of suites among them. One more, signature_schemes,
-- is there only if a clause restricts it: else a context keeps its own.
settings.lists = { "ciphers", "ciphersuites", "groups" }
settings.suite_lists = { "ciphers", "ciphersuites" }
settings.all_lists = { "ciphers", "ciphersuites", "groups", "signature_schemes" }

-- The predicate of a clause's settings that restricts each list.
local predicate_of = { ciphers = "suite", ciphersuites = "suite", groups = "group" }

-- ---- the allowed -----------------------------------------------------------------

-- All that TLS knows, restricted by no clause yet: { minimum_version, ciphers,
-- ciphersuites, groups (lists of records of suites.lua), orders (of preference, see
-- clauses.lua), added (by list: { [name in lower case] = true } of those that a server's own
-- defaults are extended by), signature_schemes (a list of records of signature_schemes.lua), dh_bits,
-- security_level, and the switches; nil: not asked for }.
function settings.unrestricted()
	local allowed = { minimum_version = suites.versions[1], orders = {}, added = {} }
	for _, list in ipairs(settings.lists) do
		allowed[list], allowed.added[list] = suites[list], {}
	end
	return allowed
end

local function filter(list, fulfils)
	local kept = {}
	for _, record in ipairs(list) do
		if fulfils(record) then
			kept[#kept + 1] = record
		end
	end
	return kept
end

-- The newer of two versions.
function settings.newer(a, b)
	return rank[a] >= rank[b] and a or b
end

-- The higher of two numbers, one of which may be nil.
function settings.higher(a, b)
	return math.max(a or b, b or a)
end

-- Field of a clause's settings -> function(allowed, value) that applies it.
local restrictions = {
	minimum_version = function(allowed, version)
		allowed.minimum_version = settings.newer(allowed.minimum_version, version)
	end,
	dh_bits = function(allowed, bits)
		allowed.dh_bits = settings.higher(allowed.dh_bits, bits)
	end,
	security_level = function(allowed, level)
		allowed.security_level = settings.higher(allowed.security_level, level)
	end,
	order = function(allowed, order)
		allowed.orders[#allowed.orders + 1] = order
	end,
}
for _, predicate in ipairs({ "suite", "group" }) do
	restrictions[predicate] = function(allowed, fulfils)
		for _, list in ipairs(settings.lists) do
			if predicate_of[list] == predicate then
				allowed[list] = filter(allowed[list], fulfils)
			end
		end
	end
end
restrictions.scheme = function(allowed, fulfils)
	allowed.signature_schemes = filter(allowed.signature_schemes or signature_schemes.list, fulfils)
end
for _, switch in ipairs(settings.switches) do
	restrictions[switch] = function(allowed, on)
		allowed[switch] = allowed[switch] or on
	end
end

-- Restricts `allowed` by the settings of a clause; by its `enforced` ones only if the
-- clause is enforced.
function settings.restrict(allowed, clause, enforced)
	local asked = clause.settings or {}
	for _, part in ipairs({ asked.always or {}, enforced and asked.enforced or {} }) do
		for field, value in pairs(part) do
			restrictions[field](allowed, value)
		end
	end
end

-- Extends the defaults of a server by records: { ciphers, ciphersuites, groups }, lists of
-- names, each optional. Records that a clause rules out stay ruled out.
function settings.add(allowed, names)
	for list, of_list in pairs(names or {}) do
		for _, name in ipairs(of_list) do
			allowed.added[list][name:lower()] = true
		end
	end
end

-- ---- preference ------------------------------------------------------------------

-- A new list of the records in order of preference. `orders`: sorted by weight. Records
-- that no order tells apart stay in their order.
function settings.sorted(list, orders)
	local sorted, place, class = {}, {}, {}
	for index, record in ipairs(list) do
		-- As binary digits, the heaviest order first: 0 fulfils it, 1 does not.
		local digits = 0
		for _, order in ipairs(orders) do
			digits = digits * 2 + (order[2](record) and 0 or 1)
		end
		sorted[index], place[record], class[record] = record, index, digits
	end
	table.sort(sorted, function(a, b)
		if class[a] ~= class[b] then
			return class[a] < class[b]
		end
		return place[a] < place[b]
	end)
	return sorted
end

-- Puts the suites of `allowed` into the order of preference, once every clause has
-- restricted it.
function settings.sort(allowed)
	table.sort(allowed.orders, function(a, b)
		return a[1] < b[1]
	end)
	for _, list in ipairs(settings.suite_lists) do
		allowed[list] = settings.sorted(allowed[list], allowed.orders)
	end
end

-- ---- settings --------------------------------------------------------------------

-- For how many of the groups (names) a client sends a key share at once (rfc8446.4.2.8.key-shares).
-- If hybrid groups come first, also for the first group that is not a hybrid, so that a peer
-- without hybrids need not ask for another share. Else nil: OpenSSL sends one.
function settings.key_shares(groups)
	for index, name in ipairs(groups or {}) do
		local record = suites.groups_by_name[name:lower()]
		if not record or record.kind ~= "hybrid" then
			return index > 1 and index or nil
		end
	end
end

-- The names of the signature schemes of `allowed`: a new list, nil if no clause restricts them.
function settings.scheme_names(allowed)
	local names = allowed.signature_schemes and {}
	for index, scheme in ipairs(allowed.signature_schemes or {}) do
		names[index] = scheme.name
	end
	return names
end

-- The settings of a context that offers all of `allowed` but the records on request only:
-- { minimum_version, ciphers (nil if only TLS 1.3 is allowed), ciphersuites, groups, signature_schemes (lists of
-- names; the last nil if no clause restricts it), key_shares, dh_bits, security_level, and the switches }.
function settings.of(allowed)
	local made = {
		minimum_version = allowed.minimum_version,
		dh_bits = allowed.dh_bits,
		security_level = allowed.security_level,
	}
	for _, list in ipairs(settings.lists) do
		made[list] = {}
		for _, record in ipairs(allowed[list]) do
			made[list][#made[list] + 1] = not record.on_request and record.name or nil
		end
	end
	if made.minimum_version == suites.versions[#suites.versions] then
		made.ciphers = nil
	end
	made.signature_schemes = settings.scheme_names(allowed)
	made.key_shares = settings.key_shares(made.groups)
	for _, switch in ipairs(settings.switches) do
		made[switch] = allowed[switch]
	end
	return made
end

return settings
