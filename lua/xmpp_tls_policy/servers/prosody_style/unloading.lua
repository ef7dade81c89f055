--- The end of the module: an administrator unloads it, from all hosts or from some, or takes it out of
-- the configuration.
local log = require "util.logger".init "tls_policy"
local modulemanager = require "core.modulemanager"
local timer = require "util.timer"

--- The functions for one server. `parts`: { root = the server's table { hosts }, fail_closed }.
return function (parts)

local root, fail_closed = parts.root, parts.fail_closed

local unloading = {}

-- The hosts that have the module, sorted. `name`: of the module.
local function hosts_with(name)
	local found = {}
	for host in pairs(root.hosts) do
		found[#found + 1] = modulemanager.is_loaded(host, name) and host or nil
	end
	table.sort(found)
	return found
end

-- Loads the module again, for hosts that were not meant to lose it. Whether that worked; connections
-- are refused there otherwise.
local function load_again(name, hosts)
	fail_closed.close "*"
	-- It is the version that was loaded before, whatever is installed meanwhile.
	modulemanager.get_module(hosts[1], name).module.save = nil
	local loaded, message = modulemanager.reload(hosts[1], name)
	if not loaded then
		log("error", "mod_%s could not be loaded again: %s", name, tostring(message))
	end
	return loaded ~= nil
end

--- To be called when the global part of the module was unloaded. The command module:unload(name, host)
-- of a shell may unload it, too, and so from all hosts. Hosts that were not named keep their
-- policy; if all were, `stop()` ends it.
function unloading.global_part(name, stop)
	-- The command unloads from the hosts that it names in the same event.
	timer.add_task(0, function ()
		if modulemanager.is_loaded("*", name) then
			return
		end
		local rest = hosts_with(name)
		if not rest[1] then
			return stop()
		end
		if load_again(name, rest) then
			log("warn", 'module:unload("%s", host) unloads from all hosts: the module was loaded again on %s. To unload it '
				.. 'everywhere, use module:unload("%s")', name, table.concat(rest, ", "), name)
		end
	end)
end

--- Hosts that have the module although the configuration does not enable it for them are named in the
-- log, with the command that ends that. `wants`: function(host, name), see contract.lua.
function unloading.tell_unwanted(name, wants)
	local unwanted, with = {}, hosts_with(name)
	for _, host in ipairs(with) do
		unwanted[#unwanted + 1] = not wants(host, name) and host or nil
	end
	if not unwanted[1] then
		return
	end
	local command = ('module:unload("%s")'):format(name)
	if #unwanted < #with then
		command = ('module:unload("%s", "%s")'):format(name, table.concat(unwanted, '"), module:unload("' .. name .. '", "'))
	end
	log("warn", "modules_enabled does not list %s for %s any more, and the policy stays in force there until the server "
		.. "is restarted or the module is unloaded in the shell: %s", name, table.concat(unwanted, ", "), command)
end

return unloading

end
