--- The command `forget_report`: forgets the peers that report mode has recorded.
local counted = require "xmpp_tls_policy.text".counted

-- How many peers were forgotten, and on how many hosts; or nil and a message.
local function forget(service, host)
	local reports, peers = service.reports, 0
	local hosts = host and { host } or reports:hosts()
	for _, name in ipairs(hosts) do
		local report = reports:get(name)
		if not report then
			return nil, ("%s has no report: it needs mode = \"report\" in its xmpp_tls_policy"):format(name)
		end
		peers = peers + #report:list()
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
