-- Enforces a TLS policy on c2s and s2s; see the project's README.md.
module:set_global()

-- Prosody adds the tree of its plugin installer to package.path, but not to package.cpath, where
-- our C library lies.
local tree = module.path and module.path:match "^(.*)/share/lua/[%d.]+/[^/]*$"
local library = tree and ("%s/lib/lua/%s/?.so"):format(tree, _VERSION:match "%d+%.%d+")
if library and not package.cpath:find(library, 1, true) then
	package.cpath = library .. ";" .. package.cpath
end

local fail_closed_name = "xmpp_tls_policy.servers.prosody.fail_closed"

-- Refuses everything, where not even the file is there that fails closed.
local function refuse_all(problem)
	local filters = require "util.filters"
	local function is_enabled(host)
		return module:context(host):get_option_set("modules_enabled", {}):contains "xmpp_tls_policy"
	end
	-- Until the file was loaded after all, or no configuration enables the module any more.
	local function is_closed()
		local wanted = is_enabled "*"
		for host in pairs(prosody.hosts) do
			wanted = wanted or is_enabled(host)
		end
		return wanted and not package.loaded[fail_closed_name]
	end
	filters.add_filter_hook(function (session)
		filters.add_filter(session, "stanzas/in", function (element)
			if not is_closed() then
				return element
			end
			session:close "internal-server-error"
		end, 1000)
	end)
	error("Refusing all clients and servers: xmpp_tls_policy is only partly installed: " .. tostring(problem), 0)
end

-- Prosody goes on without a module that fails. So connections are refused from here on, until the
-- module is active.
local has_fail_closed, fail_closed = pcall(function ()
	local loaded = require(fail_closed_name)
	loaded.start(module)
	return loaded
end)
if not has_fail_closed then
	refuse_all(fail_closed)
end

local fits, problem = pcall(function ()
	require "xmpp_tls_policy.servers.prosody.core_check"(module)
end)
if not fits then
	fail_closed.stay_closed(problem)
	module:set_status("error", "Not active; see the log")
	function module.unload()
		if not module.reloading then
			fail_closed.stop()
		end
	end
	return
end

local life = require "xmpp_tls_policy.servers.prosody.plugin".start(module)
module.load, module.unload, module.add_host = life.load, life.unload, life.add_host
