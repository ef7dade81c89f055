--- The command `forget_report`: forgets the peers that report mode has recorded.
local counted = require "xmpp_tls_policy.text".counted
local hosts_with_report = require "xmpp_tls_policy.commands.hosts_with_report"

-- How many peers were forgotten, and on how many hosts; or nil and a message.
local function forget(service, given)
	local hosts, message = hosts_with_report(service, given)
	if not hosts then
		return nil, message
	end
	local reports, peers = service.reports, 0
	for _, name in ipairs(hosts) do
		peers = peers + #reports:get(name):list()
		reports:forget(name)
		reports:open(name, true)
	end
	return peers, #hosts
end

--- See run.lua.
return {
	name = "forget_report",
	argument = "host",
	help = "In report mode: forget all clients and servers that were recorded, on one host or on all",
	data = function (service, host)
		local peers, hosts = forget(service, host)
		if not peers then
			return nil, hosts
		end
		return { forgotten = peers, hosts = hosts }
	end,
	show = function (_, service, host)
		local peers, hosts = forget(service, host)
		if not peers then
			return nil, hosts
		end
		return true, ("%s forgotten, on %s"):format(counted(peers, "peer"), counted(hosts, "host"))
	end,
}
