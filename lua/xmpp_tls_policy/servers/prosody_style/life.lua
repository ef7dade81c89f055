--- The life of the module on a Prosody-style server: its hosts, reloads of the configuration, and its end.
local modulemanager = require "core.modulemanager"

--- The functions for one server. `parts`: { root = the server's table { hosts }, fail_closed, safe_hooks, unloading }.
return function (parts)

local root, fail_closed, safe_hooks, unloading = parts.root, parts.fail_closed, parts.safe_hooks, parts.unloading

local life = {}

--- Loads our module on a host that lacks it, or reloads it. The server loads few modules on components, but servers
-- connect to them, too. And it reloads a module on hosts and globally in any order: hosts may have one of an
-- older load. `module`: ours, global.
function life.cover_host(module, server, host)
	local present = modulemanager.get_module(host, module.name)
	if present and getmetatable(present).__index ~= module.environment then
		modulemanager.reload(host, module.name)
	elseif not modulemanager.is_loaded(host, module.name) and server.wants_module(host, module.name)
		and not fail_closed.was_released(host) then
		modulemanager.load(host, module.name)
	end
end

--- The same for all hosts.
function life.cover_hosts(module, server)
	for host in pairs(root.hosts) do
		life.cover_host(module, server, host)
	end
end

--- The server has loaded its configuration, and made its contexts anew.
function life.configuration_loaded(service, module)
	local server = service.server
	safe_hooks.call("opening the storage", server.reopen_stores)
	safe_hooks.call("loading the options", service.load_policies, service)
	safe_hooks.call("covering all hosts", life.cover_hosts, module, server)
	safe_hooks.call("telling which hosts are covered", unloading.tell_unwanted, module.name, server.wants_module)
	-- Before contexts are looked for: those that are adopted by now are the old ones.
	safe_hooks.call("opening and ending reports", service.follow_modes, service)
	safe_hooks.call("checking our hosts", service.check_hosts, service)
	safe_hooks.call("looking for contexts", service.tls_contexts.search, service.tls_contexts)
	safe_hooks.call("judging streams again", service.judge_streams_again, service)
end

--- Follows the server's events of hosts, accounts, listeners and its configuration.
function life.hook(service, module)
	local server = service.server
	safe_hooks.hook(module, "module-loaded", function (event)
		if event.module == module.name then
			life.cover_hosts(module, server)
		end
	end)
	-- After modulemanager (0), and the part of the server that makes the host's contexts (0).
	safe_hooks.hook(module, "host-activated", function (host)
		life.cover_host(module, server, host)
		service.tls_contexts:search(host)
	end, -1)
	safe_hooks.hook(module, "user-deleted", function (event)
		service:forget_account(event.host, ("%s@%s"):format(event.username, event.host))
	end)
	safe_hooks.hook(module, "host-deactivated", function (host)
		service:remove_host(host)
		server.remove_host(host)
	end)
	safe_hooks.hook(module, "server-stopping", function ()
		service:store_all()
	end)
	-- After portmanager (0), which makes the contexts of a new listener.
	safe_hooks.hook(module, "item-added/net-provider", function ()
		service.tls_contexts:search()
	end, -1)
	-- After portmanager (-1) and mod_tls (0), which make the contexts anew.
	module:hook("config-reloaded", function ()
		life.configuration_loaded(service, module)
	end, -2)
end

--- The work of each second. The server has no event for a handshake that fails.
function life.work_each_second(service)
	safe_hooks.call("collecting failed handshakes", service.collect_failures, service)
	safe_hooks.call("sharing sessions", service.shared_sessions.each_second, service.shared_sessions)
end

--- The work of each minute: each task on its own, so that a failure stops no other.
function life.work_minutely(service)
	for _, task in ipairs(service:minutely()) do
		safe_hooks.call(task.what, task.action)
	end
end

--- The global part of our module was loaded. `begin()` starts it; the server would log a failure in it at level warn
-- only, and go on to the hosts.
function life.loaded(service, module, begin)
	local done, failure = safe_hooks.call("becoming active", begin)
	if not done then
		fail_closed.stay_closed(failure)
	end
	-- If the last load did not finish, hosts lack the module, and there is no event for that.
	if modulemanager.get_module("*", module.name) == module.environment then
		safe_hooks.call("covering all hosts", life.cover_hosts, module, service.server)
	end
end

--- Makes our module active on a host, by `activate()`. `host_module`: the one of the host.
function life.add_host(service, host_module, activate)
	local host = host_module.host
	service.server.add_host(host_module)
	fail_closed.close(host)
	if safe_hooks.call("becoming active on " .. host, activate) then
		fail_closed.open(host)
	end
end

--- Our module is unloaded from a host, for a reload or for good.
function life.leave_host(service, host_module, is_reload)
	local host = host_module.host
	safe_hooks.call("storing the report of " .. host, service.reports.store, service.reports, host)
	safe_hooks.call("storing the shapes of " .. host, service.fleets.store, service.fleets, host)
	safe_hooks.call("closing the certificate memory of " .. host, service.certificates.close, service.certificates, host)
	if is_reload then
		return fail_closed.close(host)
	end
	safe_hooks.call("giving back the contexts of " .. host, service.tls_contexts.give_back, service.tls_contexts, host)
	service:remove_host(host)
	fail_closed.release(host)
end

return life

end
