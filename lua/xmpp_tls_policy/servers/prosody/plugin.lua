--- The module on Prosody: translates Prosody's events into the moments of stream/admission.lua, and
-- its life (load, reload, unload) into that of service.lua.
local adapter = require "xmpp_tls_policy.servers.prosody"
local channel_binding = require "xmpp_tls_policy.servers.prosody.channel_binding"
local channel_binding_offer = require "xmpp_tls_policy.servers.prosody.channel_binding_offer"
local commands = require "xmpp_tls_policy.commands"
local core = require "xmpp_tls_policy.core"
local fail_closed = require "xmpp_tls_policy.servers.prosody.fail_closed"
local metrics = require "xmpp_tls_policy.servers.prosody.metrics"
local modulemanager = require "core.modulemanager"
local new_service = require "xmpp_tls_policy.service".new
local routes = require "xmpp_tls_policy.servers.prosody.routes"
local safe_hooks = require "xmpp_tls_policy.servers.prosody.safe_hooks"
local shell = require "xmpp_tls_policy.servers.prosody.shell"
local stanza_filter = require "xmpp_tls_policy.servers.prosody.stanza_filter"
local starttls = require "xmpp_tls_policy.stream.starttls"
local unloading = require "xmpp_tls_policy.servers.prosody.unloading"

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
	local host, server, admission = host_module.host, service.server, service.admission
	local function judge(event)
		return admission:opened(event.origin) or nil
	end
	-- support.offer: mod_tls has put STARTTLS into the features.
	local function offer(event)
		local session = event.origin
		if server.is_secure(session) or not server.speaks_xmpp_itself(session) then
			return nil
		elseif service.ready_contexts:starttls(admission:stream(session)) == false then
			return admission:refuse(session, starttls.no_tls_refusal())
		end
		local policy = admission:policy_of(session)
		if not policy or not starttls.requires_tls(policy) then
			return nil
		elseif not server.offers_starttls(event.features) then
			return admission:refuse(session, starttls.no_offer_refusal(policy))
		end
		server.offer_only_starttls(event.features)
	end
	for _, event in ipairs { "stream-features", "s2s-stream-features" } do
		hooks:hook_decision(host_module, event, judge, FIRST, true)
		hooks:hook_decision(host_module, event, offer, LAST, true)
	end
	-- After mod_tls (0), before the connection is made.
	safe_hooks.hook(host_module, "s2sout-created", function (event)
		if server.host(event.session) == host then
			service.ready_contexts:starttls(admission:stream(event.session))
		end
	end, -1)
end

-- Tells the core the name of the server at the other end, which a handshake that fails does not.
local function name_server(service, session)
	local server = service.server
	local name = server.peer(session)
	local descriptor = name and server.descriptor(session)
	if not descriptor then
		return
	end
	local done, message = core.observer.expect_server(descriptor, name)
	if not done then
		server.log_session(session, "warn", "If the TLS handshake fails, its record will not name the server: %s", message)
	end
end

local function hook_starttls(service, hooks, host_module)
	local host, server, admission = host_module.host, service.server, service.admission
	-- A context belongs to one host: an element may be handled under another host than its stream's.
	local function context_is_ready(session)
		if server.host(session) == host then
			return service.ready_contexts:starttls(admission:stream(session))
		end
	end
	-- Before mod_tls (0): the context may have been made under an older policy. There is none yet
	-- where STARTTLS was not offered, because the stream has no version='1.0'
	-- (rfc6120.4.7.5.no-version-no-features).
	hooks:hook_decision(host_module, "stanza/" .. xmlns_tls .. ":starttls", function (event)
		local session = event.origin
		local ready = context_is_ready(session)
		if ready == false then
			return admission:refuse(session, starttls.no_tls_refusal())
		elseif ready == nil and admission:is_enforced_on(session) then
			return admission:refuse(session, starttls.not_offered_refusal(admission:policy_of(session)))
		end
		admission:starttls_agreed(session)
		name_server(service, session)
	end, 1, true)
	hooks:hook_decision(host_module, "stanza/" .. xmlns_tls .. ":proceed", function (event)
		local session = event.origin
		admission:starttls_agreed(session)
		if server.role(session) == "s2sout" then
			name_server(service, session)
		end
	end, 1, true)
end

-- Answers a remote server that offers no STARTTLS. True if it was answered.
local function answer_without_offer(service, session)
	local server, admission = service.server, service.admission
	local policy = admission:policy_of(session)
	local aborts = policy and starttls.aborts_without_offer(policy)
	if aborts then
		return admission:refuse(session, starttls.abort_refusal(policy))
	elseif aborts == false and server.starttls_context(session) then
		-- An attacker who strips the offer cannot strip the answer.
		server.send_starttls(session)
		return true
	end
end

local function hook_remote_features(service, hooks, host_module)
	local host, server, admission = host_module.host, service.server, service.admission
	-- Before mod_tls (500) answers the offer of a remote server.
	hooks:hook_decision(host_module, "stanza/" .. xmlns_streams .. ":features", function (event)
		local session = event.origin
		if server.role(session) ~= "s2sout" or server.host(session) ~= host then
			return nil
		elseif service.ready_contexts:starttls(admission:stream(session)) == false then
			return admission:refuse(session, starttls.no_tls_refusal())
		elseif admission:opened(session) then
			return true
		elseif not server.is_secure(session) and not server.offers_starttls(event.stanza) then
			return answer_without_offer(service, session)
		end
	end, 501, true)
	-- Before mod_tls (200) and mod_dialback (100). A server of before XMPP 1.0 has no features
	-- (rfc6120.4.7.5.no-version-no-features).
	hooks:hook_decision(host_module, "s2sout-authenticate-legacy", function (event)
		if not server.is_secure(event.origin) then
			return answer_without_offer(service, event.origin)
		end
	end, 201, true)
end

local function hook_authentication(service, hooks, host_module)
	local host, admission = host_module.host, service.admission
	-- Before mod_saslauth forgets the mechanism, which it does after all handlers (0).
	safe_hooks.hook(host_module, "authentication-success", function (event)
		local handler = event.session.sasl_handler
		service:client_logged_in(event.session, handler and handler.selected, channel_binding_offer.of_login(handler))
	end, 0)
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
	-- connection into an old session (0); see hook_authentication and hook_life.
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

local function deactivate(service, host_module)
	local host = host_module.host
	safe_hooks.call("storing the report of " .. host, service.reports.store, service.reports, host)
	safe_hooks.call("storing the shapes of " .. host, service.fleets.store, service.fleets, host)
	safe_hooks.call("closing the certificate memory of " .. host, service.certificates.close, service.certificates, host)
	if host_module.reloading then
		return fail_closed.close(host)
	end
	safe_hooks.call("giving back the contexts of " .. host, service.tls_contexts.give_back, service.tls_contexts, host)
	service.policies:remove(host)
	fail_closed.release(host)
end

-- Prosody loads few modules on components, but servers connect to them, too. And it reloads a
-- module on hosts and globally in any order: hosts may have one of an older load.
local function cover_host(module, server, host)
	local present = modulemanager.get_module(host, module.name)
	if present and getmetatable(present).__index ~= module.environment then
		modulemanager.reload(host, module.name)
	elseif not modulemanager.is_loaded(host, module.name) and server.wants_module(host, module.name)
		and not fail_closed.was_released(host) then
		modulemanager.load(host, module.name)
	end
end

local function cover_hosts(module, server)
	for host in pairs(prosody.hosts) do
		cover_host(module, server, host)
	end
end

---- Events of the server ------------------------------------------------------

local function hook_certificates(service, hooks, module)
	local server, admission = service.server, service.admission
	-- After mod_s2s_auth_certs (509), whose answer we only make stricter: it takes the Common Name
	-- (rfc6125.6.4.4.no-common-name).
	hooks:hook_decision(module, "s2s-check-certificate", function (event)
		local session, domain = event.session, event.host
		local names, enforced = admission:certificate_names(session, domain)
		if enforced and names == false and server.has_valid_identity(session) then
			server.log_session(session, "warn", "The certificate of %s does not name it as RFC 6125 requires: "
				.. "the Common Name does not count, nor does a wildcard for a top-level domain", domain)
			server.set_identity_invalid(session)
			admission:identity_rejected(session, domain)
		end
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

local function hook_life(service, module)
	local server = service.server
	local function covers()
		cover_hosts(module, server)
	end
	safe_hooks.hook(module, "module-loaded", function (event)
		if event.module == module.name then
			covers()
		end
	end)
	-- After modulemanager (0) and portmanager (0), which makes the host's contexts.
	safe_hooks.hook(module, "host-activated", function (host)
		cover_host(module, server, host)
		service.tls_contexts:search(host)
	end, -1)
	-- While both sessions are whole, which is before all handlers (0).
	safe_hooks.hook(module, "c2s-session-updated", function (event)
		service.admission:resumed(event.session, event.from_session)
		service:report_client(event.session)
	end, 0)
	safe_hooks.hook(module, "user-deleted", function (event)
		local jid = ("%s@%s"):format(event.username, event.host)
		service.reports:forget_account(event.host, jid)
		service.fleets:forget_account(event.host, jid)
	end)
	safe_hooks.hook(module, "host-deactivated", function (host)
		service.policies:remove(host)
		server.remove_host(host)
	end)
	safe_hooks.hook(module, "server-stopping", function ()
		service.reports:store_all()
		service.fleets:store_all()
	end)
	-- After portmanager (0), which makes the contexts of a new listener.
	safe_hooks.hook(module, "item-added/net-provider", function ()
		service.tls_contexts:search()
	end, -1)
	-- After portmanager (-1), which makes the contexts anew.
	module:hook("config-reloaded", function ()
		safe_hooks.call("opening the storage", server.reopen_stores)
		safe_hooks.call("loading the options", service.load_policies, service)
		safe_hooks.call("covering all hosts", covers)
		safe_hooks.call("telling which hosts are covered", unloading.tell_unwanted, module.name, server.wants_module)
		-- Before contexts are looked for: those that are adopted by now are the old ones.
		safe_hooks.call("opening and ending reports", service.follow_modes, service)
		safe_hooks.call("checking our hosts", service.check_hosts, service)
		safe_hooks.call("looking for contexts", service.tls_contexts.search, service.tls_contexts)
		safe_hooks.call("judging streams again", service.judge_streams_again, service)
	end, -2)
end

-- The tasks of each minute and second. Each is called on its own, so that a failure stops no other.
-- Returns a function that ends them: a timer of Prosody keeps its module until it is due.
local function start_timers(service, module)
	local minute = module:add_timer(60, function ()
		for _, task in ipairs(service:minutely()) do
			safe_hooks.call(task.what, task.action)
		end
		return 60
	end)
	-- Prosody has no event for a handshake that fails.
	local second = module:add_timer(1, function ()
		safe_hooks.call("collecting failed handshakes", service.collect_failures, service)
		return 1
	end)
	return function ()
		minute:stop()
		second:stop()
	end
end

---- Life ----------------------------------------------------------------------

--- Starts the module. `module`: Prosody's object for ours, global. Sets its methods load, unload
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
	hook_life(service, module)

	local stop_timers = function () end
	local function begin()
		service.tls_contexts:search()
		stop_timers = start_timers(service, module)
		fail_closed.open "*"
	end

	local life = {}

	-- Prosody would log a failure here at level warn only, and go on to the hosts.
	function life.load()
		local done, failure = safe_hooks.call("becoming active", begin)
		if not done then
			fail_closed.stay_closed(failure)
		end
		-- If the last load did not finish, hosts lack the module, and there is no event for that.
		if modulemanager.get_module("*", module.name) == module.environment then
			safe_hooks.call("covering all hosts", cover_hosts, module, server)
		end
	end

	function life.add_host(host_module)
		local host = host_module.host
		server.add_host(host_module)
		function host_module.unload()
			deactivate(service, host_module)
		end
		fail_closed.close(host)
		if safe_hooks.call("becoming active on " .. host, activate, service, hooks, host_module) then
			fail_closed.open(host)
		end
	end

	-- A context that cannot be given back stays under the policy.
	function life.unload()
		safe_hooks.call("ending the stanza filter", end_filter)
		safe_hooks.call("removing the shell's commands", remove_commands)
		safe_hooks.call("stopping the timers", stop_timers)
		safe_hooks.call("storing reports", service.reports.store_all, service.reports)
		-- A reload leaves no moment without the policy.
		if module.reloading then
			return
		end
		unloading.global_part(module.name, function ()
			safe_hooks.call("stopping", service.stop, service)
			safe_hooks.call("giving back LuaSec's method", channel_binding.stop)
			kept = nil
			fail_closed.stop()
		end)
	end

	return life
end

return plugin
