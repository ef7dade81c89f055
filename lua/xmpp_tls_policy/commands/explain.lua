--- The command `explain`: the requirement of a clause in the policies of our hosts, and how it is
-- enforced.
local clauses = require "xmpp_tls_policy.policy.clauses"
local counted = require "xmpp_tls_policy.text".counted
local host_names = require "xmpp_tls_policy.commands.host_names"
local render = require "xmpp_tls_policy.policy.render"

-- The policies of our hosts, each once: a list of { policy, hosts }. Policies of exceptions are not
-- among them.
local function distinct_policies(service)
	local list, by_name = {}, {}
	service.policies:each(function (host, policy)
		local name = ("%s\0%s"):format(policy:name(), policy.mode)
		local found = by_name[name]
		if not found then
			found = { policy = policy, hosts = service.server.list {} }
			by_name[name] = found
			list[#list + 1] = found
		end
		table.insert(found.hosts, host)
	end)
	return list
end

-- One clause in one of these policies; or nil and a message, if the policy does not have it.
local function entry_of(service, found, id)
	local explained, message = found.policy:explain(id)
	if not explained then
		return nil, message
	end
	local holding = render.holding(explained, clauses[id])
	return {
		clause = id, policy = found.policy:name(), hosts = found.hosts, mode = found.policy.mode,
		document = explained.document, section = explained.section, level = explained.level,
		statement = explained.statement, enforced_at = holding.enforced_at,
		enforced = explained.enforced and holding.enforced_at ~= nil,
		handshake = service.server.list(holding.handshake), connection = holding.connection,
	}
end

-- One clause in each policy that has it: a list, or nil and a message.
local function entries_of(service, id)
	local list, first_message = {}, nil
	for _, found in ipairs(distinct_policies(service)) do
		local entry, message = entry_of(service, found, id)
		list[#list + 1] = entry
		first_message = first_message or message
	end
	if not list[1] then
		return nil, first_message
	end
	return list
end

local function all_entries(service)
	local list = {}
	for _, found in ipairs(distinct_policies(service)) do
		for _, clause in ipairs(found.policy.clauses) do
			list[#list + 1] = assert(entry_of(service, found, clause.id))
		end
	end
	return list
end

---- Text ----------------------------------------------------------------------

-- The words of render.holding.
local meanings = {
	["ruled out"] = "the handshake rules a breach out",
	arranged = "the handshake is arranged for it",
	["kept on"] = "the features that it needs stay enabled",
	judged = "each connection is judged by the result of its handshake",
	["our certificate"] = "the certificates of our hosts are looked at, and the log warns of a breach",
	stream = "each stream is checked",
	server = "the server itself sees to it",
}

local function means_of(entry)
	local words = {}
	for _, word in ipairs(entry.handshake) do
		words[#words + 1] = assert(meanings[word], word)
	end
	words[#words + 1] = entry.connection and assert(meanings[entry.connection], entry.connection)
	return words[1] and table.concat(words, "; ") or "nothing is done for it"
end

local function enforcement_of(entry)
	if not entry.enforced_at then
		return "no connection is refused for it"
	elseif entry.mode == "report" then
		return ("enforced at level %s; here in report mode: breaches are recorded only"):format(entry.enforced_at)
	end
	return ("enforced at level %s; enforced here: %s"):format(entry.enforced_at, entry.enforced and "yes" or "no")
end

local function cell_of(entry)
	return entry.enforced and (entry.mode == "report" and "report" or "yes") or "no"
end

local function show_all(out, service)
	local total = 0
	for _, found in ipairs(distinct_policies(service)) do
		local rows = {}
		for index, clause in ipairs(found.policy.clauses) do
			local entry = assert(entry_of(service, found, clause.id))
			rows[index] = { entry.clause, entry.section, entry.level, cell_of(entry), entry.statement }
		end
		out:print("%s (%s)", found.policy:name(), host_names(found.hosts))
		out:table({ "Clause", "Section", "Level", "Enforced", "Statement" }, rows, 5)
		total = total + #rows
	end
	return true, counted(total, "clause")
end

local function show_one(out, service, id)
	local entries, message = entries_of(service, id)
	if not entries then
		return nil, message
	end
	for _, entry in ipairs(entries) do
		out:print("%s, in %s (%s):", entry.clause, entry.policy, host_names(entry.hosts))
		out:print("  %s, section %s: %s: %s", entry.document, entry.section, entry.level, entry.statement)
		out:print("  %s", enforcement_of(entry))
		out:print("  %s", means_of(entry))
	end
	return true, ("in %s"):format(#entries == 1 and "1 policy" or #entries .. " policies")
end

--- See run.lua.
return {
	name = "explain",
	argument = "clause",
	help = "Show the requirement of a clause and how it is enforced on our hosts; without a clause, list all clauses",
	data = function (service, id)
		local list, message = (id and entries_of or all_entries)(service, id)
		if not list then
			return nil, message
		end
		return { clauses = service.server.list(list) }
	end,
	show = function (out, service, id)
		if id then
			return show_one(out, service, id)
		end
		return show_all(out, service)
	end,
}
