--- Contexts of direct TLS for the clients of networks that have exceptions: beside each context of a listener, one for
-- each level that exceptions have. The core chooses by address and server name.
local domain_name = require "xmpp_tls_policy.core".domain_name

local network_contexts = {}

local methods = {}
local metatable = { __index = methods }

local weak_keys = { __mode = "k" }

--- For one load of the module. `server`: the adapter; `policies`; `adopted`: see adopted_contexts.lua;
-- `enforce`: function(context, host, found, policy) -> its entry: brings a context under a policy.
function network_contexts.new(options)
	return setmetatable({
		_server = options.server,
		_policies = options.policies,
		_adopted = options.adopted,
		_enforce = options.enforce,
		_likes = setmetatable({}, weak_keys), -- LuaSec context -> level -> another one like it; false: none
		_told = setmetatable({}, weak_keys), -- LuaSec context of a listener -> what the core was told, see new_table
	}, metatable)
end

-- The context for a level beside one of a listener's (`name`: by SNI; nil: its first), or nil. Each failure is logged
-- once.
local function context_beside(self, found, name, luasec, level)
	local likes = self._likes[luasec] or {}
	self._likes[luasec] = likes
	if likes[level] == nil then
		local context, message = found.like(name)
		-- A milder policy on the listener's own context would be one for everybody.
		if context and self._server.luasec_context(context) == luasec then
			context, message = nil, "the server gave the context of all others again"
		end
		if not context then
			self._server.log("*", "error", "%s: the exceptions for networks have no effect on direct TLS (%s), because there is "
				.. "no context for them: %s", name or "any host", found.service, tostring(message))
		end
		likes[level] = context or false
	end
	return likes[level] or nil
end

-- The networks of a group as the core takes them.
local function networks_of(exceptions)
	local networks = {}
	for index, exception in ipairs(exceptions) do
		networks[index] = { exception.network.bytes, exception.network.prefix, exception.ends }
	end
	return networks
end

-- All that is told to the core of one listener's context: groups, names, see core.network_contexts.set; contexts, the
-- LuaSec contexts as keys; key, a list that is the same where nothing changed; entry, of the listener's context.
local function new_table()
	return { groups = {}, names = {}, key = {}, contexts = {}, number_of = {} }
end

-- The number of a group of networks in a table. Hosts with the same policy share it.
local function group_number(told, group)
	local number = told.number_of[group.policy]
	if not number then
		number = #told.groups + 1
		told.groups[number], told.number_of[group.policy] = networks_of(group.exceptions), number
		for _, exception in ipairs(group.exceptions) do
			local part = ("%s %d"):format(exception.domain, exception.ends)
			told.key[#told.key + 1] = part
		end
	end
	return number
end

-- Adds the contexts beside one of a listener's. `name`: nil for the first one.
local function add(self, told, found, name, context)
	local luasec, list = self._server.luasec_context(context), {}
	local strict = self._adopted:get(luasec)
	local usable = strict and not strict.failure and strict.policy.mode ~= "report"
	for _, group in ipairs(usable and strict.policy:network_exceptions(os.time()) or {}) do
		local beside = context_beside(self, found, name, luasec, group.policy.level)
		local entry = beside and self._enforce(beside, name, found, group.policy)
		if entry and not entry.failure then
			local number = group_number(told, group)
			list[number] = self._server.luasec_context(beside)
			told.contexts[list[number]] = entry
			told.key[#told.key + 1], told.key[#told.key + 2] = number, entry
		end
	end
	told.key[#told.key + 1] = name or false
	told.names[name or ""] = list
	-- Clients ask for it in A-labels (rfc6066.3.name-in-a-labels).
	if name and domain_name(name) then
		told.names[domain_name(name)] = list
	end
end

local function is_same(a, b)
	if not a or #a.key ~= #b.key or a.entry ~= b.entry then
		return false
	end
	for index, part in ipairs(b.key) do
		if a.key[index] ~= part then
			return false
		end
	end
	return true
end

-- Tells the core. `base`: the LuaSec context with which connections begin.
local function tell(self, base, told)
	told.entry = self._adopted:get(base)
	if is_same(self._told[base], told) then
		return
	end
	self._told[base] = told
	local done, message = self._adopted:serve_networks(base, told.groups, told.names)
	if not done then
		self._server.log("*", "error", "%s: the exceptions for networks have no effect on direct TLS: %s",
			told.entry and told.entry.service or "a port", tostring(message))
	end
end

-- A copy of a table of `new_table`, for another listener's context.
local function copied(told)
	return { groups = told.groups, names = told.names, key = told.key, contexts = told.contexts }
end

local function place_of(service, port)
	return ("%s %s"):format(service, tostring(port))
end

-- A server may make the context of a listener anew, and connections that have sent no ClientHello yet begin with the
-- one of before.
local function follow_older(self, current, by_place)
	for _, base in ipairs(self._adopted:with_networks()) do
		if not current[base] then
			local entry = self._adopted:get(base)
			local usable = entry and not entry.failure and entry.policy.mode ~= "report"
			local told = usable and by_place[place_of(entry.service, entry.port)]
			tell(self, base, told and copied(told) or new_table())
		end
	end
end

local function has_exceptions(self)
	local has = false
	self._policies:each(function (_, policy)
		has = has or next(policy.exceptions) ~= nil
	end)
	return has
end

--- Brings the contexts for networks of all listeners for direct TLS under their policies. `list`: of
-- server.direct_tls_contexts, which are under theirs; `served`: a table to which the LuaSec contexts are added as keys.
function methods:serve(list, served)
	local are_there, current, by_place = has_exceptions(self), {}, {}
	for _, found in ipairs(list) do
		local base = self._server.luasec_context(found.context)
		if found.role == "c2s" and (are_there or self._told[base]) then
			local told = new_table()
			add(self, told, found, nil, found.context)
			for name, context in pairs(found.names) do
				add(self, told, found, name, context)
			end
			tell(self, base, told)
			current[base], by_place[place_of(found.service, found.port)] = true, told
			for luasec in pairs(told.contexts) do
				served[luasec] = true
			end
		end
	end
	follow_older(self, current, by_place)
end

--- Whether new handshakes may get a LuaSec context for a network.
function methods:serves(luasec)
	for _, told in pairs(self._told) do
		if told.contexts[luasec] then
			return true
		end
	end
	return false
end

return network_contexts
