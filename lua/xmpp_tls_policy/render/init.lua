--- A policy as configuration for programs that cannot load this module. Each target is a file of this
-- folder, which returns
--   program   its name for people
--   comment   the sign that begins a comment
--   usage     sentences about the use of the configuration
--   write     function(page, given): writes the lines (page.lua, given.lua)
--   itself    demand (demands.lua) -> a sentence: the program meets it without a line
--   cannot    demand -> a sentence: the program cannot meet it, or (beside a line) only in part
-- A sentence is a string, or function(given) -> string or nil. Each demand that a policy makes has to be
-- met by a line or be in one of the two tables.
local clauses = require "xmpp_tls_policy.policy.clauses"
local demands = require "xmpp_tls_policy.render.demands"
local given_of = require "xmpp_tls_policy.render.given"
local new_page = require "xmpp_tls_policy.render.page".new
local profiles = require "xmpp_tls_policy.policy.profiles"
local suites = require "xmpp_tls_policy.policy.suites"
local tls_policy = require "xmpp_tls_policy"
local version = require "xmpp_tls_policy.version"

local render = {}

--- The names of the targets.
render.names = { "prosody", "ejabberd", "openssl", "haproxy", "nginx" }

--- The operator's own values, where the options of render.of have none. `openssl`: the oldest version
-- that the module itself supports.
render.defaults = {
	openssl = "3.0",
	certificate = "/etc/ssl/private/xmpp.pem",
	ports = { c2s = 5223, s2s = 5270 },
	servers = { c2s = "127.0.0.1:5222", s2s = "127.0.0.1:5269" },
}

-- ---- which clause is held, and how ---------------------------------------------------

-- Part of the software that holds a clause -> the reason why a configuration cannot.
local reasons_of_holders = {
	stream = "only the XMPP server's own code can hold it, outside TLS",
	server = "no configuration of TLS holds it",
}

local function sentence(entry, given)
	if type(entry) == "function" then
		return entry(given)
	end
	return entry
end

local function sorted_names(set)
	local names = {}
	for name in pairs(set) do
		names[#names + 1] = name
	end
	table.sort(names)
	return names
end

local function add_once(list, item)
	for _, other in ipairs(list) do
		if other == item then
			return
		end
	end
	list[#list + 1] = item
end

-- How the demands of a clause are met: state and reason.
local function of_demands(target, given, met, made)
	local met_by_line, itself, cannot = false, {}, {}
	for _, name in ipairs(sorted_names(made)) do
		local missing = sentence(target.cannot[name], given)
		local own = not met[name] and sentence(target.itself[name], given)
		assert(met[name] or missing or own, ("%s says nothing about %s"):format(target.program, name))
		if missing then
			add_once(cannot, missing)
		end
		if own then
			add_once(itself, own)
		end
		met_by_line = met_by_line or met[name] or false
	end
	if cannot[1] then
		return (met_by_line or itself[1]) and "part" or "no", table.concat(cannot, "; ")
	elseif met_by_line then
		return "line"
	end
	return "itself", table.concat(itself, "; ")
end

-- How a clause without demands is held: state and reason.
local function without_demands(policy, entry, clause)
	if entry.at == "never" then
		return "nothing"
	elseif clause.supports then
		local missing = clause.supports(policy:settings())
		return missing and "no" or "itself", missing or "nothing here switches it off"
	elseif not entry.enforced then
		return "not enforced"
	end
	return "no", clause.held_by and reasons_of_holders[clause.held_by]
		or clause.own_certificate and "it is about the certificate that you choose" or "only a finished handshake shows it"
end

local function held_clauses(policy, target, given, met)
	local list = {}
	for index, entry in ipairs(policy.clauses) do
		local made, held = demands.of_clause(policy, entry), { id = entry.id }
		if next(made) then
			held.state, held.reason = of_demands(target, given, met, made)
			if held.state == "line" and not entry.enforced and (clauses[entry.id].settings or {}).enforced then
				held.state = "arranged"
			end
		else
			held.state, held.reason = without_demands(policy, entry, clauses[entry.id])
		end
		list[index] = held
	end
	return list
end

-- ---- the text beside the lines ---------------------------------------------------------

-- The versions and the number of suites that a policy permits, and a stricter one of the same profile
-- does not.
local function beyond(policy, level)
	local strict = tls_policy.policy { profile = policy.profile, level = level }:settings()
	local own, words = policy:settings(), {}
	for rank = suites.rank[own.minimum_version], suites.rank[strict.minimum_version] - 1 do
		words[#words + 1] = suites.version_names[suites.versions[rank]]
	end
	local more = #(own.ciphers or {}) - #(strict.ciphers or {})
	if more > 0 then
		words[#words + 1] = ("%d more cipher suites"):format(more)
	end
	return table.concat(words, ", ")
end

local function write_head(page, target, policy, given)
	page:remark(("%s, for %s. Made by xmpp-tls-policy %s."):format(policy:name(), target.program, version))
	for _, text in ipairs(target.usage) do
		page:remark(text)
	end
	page:remark "Above each line are the clauses that it holds."
	local level = given_of.stricter_level(policy)
	local more = level and beyond(policy, level) or ""
	if more ~= "" then
		page:remark(("At level %s this permits things that the document says should not be used (%s). The default of %s may "
			.. "be stricter: compare before you use it."):format(policy.level, more, target.program))
	end
	if given.lacking[1] then
		page:remark(("For OpenSSL %s, which lacks %s. For a newer one, give --openssl."):format(given.openssl,
			table.concat(given.lacking, ", ")))
	end
end

local headings = {
	{ "itself", "Held without a line:" }, { "part", "Held in part, and not wholly, because:" },
	{ "no", "Not held by this configuration, because:" },
	{ "arranged", "Preferred, but not enforced at this level:" }, { "not enforced", "Not enforced at this level:" },
	{ "nothing", "Allowed by the document, without a demand:" },
}

-- The clauses of a state, those with the same reason in one line.
local function write_state(page, list, state, heading)
	local reasons, ids = {}, {}
	for _, clause in ipairs(list) do
		if clause.state == state then
			local reason = clause.reason or ""
			add_once(reasons, reason)
			ids[reason] = ids[reason] or {}
			table.insert(ids[reason], clause.id)
		end
	end
	if reasons[1] then
		page:remark(heading)
	end
	for _, reason in ipairs(reasons) do
		page:remark(("- %s%s"):format(table.concat(ids[reason], ", "), reason ~= "" and ": " .. reason or ""))
	end
end

-- ---- all -------------------------------------------------------------------------------

--- The configuration of a policy for a target, by name. `options`: as render.defaults, each optional, and
-- dhparam, the path of a file of DH parameters. Returns { text, clauses = list of { id, state, reason } },
-- in the policy's order; state: "line" (lines hold it), "itself" (the program holds it without one),
-- "part", "no", "arranged" (lines prefer it, and the level does not enforce it), "not enforced" (at this level),
-- "nothing" (the document only allows it).
function render.of(policy, name, options)
	local all = {}
	for _, values in ipairs { render.defaults, options or {} } do
		for key, value in pairs(values) do
			all[key] = value
		end
	end
	assert(profiles.by_name[policy.profile], "no published profile")
	local target = require("xmpp_tls_policy.render." .. name)
	local given, page = given_of.of(policy, all), new_page(policy, target.comment)
	write_head(page, target, policy, given)
	target.write(page, given)
	local list = held_clauses(policy, target, given, page.met)
	for _, heading in ipairs(headings) do
		write_state(page, list, heading[1], heading[2])
	end
	return { text = page:text(), clauses = list }
end

return render
