--- Our hosts in a Prosody-style server, and their configuration.
local modulemanager = require "core.modulemanager"

--- A table of functions (see contract.lua), to which a server's own are added. `parts`: {
--   root = the server's table { hosts },
--   get = function(host, name) -> value of an option, of all hosts if the host has none of its own,
--   rawget = function(host, name) -> value of a host's own option,
--   options = function(host) -> table of a host's own options, or nil }.
return function (parts)

local root = parts.root

local hosts = {}

--- The names of all hosts and components: a list, sorted.
function hosts.hosts()
	local names = {}
	for name in pairs(root.hosts) do
		names[#names + 1] = name
	end
	table.sort(names)
	return names
end

--- Whether a domain, as the server prepares it, is a host or component of ours.
function hosts.is_host(domain)
	return domain ~= nil and root.hosts[domain] ~= nil
end

local function has_module(host, name)
	return modulemanager.is_loaded(host, name) == true
end

--- Whether clients can log in to a host, once all modules are loaded; nil where there is no such host.
function hosts.serves_clients(host)
	return root.hosts[host] and root.hosts[host].type == "local" and has_module(host, "c2s")
end

--- Whether other servers can connect to a host, once all modules are loaded; nil where there is no such
-- host.
function hosts.serves_servers(host)
	return root.hosts[host] and has_module(host, "s2s")
end

--- Why a host cannot offer STARTTLS, with the remedy; goes on from "because". nil: it can. Once all
-- modules are loaded.
function hosts.lacks_starttls(host)
	return not has_module(host, "tls") and 'mod_tls is not loaded: put "tls" into modules_enabled' or nil
end

--- Whether each login to a host makes a new account (SASL ANONYMOUS).
function hosts.is_anonymous(host)
	return parts.get(host, "authentication") == "anonymous"
end

--- The value of an option of the server for a host ("*": all others); nil where none is set.
function hosts.option(host, name)
	return parts.get(host, name)
end

--- The names of the options that the configuration has for a host itself ("*": at the top): a list,
-- sorted.
function hosts.option_names(host)
	local names = {}
	for name in pairs(parts.options(host) or {}) do
		names[#names + 1] = type(name) == "string" and name or nil
	end
	table.sort(names)
	return names
end

-- Whether an option of a host or of "*", modules_enabled or modules_disabled, lists a module.
local function lists_module(host, option, name)
	local modules = parts.rawget(host, option)
	for _, module in ipairs(type(modules) == "table" and modules or {}) do
		if module == name then
			return true
		end
	end
	return false
end

--- Whether modules_enabled has a module for a host, or for all without modules_disabled: a module
-- that is disabled at the top may be enabled for a host. "*": for all.
function hosts.wants_module(host, name)
	local for_all = lists_module("*", "modules_enabled", name) and not lists_module("*", "modules_disabled", name)
	if host == "*" then
		return for_all
	end
	return (for_all or lists_module(host, "modules_enabled", name)) and not hosts.disables_module(host, name)
end

--- Whether modules_disabled of a host names a module.
function hosts.disables_module(host, name)
	return lists_module(host, "modules_disabled", name)
end

return hosts

end
