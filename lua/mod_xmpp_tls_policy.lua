-- Enforces a TLS policy on c2s and s2s; see the project's README.md.
module:set_global()

-- The server that loads this file: its global table, and the folder of its adapter.
local is_metronome = rawget(_G, "metronome") ~= nil
local root = is_metronome and metronome or prosody
local adapter_name = "xmpp_tls_policy.servers." .. (is_metronome and "metronome" or "prosody")

-- Metronome loads few modules on components, but servers connect to them, too.
if is_metronome then
	module:set_component_inheritable()
end

-- Prosody adds the tree of its plugin installer to package.path, but not to package.cpath, where
-- our C library lies. Metronome adds it to neither.
local tree, lua_version = (module.path or ""):match "^(.*)/share/lua/([%d.]+)/[^/]*$"
local function add_path(field, pattern, ...)
	local path = pattern:format(...)
	if tree and not package[field]:find(path, 1, true) then
		package[field] = path .. ";" .. package[field]
	end
end
add_path("cpath", "%s/lib/lua/%s/?.so", tree, _VERSION:match "%d+%.%d+")
if is_metronome then
	add_path("path", "%s/share/lua/%s/?/init.lua", tree, lua_version)
	add_path("path", "%s/share/lua/%s/?.lua", tree, lua_version)
end

-- prosodyctl serves nobody. It loads the module for its command.
if root.process_type == "prosodyctl" then
	function module.command(words)
		local found, command = pcall(require, adapter_name .. ".check_command")
		if not found then
			io.stderr:write("xmpp_tls_policy is only partly installed: ", tostring(command), "\n")
			return 2
		end
		return command.run(module, words)
	end
	return
end

local fail_closed_name = adapter_name .. ".fail_closed"
local plugin_name = adapter_name .. ".plugin"
local version_name = "xmpp_tls_policy.version"

-- The version of the files on disk; or nil and a message.
local function installed_version()
	local running = package.loaded[version_name]
	package.loaded[version_name] = nil
	local done, version = pcall(require, version_name)
	package.loaded[version_name] = running
	if done then
		return version
	end
	return nil, version
end

-- The server loads this file anew at each reload of the module, and our other files once. Returns a
-- message if files of another version are installed than those that it has loaded; otherwise nil.
local function mixture()
	if not package.loaded[fail_closed_name] then
		return nil
	end
	local running, installed, problem = package.loaded[version_name], installed_version()
	problem = tostring(problem):gsub("^%S+%.lua:%d+: ", ""):match "^[^\n]*[^\n:]"
	if running == installed and running then
		return nil
	end
	return ("%s is installed over %s, which is loaded: restart the server to use the new one"):format(
		installed and "version " .. installed or ("an unknown version (%s)"):format(problem),
		running and "version " .. running or "an older version")
end

-- The server does not begin a reload if the method `save` raises an error: of the global part, which the
-- shell always reloads too, and of a host's.
local function refuse_mixture(tell)
	local problem = mixture()
	if problem and tell then
		module:log("error", "Not reloaded, and the loaded version stays in force: %s", problem)
	end
	if problem then
		error(problem, 0)
	end
end

-- Refuses all clients and servers. The fallback if fail_closed.lua itself is missing or fails, so it
-- requires no file of ours.
local function refuse_all(problem)
	local filters = require "util.filters"
	local function mode_of(host)
		local options = module:context(host):get_option(module.name)
		return type(options) == "table" and options.mode or nil
	end
	local function is_enforced(host)
		return module:context(host):get_option_set("modules_enabled", {}):contains(module.name)
			and (mode_of(host) or mode_of "*") ~= "report"
	end
	-- Until fail_closed.lua has started after all, or no configuration enables the module any more.
	local function is_closed()
		local wanted = is_enforced "*"
		for host in pairs(root.hosts) do
			wanted = wanted or is_enforced(host)
		end
		local fail_closed = package.loaded[fail_closed_name]
		return wanted and not (type(fail_closed) == "table" and fail_closed.has_started())
	end
	local refused = { c2s_unauthed = true, s2sin_unauthed = true, s2sout_unauthed = true }
	-- The server tries to load the module again for each host. It keeps a shared table as long as
	-- somebody has it, which `hooks.add` does.
	local hooks = module:shared "refuse_all"
	if not hooks.add then
		-- Streams of before stay, but are authenticated for no further domain.
		function hooks.pass(element, session)
			local is_refused = refused[session.type] or element.attr and element.attr.xmlns == "jabber:server:dialback"
			if not is_refused or not is_closed() then
				return element
			end
			session:close "internal-server-error"
		end
		function hooks.add(session)
			-- Metronome calls filters in the opposite order.
			filters.add_filter(session, "stanzas/in", hooks.pass, is_metronome and -1e6 or 1e6)
		end
		filters.add_filter_hook(hooks.add)
		for _, service in ipairs { "c2s", "s2s" } do
			for _, session in pairs(module:shared("/*/" .. service .. "/sessions")) do
				hooks.add(session)
			end
		end
	end
	error("Refusing all clients and servers: xmpp_tls_policy is only partly installed: " .. tostring(problem), 0)
end

-- A version before this one does not refuse a reload. Nothing but its own files is loaded then.
local mixed = mixture()
if mixed and package.loaded[plugin_name] then
	module:log("error", "The loaded version stays in force: %s", mixed)
end

-- The server goes on without a module that fails. So connections are refused from here on, until the
-- module is active.
local has_fail_closed, fail_closed = pcall(require, fail_closed_name)
if has_fail_closed then
	local started, problem = pcall(fail_closed.start, module)
	has_fail_closed, fail_closed = started, started and fail_closed or problem
end
if not has_fail_closed then
	refuse_all(fail_closed)
end

local fits, problem = pcall(function ()
	if not mixed then
		module:log("info", "Version %s", (require(version_name)))
	elseif not package.loaded[plugin_name] then
		error(mixed, 0)
	end
	require(adapter_name .. ".core_check")(module)
end)
if not fits then
	fail_closed.stay_closed(problem)
	if module.set_status then
		module:set_status("error", "Not active; see the log")
	end
	function module.unload(is_reload)
		if not module.reloading and not is_reload then
			fail_closed.stop()
		end
	end
	return
end

local life = require(plugin_name).start(module)
module.load, module.unload = life.load, life.unload
function module.save()
	refuse_mixture(true)
end
function module.add_host(host_module)
	function host_module.save()
		refuse_mixture(false)
	end
	life.add_host(host_module)
end
