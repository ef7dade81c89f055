--- The TLS contexts that Metronome makes: for STARTTLS, and those of listeners for direct TLS. A session starts TLS
-- with the context that starttls_context names, which a method of its connection sees to.
local certmanager = require "util.certmanager"
local configmanager = require "core.configmanager"
local hashes = require "util.hashes"
local luasec = require "ssl"
local operator_lists = require "xmpp_tls_policy.servers.prosody_style.operator_lists"
local portmanager = require "core.portmanager"
local sessions = require "xmpp_tls_policy.servers.metronome.sessions"

local contexts = {}

--- The LuaSec context in a context of Metronome, which is one.
function contexts.luasec_context(context)
	return context
end

-- Services that speak XMPP over direct TLS (support.direct). On a multiplexed port the first bytes of the client
-- decide.
local direct_tls = { c2s_secure = "c2s", s2s_secure = "s2sin", multiplex_secure = "c2s" }

---- The operator's options --------------------------------------------------------

local function own_option(host, name)
	local options = rawget(configmanager.getconfig(), host)
	return options and options[name]
end

-- The TLS options of a host: its own, or its parent domain's, or those of all.
local function ssl_of(host)
	local parent = host:match "%.(.*)$"
	return own_option(host, "ssl") or parent and own_option(parent, "ssl") or own_option("*", "ssl")
end

--- The lists, and the range of versions (protocol), that the operator wrote for a host (nil: none in
-- particular) and the option of a listener (nil: STARTTLS): { ciphers = true, … }. Metronome has one option for all
-- roles.
function contexts.operator_lists(host, _, listener_option)
	local lists = {}
	local ssl = listener_option and own_option("*", listener_option) or host and ssl_of(host) or own_option("*", "ssl")
	operator_lists.mark(lists, ssl)
	return lists
end

---- Direct TLS ----------------------------------------------------------------------

-- The options of a listener, as portmanager reads them.
local function listener_options(service, name, interface, port)
	local prefix = service.config_prefix or name
	for _, option in ipairs { (prefix == "" and "" or prefix .. "_") .. "ssl", "ssl" } do
		local ssl = own_option("*", option)
		local found = type(ssl) == "table" and (ssl[interface] or ssl[port] or ssl)
		if found then
			return found
		end
	end
end

-- A new context made like that of a listener, or nil and a message.
local function another_like(service, name, interface, port)
	local options = {}
	for key, value in pairs(listener_options(service, name, interface, port) or {}) do
		options[key] = value
	end
	for key, value in pairs(service.ssl_config or {}) do
		if service.ssl_config_override or not options[key] then
			options[key] = value
		end
	end
	return certmanager.create_context(("%s port %d"):format(service.name or name, port), "server", options)
end

--- The contexts of all listeners on which XMPP may be spoken over direct TLS: a list of { context, role, service,
-- port, option (in which the operator configures it), names = {}: Metronome does not look at the server name,
-- like = function() -> a new context made like this one, or nil and a message }.
function contexts.direct_tls_contexts()
	local list = {}
	for name, interface, port, _, active in portmanager.get_active_services():iter(nil, nil, nil, nil) do
		local context = direct_tls[name] and active.server._sslctx
		if context then
			list[#list + 1] = {
				context = context, role = direct_tls[name], service = name, port = port, option = name .. "_ssl", names = {},
				like = function ()
					return another_like(active.service or {}, name, interface, port)
				end,
			}
		end
	end
	return list
end

--- See prosody_style/starttls_ports.lua.
contexts.starttls_ports = require "xmpp_tls_policy.servers.prosody_style.starttls_ports"

--- Any server name gets the listener's context.
function contexts.tolerate_any_name() end
--- Undoes nothing.
function contexts.refuse_unknown_names() end

---- Contexts of hosts -------------------------------------------------------------------

--- A context of LuaSec's that is no host's, or nil and a message.
function contexts.new_context()
	return luasec.newcontext { mode = "server", protocol = "any" }
end

--- A context like the one that a host's streams get for a role ("c2s", "s2sin", "s2sout"), as the
-- configuration has it now. Or nil and a message.
function contexts.own_context(host, role)
	local ssl = ssl_of(host)
	if type(ssl) ~= "table" then
		return nil, ("no TLS options are configured for %s"):format(host)
	end
	return certmanager.create_context(host, role == "s2sout" and "client" or "server", ssl)
end

-- Context of a host for clients -> the one like it for servers, or false: Metronome has one context for
-- both, and ours keeps sessions of one role apart.
local for_servers = setmetatable({}, { __mode = "k" })

local function context_for_servers(host, context)
	if for_servers[context] == nil then
		for_servers[context] = contexts.own_context(host, "s2sin") or false
	end
	return for_servers[context] or nil
end

-- The context of a host for a role, or nil.
local function context_of(host, role)
	local present = metronome.hosts[host]
	if not present then
		return nil
	elseif role == "s2sout" then
		return present.ssl_ctx
	end
	local context = present.ssl_ctx_in
	return context and (role == "c2s" and context or context_for_servers(host, context)) or nil
end

--- The contexts that a host's new streams get for STARTTLS: a list of { context, role }. nil where the host does not
-- have mod_tls.
function contexts.current_contexts(host)
	local list = {}
	for _, role in ipairs { "c2s", "s2sin", "s2sout" } do
		local context = context_of(host, role)
		list[#list + 1] = context and { context = context, role = role } or nil
	end
	return list[1] and list or nil
end

-- Session -> the context that set_starttls_context gave it.
local given = setmetatable({}, { __mode = "k" })

-- A server's stream without version='1.0' gets no features, so it was offered no STARTTLS
-- (rfc6120.4.7.5.no-version-no-features).
local function has_no_features(session, role)
	return role == "s2sin" and (session.version or 0) < 1
end

--- The context for TLS on a session, or nil.
function contexts.starttls_context(session)
	local host, role = sessions.host(session), sessions.role(session)
	if not host or has_no_features(session, role) then
		return nil
	end
	return given[session] or context_of(host, role)
end

--- Gives a session another context for STARTTLS.
function contexts.set_starttls_context(session, context)
	given[session] = context
end

-- Context -> name -> another like it.
local likes = setmetatable({}, { __mode = "k" })

--- A context made like the one that a session has for STARTTLS, from the same configuration; one for each name, as
-- long as the first is in use. Or nil and a message.
function contexts.context_like(session, name)
	local own = contexts.starttls_context(session)
	local known = likes[own] and likes[own][name]
	if known then
		return known
	end
	local context, message = contexts.own_context(sessions.host(session), sessions.role(session))
	if not context then
		return nil, message
	end
	likes[own] = likes[own] or {}
	likes[own][name] = context
	return context
end

local active = false

--- To be called for each new session: its connection will start TLS with starttls_context(session), be it after
-- STARTTLS, or because it is an outgoing one for direct TLS, for which Metronome would make a context of its own.
-- TLS on another context is not observed, so the stream is refused where a policy is enforced.
function contexts.take_over(session)
	local connection = session.conn
	if not sessions.role(session) or not connection or not connection.starttls or rawget(connection, "starttls") then
		return
	end
	local original = connection.starttls
	function connection.starttls(self, context, ...)
		return original(self, active and contexts.starttls_context(session) or context, ...)
	end
end

--- Whether connections start TLS with the contexts of starttls_context.
function contexts.set_active(value)
	active = value
end

---- Certificates --------------------------------------------------------------------------

-- Adds the certificates of the file that a table of options names.
local function add_certificates(parts, ssl)
	local path = configmanager.resolve_relative_path(metronome.paths.config, ssl.certificate)
	local file = io.open(path, "rb")
	parts[#parts + 1] = file and file:read "*a" or "unreadable"
	if file then
		file:close()
	end
end

--- A digest that is another one whenever own_context may return a context with another certificate: of the options,
-- and of the file of certificates.
function contexts.certificate_source(host)
	local parts, ssl = {}, ssl_of(host)
	if type(ssl) == "table" then
		for key, value in pairs(ssl) do
			parts[#parts + 1] = ("%s=%s"):format(tostring(key), tostring(value))
		end
		table.sort(parts)
		if type(ssl.certificate) == "string" then
			add_certificates(parts, ssl)
		end
	end
	return hashes.sha256(table.concat(parts, "\0"))
end

return contexts
