--- The command `digest`: the refusals of this week, exceptions in use, certificates that end, and versions of TLS.
local asked_hosts = require "xmpp_tls_policy.commands.asked_hosts"
local host_digest = require "xmpp_tls_policy.digest.host_digest"
local text = require "xmpp_tls_policy.text"

local counted = text.counted

local function hosts_of(service, given)
	return asked_hosts(service.server, service.policies, given)
end

--- See run.lua.
return {
	name = "digest",
	argument = "host",
	help = "Show the refusals of this week by peer, exceptions in use, certificates that end, and the share of old "
		.. "versions, of one host or of all",
	data = function (service, host)
		local hosts, message = hosts_of(service, host)
		if not hosts then
			return nil, message
		end
		local list, digests, next_turn = service.server.list, {}, service.server.turns()
		for index, name in ipairs(hosts) do
			digests[index] = service.digests:of(name)
			next_turn()
		end
		local refused = service.digests:without_host()
		return {
			digest = list(digests),
			without_host = { clients = refused.clients, servers = refused.servers, unknown = refused.unknown },
		}
	end,
	show = function (out, service, host)
		local hosts, message = hosts_of(service, host)
		if not hosts then
			return nil, message
		end
		local next_turn = service.server.turns()
		for index, name in ipairs(hosts) do
			local digest = service.digests:of(name)
			if index == 1 then
				out:wrapped("%s", host_digest.period(digest))
			end
			for _, line in ipairs(host_digest.lines(digest)) do
				out:print("%s", line)
			end
			next_turn()
		end
		local refused = service.digests:without_host()
		return true, ("%s; refused without a host: %s"):format(counted(#hosts, "host"),
			counted(refused.clients + refused.servers + refused.unknown, "connection"))
	end,
}
