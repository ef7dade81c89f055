--- Our hosts in Metronome, and their configuration; see prosody_style/hosts.lua.
local configmanager = require "core.configmanager"
local modulemanager = require "core.modulemanager"

local function options_of(host)
	return rawget(configmanager.getconfig(), host)
end

-- The value of an option that stands under a host itself.
local function own_option(host, name)
	local options = options_of(host)
	return options and options[name]
end

local function option(host, name)
	local own = own_option(host, name)
	if own == nil then
		own = own_option("*", name)
	end
	return own
end

local hosts = require "xmpp_tls_policy.servers.prosody_style.hosts" {
	root = metronome, get = option, rawget = own_option, options = options_of,
}

--- Whether clients can log in to a host; nil where there is no such host. mod_c2s is one for all hosts.
function hosts.serves_clients(host)
	local present = metronome.hosts[host]
	return present and present.type == "local" and modulemanager.is_loaded("*", "c2s") == true
end

--- Whether the server itself accepts no dialback alone from a domain: there is no dialback.
function hosts.demands_certificate(host)
	return not modulemanager.is_loaded(host, "dialback")
end

--- Metronome has no presets.
function hosts.preset() end

--- Versions of the software that the module runs on, for the log.
function hosts.versions()
	local luasec = require "ssl"._VERSION
	return ("Metronome %s, %s, LuaSec %s"):format(tostring(metronome.version), _VERSION, tostring(luasec))
end

return hosts
