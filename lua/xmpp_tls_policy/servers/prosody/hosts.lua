--- Our hosts in Prosody, and their configuration; see prosody_style/hosts.lua.
local configmanager = require "core.configmanager"
local modulemanager = require "core.modulemanager"

local hosts = require "xmpp_tls_policy.servers.prosody_style.hosts" {
	root = prosody,
	get = configmanager.get,
	rawget = configmanager.rawget,
	options = function (host)
		return rawget(configmanager.getconfig(), host)
	end,
}

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

--- The option with which the operator chose Prosody's lists of suites and groups, as text; nil: the default.
function hosts.preset()
	local profile = configmanager.get("*", "tls_profile")
	return type(profile) == "string" and ("tls_profile = %q"):format(profile) or nil
end

--- Versions of the software that the module runs on, for the log.
function hosts.versions()
	return ("Prosody %s, %s, LuaSec %s"):format(tostring(prosody.version), _VERSION, tostring((require "ssl")._VERSION))
end

return hosts
