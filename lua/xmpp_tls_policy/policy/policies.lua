--- The policies in force, by host, as the configuration has them. They outlive a reload of
-- the plugin.
local encodings = require "util.encodings"
local server = require "xmpp_tls_policy.servers.prosody.server"
local tls_policy = require "xmpp_tls_policy"

local in_force = {}

-- Host -> policy; "*": what holds for all others.
local policies, generation = {}, 0

---- Options ------------------------------------------------------------------

-- The option of a module, with the domains of its exceptions as Prosody writes domains.
local function configured(of)
	local given = of:get_option "xmpp_tls_policy"
	if type(given) ~= "table" or type(given.exceptions) ~= "table" then
		return given
	end
	local prepared, exceptions = {}, {}
	for key, value in pairs(given) do
		prepared[key] = value
	end
	for key, value in pairs(given.exceptions) do
		local domain = type(key) == "string" and encodings.stringprep.nameprep(key)
		-- That two are the same is for the library to complain of.
		exceptions[domain and given.exceptions[domain] == nil and domain or key] = value
	end
	prepared.exceptions = exceptions
	return prepared
end

local function report(module, host, errors)
	for _, problem in ipairs(errors or {}) do
		module:log("error", "%s: %s", host == "*" and "configuration" or host, problem.message)
	end
end

local function described(policy)
	return policy:name() .. (policy.mode == "report" and ", only reported on" or "")
end

local function put_in_force(module, host, policy)
	if not policies[host] or described(policies[host]) ~= described(policy) then
		module:log("info", "%s: %s", host == "*" and "all hosts" or host, described(policy))
	end
	policies[host] = policy
	generation = generation + 1
end

-- A bad option never weakens: the policy in force stays; at the start what is right
-- holds, and where nothing is, the default.
local function put_instead(module, host, of_host, of_all)
	local policy = policies[host] or of_host or of_all or tls_policy.policy()
	module:log("error", "%s: because of the errors above, the policy is %s",
		host == "*" and "all hosts" or host, described(policy))
	put_in_force(module, host, policy)
end

local function load_global(module)
	local policy, errors = tls_policy.policy(configured(module))
	report(module, "*", errors)
	if policy then
		put_in_force(module, "*", policy)
	else
		put_instead(module, "*")
	end
end

--- Reads the options of a host, and puts its policy in force. `module`: ours.
function in_force.load_host(module, host)
	local of_module = module:context(host)
	if of_module:get_option "xmpp_tls_policy" == module:get_option "xmpp_tls_policy" then
		return put_in_force(module, host, policies["*"])
	end
	local global, own = configured(module), configured(of_module)
	local of_all = tls_policy.policy(global)
	local merged, misplaced = tls_policy.merge(nil, own)
	local of_host, errors = tls_policy.policy(merged)
	report(module, host, misplaced)
	report(module, host, errors)
	if of_all and of_host then
		put_in_force(module, host, tls_policy.policy((tls_policy.merge(global, merged))))
	else
		put_instead(module, host, of_host, policies["*"])
	end
end

-- Of exceptions, what was said since the configuration was loaded.
local warned = {}

--- Says of exceptions what was not said yet: that they end, or have ended.
function in_force.warn_of_exceptions(module)
	for _, policy in pairs(policies) do
		for _, warning in ipairs(policy:warnings(os.time())) do
			if not warned[warning.message] then
				warned[warning.message] = true
				module:log("warn", "%s", warning.message)
			end
		end
	end
end

--- Reads all options, and puts the policies in force: for all hosts, and for those that
-- have one already.
function in_force.load(module)
	warned = {}
	load_global(module)
	for host in pairs(policies) do
		if host ~= "*" then
			in_force.load_host(module, host)
		end
	end
	in_force.warn_of_exceptions(module)
end

--- No policy is in force for a host any more.
function in_force.remove(host)
	policies[host] = nil
end

--- None is.
function in_force.clear()
	policies = {}
end

---- Questions ----------------------------------------------------------------

--- A number that is another one after each change.
function in_force.generation()
	return generation
end

--- Whether a host has a policy: where the plugin is disabled, it has none.
function in_force.covers(host)
	return host ~= nil and policies[host] ~= nil
end

--- The policy for a host of ours (nil, or one without: that for all) and a domain of a
-- peer's (nil: a client), which may have an exception.
function in_force.policy_for(host, domain)
	return (host and policies[host] or policies["*"]):for_peer(domain, os.time())
end

--- The policy of the host of ours that a session is for; nil where the plugin is not in
-- force. A server's stream header may name no host.
function in_force.of_session(session)
	local host = server.host(session)
	if in_force.covers(host) or not host and session.direction == "incoming" then
		return in_force.policy_for(host, server.peer(session))
	end
end

--- Hosts that have a policy, sorted.
function in_force.hosts()
	local hosts = {}
	for host in pairs(policies) do
		hosts[#hosts + 1] = host ~= "*" and host or nil
	end
	table.sort(hosts)
	return hosts
end

--- Calls visit(host, policy) for each host, sorted; "*", for all others, comes first.
function in_force.each(visit)
	visit("*", policies["*"])
	for _, host in ipairs(in_force.hosts()) do
		visit(host, policies[host])
	end
end

return in_force
