--- The TLS contexts that Prosody makes: for STARTTLS, and those of listeners for direct TLS.
local certmanager = require "core.certmanager"
local configmanager = require "core.configmanager"
local encodings = require "util.encodings"
local hashes = require "util.hashes"
local luasec = require "ssl"
local modulemanager = require "core.modulemanager"
local operator_lists = require "xmpp_tls_policy.servers.prosody_style.operator_lists"
local portmanager = require "core.portmanager"
local resolve_path = require "util.paths".resolve_relative_path

local contexts = {}

--- The LuaSec context in a context of Prosody. Prosody 13 wraps it in a table.
function contexts.luasec_context(context)
	return type(context) == "table" and context._inner or context
end

-- Services that speak XMPP over direct TLS (support.direct). On a multiplexed port the first bytes of the client
-- decide.
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

-- Prosody also takes the TLS options of a host from its parent domain.
local function ssl_tables(host, option)
	local parent = host and host:match "%.(.*)$"
	return {
		configmanager.rawget("*", option) or false,
		host and configmanager.rawget(host, option) or false,
		parent and configmanager.rawget(parent, option) or false,
	}
end

local function read_lists(host, role, listener_option)
	local lists = {}
	local options = { listener_option }
	for _, option in ipairs(ssl_options[role]) do
		options[#options + 1] = option
	end
	for _, option in ipairs(options) do
		for _, ssl in ipairs(ssl_tables(host, option)) do
			operator_lists.mark(lists, ssl)
		end
	end
	return lists
end

-- Whether a host, or its parent domain, has TLS options of its own for a role or a listener.
local function has_own_options(host, role, listener_option)
	local parent, own = host:match "%.(.*)$", ssl_options[role]
	local function has(option)
		return configmanager.rawget(host, option) ~= nil or parent and configmanager.rawget(parent, option) ~= nil
	end
	return has(own[1]) or has(own[2]) or listener_option and has(listener_option)
end

-- Role -> option of a listener -> what was read for all hosts: { lists, tables = the options, by name }. The
-- tables are others whenever Prosody has loaded its configuration.
local lists_of_all = {}

local function is_current(known, role, listener_option)
	local own, tables = ssl_options[role], known.tables
	return tables[own[1]] == configmanager.rawget("*", own[1]) and tables[own[2]] == configmanager.rawget("*", own[2])
		and (not listener_option or tables[listener_option] == configmanager.rawget("*", listener_option))
end

local function lists_for_all(role, listener_option)
	local by_option = lists_of_all[role] or {}
	lists_of_all[role] = by_option
	local known = by_option[listener_option or ""]
	if not known or not is_current(known, role, listener_option) then
		known = { lists = read_lists(nil, role, listener_option), tables = {} }
		for _, option in ipairs { ssl_options[role][1], ssl_options[role][2], listener_option } do
			known.tables[option] = configmanager.rawget("*", option)
		end
		by_option[listener_option or ""] = known
	end
	return known.lists
end

--- The lists, and the range of versions (protocol), that the operator wrote for a host (nil: none in
-- particular), a role ("c2s", "s2sin", "s2sout") and the option of a listener (nil: STARTTLS):
-- { ciphers = true, … }, not to be changed: the same table for hosts without options of their own.
function contexts.operator_lists(host, role, listener_option)
	if host and has_own_options(host, role, listener_option) then
		return read_lists(host, role, listener_option)
	end
	return lists_for_all(role, listener_option)
end

-- The contexts with which a listener's connections begin. At a reload, Prosody 0.12 changes the
-- second of these and goes on using the first.
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

-- The contexts that take a base's place, by server name (SNI). LuaSec looks the name up in this table,
-- and refuses the handshake if it is not there. Prosody 13 keeps the table with the base, 0.12 with
-- the listener.
local function names_of(listener, base)
	return type(base) == "table" and base._sni_contexts or listener.hosts or {}
end

-- portmanager composes it in the same way.
local function ssl_option(service, name)
	local prefix = service.config_prefix or name
	return (prefix == "" and "" or prefix .. "_") .. "ssl"
end

-- Calls visit(listener, base, role, service, option, port, options) for each. `options`: from which the server made
-- the base last.
local function each_base(visit)
	for name, _, port, _, active in portmanager.get_active_services():iter(nil, nil, nil, nil) do
		for _, base in ipairs(direct_tls[name] and bases_of(active.server) or {}) do
			visit(active.server, base, direct_tls[name], name, ssl_option(active.service or {}, name), port, active.tls_cfg)
		end
	end
end

-- Another context like a base, or like the one that it serves by a name, as portmanager makes them; nil and a message.
local function another_like(base, service, options, name)
	local builder = type(base) == "table" and base._builder
	if not options or type(base) == "table" and not builder then
		return nil, "the server does not keep the options of its context"
	elseif not name then
		if builder then
			return builder:clone():apply({}):build()
		end
		return luasec.newcontext(options)
	end
	local context, message, made_from = certmanager.create_context(name, "server",
		configmanager.get(name, service .. "_ssl"), certmanager.find_host_cert(name), options)
	if not context or not builder then
		return context, message
	end
	return builder:clone():apply({ certificate = made_from.certificate, key = made_from.key }):build()
end

--- The contexts of all listeners on which XMPP may be spoken over direct TLS: a
-- list of { context, role, service, port, option (in which the operator configures it),
-- names = { [host] = context, for those who ask for it by SNI }, like = function(name) -> a new context made like the
-- one of a name (nil: like the first), or nil and a message }.
function contexts.direct_tls_contexts()
	local list = {}
	each_base(function (listener, base, role, service, option, port, options)
		list[#list + 1] = {
			context = base, role = role, service = service, port = port, option = option,
			names = names_of(listener, base),
			like = function (name)
				return another_like(base, service, options, name)
			end,
		}
	end)
	return list
end

--- See prosody_style/starttls_ports.lua.
contexts.starttls_ports = require "xmpp_tls_policy.servers.prosody_style.starttls_ports"

-- Marks our metatables.
local tolerant = {}

-- The context of the host that a client asks for, in any case (rfc6066.3.name-without-case) and in
-- A-labels (rfc6066.3.name-in-a-labels); Prosody's hosts have U-labels.
local function context_of_name(names, asked)
	local name = type(asked) == "string" and asked:lower()
	local host = name and name:find("xn--", 1, true) and encodings.idna.to_unicode(name)
	return name and rawget(names, name) or host and rawget(names, host) or nil
end

--- Direct TLS with a server name that we do not serve gets the context without
-- one, if `has_certificate(context)`: SNI does no harm, and the stream's `to`
-- decides (sni.harmless). Harmless to call again.
function contexts.tolerate_any_name(has_certificate)
	each_base(function (listener, base)
		local names = names_of(listener, base)
		local context = contexts.luasec_context(base)
		local metatable = getmetatable(names)
		if not metatable then
			metatable = { tolerant = tolerant }
			function metatable.__index(_, name)
				return context_of_name(names, name) or metatable.has_certificate(context) and context or nil
			end
			setmetatable(names, metatable)
		end
		-- The function of an older load would keep that in memory.
		if metatable.tolerant == tolerant then
			metatable.has_certificate = has_certificate
		end
	end)
end

--- Undoes tolerate_any_name.
function contexts.refuse_unknown_names()
	each_base(function (listener, base)
		local names = names_of(listener, base)
		local metatable = getmetatable(names)
		if metatable and metatable.tolerant == tolerant then
			setmetatable(names, nil)
		end
	end)
end

--- A context of LuaSec's that is no host's, or nil and a message.
function contexts.new_context()
	return luasec.newcontext { mode = "server", protocol = "any" }
end

-- The options from which a host's contexts for STARTTLS are made in a role: "c2s_ssl" or "s2s_ssl".
local function own_option(role)
	return role == "c2s" and "c2s_ssl" or "s2s_ssl"
end

--- A context like the one that a host's streams get for a role ("c2s", "s2sin", "s2sout"), as the
-- configuration has it now, to look at. Or nil and a message.
function contexts.own_context(host, role)
	local option = own_option(role)
	local parent = host:match "%.(.*)$"
	local function of(name)
		return configmanager.rawget(host, name) or parent and configmanager.rawget(parent, name) or {}
	end
	local mode = role == "s2sout" and "client" or "server"
	local context, message = certmanager.create_context(host, mode, of(option), of "ssl",
		configmanager.rawget("*", option) or {})
	return contexts.luasec_context(context), message
end

local function ignore() end

-- The events in which mod_tls gives a session its context, and a session of each role for it.
local stand_ins = {
	["stream-features"] = { role = "c2s", session = { type = "c2s_unauthed" } },
	["s2s-stream-features"] = { role = "s2sin", session = { type = "s2sin_unauthed", direction = "incoming" } },
	["s2sout-created"] = { role = "s2sout", session = { type = "s2sout_unauthed", direction = "outgoing" } },
}

--- The contexts that a host's new streams get for STARTTLS: a list of { context, role }. mod_tls keeps
-- them to itself, so its own handlers are asked. nil where the host does not have mod_tls.
function contexts.current_contexts(host)
	local tls = modulemanager.get_module(host, "tls")
	if not tls then
		return nil
	end
	local list = {}
	for _, event, handler in tls.module.event_handlers:iter(nil, nil, nil) do
		local stand_in = stand_ins[event]
		if stand_in then
			local session = { log = ignore }
			for field, value in pairs(stand_in.session) do
				session[field] = value
			end
			handler { origin = session, session = session, features = { add_child = ignore } }
			list[#list + 1] = session.ssl_ctx and { context = session.ssl_ctx, role = stand_in.role } or nil
		end
	end
	table.sort(list, function (a, b)
		return a.role < b.role
	end)
	return list
end

-- Adds the certificates of the file that a table of options names.
local function add_certificates(parts, ssl)
	local file = io.open(resolve_path(prosody.paths.config or ".", ssl.certificate), "rb")
	parts[#parts + 1] = file and file:read "*a" or "unreadable"
	if file then
		file:close()
	end
end

-- Adds the options of a table as text, and the certificates of the file that it names. Options for
-- interfaces and ports are one table deeper.
local function add_options(parts, ssl, depth)
	local keys = {}
	for key in pairs(ssl) do
		keys[#keys + 1] = tostring(key)
	end
	table.sort(keys)
	for _, key in ipairs(keys) do
		local value = ssl[key]
		if type(value) == "table" and depth < 3 then
			parts[#parts + 1] = key .. "={"
			add_options(parts, value, depth + 1)
			parts[#parts + 1] = "}"
		else
			parts[#parts + 1] = key .. "=" .. tostring(value)
		end
	end
	if type(ssl.certificate) == "string" then
		add_certificates(parts, ssl)
	end
end

--- A digest that is another one whenever own_context may return a context with another certificate:
-- of the options, and of the files of certificates. Where a host's file was found without an option,
-- its name does not count: hosts may share a certificate.
function contexts.certificate_source(host, role)
	local parts = {}
	for _, option in ipairs { own_option(role), "ssl" } do
		for _, ssl in ipairs(ssl_tables(host, option)) do
			parts[#parts + 1] = "|"
			if type(ssl) == "table" then
				add_options(parts, ssl, 1)
			end
		end
	end
	local found = certmanager.find_host_cert(host)
	if type(found) == "table" and type(found.certificate) == "string" then
		add_certificates(parts, found)
	end
	return hashes.sha256(table.concat(parts, "\0"))
end

-- Context -> name -> another like it.
local likes = setmetatable({}, { __mode = "k" })

-- A new context from the configuration of the one that a session was given. A builder of Prosody 13 returns
-- the context that it made before; a copy to which options are applied makes another.
local function build_another(session)
	if type(session.ssl_ctx) == "table" then
		return session.ssl_ctx._builder:clone():apply({}):build()
	elseif session.ssl_cfg then
		return luasec.newcontext(session.ssl_cfg)
	end
	return nil, "the server does not keep the options of its context"
end

--- A context made like the one that a session was given for STARTTLS, from the same
-- configuration; one for each name, as long as the first is in use. Or nil and a
-- message.
function contexts.context_like(session, name)
	local known = likes[session.ssl_ctx] and likes[session.ssl_ctx][name]
	if known then
		return known
	end
	local context, message = build_another(session)
	if not context then
		return nil, message
	end
	likes[session.ssl_ctx] = likes[session.ssl_ctx] or {}
	likes[session.ssl_ctx][name] = context
	return context
end

return contexts
