--- Our hosts in Prosody, and their configuration.
local configmanager = require "core.configmanager"
local modulemanager = require "core.modulemanager"

local hosts = {}

--- The names of all hosts and components: a list, sorted.
function hosts.hosts()
	local names = {}
	for name in pairs(prosody.hosts) do
		names[#names + 1] = name
	end
	table.sort(names)
	return names
end

--- Whether a domain, as Prosody prepares it, is a host or component of ours.
function hosts.is_host(domain)
	return domain ~= nil and prosody.hosts[domain] ~= nil
end

local function has_module(host, name)
	return modulemanager.is_loaded(host, name) == true
end

--- Whether clients can log in to a host, once all modules are loaded; nil where there is no such host.
function hosts.serves_clients(host)
	return prosody.hosts[host] and prosody.hosts[host].type == "local" and has_module(host, "c2s")
end

--- Whether other servers can connect to a host, once all modules are loaded; nil where there is no such
-- host.
function hosts.serves_servers(host)
	return prosody.hosts[host] and has_module(host, "s2s")
end

--- Why a host cannot offer STARTTLS, with the remedy; goes on from "because". nil: it can. Once all
-- modules are loaded.
function hosts.lacks_starttls(host)
	return not has_module(host, "tls") and 'mod_tls is not loaded: put "tls" into modules_enabled' or nil
end

--- Whether each login to a host makes a new account (SASL ANONYMOUS).
function hosts.is_anonymous(host)
	return configmanager.get(host, "authentication") == "anonymous"
end

-- Whether an option, a list of names or a single one, has a name.
local function is_in(option, name)
	local names = configmanager.get("*", option)
	for _, value in ipairs(type(names) == "table" and names or { names }) do
		if value == name then
			return true
		end
	end
	return false
end

--- Whether the server itself accepts no dialback alone from a domain: its certificate has to be valid, by
-- the options of mod_s2s, or there is no dialback.
function hosts.demands_certificate(host, domain)
	if not modulemanager.is_loaded(host, "dialback") then
		return true
	end
	-- mod_s2s is one module for all hosts.
	if configmanager.get("*", "s2s_secure_auth") then
		return not is_in("s2s_insecure_domains", domain)
	end
	return is_in("s2s_secure_domains", domain)
end

--- The value of an option of the server for a host ("*": all others); nil where none is set.
function hosts.option(host, name)
	return configmanager.get(host, name)
end

--- The option with which the operator chose Prosody's lists of suites and groups, as text; nil: the default.
function hosts.preset()
	local profile = configmanager.get("*", "tls_profile")
	return type(profile) == "string" and ("tls_profile = %q"):format(profile) or nil
end

--- The names of the options that the configuration has for a host itself ("*": at the top): a list,
-- sorted.
function hosts.option_names(host)
	local names = {}
	for name in pairs(rawget(configmanager.getconfig(), host) or {}) do
		names[#names + 1] = type(name) == "string" and name or nil
	end
	table.sort(names)
	return names
end

-- Whether an option of a host or of "*", modules_enabled or modules_disabled, lists a module.
local function lists_module(host, option, name)
	local modules = configmanager.rawget(host, option)
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

--- Versions of the software that the module runs on, for the log.
function hosts.versions()
	return ("Prosody %s, %s, LuaSec %s"):format(tostring(prosody.version), _VERSION, tostring((require "ssl")._VERSION))
end

return hosts
