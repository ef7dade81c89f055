--- The server's contexts under the policies: those of listeners for direct TLS, and what
-- mod_tls gives a session for STARTTLS. What cannot be brought under its policy has no TLS.
local contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local in_force = require "xmpp_tls_policy.policy.policies"
local protected = require "xmpp_tls_policy.servers.prosody.safe_hooks"
local server = require "xmpp_tls_policy.servers.prosody.server"

local policy_for = in_force.policy_for

local enforcement = {}

-- The plugin, for its log and timers, from enforcement.start on.
local module

-- What is asked of a context, by host, role and service; made anew with each
-- configuration.
local demands, demanded = {}, nil

-- Whether a search for contexts is due.
local looking = false

--- To be called when the plugin is loaded, before anything else here. `plugin`: the module.
function enforcement.start(plugin)
	module, looking, demands, demanded = plugin, false, {}, nil
end

local function demand(host, role, option, domain)
	if demanded ~= in_force.generation() then
		demands, demanded = {}, in_force.generation()
	end
	local policy = policy_for(host, domain)
	local key = ("%s %s %s %s"):format(host or "*", role, option or "", policy.exception and policy.exception.domain or "")
	if not demands[key] then
		demands[key] = {
			policy = policy, host = host, role = role, option = option, domain = policy.exception and domain,
			operator = server.operator_lists(host, role, option),
		}
	end
	return demands[key]
end

-- `service`: of a listener's context; see server.direct_tls_contexts.
local function enforce(context, given, service)
	local entry = contexts.enforce(context, given)
	entry.service = service
	if not entry.new then
		return entry
	end
	local host, role = given.host, given.role
	local what = ("%s, %s%s"):format(host or "any host", role, service and " (" .. service .. ")" or "")
	if entry.failure then
		module:log("error", "%s: no TLS, because its context cannot be brought under %s: %s",
			what, entry.policy:name(), entry.failure)
		return entry
	end
	if entry.warning then
		module:log("warn", "%s: handshakes on the context are not all reported: %s", what, entry.warning)
	end
	if entry.policy.mode == "report" then
		module:log("debug", "%s: the context is left as it is; %s is only reported on", what, entry.policy:name())
		return entry
	end
	module:log("debug", "%s: the context is under %s", what, entry.policy:name())
	for _, lack in ipairs(entry.policy:unsupported(entry.settings)) do
		module:log("info", "%s: by the server's own configuration: %s", what, entry.policy:sentence(lack))
	end
	if entry.resumption_failure then
		module:log("error", "%s: no session is resumed: %s", what, entry.resumption_failure)
	end
	if entry.dropped.dh_bits then
		module:log("warn", "%s: the DH parameters of %d bits were replaced by stronger ones", what,
			entry.dropped.dh_bits)
	end
	return entry
end

local function enforce_names(found)
	local entries = {}
	for host, context in pairs(found.names) do
		entries[host] = enforce(context, demand(host, found.role, found.option), found.service)
	end
	local done, message = contexts.serve_names(found.context, entries)
	if not done then
		module:log("error", "%s: no session is resumed by server name: %s", found.service, message)
	end
end

--- Keeps the contexts that direct TLS serves by name, and those that are not served any
-- more while handshakes go on with them (see contexts.keep).
function enforcement.keep_named()
	local list = {}
	for _, found in ipairs(server.direct_tls_contexts()) do
		for _, context in pairs(found.names) do
			list[#list + 1] = context
		end
	end
	contexts.keep(list)
end

--- The same as search, now and for direct TLS alone.
function enforcement.search_direct_tls()
	for _, found in ipairs(server.direct_tls_contexts()) do
		enforce(found.context, demand(nil, found.role, found.option), found.service)
		enforce_names(found)
	end
	enforcement.keep_named()
	server.tolerate_any_name(function (context)
		local entry = contexts.get(context)
		return entry and entry.policy.mode ~= "report" and not entry.failure and entry.certificate
	end)
end

local function enforce_all()
	contexts.enforce_again(function (given)
		return demand(given.host, given.role, given.option, given.domain)
	end)
	enforcement.search_direct_tls()
end

--- Brings all contexts under their policies: at once, as connections may be accepted before
-- any timer; and again when the event that is being handled is over, as other modules may
-- still make contexts.
function enforcement.search()
	enforce_all()
	if not looking then
		looking = true
		module:add_timer(0, function ()
			looking = false
			protected.call("the search for contexts", enforce_all)
		end)
	end
end

--- Makes the contexts of a host (nil: all) what they were.
function enforcement.give_back(host)
	for _, message in ipairs(contexts.release(host)) do
		module:log("error", "A context stays under the policy: %s", message)
	end
end

local roles = { c2s_unauthed = "c2s", s2sin_unauthed = "s2sin", s2sout_unauthed = "s2sout" }

-- The context of an exception's policy takes the place of the one for all peers,
-- which stays as strict as it is.
local function set_apart(host, session, given)
	local exception = given.policy.exception
	if session.ssl_ctx == session.tls_policy_context then
		return
	end
	local context, message = server.context_like(session, exception.domain)
	if not context then
		module:log("error", "%s: the exception for %s has no effect, because there is no context for it: %s",
			host, exception.domain, message)
		return
	end
	session.ssl_ctx, session.tls_policy_context = context, context
end

--- The context that mod_tls gave a session for STARTTLS: nil if there is none,
-- else whether it is under the policy.
function enforcement.starttls(host, session)
	local role = roles[session.type]
	if not session.ssl_ctx or not role then
		return nil
	end
	local given = demand(host, role, nil, server.peer(session))
	if given.policy.exception and given.policy.mode ~= "report" then
		set_apart(host, session, given)
		if session.ssl_ctx ~= session.tls_policy_context then
			given = demand(host, role)
		end
	end
	local entry = enforce(session.ssl_ctx, given)
	return entry.policy.mode == "report" or not entry.failure
end

return enforcement
