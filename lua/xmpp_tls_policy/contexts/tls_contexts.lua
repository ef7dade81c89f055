--- The server's contexts under the policies: those of listeners for direct TLS, and those that
-- streams are given for STARTTLS. A context that cannot be brought under its policy has no TLS.
local configuration_log = require "xmpp_tls_policy.configuration_log"
local domain_name = require "xmpp_tls_policy.core".domain_name
local negotiable_versions = require "xmpp_tls_policy.policy.negotiable_versions"
local network_contexts = require "xmpp_tls_policy.contexts.network_contexts"

local tls_contexts = {}

local methods = {}
local metatable = { __index = methods }

---- One context -----------------------------------------------------------------

local function new_demand(self, host, role, option, domain, policy, address)
	return {
		policy = policy, host = host, role = role, option = option, domain = policy.exception and domain,
		address = policy.exception and address,
		operator = self._server.operator_lists(host, role, option), another = nil,
	}
end

-- The demand on a context (see adopted:enforce): the same table for the same host, role,
-- option and policy until the configuration is loaded again. The table that leads to it is nested,
-- because this is asked for each stream; demands with other options hang on `another`.
local function demand_under(self, host, role, option, policy, domain, address)
	local by_role = self._demands[host or "*"]
	if not by_role then
		by_role = {}
		self._demands[host or "*"] = by_role
	end
	local by_policy = by_role[role]
	if not by_policy then
		by_policy = {}
		by_role[role] = by_policy
	end
	local first = by_policy[policy]
	local demand = first
	while demand and demand.option ~= option do
		demand = demand.another
	end
	if not demand then
		demand = new_demand(self, host, role, option, domain, policy, address)
		demand.another = first
		by_policy[policy] = demand
	end
	return demand
end

-- The same under the policy for the host and a peer.
local function demand_of(self, host, role, option, domain, address)
	local policy = self._policies:policy_for(host, domain, address)
	return demand_under(self, host, role, option, policy, domain, address)
end

-- The host, the role, and for direct TLS the service and the port of a context.
local function place_of(entry)
	local given, service = entry.given, entry.service
	local place = ("%s, %s"):format(given.host or "any host", given.role)
	if not service then
		return place
	end
	return ("%s (%s%s)"):format(place, service, entry.port and (", port %d"):format(entry.port) or "")
end

--- The versions that a context (its entry, see adopted_contexts.lua) allows, and that the key of its certificate does
-- not fit: a sentence, and whether no version is left. nil if there are none.
function tls_contexts.lost_by_key(entry)
	if entry.failure or entry.policy.mode == "report" or not entry.certificate or entry.given.role == "s2sout" then
		return nil
	end
	return negotiable_versions.lost(entry.settings, entry.certificate:facts())
end

-- Logs the changes to a context.
local function log(self, entry)
	if not entry.new then
		return
	end
	local server, place = self._server, place_of(entry)
	local function say(level, format, ...)
		self._log:add(level, place, format:format(...))
	end
	if entry.failure then
		say("error", "no TLS, because its context cannot be brought under %s: %s", entry.policy:name(), entry.failure)
		return
	end
	if entry.warning then
		say("warn", "handshakes on the context are not all reported: %s", entry.warning)
	end
	if entry.policy.mode == "report" then
		server.log("*", "debug", "%s: the context is not changed; %s is in report mode", place, entry.policy:name())
		local enforcement = self._adopted:enforcement(entry, entry.policy)
		-- Those for STARTTLS are looked at when the configuration is loaded (see foreseen_outages.lua).
		if entry.service and enforcement and enforcement.failure then
			say("error", "if %s were enforced, nobody could connect with TLS: %s", entry.policy:name(), enforcement.failure)
		end
		return
	end
	server.log("*", "debug", "%s: the context is under %s", place, entry.policy:name())
	for _, loss in ipairs(entry.losses) do
		say("warn", "%s", loss)
	end
	local lost, all_lost = tls_contexts.lost_by_key(entry)
	if lost then
		say(all_lost and "error" or "warn", "%s", lost)
	end
	for _, lack in ipairs(entry.policy:unsupported(entry.settings)) do
		say("info", "by the server's own configuration: %s", entry.policy:sentence(lack))
	end
	if entry.resumption_failure then
		say("error", "no session is resumed: %s", entry.resumption_failure)
	end
	if entry.dropped.dh_bits then
		say("warn", "the DH parameters of %d bits in ssl were replaced by stronger ones", entry.dropped.dh_bits)
	end
end

-- `listener`: { service, port }; nil for STARTTLS.
local function enforce(self, context, demand, listener)
	local entry = self._adopted:enforce(self._server.luasec_context(context), demand)
	entry.service, entry.port = listener and listener.service, listener and listener.port
	log(self, entry)
	return entry
end

--- For one load of the module. `server`: the adapter; `policies`; `adopted`: see
-- adopted_contexts.lua.
function tls_contexts.new(options)
	local self = setmetatable({
		_server = options.server,
		_policies = options.policies,
		_adopted = options.adopted,
		_demands = {}, -- see demand_under
		_apart = setmetatable({}, { __mode = "k" }), -- context of an exception -> its domain or network
		_search_is_due = false,
		_log = configuration_log.new(options.server),
	}, metatable)
	self._networks = network_contexts.new {
		server = options.server, policies = options.policies, adopted = options.adopted,
		enforce = function (context, host, found, policy)
			return enforce(self, context, demand_under(self, host, found.role, found.option, policy), found)
		end,
	}
	return self
end

---- Direct TLS --------------------------------------------------------------------

-- The contexts that a listener's context serves by name. `host`: nil, all; else that host's, and
-- those that are not adopted yet. `served`: a table to which the LuaSec contexts are added as keys.
local function enforce_names(self, found, host, served)
	local entries = {}
	for name, context in pairs(found.names) do
		local luasec = self._server.luasec_context(context)
		served[luasec] = true
		local known = host and name ~= host and self._adopted:get(luasec)
		entries[name] = known or enforce(self, context, demand_of(self, name, found.role, found.option), found)
		-- Clients ask for it in A-labels (rfc6066.3.name-in-a-labels).
		entries[domain_name(name) or name] = entries[name]
	end
	local done, message = self._adopted:serve_names(self._server.luasec_context(found.context), entries)
	if not done then
		self._server.log("*", "error", "%s: no session is resumed by server name: %s", found.service, message)
	end
end

--- Keeps the contexts that direct TLS serves by name, and those that are no longer served while
-- handshakes go on with them (see adopted:keep).
function methods:keep_named()
	local served, luasec_context = {}, self._server.luasec_context
	for _, found in ipairs(self._server.direct_tls_contexts()) do
		for _, context in pairs(found.names) do
			served[luasec_context(context)] = true
		end
	end
	self._adopted:keep(served)
end

--- Brings the contexts of all listeners for direct TLS under their policies.
function methods:search_direct_tls()
	local served, list = {}, self._server.direct_tls_contexts()
	for _, found in ipairs(list) do
		enforce(self, found.context, demand_of(self, nil, found.role, found.option), found)
		enforce_names(self, found, nil, served)
	end
	self._networks:serve(list, served)
	self._adopted:keep(served)
	self._server.tolerate_any_name(function (context)
		local entry = self._adopted:get(self._server.luasec_context(context))
		return entry and entry.policy.mode ~= "report" and not entry.failure and entry.certificate
	end)
end

---- All of them -------------------------------------------------------------------

-- The demand on a context for networks (see network_contexts.lua) that had one before. It is strict if no
-- network of its level is left.
local function demand_for_networks_again(self, given)
	for _, group in ipairs(self._policies:policy_for(given.host):network_exceptions(os.time())) do
		if group.policy.level == given.policy.level then
			return demand_under(self, given.host, given.role, given.option, group.policy)
		end
	end
	return demand_of(self, given.host, given.role, given.option)
end

-- The demand on a context that had one before. A context of an exception stays with that exception: streams
-- for which another one holds now may be fewer than those that have the context.
local function demand_again(self, given)
	if given.policy.networks then
		return demand_for_networks_again(self, given)
	end
	local demand = demand_of(self, given.host, given.role, given.option, given.domain, given.address)
	local exception, earlier = demand.policy.exception, given.policy.exception
	if exception and not (earlier and earlier.domain == exception.domain) then
		return demand_of(self, given.host, given.role, given.option)
	end
	return demand
end

local function enforce_all(self)
	self._adopted:enforce_again(function (given)
		return demand_again(self, given)
	end, function (entry)
		log(self, entry)
	end)
	self:search_direct_tls()
end

--- Brings all contexts under their policies when the event that is being handled is over, in which other modules may
-- still make some.
function methods:search_later()
	if not self._search_is_due then
		self._search_is_due = true
		self._server.later(0, "the search for contexts", function ()
			self._search_is_due = false
			enforce_all(self)
		end)
	end
end

--- Brings contexts under their policies: at once, as connections may be accepted before any
-- timer, and once more when the event that is being handled is over. To be called without a host
-- after the configuration was loaded (see configuration_loaded) or a listener was added; with a host
-- after the server made the contexts of that host. At its start a server makes all hosts in one event:
-- from the second on, only the context that has the host's name is looked at at once.
function methods:search(host)
	if host and self._search_is_due then
		for _, found in ipairs(self._server.direct_tls_contexts()) do
			local context = rawget(found.names, host)
			if context then
				enforce(self, context, demand_of(self, host, found.role, found.option), found)
			end
		end
	elseif host then
		local served = {}
		for _, found in ipairs(self._server.direct_tls_contexts()) do
			enforce_names(self, found, host, served)
		end
		self._adopted:keep(served)
	else
		enforce_all(self)
	end
	self:search_later()
end

--- To be called when the server's configuration was loaded: the operator's lists may be others, and each
-- sentence about them is logged again.
function methods:configuration_loaded()
	self._demands = {}
	self._log:forget()
end

--- Restores the contexts of a host (nil: all).
function methods:give_back(host)
	for _, message in ipairs(self._adopted:release(host)) do
		self._server.log("*", "error", "A context stays under the policy: %s", message)
	end
	if host then
		self._demands[host] = nil
		-- The contexts for networks were given back, too.
		self._networks:serve(self._server.direct_tls_contexts(), {})
	else
		self._demands = {}
	end
end

--- Exceptions have ended: no handshake on direct TLS gets their contexts any more.
function methods:exceptions_ended()
	self:search_direct_tls()
end

--- Whether new handshakes may get a LuaSec context because of the network of their client.
function methods:serves_networks(luasec)
	return self._networks:serves(luasec)
end

---- STARTTLS --------------------------------------------------------------------

-- Gives a stream a context of its own for the exception of its peer. The one for all peers stays
-- as strict as it is. Returns it; nil if there is none.
local function set_apart(self, stream, exception)
	local server, session = self._server, stream.session
	local context, message = server.context_like(session, exception.domain)
	-- A milder policy on the shared context would be one for everybody.
	if context and server.luasec_context(context) == server.luasec_context(server.starttls_context(session)) then
		context, message = nil, "the server gave the context of all others again"
	end
	if not context then
		server.log("*", "error", "%s: the exception for %s has no effect, because there is no context for it: %s",
			stream:host() or "any host", exception.domain, message)
		return nil
	end
	self._apart[context] = exception.domain
	server.set_starttls_context(session, context)
	return context
end

--- Brings a context that streams of a host get for STARTTLS in a role under the host's policy. Returns its
-- entry (see adopted_contexts.lua).
function methods:adopt(host, role, context)
	return enforce(self, context, demand_of(self, host, role))
end

--- Brings the context that the server gave a stream for STARTTLS under the policy for its host and
-- peer. Returns whether that succeeded; nil if the stream has no such context.
function methods:starttls(stream)
	local server, session = self._server, stream.session
	local context, role = server.starttls_context(session), stream.role
	if not context or not role or server.is_authenticated(session) then
		return nil
	end
	local host = stream:host()
	local demand = demand_of(self, host, role, nil, stream:peer(), role == "c2s" and server.address(session) or nil)
	local exception = demand.policy.exception
	if exception and self._apart[context] ~= exception.domain then
		-- In report mode the context stays as the server made it, for all peers.
		local apart = demand.policy.mode ~= "report" and set_apart(self, stream, exception)
		if apart then
			context = apart
		else
			demand = demand_of(self, host, role)
		end
	end
	local entry = enforce(self, context, demand)
	return entry.policy.mode == "report" or not entry.failure
end

return tls_contexts
