--- What the plugin has to know about Prosody's inside. Another server of its
-- kind is another file like this one.
local certmanager = require "core.certmanager"
local configmanager = require "core.configmanager"
local modulemanager = require "core.modulemanager"
local portmanager = require "core.portmanager"
local stanza = require "util.stanza"
local usermanager = require "core.usermanager"
local luasec = require "ssl"

local server = {}

-- Services whose TLS is XMPP's from the first byte, or may be: on a multiplexed
-- port the client's first words decide.
local direct_tls = {
	c2s_direct_tls = "c2s",
	legacy_ssl = "c2s",
	multiplex_ssl = "c2s",
	s2s_direct_tls = "s2sin",
}

-- The options in which the operator configures the TLS of each role.
local ssl_options = {
	c2s = { "ssl", "c2s_ssl" },
	s2sin = { "ssl", "s2s_ssl" },
	s2sout = { "ssl", "s2s_ssl" },
}

-- LuaSec's name of each list, by ours.
local luasec_options = {
	ciphers = { "ciphers" },
	ciphersuites = { "ciphersuites" },
	groups = { "curveslist", "curve" },
}

local function marks(lists, ssl)
	if type(ssl) ~= "table" then
		return
	end
	for list, names in pairs(luasec_options) do
		for _, name in ipairs(names) do
			lists[list] = lists[list] or ssl[name] ~= nil
		end
	end
end

-- Prosody takes the TLS options of a host from the domain above it, too.
local function ssl_tables(host, option)
	local parent = host and host:match "%.(.*)$"
	return {
		configmanager.rawget("*", option) or false,
		host and configmanager.rawget(host, option) or false,
		parent and configmanager.rawget(parent, option) or false,
	}
end

--- Which lists the operator made himself for a host (nil: none in particular)
-- and role ("c2s", "s2sin", "s2sout"), and on a listener with an option of its own
-- (nil: STARTTLS): { ciphers = true, … }.
function server.operator_lists(host, role, listener_option)
	local lists = {}
	local options = { listener_option }
	for _, option in ipairs(ssl_options[role]) do
		options[#options + 1] = option
	end
	for _, option in ipairs(options) do
		for _, ssl in ipairs(ssl_tables(host, option)) do
			marks(lists, ssl)
			-- By interface and by port.
			for _, inner in pairs(type(ssl) == "table" and ssl or {}) do
				marks(lists, inner)
			end
		end
	end
	return lists
end

-- The contexts that a listener's connections begin with. Of these two, Prosody
-- 0.12 changes the second at a reload and goes on using the first.
local function bases_of(listener)
	local bases = {}
	local current = type(listener.sslctx) == "function" and listener:sslctx()
	for _, context in ipairs { listener.tls_ctx or false, listener._sslctx or false, current or false } do
		if context and context ~= bases[1] then
			bases[#bases + 1] = context
		end
	end
	return bases
end

-- By name (SNI), the contexts that may take a base's place. LuaSec looks a name up
-- in the table that the server gave it, and refuses the handshake when there is
-- none. Prosody 13 keeps the table with the base, 0.12 with the listener.
local function names_of(listener, base)
	return type(base) == "table" and base._sni_contexts or listener.hosts or {}
end

-- As portmanager composes it.
local function ssl_option(service, name)
	local prefix = service.config_prefix or name
	return (prefix == "" and "" or prefix .. "_") .. "ssl"
end

-- Calls visit(listener, base, role, service, option) for each.
local function each_base(visit)
	for name, _, _, _, active in portmanager.get_active_services():iter(nil, nil, nil, nil) do
		for _, base in ipairs(direct_tls[name] and bases_of(active.server) or {}) do
			visit(active.server, base, direct_tls[name], name, ssl_option(active.service or {}, name))
		end
	end
end

--- The contexts of all listeners on which XMPP may be spoken over direct TLS: a
-- list of { context, role, service, option (in which the operator configures it),
-- names = { [name asked for by SNI] = context } }.
function server.direct_tls_contexts()
	local list = {}
	each_base(function (listener, base, role, service, option)
		list[#list + 1] = {
			context = base, role = role, service = service, option = option, names = names_of(listener, base),
		}
	end)
	return list
end

-- Marks our metatables.
local tolerant = {}

--- Direct TLS with a server name that we do not serve gets the context without
-- one, if `has_certificate(context)`: SNI does no harm, and the stream's `to`
-- decides. Names count in lower case (RFC 6066 3). Harmless to call again.
function server.tolerate_any_name(has_certificate)
	each_base(function (listener, base)
		local names = names_of(listener, base)
		local context = type(base) == "table" and base._inner or base
		if not getmetatable(names) then
			setmetatable(names, {
				tolerant = tolerant,
				__index = function (_, name)
					local known = type(name) == "string" and rawget(names, name:lower())
					return known or has_certificate(context) and context or nil
				end,
			})
		end
	end)
end

--- Undoes tolerate_any_name.
function server.refuse_unknown_names()
	each_base(function (listener, base)
		local names = names_of(listener, base)
		local metatable = getmetatable(names)
		if metatable and metatable.tolerant == tolerant then
			setmetatable(names, nil)
		end
	end)
end

--- Whether the module is enabled for a host, or for all and not disabled, as Prosody takes
-- both options: what is disabled at the top may be enabled for a host. "*": for all.
function server.wants_module(host, name)
	local function lists(of, option)
		local modules = configmanager.rawget(of, option)
		for _, module in ipairs(type(modules) == "table" and modules or {}) do
			if module == name then
				return true
			end
		end
		return false
	end
	local for_all = lists("*", "modules_enabled") and not lists("*", "modules_disabled")
	if host == "*" then
		return for_all
	end
	return (for_all or lists(host, "modules_enabled")) and not lists(host, "modules_disabled")
end

--- A context of LuaSec's that is no host's, or nil and a message.
function server.new_context()
	return luasec.newcontext { mode = "server", protocol = "any" }
end

--- Versions of what the server runs on, for the log.
function server.versions()
	return ("Prosody %s, %s, LuaSec %s"):format(tostring(prosody.version), _VERSION, tostring(luasec._VERSION))
end

--- Whether a session speaks XMPP on its own connection, not through HTTP (BOSH,
-- WebSocket), which has a TLS of its own.
function server.speaks_xmpp_itself(session)
	return session.conn and not session.websocket_request and not session.bosh_wait
end

--- What carries a session that does not speak XMPP itself: "BOSH" or "WebSocket"; nil for
-- one that does.
function server.carrier(session)
	return session.websocket_request and "WebSocket" or (session.bosh_wait or session.bosh_version) and "BOSH" or nil
end

--- The domain that a server-to-server session is to or from, as far as it says; nil
-- for clients.
function server.peer(session)
	if session.direction == "outgoing" then
		return session.to_host
	end
	return session.direction == "incoming" and session.from_host or nil
end

--- Our host that a session is for; nil while none is known.
function server.host(session)
	if session.direction == "outgoing" then
		return session.from_host
	elseif session.direction == "incoming" then
		return session.to_host
	end
	return session.host
end

--- Whether a server-to-server session is authenticated for a domain of the peer's.
function server.speaks_for(session, domain)
	if session.direction == "outgoing" then
		return session.type == "s2sout" and domain == session.to_host
	end
	local of_domain = session.hosts and session.hosts[domain]
	return of_domain and of_domain.authed or false
end

--- Iterates over the domains of the peer's that a server-to-server session is
-- authenticated for.
function server.domains_of(session)
	local list = {}
	local domains = session.direction == "incoming" and session.hosts or { [session.to_host or ""] = true }
	for domain in pairs(domains) do
		list[#list + 1] = server.speaks_for(session, domain) and domain or nil
	end
	local index = 0
	return function ()
		index = index + 1
		return list[index]
	end
end

--- Iterates over server-to-server sessions, each with each of these. `module`: ours.
function server.authenticated_domains(module)
	local list, index = {}, 0
	for _, session in pairs(module:shared "/*/s2s/sessions") do
		for domain in server.domains_of(session) do
			list[#list + 1] = { session, domain }
		end
	end
	return function ()
		index = index + 1
		if list[index] then
			return list[index][1], list[index][2]
		end
	end
end

--- A context such as a host's streams get on our side, made for looking at; `option`:
-- "c2s_ssl" or "s2s_ssl". Or nil and a message.
function server.own_context(host, option)
	local parent = host:match "%.(.*)$"
	local function of(name)
		return configmanager.rawget(host, name) or parent and configmanager.rawget(parent, name) or {}
	end
	local context, message = certmanager.create_context(host, "server", of(option), of "ssl",
		configmanager.rawget("*", option) or {})
	return type(context) == "table" and context._inner or context, message
end

--- All sessions of clients and servers, each once: those on connections, over HTTP, and
-- those that wait for their client to come back (XEP-0198). `module`: ours.
function server.sessions(module)
	local list, seen = {}, {}
	local function add(sessions)
		for _, session in pairs(sessions) do
			if not seen[session] then
				seen[session] = true
				list[#list + 1] = session
			end
		end
	end
	add(module:shared "/*/c2s/sessions")
	add(prosody.full_sessions)
	add(module:shared "/*/bosh/sessions")
	add(module:shared "/*/s2s/sessions")
	return list
end

--- What TLS a connection has that was made without us: { version, cipher, bits }, or nil.
function server.known_of(connection)
	local known = connection:info()
	return known and { version = known.protocol, cipher = known.cipher, bits = known.bits }
end

--- Who vouches for a server's certificate that this server takes for valid: "PKIX", by an
-- authority and the name in it; "DANE" (RFC 6698); "other", a module of the operator's.
-- nil where nobody does.
function server.vouched_by(session)
	if session.cert_chain_status ~= "valid" or session.cert_identity_status ~= "valid" then
		return nil
	end
	local extra, connection = session.conn and session.conn.extra, server.connection(session)
	if session.direction == "outgoing" and type(extra) == "table" and extra.tlsa then
		return "DANE"
	elseif connection and connection.getpeerverification and connection:getpeerverification() then
		return "PKIX"
	end
	return session.direction == "incoming" and modulemanager.is_loaded("*", "s2s_auth_dane_in") and "DANE" or "other"
end

--- What the operator set an option of the server's to for a host ("*": all others); nil:
-- nothing.
function server.option(host, name)
	return configmanager.get(host, name)
end

--- Whether a name, in any case, is that of a host of ours.
function server.is_host(name)
	return name ~= nil and prosody.hosts[name:lower()] ~= nil
end

--- Whether everybody who logs in to a host is somebody new (SASL ANONYMOUS).
function server.is_anonymous(host)
	return configmanager.get(host, "authentication") == "anonymous"
end

--- Whether clients can log in to a host; nil where there is none.
function server.serves_clients(host)
	return prosody.hosts[host] and prosody.hosts[host].type == "local"
end

--- JIDs that have a role on a host: a list.
function server.with_role(role, host)
	local done, list = pcall(usermanager.get_jids_with_role, role, host)
	return done and type(list) == "table" and list or {}
end

--- Sends a message from a host to somebody, with a subject and a body.
function server.send_message(host, to, subject, body)
	local message = stanza.message({ from = host, to = to, type = "chat" }, body)
	message:tag("subject"):text(subject):up()
	prosody.core_post_stanza(prosody.hosts[host], message)
end

-- Context -> name -> another like it.
local likes = setmetatable({}, { __mode = "k" })

--- A context made like the one that a session was given for STARTTLS, from the same
-- configuration; one for each name, as long as the first is in use. Or nil and a
-- message.
function server.context_like(session, name)
	local context, message = likes[session.ssl_ctx] and likes[session.ssl_ctx][name], nil
	if not context then
		if type(session.ssl_ctx) == "table" then
			context, message = session.ssl_ctx._builder:build()
		elseif session.ssl_cfg then
			context, message = luasec.newcontext(session.ssl_cfg)
		end
		if not context then
			return nil, message or "the server does not say what its context was made of"
		end
		likes[session.ssl_ctx] = likes[session.ssl_ctx] or {}
		likes[session.ssl_ctx][name] = context
	end
	return context
end

--- The number of the socket beneath a session; nil where there is none.
function server.descriptor(session)
	local socket = session.conn and session.conn:socket()
	local descriptor = socket and socket:getfd()
	return descriptor and descriptor >= 0 and descriptor or nil
end

--- The LuaSec connection of a session whose TLS is XMPP's own, else nil.
function server.connection(session)
	local conn = session.conn
	if not server.speaks_xmpp_itself(session) or not conn.ssl or not conn:ssl() then
		return nil
	end
	return conn:socket()
end

return server
