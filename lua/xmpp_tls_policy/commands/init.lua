--- What an administrator can ask of the policy in the admin shell; see shell.lua.
local array = require "util.array"
local connections = require "xmpp_tls_policy.commands.show"
local explain = require "xmpp_tls_policy.commands.explain"
local offered_certificates = require "xmpp_tls_policy.commands.cert"
local peers = require "xmpp_tls_policy.commands.peers"
local refused = require "xmpp_tls_policy.handshakes.failed_handshakes"
local reports = require "xmpp_tls_policy.stream.cutoff_reports"
local shell = require "xmpp_tls_policy.servers.prosody.shell"
local stats = require "xmpp_tls_policy.commands.stats"
local status = require "xmpp_tls_policy.commands.status"

local commands = {}

local function at(seconds)
	return os.date("%Y-%m-%d %H:%M:%S", math.floor(seconds))
end

local counted = shell.counted

---- refused ------------------------------------------------------------------

local function show_refused(session)
	local list, rows = refused.list(), {}
	for index, entry in ipairs(list) do
		local who = entry.domain or entry.address or "unknown"
		rows[index] = { at(entry.time), entry.role or "", entry.host or "any", who, entry.text,
			table.concat(entry.clauses, " ") }
	end
	if #rows > 0 then
		shell.print_table(session, { "Time", "Role", "Host", "From", "Why", "Clauses" }, rows)
	end
	return true, ("%s shown, of %d since the server started"):format(counted(#rows, "refusal"), refused.total())
end

---- would_refuse -------------------------------------------------------------

local function host_reports(host)
	local hosts = host and { host } or reports.hosts()
	local found = {}
	for _, name in ipairs(hosts) do
		local report, level = reports.get(name)
		if not report then
			return nil, ("%s has no report: it needs mode = \"report\" in its xmpp_tls_policy"):format(name)
		end
		found[#found + 1] = { host = name, report = report, level = level }
	end
	return found
end

local function would_refuse_data(host)
	local found, message = host_reports(host)
	if not found then
		return nil, message
	end
	local lines = array {}
	for _, of_host in ipairs(found) do
		lines:push {
			host = of_host.host, seen = of_host.report:counts(),
			estimate = array(of_host.report:estimate(of_host.level)),
		}
		for _, peer in ipairs(of_host.report:list()) do
			peer.host = of_host.host
			lines:push(peer)
		end
	end
	return { would_refuse = lines }
end

local function show_would_refuse(session, host)
	local found, message = host_reports(host)
	if not found then
		return nil, message
	end
	local number = 0
	for _, of_host in ipairs(found) do
		shell.print(session, "%s", of_host.host)
		local rows = {}
		for _, peer in ipairs(of_host.report:list()) do
			for index, breach in ipairs(peer.clauses) do
				rows[#rows + 1] = { index == 1 and peer.name or "", breach.clause, at(breach.last), breach.text }
			end
			number = number + 1
		end
		if #rows > 0 then
			shell.print_table(session, { "Peer", "Clause", "Last", "Why" }, rows)
		end
		for _, sentence in ipairs(of_host.report:estimate(of_host.level)) do
			shell.print(session, "%s", sentence)
		end
	end
	return true, ("%s would be cut off, on %s"):format(counted(number, "peer"), counted(#found, "host"))
end

--- All commands, as shell.add takes them.
commands.list = {
	{
		name = "refused",
		help = "Show the latest handshakes and streams that were refused, the latest first, and why",
		data = function ()
			return { refused = array(refused.list()) }
		end,
		show = show_refused,
	},
	{
		name = "would_refuse",
		argument = "host",
		help = "Show whom the policy would cut off if it were not only reported on",
		data = would_refuse_data,
		show = show_would_refuse,
	},
}

for _, more in ipairs { connections.commands, offered_certificates, peers, status.commands, explain.commands, stats } do
	for _, command in ipairs(more) do
		table.insert(commands.list, command)
	end
end

return commands
