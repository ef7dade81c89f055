--- Hosts of ours that refuse all streams but those of direct TLS, because the policy requires TLS and
-- the server does not offer STARTTLS there. Prosody says nothing of it.
local starttls = require "xmpp_tls_policy.stream.starttls"

local shut_hosts = {}

--- Why a host is shut: a sentence with the remedy; nil if it is not, or nobody is served there.
-- `policies`: see policy/policies.lua. To be asked once the server has loaded all modules.
function shut_hosts.reason(server, policies, host)
	if not policies:covers(host) or not starttls.requires_tls(policies:policy_for(host)) then
		return nil
	end
	local clients, servers = server.serves_clients(host), server.serves_servers(host)
	local lack = (clients or servers) and server.lacks_starttls(host)
	if not lack then
		return nil
	end
	local who = clients and servers and "clients and servers" or clients and "clients" or "servers"
	return ("%s cannot connect, except by direct TLS: the policy requires TLS, and there is no STARTTLS, because %s")
		:format(who, lack)
end

--- Logs the hosts that are shut: a line for each reason.
function shut_hosts.log(server, policies)
	local reasons, names = {}, {}
	for _, host in ipairs(server.hosts()) do
		local reason = shut_hosts.reason(server, policies, host)
		if reason then
			reasons[#reasons + 1] = not names[reason] and reason or nil
			names[reason] = names[reason] or {}
			table.insert(names[reason], host)
		end
	end
	for _, reason in ipairs(reasons) do
		server.log("*", "error", "%s: %s", table.concat(names[reason], ", "), reason)
	end
end

return shut_hosts
