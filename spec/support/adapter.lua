-- An adapter (see servers/contract.lua) over plain tables. It records the calls that it gets.
local adapter = {}

-- A new adapter. Fields of `more` replace its functions. Beside the functions it has:
--   lines    log lines: a list of { host or session, level, text }
--   options  host or "*" -> value of our option
--   names    host or "*" -> names of the options of the server's configuration
--   modules  name -> true: modules of the server that are enabled
--   stores   name -> key (nil: "") -> table
--   events, messages, failures   lists of the arguments of fire, send_message and log_limited
--   time     seconds of the monotonic clock
--   timers   pending timers: a list of { name, action, seconds }
function adapter.new(more)
	local server = {
		lines = {}, options = {}, names = {}, modules = {}, stores = {}, events = {}, messages = {}, failures = {},
		time = 0, timers = {}, server_options = {},
	}

	local function log(of, level, format, ...)
		server.lines[#server.lines + 1] = { of, level, format:format(...) }
	end
	server.log, server.log_session = log, log
	function server.log_limited(kind, message)
		server.failures[#server.failures + 1] = { kind, message }
	end
	function server.policy_option(host)
		local own = server.options[host]
		if own == nil then
			own = server.options["*"]
		end
		return own
	end
	function server.option(host, name)
		local options = server.server_options[host] or server.server_options["*"] or {}
		return options[name]
	end
	function server.hosts()
		local names = {}
		for host in pairs(server.options) do
			names[#names + 1] = host ~= "*" and host or nil
		end
		table.sort(names)
		return names
	end
	function server.option_names(host)
		return server.names[host] or {}
	end
	function server.wants_module(_, name)
		return name == "xmpp_tls_policy" or server.modules[name] == true
	end
	function server.monotonic()
		return server.time
	end
	function server.later(seconds, name, action)
		server.timers[#server.timers + 1] = { name, action, seconds }
	end
	function server.list(items)
		return items
	end
	function server.split_jid(address)
		local node, domain = address:match "^([^@/]*)@([^@/]+)$"
		return node and node:lower(), domain and domain:lower()
	end
	function server.luasec_context(context)
		return type(context) == "table" and context._inner or context
	end
	function server.operator_lists()
		return {}
	end
	function server.current_contexts() end
	function server.direct_tls_contexts()
		return {}
	end
	function server.tolerate_any_name() end
	function server.is_host(domain)
		return domain:match "%.test$" ~= nil
	end
	function server.serves_clients()
		return true
	end
	function server.serves_servers()
		return true
	end
	function server.lacks_starttls() end
	function server.address(session)
		return session.address
	end
	function server.unicode_form(domain)
		return domain == "xn--bcher-kva.test" and "b\195\188cher.test" or nil
	end
	function server.fire(host, event, data)
		server.events[#server.events + 1] = { host, event, data }
	end
	function server.administrators()
		return { "admin@example.test" }
	end
	function server.send_message(...)
		server.messages[#server.messages + 1] = { ... }
	end
	function server.open_store(_, name)
		local stored = server.stores[name] or {}
		server.stores[name] = stored
		local store = {}
		function store.get(_, key)
			return stored[key or ""]
		end
		function store.set(_, key, value)
			stored[key or ""] = value
			return true
		end
		function store.keys()
			local last
			return function ()
				last = next(stored, last)
				return last
			end
		end
		return store
	end
	for name, method in pairs(more or {}) do
		server[name] = method
	end

	-- Runs the pending timers, and those that they add, until none is left. Returns their number.
	function server.run_timers()
		local count = 0
		while server.timers[1] do
			count = count + 1
			table.remove(server.timers, 1)[2]()
		end
		return count
	end

	-- The log lines since the last call, as a list of "level text", without those at level debug.
	function server.take_lines()
		local taken = {}
		for _, line in ipairs(server.lines) do
			taken[#taken + 1] = line[2] ~= "debug" and line[2] .. " " .. line[3] or nil
		end
		server.lines = {}
		return taken
	end
	return server
end

return adapter
