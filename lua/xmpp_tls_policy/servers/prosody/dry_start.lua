--- A start of Prosody in the process of prosodyctl, as far as TLS is concerned: Prosody's own code makes the
-- hosts' contexts and the listeners from the configuration. No port is bound, nothing is stored, and no
-- module is loaded but those that make contexts.
local configmanager = require "core.configmanager"
local events = require "util.events"
local logger = require "util.logger"
local modulemanager = require "core.modulemanager"
local net_server = require "net.server"
local portmanager

local dry_start = {}

-- The modules that make contexts and open ports for XMPP, or of which ours asks whether they are loaded. A
-- component has none of c2s and net_multiplex.
local MODULES = { "tls", "c2s", "s2s", "dialback", "net_multiplex" }

-- Core files that these modules expect to be there. prosodyctl loads few.
local LIBRARIES = {
	"core.stanza_router", "core.statsmanager", "core.s2smanager", "core.portmanager", "core.usermanager",
	"core.sessionmanager",
}

local function ignore() end

-- What hostmanager has of a host. prosodyctl has stand-ins of another shape, and one for "*".
local function make_hosts()
	for name in pairs(prosody.hosts) do
		prosody.hosts[name] = nil
	end
	local names = {}
	for name, options in pairs(configmanager.getconfig()) do
		if name ~= "*" and rawget(options, "enabled") ~= false then
			prosody.hosts[name] = {
				host = name, type = rawget(options, "component_module") and "component" or "local",
				events = events.new(), modules = {}, sessions = {}, s2sout = {}, send = ignore,
			}
			names[#names + 1] = name
		end
	end
	table.sort(names)
	return names
end

-- A listener that does not listen, with the fields in which portmanager and contexts.lua look for
-- contexts.
local function listen(_, _, _, options)
	local listener = { tls_ctx = options.tls_ctx, hosts = options.sni_hosts or {}, close = ignore }
	function listener:sslctx()
		return self.tls_ctx
	end
	return listener
end

-- portmanager opens the ports of a service when it is added, but only in the server's process.
local function open_services()
	net_server.listen = listen
	prosody.events.add_handler("service-added", function (event)
		if portmanager.get_active_services():get(event.name) == nil then
			portmanager.activate(event.name)
		end
	end)
end

-- Takes the place of prosodyctl's log, which is on the standard output. Returns the list to which each error
-- of the server's is added.
local function collect_errors()
	local errors, known = {}, {}
	logger.reset()
	logger.add_simple_sink(function (source, _, message)
		local line = ("%s: %s"):format(source, message)
		if not known[line] then
			known[line] = true
			errors[#errors + 1] = line
		end
	end, { "error" })
	return errors
end

--- Starts it, once in a process. Returns the errors that Prosody logged meanwhile: a list of lines.
function dry_start.run()
	local errors = collect_errors()
	for _, name in ipairs(LIBRARIES) do
		require(name)
	end
	portmanager = require "core.portmanager"
	open_services()
	for _, host in ipairs(make_hosts()) do
		local wanted = modulemanager.get_modules_for_host(host)
		for _, name in ipairs(MODULES) do
			if wanted:contains(name) and not modulemanager.is_loaded(host, name) then
				modulemanager.load(host, name)
			end
		end
	end
	return errors
end

return dry_start
