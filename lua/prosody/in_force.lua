--- The policies in force.
local in_force = {}

-- Host -> policy; "*": what holds for all others.
local policies = {}

--- To be called with the plugin's own table, which stays its own.
function in_force.set(table)
	policies = table
end

--- Calls visit(host, policy) for each host, sorted; "*", for all others, comes first.
function in_force.each(visit)
	local hosts = {}
	for host in pairs(policies) do
		hosts[#hosts + 1] = host
	end
	table.sort(hosts)
	for _, host in ipairs(hosts) do
		visit(host, policies[host])
	end
end

--- The policy of a host for a peer's domain (nil: a client); nil where the plugin is not
-- in force.
function in_force.policy_for(host, domain)
	local policy = policies[host]
	return policy and policy:for_peer(domain, os.time())
end

return in_force
