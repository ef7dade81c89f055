--- Hosts in report mode on which enforcing would leave no TLS at all: the log says so at each load.
local foreseen_outages = {}

local methods = {}
local metatable = { __index = methods }

-- Roles, and the peers that connect. The contexts of s2sin and s2sout have the same options.
local ROLES = { { "c2s", "clients" }, { "s2sin", "servers" } }

--- For one load of the module. `server`: the adapter; `policies`; `adopted`: the contexts; `queue`: a
-- work_queue, in which hosts are looked at.
function foreseen_outages.new(options)
	return setmetatable({
		_server = options.server,
		_policies = options.policies,
		_adopted = options.adopted,
		_queue = options.queue,
		_messages = {}, -- host -> list of messages, see of
		_waiting = {}, -- hosts, in order
	}, metatable)
end

-- The sentence about a role of a host, or nil.
local function outage(self, host, policy, role, peers)
	local server = self._server
	-- Where the server has no certificate, there is no TLS to lose.
	local luasec = server.own_context(host, role)
	local enforcement = luasec and self._adopted:foresee(server.luasec_context(luasec), {
		policy = policy, host = host, role = role, operator = server.operator_lists(host, role),
	})
	if enforcement and enforcement.failure then
		return ("if %s were enforced, no %s could connect with TLS: %s"):format(policy:name(), peers, enforcement.failure)
	end
end

local function look_at(self, host)
	local policy = self._policies:policy_for(host)
	local messages = {}
	for _, row in ipairs(policy.mode == "report" and ROLES or {}) do
		local role, peers = row[1], row[2]
		if role ~= "c2s" or self._server.serves_clients(host) then
			messages[#messages + 1] = outage(self, host, policy, role, peers)
		end
	end
	self._messages[host] = messages[1] and messages or nil
	for _, message in ipairs(messages) do
		self._server.log("*", "error", "%s: %s", host, message)
	end
end

--- Looks at hosts in later turns, and logs the outages of those in report mode.
function methods:check(hosts)
	for _, host in ipairs(hosts) do
		self._waiting[#self._waiting + 1] = host
	end
	self._queue:add("foreseeing outages", function ()
		local host = table.remove(self._waiting, 1)
		if host and self._policies:covers(host) then
			look_at(self, host)
		end
		return self._waiting[1] ~= nil
	end)
end

--- The messages about a host, as the log has them: a list.
function methods:of(host)
	return self._messages[host] or {}
end

return foreseen_outages
