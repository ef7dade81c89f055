-- The parts of the module that commands use, over a server of plain tables, so that a spec defines
-- each session. Policies, certificates and the memory of certificates are real.
local json = require "dkjson"
local run = require "xmpp_tls_policy.commands.run"

local command_service = {}

local list_metatable = { __jsontype = "array" }

local function list(items)
	return setmetatable(items, list_metatable)
end

local function field(name)
	return function (session)
		return session[name]
	end
end

local function flag(name)
	return function (session)
		return session[name] == true
	end
end

local function prepare_domain(text)
	return not text:find "[%s@/]" and text:lower() or nil
end

local function split_jid(text)
	local bare, resource = text:match "^([^/]*)/?(.*)$"
	local node, domain = bare:match "^([^@]*)@(.*)$"
	domain = prepare_domain(domain or bare)
	return domain and node and node:lower(), domain, domain and resource ~= "" and resource or nil, domain ~= nil
end

--- An adapter (see servers/contract.lua), as far as the commands use it. A session is { role, host,
-- peer = the domain of the header, domains = those that it is authenticated for, and so on }.
-- `server.turn_count`: how often the commands let the server go on.
function command_service.server(options)
	local server = {
		turn_count = 0,
		role = field "role", host = field "host", peer = field "peer", address = field "address",
		client_jid = field "jid", client_bare_jid = field "bare_jid", carrier = field "carrier",
		connection = field "connection", vouched_by = field "vouched_by", stream = field "stream",
		is_destroyed = flag "destroyed", is_hibernating = flag "hibernating", is_secure = flag "secure",
		has_valid_chain = flag "valid_chain", has_trusted_chain = flag "valid_chain",
		names_domain = function () return true end,
		has_valid_certificate = flag "valid_certificate",
		has_checked_chain = flag "checked_chain", used_external = flag "used_external",
		prepare_domain = prepare_domain, split_jid = split_jid, list = list,
	}
	function server.is_authenticated(session)
		return session.jid ~= nil or server.domains_of(session)[1] ~= nil
	end
	function server.domains_of(session)
		return { (table.unpack or unpack)(session.domains or {}) }
	end
	function server.speaks_for(session, domain)
		for _, known in ipairs(session.domains or {}) do
			if known == domain then
				return true
			end
		end
		return false
	end
	function server.chain_errors(session)
		return session.chain_errors or {}
	end
	function server.known_of(connection)
		return connection.known
	end
	function server.set_stream(session, stream)
		session.stream = stream
	end
	function server.sessions()
		return options.sessions or {}
	end
	function server.hosts()
		return options.hosts or {}
	end
	function server.serves_clients()
		return true
	end
	function server.serves_servers()
		return true
	end
	function server.lacks_starttls(host)
		return options.without_starttls and options.without_starttls[host]
	end
	function server.is_host(domain)
		for _, host in ipairs(options.hosts or {}) do
			if host == domain then
				return true
			end
		end
		return false
	end
	function server.current_contexts(host)
		return options.current_contexts and options.current_contexts[host]
	end
	function server.starttls_ports(role)
		return ({ c2s = { 5222 }, s2sin = { 5269 } })[role] or {}
	end
	function server.direct_tls_contexts()
		return {}
	end
	function server.operator_lists()
		return {}
	end
	function server.luasec_context(context)
		return context
	end
	function server.preset()
		return options.preset
	end
	function server.versions()
		return "a server"
	end
	function server.option(host, name)
		return options.options and options.options[host] and options.options[host][name]
	end
	function server.own_context(host, role)
		if options.own_context then
			return options.own_context(host, role)
		end
		return nil, "no context"
	end
	function server.turns()
		return function ()
			server.turn_count = server.turn_count + 1
		end
	end
	function server.is_list(value)
		return getmetatable(value) == list_metatable
	end
	function server.encode_json(value)
		return (json.encode(value, { keyorder = command_service.sorted_keys(value) }))
	end
	return server
end

--- The keys of a table and of all tables in it, sorted.
function command_service.sorted_keys(value)
	local keys, seen = {}, {}
	local function add(item)
		if type(item) ~= "table" then
			return
		end
		for key, inner in pairs(item) do
			if type(key) == "string" and not seen[key] then
				seen[key] = true
				keys[#keys + 1] = key
			end
			add(inner)
		end
	end
	add(value)
	table.sort(keys)
	return keys
end

--- Policies (see policy/policies.lua) from a table host -> Policy; "*": all other hosts.
function command_service.policies(by_host, now)
	local policies = {}
	function policies:covers(host) -- luacheck: ignore 212/self
		return by_host[host] ~= nil
	end
	function policies:policy_for(host, domain) -- luacheck: ignore 212/self
		return (by_host[host] or by_host["*"]):for_peer(domain, now or os.time())
	end
	function policies:hosts() -- luacheck: ignore 212/self
		local names = {}
		for host in pairs(by_host) do
			names[#names + 1] = host ~= "*" and host or nil
		end
		table.sort(names)
		return names
	end
	function policies:each(visit)
		visit("*", by_host["*"])
		for _, host in ipairs(self:hosts()) do
			visit(host, by_host[host])
		end
	end
	return policies
end

--- A list of entries as an object with list() and total().
function command_service.log_of(entries, total)
	return {
		list = function ()
			return entries
		end,
		total = function ()
			return total or #entries
		end,
	}
end

--- Outages that report mode foresees (see contexts/foreseen_outages.lua), from a table host -> messages.
function command_service.outages(by_host)
	return {
		of = function (_, host)
			return by_host[host] or {}
		end,
	}
end

--- A writer that keeps its text and its calls.
function command_service.writer(width)
	local writer = { width = width, text = "", calls = {} }
	function writer.write(text)
		writer.text = writer.text .. text
		table.insert(writer.calls, text)
	end
	return writer
end

--- Runs a command by its name. Returns what was printed, whether it succeeded, and its message.
function command_service.run(service, name, ...)
	local writer = command_service.writer(200)
	local done, message = run(require("xmpp_tls_policy.commands." .. name), service, writer, ...)
	return writer.text, done, message
end

--- Runs a command with "json". Returns what it printed, decoded.
function command_service.json(service, name, ...)
	local arguments, count = { ... }, select("#", ...)
	arguments[count + 1] = "json"
	local text, done, message = command_service.run(service, name, (table.unpack or unpack)(arguments, 1, count + 1))
	assert(done, message)
	return assert(json.decode(text))
end

return command_service
