--- The command `refused`: the latest handshakes and streams that were refused, and why.
local counted = require "xmpp_tls_policy.text".counted
local time = require "xmpp_tls_policy.commands.output".time

local function latest_first(a, b)
	return a.time > b.time
end

-- Entries of failed_handshakes.lua and of refusal_log.lua in one list.
local function entries_of(service)
	local list = {}
	for _, entries in ipairs { service.failed_handshakes:list(), service.refusal_log:list() } do
		for _, entry in ipairs(entries) do
			list[#list + 1] = entry
		end
	end
	table.sort(list, latest_first)
	return list
end

-- Marks the lists in an entry, so that JSON has lists where they are empty, too.
local function with_lists(server, entry)
	server.list(entry.clauses)
	for _, value in pairs(entry.offer or {}) do
		if type(value) == "table" then
			server.list(value)
		end
	end
	return entry
end

--- See run.lua.
return {
	name = "refused",
	help = "Show the latest handshakes and streams that were refused, the latest first, and the reasons",
	data = function (service)
		local list = entries_of(service)
		for _, entry in ipairs(list) do
			with_lists(service.server, entry)
		end
		return { refused = service.server.list(list) }
	end,
	show = function (out, service)
		local rows = {}
		for index, entry in ipairs(entries_of(service)) do
			rows[index] = { time(entry.time), entry.role or "", entry.host or "any",
				entry.domain or entry.address or "unknown", entry.text, table.concat(entry.clauses, " ") }
		end
		if rows[1] then
			out:table({ "Time", "Role", "Host", "From", "Why", "Clauses" }, rows)
		end
		return true, ("%s shown, of %d since the server started"):format(counted(#rows, "refusal"),
			service.failed_handshakes:total() + service.refusal_log:total())
	end,
}
