--- The adapter for Prosody 0.12 and 13; see servers/contract.lua.
local administrators = require "xmpp_tls_policy.servers.prosody.administrators"
local array = require "util.array"
local contexts = require "xmpp_tls_policy.servers.prosody.contexts"
local contract = require "xmpp_tls_policy.servers.contract"
local elements = require "xmpp_tls_policy.servers.prosody.elements"
local encodings = require "util.encodings"
local events = require "xmpp_tls_policy.servers.prosody.events"
local fail_closed = require "xmpp_tls_policy.servers.prosody.fail_closed"
local hosts = require "xmpp_tls_policy.servers.prosody.hosts"
local jid = require "util.jid"
local json = require "util.json"
local log = require "util.logger".init "tls_policy"
local sessions = require "xmpp_tls_policy.servers.prosody.sessions"
local storage = require "xmpp_tls_policy.servers.prosody.storage"
local text = require "xmpp_tls_policy.text"
local time = require "util.time"
local turns = require "xmpp_tls_policy.servers.prosody.turns"

local prosody_adapter = {}

local option_name = "xmpp_tls_policy"

-- Options as the operator wrote them -> the same with prepared domains. Hosts without options of
-- their own get the very table of all others, which is prepared once.
local prepared_options = setmetatable({}, { __mode = "k" })

-- The option of a module, with the domains of its exceptions as Prosody prepares domains.
local function prepared_option(module)
	local given = module:get_option(option_name)
	if type(given) ~= "table" or type(given.exceptions) ~= "table" then
		return given
	elseif prepared_options[given] then
		return prepared_options[given]
	end
	local prepared, exceptions = {}, {}
	for key, value in pairs(given) do
		prepared[key] = value
	end
	for key, value in pairs(given.exceptions) do
		local domain = type(key) == "string" and encodings.stringprep.nameprep(key)
		-- The library complains where two become the same.
		exceptions[domain and given.exceptions[domain] == nil and domain or key] = value
	end
	prepared.exceptions = exceptions
	prepared_options[given] = prepared
	return prepared
end

local function add_functions(server, functions)
	for name, method in pairs(functions) do
		server[name] = method
	end
end

--- The adapter for a load of the module. `module`: the global one, ours.
function prosody_adapter.new(module)
	local server = {}
	add_functions(server, sessions)
	add_functions(server, contexts)
	add_functions(server, hosts)
	add_functions(server, elements)
	server.turns = turns.new
	server.monotonic = time.monotonic
	server.encode_json = json.encode_ordered

	-- Host -> the module that Prosody made of ours for it; its log names the host.
	local host_modules = {}
	local function module_of(host)
		return host and host_modules[host] or host and host ~= "*" and module:context(host) or module
	end

	--- Takes in the module of a host.
	function server.add_host(host_module)
		host_modules[host_module.host] = host_module
	end
	function server.remove_host(host)
		host_modules[host] = nil
	end
	function server.sessions()
		return sessions.all(module)
	end
	function server.policy_option(host)
		return prepared_option(module_of(host))
	end
	function server.administrators(host)
		return administrators.of(module_of(host))
	end
	function server.prepare_domain(domain)
		return encodings.stringprep.nameprep(domain)
	end
	function server.unicode_form(domain)
		return encodings.idna.to_unicode(domain)
	end
	function server.split_jid(address)
		return jid.prepped_split(address)
	end
	function server.log(host, level, format, ...)
		module_of(host):log(level, format, text.all_shown(...))
	end
	function server.log_session(session, level, format, ...)
		sessions.log(session, level, format, text.all_shown(...))
	end
	function server.send_message(host, to, subject, body)
		administrators.send_message(host, to, text.shown(subject), text.shown_lines(body))
	end
	function server.log_limited(kind, message)
		fail_closed.log_limited(log, kind, message)
	end
	add_functions(server, events.new(server.log_limited))
	local stores = storage.new(os.time)
	function server.open_store(host, name, description)
		return stores:open(module_of(host), name, description)
	end
	--- To be called when Prosody has loaded its configuration.
	function server.reopen_stores()
		stores:reopen()
	end
	function server.later(seconds, name, action)
		module:add_timer(seconds, function ()
			local done, problem = xpcall(action, debug.traceback)
			if not done then
				server.log_limited("Internal error of the TLS policy in " .. name, problem)
			end
		end)
	end
	function server.list(items)
		return array(items)
	end
	function server.is_list(value)
		return getmetatable(value) == getmetatable(array())
	end
	return contract.check(server)
end

return prosody_adapter
