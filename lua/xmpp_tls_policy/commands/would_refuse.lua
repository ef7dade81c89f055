--- The command `would_refuse`: in report mode, the peers that the policy would cut off.
local counted = require "xmpp_tls_policy.text".counted
local hosts_with_report = require "xmpp_tls_policy.commands.hosts_with_report"
local time = require "xmpp_tls_policy.commands.output".time

-- The reports of a host, or of all hosts (nil): a list of { host, report, level = the milder level
-- of its policy, or nil }. Or nil and a message.
local function reports_of(service, given)
	local names, message = hosts_with_report(service, given)
	local found = {}
	for index, name in ipairs(names or {}) do
		local report, level = service.reports:get(name)
		found[index] = { host = name, report = report, level = level }
	end
	return names and found, message
end

local function rows_of(peers)
	local rows = {}
	for _, peer in ipairs(peers) do
		for index, breach in ipairs(peer.clauses) do
			rows[#rows + 1] = { index == 1 and peer.name or "", breach.clause, time(breach.last), breach.text }
		end
	end
	return rows
end

-- Prints the report of one host, and returns the number of its peers.
local function print_report(out, found, outages)
	local peers = found.report:list()
	local rows = rows_of(peers)
	out:print("%s", found.host)
	for _, message in ipairs(outages) do
		out:print("Outage: %s", message)
	end
	if rows[1] then
		out:table({ "Peer", "Clause", "Last", "Why" }, rows)
	end
	for _, sentence in ipairs(found.report:estimate(found.level)) do
		out:print("%s", sentence)
	end
	return #peers
end

--- See run.lua.
return {
	name = "would_refuse",
	argument = "host",
	help = "In report mode: show the clients and servers that the policy would cut off, on one host or on all",
	data = function (service, host)
		local list = service.server.list
		local found, message = reports_of(service, host)
		if not found then
			return nil, message
		end
		local items = {}
		for _, of_host in ipairs(found) do
			items[#items + 1] = {
				host = of_host.host, seen = of_host.report:counts(),
				estimate = list(of_host.report:estimate(of_host.level)),
				outages = list { (table.unpack or unpack)(service.outages:of(of_host.host)) },
			}
			for _, peer in ipairs(of_host.report:list()) do
				peer.host, peer.clauses = of_host.host, list(peer.clauses)
				items[#items + 1] = peer
			end
		end
		return { would_refuse = list(items) }
	end,
	show = function (out, service, host)
		local found, message = reports_of(service, host)
		if not found then
			return nil, message
		end
		local number, without_tls = 0, 0
		for _, of_host in ipairs(found) do
			local outages = service.outages:of(of_host.host)
			without_tls = without_tls + (outages[1] and 1 or 0)
			number = number + print_report(out, of_host, outages)
		end
		return true, ("%s%s would be cut off, on %s"):format(
			without_tls > 0 and ("all TLS of %s, and beside that "):format(counted(without_tls, "host")) or "",
			counted(number, "peer"), counted(#found, "host"))
	end,
}
