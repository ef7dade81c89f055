--- What the adapters of Prosody-style servers have in common; see servers/contract.lua.
local encodings = require "util.encodings"
local exceptions_file = require "xmpp_tls_policy.policy.exceptions_file"
local jid = require "util.jid"
local json = require "util.json"
local log = require "util.logger".init "tls_policy"
local resolver = require "xmpp_tls_policy.servers.prosody_style.resolver"
local text = require "xmpp_tls_policy.text"

local adapter = {}

local option_name = "xmpp_tls_policy"

-- Options as the operator wrote them -> the same with prepared domains, and with the exceptions of a file. Hosts
-- without options of their own get the very table of all others, which is prepared once. The server makes others
-- whenever it loads its configuration, so the file is read again then.
local prepared_options = setmetatable({}, { __mode = "k" })

-- Exceptions with their domains as the server prepares domains.
local function prepared_exceptions(given)
	local exceptions = {}
	for key, value in pairs(given) do
		local domain = type(key) == "string" and encodings.stringprep.nameprep(key)
		-- The library complains where two become the same.
		exceptions[domain and given[domain] == nil and domain or key] = value
	end
	return exceptions
end

-- The option of a module, with its exceptions prepared.
local function prepared_option(module)
	local given = module:get_option(option_name)
	local exceptions = type(given) == "table" and given.exceptions
	if type(exceptions) ~= "table" and not exceptions_file.is_path(exceptions) then
		return given
	elseif prepared_options[given] then
		return prepared_options[given]
	end
	local prepared = {}
	for key, value in pairs(given) do
		prepared[key] = value
	end
	if type(exceptions) == "string" then
		prepared.exceptions = exceptions_file.read(exceptions, json.decode, prepared_exceptions)
	else
		prepared.exceptions = prepared_exceptions(exceptions)
	end
	prepared_options[given] = prepared
	return prepared
end

local function add_functions(server, functions)
	for name, method in pairs(functions) do
		server[name] = method
	end
end

local function add_hosts(server, module)
	-- Host -> the module that the server made of ours for it; its log names the host.
	local host_modules = {}

	--- Takes in the module of a host.
	function server.add_host(host_module)
		host_modules[host_module.host] = host_module
	end
	function server.remove_host(host)
		host_modules[host] = nil
	end
	function server.module_of(host)
		return host and host_modules[host] or host and host ~= "*" and module:context(host) or module
	end
	function server.policy_option(host)
		return prepared_option(server.module_of(host))
	end
end

local function add_names(server)
	function server.prepare_domain(domain)
		return encodings.stringprep.nameprep(domain)
	end
	function server.unicode_form(domain)
		return encodings.idna.to_unicode(domain)
	end
	function server.split_jid(address)
		return jid.prepped_split(address)
	end
end

local function add_log(server, parts)
	function server.log(host, level, format, ...)
		server.module_of(host):log(level, format, text.all_shown(...))
	end
	function server.log_session(session, level, format, ...)
		parts.sessions.log(session, level, format, text.all_shown(...))
	end
	function server.log_limited(kind, message)
		parts.fail_closed.log_limited(log, kind, message)
	end
end

local function add_administrators(server, parts)
	function server.administrators(host)
		return parts.administrators.of(server.module_of(host))
	end
	function server.send_message(host, to, subject, body)
		parts.administrators.send_message(host, to, text.shown(subject), text.shown_lines(body))
	end
end

local function add_stores(server, parts)
	local stores = parts.storage.new(os.time)
	function server.open_store(host, name, description)
		return stores:open(server.module_of(host), name, description)
	end
	--- To be called when the server has loaded its configuration.
	function server.reopen_stores()
		stores:reopen()
	end
end

-- A failure in a callback ends no loop of the server.
local function add_loop(server, parts)
	local function call(action)
		local done, problem = xpcall(action, debug.traceback)
		if not done then
			server.log_limited("Internal error of the TLS policy on a watched descriptor", problem)
		end
	end
	server.resolve = resolver.resolve
	function server.watch(descriptor, on_readable, on_writable)
		return parts.watched_descriptor.new(descriptor, on_readable, on_writable, call)
	end
end

--- A new adapter, which lacks what the server's own code adds. `module`: the global one, ours; `parts`: the modules of
-- the server's folder by name { administrators, contexts, elements, events, fail_closed, hosts, sessions, storage,
-- watched_descriptor }.
function adapter.new(module, parts)
	local server = {}
	for _, name in ipairs { "sessions", "contexts", "hosts", "elements" } do
		add_functions(server, parts[name])
	end
	add_hosts(server, module)
	add_names(server)
	add_log(server, parts)
	add_administrators(server, parts)
	add_stores(server, parts)
	add_loop(server, parts)
	add_functions(server, parts.events.new(server.log_limited))
	function server.sessions()
		return parts.sessions.all(module)
	end
	--- Calls action() from the main loop. A failure in it is logged under the name.
	function server.later(seconds, name, action)
		module:add_timer(seconds, function ()
			local done, problem = xpcall(action, debug.traceback)
			if not done then
				server.log_limited("Internal error of the TLS policy in " .. name, problem)
			end
		end)
	end
	return server
end

return adapter
