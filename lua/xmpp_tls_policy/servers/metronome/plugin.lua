--- The module on Metronome: translates Metronome's events into the moments of stream/admission.lua, and
-- its life (load, reload, unload) into that of service.lua. Some events have a table, others positional arguments.
local adapter = require "xmpp_tls_policy.servers.metronome"
local certificate_checks = require "xmpp_tls_policy.servers.metronome.certificate_checks"
local channel_binding = require "xmpp_tls_policy.servers.metronome.channel_binding"
local commands = require "xmpp_tls_policy.commands"
local contexts = require "xmpp_tls_policy.servers.metronome.contexts"
local fail_closed = require "xmpp_tls_policy.servers.metronome.fail_closed"
local filters = require "xmpp_tls_policy.servers.metronome.filters"
local metrics = require "xmpp_tls_policy.servers.metronome.metrics"
local moments = require "xmpp_tls_policy.servers.prosody_style.moments"
local new_service = require "xmpp_tls_policy.service".new
local routes = require "xmpp_tls_policy.servers.metronome.routes"
local safe_hooks = require "xmpp_tls_policy.servers.metronome.safe_hooks"
local shell = require "xmpp_tls_policy.servers.metronome.shell"
local stanza_filter = require "xmpp_tls_policy.servers.metronome.stanza_filter"
local unloading = require "xmpp_tls_policy.servers.metronome.unloading"

local life = require "xmpp_tls_policy.servers.prosody_style.life" {
	root = metronome, fail_closed = fail_closed, safe_hooks = safe_hooks, unloading = unloading,
}

local plugin = {}

local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"
local xmlns_streams = "http://etherx.jabber.org/streams"
local xmlns_dialback = "jabber:server:dialback"
local xmlns_resumption = { "urn:xmpp:sm:2", "urn:xmpp:sm:3" }

-- The service of the load before: a reload goes on with its state.
local kept

-- Before all others: nothing is offered on a stream that breaks the policy.
local FIRST = 1000
-- After all others.
local LAST = -1000

---- Events of a host ----------------------------------------------------------

local function hook_features(service, hooks, checks, host_module)
	local moment = moments.new(service)
	for _, event in ipairs { "stream-features", "s2s-stream-features" } do
		hooks:hook_decision(host_module, event, function (data)
			return checks:opened(data.origin) or moment:opened(data.origin)
		end, FIRST, true)
		hooks:hook_decision(host_module, event, function (data)
			return moment:offered(data.origin, data.features)
		end, LAST, true)
	end
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

local function hook_remote_features(service, hooks, checks, host_module)
	local host, server, moment = host_module.host, service.server, moments.new(service)
	-- Before mod_tls (500) answers the offer of a remote server.
	hooks:hook_decision(host_module, "stanza/" .. xmlns_streams .. ":features", function (event)
		local session = event.origin
		if server.role(session) == "s2sout" and server.host(session) == host and checks:opened(session) then
			return true
		end
		return moment:features_received(session, event.stanza, host)
	end, 501, true)
	-- Before mod_dialback (100).
	hooks:hook_decision(host_module, "s2s-authenticate-legacy", function (session)
		if not server.is_secure(session) then
			return moment:not_offered(session)
		end
		return checks:opened(session)
	end, 201, true)
end

local function hook_authentication(service, hooks, host_module)
	local server, admission = service.server, service.admission
	-- Before mod_saslauth forgets the mechanism, which it does after all handlers (0).
	hooks:hook_decision(host_module, "authentication-success", function (event)
		local session = event.session
		local handler = session.sasl_handler
		if service:client_logged_in(session, handler and handler.selected) then
			-- mod_saslauth calls it all the same.
			function session.reset_stream() end
			return true
		end
		service:report_client(event.session)
	end, 0, true)
	safe_hooks.hook(host_module, "resource-bind", function (event)
		service:report_client(event.session)
	end, -1)
	-- Before mod_stream_management (0) puts the new connection into the old session, for which there is no event.
	for _, xmlns in ipairs(xmlns_resumption) do
		safe_hooks.hook(host_module, ("stanza/%s:resume"):format(xmlns), function (event)
			local new, connection = event.origin, event.origin.conn
			server.later(0, "resuming a client's session", function ()
				local old = server.session_on(connection)
				if old and old ~= new then
					admission:resumed(old, new)
					service:report_client(old)
				end
			end)
		end, 1)
	end
end

local function hook_reports(service, host_module)
	local function report_server(event)
		service:report_server(event.session)
	end
	safe_hooks.hook(host_module, "s2sin-established", report_server)
	safe_hooks.hook(host_module, "s2sout-established", report_server)
end

-- Makes the module active on a host.
local function activate(service, hooks, checks, host_module)
	service:add_host(host_module.host)
	hook_features(service, hooks, checks, host_module)
	hook_starttls(service, hooks, host_module)
	hook_remote_features(service, hooks, checks, host_module)
	hook_authentication(service, hooks, host_module)
	hook_reports(service, host_module)
end

---- Events of all hosts ---------------------------------------------------------

-- Makes a module for the hooks of a host: its handlers belong to ours.
local function module_for(module, host)
	local events = metronome.hosts[host].events
	return { host = host, hook = function (_, event, handler, priority)
		module:hook_object_event(events, event, handler, priority)
	end }
end

-- Session -> domain -> the host of ours for which it asked to be authenticated by dialback, which need not be the
-- one of its header (xep0220.1.2.pair-of-domains).
local asked_for = setmetatable({}, { __mode = "k" })

-- Of one session: a peer chooses for how many domains it asks.
local MOST_DOMAINS = 1000

local function note_dialback(service, session, element)
	local admission = service.admission
	local host, domain = admission:domain_of(element.attr.to), admission:domain_of(element.attr.from)
	local asked = asked_for[session]
	if not asked or asked.count >= MOST_DOMAINS then
		asked = { count = 0, hosts = {} }
		asked_for[session] = asked
	end
	if host and domain then
		asked.count = asked.count + (asked.hosts[domain] and 0 or 1)
		asked.hosts[domain] = host
	end
end

-- A server has authenticated: the event names no domain. Each one that is new to the stream is judged.
local function servers_authenticated(service, session)
	local server, admission = service.server, service.admission
	local stream, header_host = admission:stream(session), server.host(session)
	local asked = asked_for[session]
	for _, domain in ipairs(server.domains_of(session)) do
		local host = asked and asked.hosts[domain] or header_host
		local is_known = stream.authenticated_for and stream.authenticated_for[host]
			and stream.authenticated_for[host][domain]
		local mechanism = server.used_external(session) and domain == server.peer(session) and "EXTERNAL" or "dialback"
		if not is_known and admission:authenticated(session, host, domain, mechanism) then
			return false
		end
	end
end

-- Stanzas may be sent, and servers authenticate, on hosts without the module, too.
local function hook_all_hosts(service, hooks, checks, module)
	local route = routes.handler(service.admission)
	local function watch(host)
		local of_host = module_for(module, host)
		of_host:hook("route/remote", route, FIRST)
		safe_hooks.hook(of_host, ("stanza/%s:result"):format(xmlns_dialback), function (event)
			note_dialback(service, event.origin, event.stanza)
		end, FIRST)
		-- Before mod_s2s (-100) makes use of it.
		hooks:hook_decision(of_host, "s2s-authenticated", function (event)
			return servers_authenticated(service, event.session)
		end, 0, false)
		-- After mod_s2s (0) has looked at the certificate.
		hooks:hook_decision(of_host, "s2s-check-certificate-status", function (session, from, to)
			checks:looked_at(session, from, to)
		end, -1, true)
	end
	for host in pairs(metronome.hosts) do
		watch(host)
	end
	-- Before all other handlers, one of which may fail.
	safe_hooks.hook(module, "host-activated", watch, 1e6)
end

---- Events of the server ------------------------------------------------------

local function hook_streams(service, hooks, module)
	local server, moment = service.server, moments.new(service)
	-- Other modules may add features in this event, after those of the host.
	hooks:hook_decision(module, "stream-features", function (session)
		return server.is_destroyed(session) or nil
	end, FIRST, true)
	hooks:hook_decision(module, "stream-features", function (session, features)
		return service.policies:covers(server.host(session)) and moment:offered(session, features) or nil
	end, LAST, true)
	-- Elements may be left of the data in which the one came that ended the stream.
	hooks:hook_decision(module, "route/process", function (session)
		return session and server.is_destroyed(session) or nil
	end, 1e6, true)
end

-- There is no event for the header of an incoming server's stream without version='1.0', which gets no features
-- (rfc6120.4.7.5.no-version-no-features). But a header is sent. Returns a filter of what is sent on a session.
local function header_watch(service, checks)
	local server, moment = service.server, moments.new(service)
	local seen = setmetatable({}, { __mode = "k" }) -- session -> the stream's ID
	return function (data, session)
		if session.version == 0 and seen[session] ~= session.streamid then
			seen[session] = session.streamid
			server.later(0, "a stream without features", function ()
				if not server.is_destroyed(session) and not checks:opened(session) then
					moment:opened(session)
				end
			end)
		end
		return data
	end
end

-- Gives each connection its context. An outgoing session gets its connection, and this hook, before it connects.
local function follow_connections(service, checks)
	local server, moment = service.server, moments.new(service)
	local watch, watched = header_watch(service, checks), setmetatable({}, { __mode = "k" })
	local function made(session)
		local role = server.role(session)
		contexts.take_over(session)
		if role == "s2sout" and session.conn and service.policies:covers(server.host(session)) then
			moment:outgoing_made(session)
		elseif role == "s2sin" then
			filters.add(session, "bytes/out", watch)
			watched[session] = true
		end
	end
	local function add(session)
		safe_hooks.call("following a connection", made, session)
	end
	filters.add_hook(add)
	for _, session in ipairs(server.sessions()) do
		add(session)
	end
	return function ()
		filters.remove_hook(add)
		for session in pairs(watched) do
			filters.remove(session, "bytes/out", watch)
		end
	end
end

-- The tasks of each minute and second. Returns a function that ends them.
local function start_timers(service, module)
	local write_metrics = metrics.writer(module, service.metrics)
	local minute = module:add_timer(60, function ()
		life.work_minutely(service)
		safe_hooks.call("writing the metrics", write_metrics)
		return 60
	end)
	local second = module:add_timer(1, function ()
		life.work_each_second(service)
		return 1
	end)
	safe_hooks.call("writing the metrics", write_metrics)
	return function ()
		module:remove_timer(minute)
		module:remove_timer(second)
	end
end

---- Life ----------------------------------------------------------------------

-- Unloads the module for good.
local function end_module(service, module)
	unloading.global_part(module.name, function ()
		contexts.set_active(false)
		safe_hooks.call("stopping", service.stop, service)
		safe_hooks.call("giving back LuaSec's method", channel_binding.stop)
		kept = nil
		fail_closed.stop()
	end)
end

--- Starts the module. `module`: Metronome's object for ours, global. Returns its methods load, unload
-- and add_host.
function plugin.start(module)
	local server = adapter.new(module)
	local service = new_service(server, kept)
	local hooks = safe_hooks.new(function (session)
		return service.admission:is_enforced_on(session)
	end)
	local checks = certificate_checks.new(service)
	kept = service
	service:load_policies()
	channel_binding.start()
	local remove_commands = shell.add(module, commands.list, service)
	local end_filter = stanza_filter.start(checks:before_elements(), hooks, routes.reroute(service.admission),
		server.sessions())
	hook_streams(service, hooks, module)
	hook_all_hosts(service, hooks, checks, module)
	life.hook(service, module)
	local stop_following = follow_connections(service, checks)
	local end_checks = checks:follow_ends()

	local stop_timers = function () end
	local function begin()
		contexts.set_active(true)
		service.tls_contexts:search()
		stop_timers = start_timers(service, module)
		fail_closed.open "*"
	end

	local own = {}

	function own.load()
		life.loaded(service, module, begin)
	end

	-- Metronome says by an argument whether it reloads.
	function own.add_host(host_module)
		function host_module.unload(is_reload)
			life.leave_host(service, host_module, is_reload)
		end
		life.add_host(service, host_module, function ()
			activate(service, hooks, checks, host_module)
		end)
	end

	-- A context that cannot be given back stays under the policy.
	function own.unload(is_reload)
		safe_hooks.call("ending the stanza filter", end_filter)
		safe_hooks.call("following connections no more", stop_following)
		safe_hooks.call("following the ends of streams no more", end_checks)
		safe_hooks.call("removing the console's commands", remove_commands)
		safe_hooks.call("stopping the timers", stop_timers)
		safe_hooks.call("storing reports and shapes", service.store_all, service)
		-- A reload leaves no moment without the policy.
		if is_reload then
			return
		end
		end_module(service, module)
	end

	return own
end

return plugin
