--- The module on Prosody: translates Prosody's events into the moments of stream/admission.lua, and
-- its life (load, reload, unload) into that of service.lua.
local adapter = require "xmpp_tls_policy.servers.prosody"
local channel_binding = require "xmpp_tls_policy.servers.prosody.channel_binding"
local channel_binding_offer = require "xmpp_tls_policy.servers.prosody.channel_binding_offer"
local commands = require "xmpp_tls_policy.commands"
local fail_closed = require "xmpp_tls_policy.servers.prosody.fail_closed"
local metrics = require "xmpp_tls_policy.servers.prosody.metrics"
local moments = require "xmpp_tls_policy.servers.prosody_style.moments"
local new_service = require "xmpp_tls_policy.service".new
local routes = require "xmpp_tls_policy.servers.prosody.routes"
local safe_hooks = require "xmpp_tls_policy.servers.prosody.safe_hooks"
local shell = require "xmpp_tls_policy.servers.prosody.shell"
local stanza_filter = require "xmpp_tls_policy.servers.prosody.stanza_filter"
local unloading = require "xmpp_tls_policy.servers.prosody.unloading"

local life = require "xmpp_tls_policy.servers.prosody_style.life" {
	root = prosody, fail_closed = fail_closed, safe_hooks = safe_hooks, unloading = unloading,
}

local plugin = {}

local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"
local xmlns_streams = "http://etherx.jabber.org/streams"

-- The service of the load before: a reload goes on with its state.
local kept

---- Events of a host ----------------------------------------------------------

-- Before all others: nothing is offered on a stream that breaks the policy.
local FIRST = 1000
-- After all others, mod_tls (0) among them, which chooses the session's context.
local LAST = -1000

local function hook_features(service, hooks, host_module)
	local host, server, moment = host_module.host, service.server, moments.new(service)
	for _, event in ipairs { "stream-features", "s2s-stream-features" } do
		hooks:hook_decision(host_module, event, function (data)
			return moment:opened(data.origin)
		end, FIRST, true)
		hooks:hook_decision(host_module, event, function (data)
			return moment:offered(data.origin, data.features)
		end, LAST, true)
	end
	-- After mod_tls (0), before the connection is made.
	safe_hooks.hook(host_module, "s2sout-created", function (event)
		if server.host(event.session) == host then
			moment:outgoing_made(event.session)
		end
	end, -1)
end

local function hook_starttls(service, hooks, host_module)
	local host, moment = host_module.host, moments.new(service)
	-- Before mod_tls (0).
	hooks:hook_decision(host_module, "stanza/" .. xmlns_tls .. ":starttls", function (event)
		return moment:starttls_asked(event.origin, host)
	end, 1, true)
	hooks:hook_decision(host_module, "stanza/" .. xmlns_tls .. ":proceed", function (event)
		return moment:starttls_granted(event.origin)
	end, 1, true)
end

local function hook_remote_features(service, hooks, host_module)
	local host, server, moment = host_module.host, service.server, moments.new(service)
	-- Before mod_tls (500) answers the offer of a remote server.
	hooks:hook_decision(host_module, "stanza/" .. xmlns_streams .. ":features", function (event)
		return moment:features_received(event.origin, event.stanza, host)
	end, 501, true)
	-- Before mod_tls (200) and mod_dialback (100).
	hooks:hook_decision(host_module, "s2sout-authenticate-legacy", function (event)
		if not server.is_secure(event.origin) then
			return moment:not_offered(event.origin)
		end
	end, 201, true)
end

local function hook_authentication(service, hooks, host_module)
	local host, admission = host_module.host, service.admission
	-- Before mod_saslauth forgets the mechanism, which it does after all handlers (0).
	hooks:hook_decision(host_module, "authentication-success", function (event)
		local session = event.session
		local handler = session.sasl_handler
		if service:client_logged_in(session, handler and handler.selected, channel_binding_offer.of_login(handler)) then
			-- mod_saslauth goes on with the session, of which little is left.
			session.base_type, session.reset_stream = "c2s", function () end
			return true
		end
	end, 0, true)
	-- However the client has authenticated (XEP-0078).
	hooks:hook_decision(host_module, "pre-resource-bind", function (event)
		if admission:client_authenticated(event.session) then
			return false
		end
	end, 0, false)
	-- Prosody 0.12: after mod_smacks has put the new connection into the old session, which it does
	-- before all handlers (0). Prosody 13 has an event for all hosts.
	safe_hooks.hook(host_module, "smacks-hibernation-end", function (event)
		admission:resumed(event.resumed, event.origin)
	end, 0)
	-- Before mod_s2s (-1) makes use of it. By dialback a server may authenticate as more domains than
	-- its stream's header names.
	hooks:hook_decision(host_module, "s2s-authenticated", function (event)
		if admission:authenticated(event.session, host, event.host, event.mechanism) then
			return false
		end
	end, 0, false)
end

local function hook_reports(service, host_module)
	local function report_server(event)
		service:report_server(event.session)
	end
	safe_hooks.hook(host_module, "s2sin-established", report_server)
	safe_hooks.hook(host_module, "s2sout-established", report_server)
	-- Each moment in which a connection becomes somebody's. After those that keep the mechanism and put a new
	-- connection into an old session (0); see hook_authentication and hook_resumption.
	for _, name in ipairs { "authentication-success", "resource-bind" } do
		safe_hooks.hook(host_module, name, function (event)
			service:report_client(event.session)
		end, -1)
	end
	safe_hooks.hook(host_module, "smacks-hibernation-end", function (event)
		service:report_client(event.resumed)
	end, -1)
end

---- Hosts ---------------------------------------------------------------------

-- Makes the module active on a host.
local function activate(service, hooks, host_module)
	service:add_host(host_module.host)
	hook_features(service, hooks, host_module)
	hook_starttls(service, hooks, host_module)
	hook_remote_features(service, hooks, host_module)
	hook_authentication(service, hooks, host_module)
	channel_binding_offer.hook(service, host_module)
	hook_reports(service, host_module)
end

---- Events of the server ------------------------------------------------------

local function hook_certificates(service, hooks, module)
	local admission, moment = service.admission, moments.new(service)
	-- After mod_s2s_auth_certs (509).
	hooks:hook_decision(module, "s2s-check-certificate", function (event)
		return moment:certificate_named(event.session, event.host)
	end, 508, false)
	-- Before the server strips the session.
	safe_hooks.hook(module, "s2s-destroyed", function (event)
		admission:ended(event.session)
	end)
	-- After mod_s2s (-1) has decided. Every stream of whatever version comes here once it is secured.
	hooks:hook_decision(module, "s2s-check-certificate", function (event)
		if admission:certificate_checked(event.session, event.host) then
			return false
		end
	end, -2, false)
end

-- Stanzas may be sent on hosts without the module, too.
local function hook_routes(service, module)
	local handler = routes.handler(service.admission)
	local function watch(host)
		module:hook_object_event(prosody.hosts[host].events, "route/remote", handler, FIRST)
	end
	for host in pairs(prosody.hosts) do
		watch(host)
	end
	-- Before all other handlers, one of which may fail.
	safe_hooks.hook(module, "host-activated", watch, 1e6)
end

local function hook_resumption(service, module)
	-- While both sessions are whole, which is before all handlers (0).
	safe_hooks.hook(module, "c2s-session-updated", function (event)
		service.admission:resumed(event.session, event.from_session)
		service:report_client(event.session)
	end, 0)
end

-- The tasks of each minute and second. Returns a function that ends them: a timer of Prosody keeps its module until it
-- is due.
local function start_timers(service, module)
	local minute = module:add_timer(60, function ()
		life.work_minutely(service)
		return 60
	end)
	local second = module:add_timer(1, function ()
		life.work_each_second(service)
		return 1
	end)
	return function ()
		minute:stop()
		second:stop()
	end
end

---- Life ----------------------------------------------------------------------

-- Unloads the module for good.
local function end_module(service, module)
	unloading.global_part(module.name, function ()
		safe_hooks.call("stopping", service.stop, service)
		safe_hooks.call("giving back LuaSec's method", channel_binding.stop)
		kept = nil
		fail_closed.stop()
	end)
end

--- Starts the module. `module`: Prosody's object for ours, global. Returns its methods load, unload
-- and add_host.
function plugin.start(module)
	local server = adapter.new(module)
	local service = new_service(server, kept)
	local hooks = safe_hooks.new(function (session)
		return service.admission:is_enforced_on(session)
	end)
	kept = service
	service:load_policies()
	channel_binding.start()
	local remove_commands = shell.add(module, commands.list, service)
	metrics.serve(module, service.metrics)
	local end_filter = stanza_filter.start(service.admission, hooks, routes.reroute(service.admission), server.sessions())
	hook_certificates(service, hooks, module)
	hook_routes(service, module)
	hook_resumption(service, module)
	life.hook(service, module)

	local stop_timers = function () end
	local function begin()
		service.tls_contexts:search()
		stop_timers = start_timers(service, module)
		fail_closed.open "*"
	end

	local own = {}

	function own.load()
		life.loaded(service, module, begin)
	end

	function own.add_host(host_module)
		function host_module.unload()
			life.leave_host(service, host_module, host_module.reloading)
		end
		life.add_host(service, host_module, function ()
			activate(service, hooks, host_module)
		end)
	end

	-- A context that cannot be given back stays under the policy.
	function own.unload()
		safe_hooks.call("ending the stanza filter", end_filter)
		safe_hooks.call("removing the shell's commands", remove_commands)
		safe_hooks.call("stopping the timers", stop_timers)
		safe_hooks.call("storing reports and shapes", service.store_all, service)
		-- A reload leaves no moment without the policy.
		if module.reloading then
			return
		end
		end_module(service, module)
	end

	return own
end

return plugin
