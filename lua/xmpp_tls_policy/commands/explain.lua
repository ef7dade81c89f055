--- What the clauses say, in the profiles in force: the command `explain` of the shell.
local array = require "util.array"
local clauses = require "xmpp_tls_policy.policy.clauses"
local in_force = require "xmpp_tls_policy.policy.policies"
local render = require "xmpp_tls_policy.policy.render"
local shell = require "xmpp_tls_policy.servers.prosody.shell"

local explain = {}

-- The policies in force, each once, with the hosts where it is: a list of { policy, hosts }.
-- Policies of exceptions are not among them.
local function distinct()
	local list, by_name = {}, {}
	in_force.each(function (host, policy)
		local name = policy:name() .. policy.mode
		if not by_name[name] then
			by_name[name] = { policy = policy, hosts = array {} }
			list[#list + 1] = by_name[name]
		end
		by_name[name].hosts:push(host)
	end)
	return list
end

local function entry_of(found, id)
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
		handshake = array(holding.handshake), connection = holding.connection,
	}
end

-- One clause in each policy that has it, or nil and a message.
local function entries_of(id)
	local list, first_message = array {}, nil
	for _, found in ipairs(distinct()) do
		local entry, message = entry_of(found, id)
		if entry then
			list:push(entry)
		else
			first_message = first_message or message
		end
	end
	if not list[1] then
		return nil, first_message
	end
	return list
end

local function all_entries()
	local list = array {}
	for _, found in ipairs(distinct()) do
		for _, clause in ipairs(found.policy.clauses) do
			list:push((entry_of(found, clause.id)))
		end
	end
	return list
end

---- For people ----------------------------------------------------------------

-- "*" is the first.
local function where(hosts)
	local words = {}
	for index, host in ipairs(hosts) do
		words[index] = host ~= "*" and host or "all that have none of their own"
	end
	return table.concat(words, ", ")
end

local meanings = {
	["ruled out"] = "what breaks it is ruled out in the handshake",
	arranged = "the handshake is arranged for it",
	["kept on"] = "what it asks for is kept on",
	judged = "each connection is judged by what was negotiated",
	stream = "the stream is held to it",
	server = "the server sees to it",
}

local function how(entry)
	local words = {}
	for _, word in ipairs(entry.handshake) do
		words[#words + 1] = meanings[word]
	end
	words[#words + 1] = meanings[entry.connection]
	return words[1] and table.concat(words, "; ") or "nothing is done about it"
end

local function enforcement(entry)
	if not entry.enforced_at then
		return "never refused for"
	elseif entry.mode == "report" then
		return ("enforced at level %s; here it is only reported on"):format(entry.enforced_at)
	end
	return ("enforced at level %s: here %s"):format(entry.enforced_at, entry.enforced and "yes" or "no")
end

local function show_all(session)
	local total = 0
	for _, found in ipairs(distinct()) do
		local rows = {}
		for index, clause in ipairs(found.policy.clauses) do
			local entry = entry_of(found, clause.id)
			rows[index] = { entry.clause, entry.section, entry.level,
				entry.enforced and (entry.mode == "report" and "reported" or "yes") or "no", entry.statement }
		end
		shell.print(session, "%s (%s)", found.policy:name(), where(found.hosts))
		shell.print_table(session, { "Clause", "Section", "Level", "Enforced", "Statement" }, rows, #rows[1])
		total = total + #rows
	end
	return true, shell.counted(total, "clause")
end

local function show(session, id)
	if not id then
		return show_all(session)
	end
	local entries, message = entries_of(id)
	if not entries then
		return nil, message
	end
	for _, entry in ipairs(entries) do
		shell.print(session, "%s, in %s (%s):", entry.clause, entry.policy, where(entry.hosts))
		shell.print(session, "  %s, section %s: %s: %s", entry.document, entry.section, entry.level, entry.statement)
		shell.print(session, "  %s", enforcement(entry))
		shell.print(session, "  %s", how(entry))
	end
	return true, ("in force in %s"):format(shell.counted(#entries, "profile"))
end

--- See shell.add.
explain.commands = {
	{
		name = "explain",
		argument = "clause",
		help = "Show what a clause says in the profiles in force, and how it is held; or list all clauses",
		data = function (id)
			if not id then
				return { clauses = all_entries() }
			end
			local list, message = entries_of(id)
			if not list then
				return nil, message
			end
			return { clauses = list }
		end,
		show = show,
	},
}

return explain
