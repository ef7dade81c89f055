-- Enforces a TLS policy on c2s and s2s; see the project's README.md.
module:set_global()

-- Prosody adds the tree of its plugin installer to package.path, but not to
-- package.cpath, where our C library lies.
local tree = module.path and module.path:match "^(.*)/share/lua/[%d.]+/[^/]*$"
local library = tree and ("%s/lib/lua/%s/?.so"):format(tree, _VERSION:match "%d+%.%d+")
if library and not package.cpath:find(library, 1, true) then
	package.cpath = library .. ";" .. package.cpath
end

-- Prosody goes on without a module that fails. So before anything of this one can, nobody is
-- let in any more, and module.load ends that. Without even a gate, streams end at once.
local has_gate, gate = pcall(function ()
	local gate = require "xmpp_tls_policy.servers.prosody.fail_closed"
	gate.start(module)
	return gate
end)
if not has_gate then
	local filters = require "util.filters"
	local function is_enabled(host)
		return module:context(host):get_option_set("modules_enabled", {}):contains "xmpp_tls_policy"
	end
	-- Until the gate was loaded after all, or no configuration wants the module any more.
	local function is_shut()
		local wanted = is_enabled "*"
		for host in pairs(prosody.hosts) do
			wanted = wanted or is_enabled(host)
		end
		return wanted and not package.loaded["xmpp_tls_policy.servers.prosody.fail_closed"]
	end
	filters.add_filter_hook(function (session)
		filters.add_filter(session, "stanzas/in", function (element)
			if not is_shut() then
				return element
			end
			session:close "internal-server-error"
		end, 1000)
	end)
	error("No client and no server is let in, because xmpp_tls_policy is only half installed: " .. tostring(gate), 0)
end
local fits, problem = pcall(require "xmpp_tls_policy.servers.prosody.core_check", module)
if not fits then
	gate.stay_shut(problem)
	module:set_status("error", "Not in force; see the log")
	function module.unload()
		if not module.reloading then
			gate.stop()
		end
	end
	return
end

local certificates = require "xmpp_tls_policy.certificates.peer_certificates"
local commands = require "xmpp_tls_policy.commands"
local connections = require "xmpp_tls_policy.commands.show"
local contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local core = require "xmpp_tls_policy.core"
local enforcement = require "xmpp_tls_policy.contexts.tls_contexts"
local events = require "xmpp_tls_policy.servers.prosody.events"
local guard = require "xmpp_tls_policy.servers.prosody.stanza_filter"
local in_force = require "xmpp_tls_policy.policy.policies"
local metrics = require "xmpp_tls_policy.metrics"
local modulemanager = require "core.modulemanager"
local own_certificates = require "xmpp_tls_policy.certificates.own_certificate_check"
local protected = require "xmpp_tls_policy.servers.prosody.safe_hooks"
local refused = require "xmpp_tls_policy.handshakes.failed_handshakes"
local reports = require "xmpp_tls_policy.stream.cutoff_reports"
local server = require "xmpp_tls_policy.servers.prosody.server"
local shell = require "xmpp_tls_policy.servers.prosody.shell"
local storage = require "xmpp_tls_policy.servers.prosody.storage"
local streams = require "xmpp_tls_policy.stream.admission"

local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"
local xmlns_streams = "http://etherx.jabber.org/streams"

local policy_for, policy_of_session = in_force.policy_for, in_force.of_session

local function load_policies()
	in_force.load(module)
	metrics.read_store()
	local kept, message = contexts.keep_sessions(policy_for().resumption)
	if not kept then
		module:log("error", "No session is resumed: %s", message)
	end
end

---- Streams ------------------------------------------------------------------

local function judge(policy, session)
	local closed, unobserved = streams.judge(policy, session)
	if unobserved then
		-- What is in use is not what we know of: look again.
		enforcement.search_direct_tls()
	end
	return closed
end

-- Streams do not outlive the exception that they were accepted under.
local function end_exceptions()
	for session, domain in server.authenticated_domains(module) do
		local host = server.host(session)
		if in_force.covers(host) then
			streams.judge_domain(policy_for(host, domain), session, host, domain)
		end
	end
end

local function cover(host_module)
	local host = host_module.host
	in_force.load_host(module, host)
	certificates.open(host_module)
	if policy_for(host).mode == "report" then
		reports.open(host_module)
	end
	own_certificates.check(module, host)

	local function policy_with(session)
		return policy_for(host, server.peer(session))
	end
	local function judge_stream(event)
		return judge(policy_with(event.origin), event.origin)
	end
	local function offer(event)
		local session, features = event.origin, event.features
		if session.secure or not server.speaks_xmpp_itself(session) then
			return
		end
		if enforcement.starttls(host, session) == false then
			return streams.refuse_without_tls(session)
		end
		streams.offer_only_starttls(policy_with(session), features)
	end
	-- Before anything is offered on a stream that breaks the policy.
	protected.hook_decision(host_module, "stream-features", judge_stream, 1000, true)
	protected.hook_decision(host_module, "s2s-stream-features", judge_stream, 1000, true)
	-- After all others, mod_tls (0) among them, which sets the session's context.
	protected.hook_decision(host_module, "stream-features", offer, -1000, true)
	protected.hook_decision(host_module, "s2s-stream-features", offer, -1000, true)
	-- After mod_tls (0), before the connection is made.
	protected.hook(host_module, "s2sout-created", function (event)
		enforcement.starttls(host, event.session)
	end, -1)
	-- Before mod_tls (0): the context may have been made under an older policy, and
	-- where STARTTLS was not offered, because the stream has no version='1.0', there is
	-- none yet that we could see.
	protected.hook_decision(host_module, "stanza/" .. xmlns_tls .. ":starttls", function (event)
		local session = event.origin
		local under_policy = enforcement.starttls(host, session)
		if under_policy == false then
			return streams.refuse_without_tls(session)
		elseif under_policy == nil and policy_with(session).mode ~= "report" then
			return streams.refuse(session, "policy-violation", "STARTTLS was not offered on this stream")
		end
		streams.expect_tls(session)
	end, 1, true)
	protected.hook_decision(host_module, "stanza/" .. xmlns_tls .. ":proceed", function (event)
		local session = event.origin
		local descriptor = server.descriptor(session)
		streams.expect_tls(session)
		if session.direction == "outgoing" and descriptor then
			local done, message = core.observer.expect_server(descriptor, session.to_host)
			if not done then
				session.log("warn", "A failed handshake will not be told by name: %s", message)
			end
		end
	end, 1, true)
	-- Before mod_tls (500) answers the offer of a remote server.
	protected.hook_decision(host_module, "stanza/" .. xmlns_streams .. ":features", function (event)
		local session = event.origin
		if session.direction ~= "outgoing" then
			return
		end
		if enforcement.starttls(host, session) == false then
			return streams.refuse_without_tls(session)
		end
		local policy = policy_with(session)
		return judge(policy, session) or streams.answer_features(policy, session, event.stanza)
	end, 501, true)
	-- Before mod_tls (200) and mod_dialback (100).
	protected.hook_decision(host_module, "s2sout-authenticate-legacy", function (event)
		return streams.answer_silence(policy_with(event.origin), event.origin)
	end, 201, true)
	-- Before mod_saslauth forgets the mechanism, which it does after all handlers (0).
	protected.hook(host_module, "authentication-success", function (event)
		local handler = event.session.sasl_handler
		connections.authenticated(event.session, handler and handler.selected)
	end, 0)
	-- After mod_smacks has put the new connection into the old session, which it does before
	-- all handlers (0): in Prosody 0.12. Prosody 13 has an event for all hosts, below.
	protected.hook(host_module, "smacks-hibernation-end", function (event)
		connections.resumed(event.resumed, event.origin)
	end, 0)
	-- Before mod_s2s (-1) makes use of it. By dialback a server may be authenticated for
	-- more domains than its stream's header names.
	protected.hook_decision(host_module, "s2s-authenticated", function (event)
		local session, domain = event.session, event.host
		connections.authenticated(session, event.mechanism)
		local policy = policy_for(host, domain)
		if streams.judge_domain(policy, session, host, domain) or certificates.see(host_module, policy, session, domain) then
			return false
		end
	end, 0, false)
	-- What the server itself has accepted.
	local function report_server(event)
		for domain in server.domains_of(event.session) do
			local policy = policy_for(host, domain)
			if policy.mode == "report" then
				reports.see(host_module, policy, event.session, domain)
			end
		end
	end
	protected.hook(host_module, "s2sin-established", report_server)
	protected.hook(host_module, "s2sout-established", report_server)
	protected.hook(host_module, "resource-bind", function (event)
		local policy, session = policy_for(host), event.session
		-- Anonymous ones have another name each time.
		if policy.mode == "report" and server.speaks_xmpp_itself(session) and not server.is_anonymous(host) then
			reports.see(host_module, policy, session)
		end
	end)
end

function module.add_host(host_module)
	local host = host_module.host
	function host_module.unload()
		protected.call("storing the report of " .. host, reports.store, host_module)
		protected.call("closing the certificate memory of " .. host, certificates.close, host_module)
		if host_module.reloading then
			return gate.shut(host)
		end
		protected.call("giving back the contexts of " .. host, enforcement.give_back, host)
		in_force.remove(host)
		gate.let_go(host)
	end
	gate.shut(host)
	if protected.call("putting the policy in force on " .. host, cover, host_module) then
		gate.open(host)
	end
end

---- Certificates -------------------------------------------------------------

-- We only make the answer of mod_s2s_auth_certs stricter: it falls back to the Common Name.
local function check_identity(session, domain)
	local connection = in_force.covers(server.host(session)) and server.connection(session)
	local facts = connection and core.observer.facts(connection)
	if not facts or not facts.certificate or not domain then
		return
	end
	session.tls_policy_identity = facts.certificate:matches(domain, "xmpp-server")
	if policy_of_session(session).mode ~= "report"
		and session.cert_identity_status == "valid" and not session.tls_policy_identity then
		session.log("warn", "The certificate of %s does not name it, as RFC 6125 has it: no Common Name counts, "
			.. "and no wildcard for a top-level domain", domain)
		session.cert_identity_status = "invalid"
	end
end

-- True if the stream was closed.
local function check_certificate(session, domain)
	session.tls_policy_checked = server.connection(session)
	local policy = in_force.covers(server.host(session)) and policy_of_session(session)
	return policy and (judge(policy, session) or streams.judge_authentication(policy, session, domain)
		or session.direction == "outgoing"
		and certificates.see_known(policy, session, server.host(session), domain))
end

-- After mod_s2s_auth_certs (509).
protected.hook_decision(module, "s2s-check-certificate", function (event)
	check_identity(event.session, event.host)
end, 508, false)

-- After mod_s2s (-1) has had its say. Every stream passes here, of whatever version,
-- as soon as it is secured.
protected.hook_decision(module, "s2s-check-certificate", function (event)
	if check_certificate(event.session, event.host) then
		return false
	end
end, -2, false)

-- The same for the guard, which is asked when all this ought to be over, and is not where
-- another module failed in an event before us. True if the stream was closed.
local function judge_at_last(policy, session)
	local connection = server.connection(session)
	if session.direction and connection and session.tls_policy_checked ~= connection then
		return check_certificate(session, server.peer(session))
	end
	return judge(policy, session)
end

---- Life ---------------------------------------------------------------------

-- Prosody loads few modules on components, but s2s goes there, too. And it reloads a
-- module on hosts and globally in any order: what hosts have may be an older one's.
local function cover_hosts()
	for host in pairs(prosody.hosts) do
		local present = modulemanager.get_module(host, module.name)
		if present and getmetatable(present).__index ~= module.environment then
			modulemanager.reload(host, module.name)
		elseif not modulemanager.is_loaded(host, module.name) and server.wants_module(host, module.name)
			and not gate.has_let_go(host) then
			modulemanager.load(host, module.name)
		end
	end
end

local function host_activated()
	cover_hosts()
	enforcement.search()
end

enforcement.start(module)
load_policies()
local remove_commands = shell.add(module, commands.list)
metrics.serve(module, server.direct_tls_contexts)
local end_guard = guard.start({
	policy_of = policy_of_session,
	policy_of_host = function (host, domain)
		return in_force.covers(host) and policy_for(host, domain)
	end,
	judge = judge_at_last,
	see = certificates.see_once,
}, server.sessions(module))
protected.hook(module, "module-loaded", function (event)
	if event.module == module.name then
		cover_hosts()
	end
end)
-- After modulemanager (0) and portmanager (0), which makes the host's contexts.
protected.hook(module, "host-activated", host_activated, -1)
-- While both sessions are whole, which is before all handlers (0).
protected.hook(module, "c2s-session-updated", function (event)
	connections.resumed(event.session, event.from_session)
end, 0)
protected.hook(module, "host-deactivated", in_force.remove)
protected.hook(module, "server-stopping", reports.store_all)
-- After portmanager (0), which makes the contexts of a new listener.
protected.hook(module, "item-added/net-provider", enforcement.search, -1)
-- After portmanager (-1), which makes the contexts anew.
module:hook("config-reloaded", function ()
	protected.call("opening the storage", storage.reopen)
	protected.call("loading the options", load_policies)
	protected.call("covering all hosts", cover_hosts)
	protected.call("looking at the hosts' certificates", own_certificates.check_all, module, in_force.hosts())
	protected.call("the search for contexts", enforcement.search)
	protected.call("ending exceptions", end_exceptions)
end, -2)

local function sweep_sessions()
	-- Sessions that have expired are wiped though no others come.
	local store = contexts.sessions()
	if store then
		store:sweep()
	end
end

local function each_minute()
	protected.call("sweeping the session store", sweep_sessions)
	protected.call("keeping contexts by name", enforcement.keep_named)
	protected.call("warning of exceptions", in_force.warn_of_exceptions, module)
	protected.call("ending exceptions", end_exceptions)
	protected.call("storing reports", reports.store_hourly)
	protected.call("sweeping the certificate memory", certificates.sweep)
	protected.call("looking at the hosts' certificates", own_certificates.check_daily, module, in_force.hosts())
	return 60
end

local function collect_refusals()
	refused.collect(function (...)
		module:log(...)
	end, function (entry)
		events.fire(entry.host, "tls-policy/refused", { refusal = entry, domain = entry.domain, text = entry.text })
	end)
end

-- Handshakes fail where no event of the server's tells of it.
local function each_second()
	protected.call("collecting refusals", collect_refusals)
	return 1
end

local function begin()
	enforcement.search()
	module:add_timer(60, each_minute)
	module:add_timer(1, each_second)
	gate.open "*"
end

-- What fails here Prosody would tell only at level warn, and go on to the hosts.
function module.load()
	local done, failure = protected.call("coming into force", begin)
	if not done then
		gate.stay_shut(failure)
	end
	-- Where the last load came to no end, hosts have nothing of it, and no event says so.
	if modulemanager.get_module("*", module.name) == module.environment then
		protected.call("covering all hosts", cover_hosts)
	end
end

-- What hosts have of this module would go on without it.
local function unload_from_hosts()
	for host in pairs(prosody.hosts) do
		if modulemanager.is_loaded(host, module.name) then
			modulemanager.unload(host, module.name)
		end
	end
end

-- What cannot be undone stays as it is, under the policy.
function module.unload()
	protected.call("ending the guard of streams", end_guard)
	protected.call("removing the shell's commands", remove_commands)
	protected.call("storing reports", reports.store_all)
	-- A reload leaves no moment without the policy.
	if module.reloading then
		return
	end
	protected.call("unloading from hosts", unload_from_hosts)
	protected.call("refusing unknown server names", server.refuse_unknown_names)
	protected.call("keeping no contexts", contexts.keep, {})
	protected.call("giving back contexts", enforcement.give_back)
	in_force.clear()
	gate.stop()
end
