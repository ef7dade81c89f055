--- Channel bindings for the logins of clients: those that Prosody does not offer by itself are offered and
-- announced, each with the value of this very connection.
local core = require "xmpp_tls_policy.core"
local modulemanager = require "core.modulemanager"
local safe_hooks = require "xmpp_tls_policy.servers.prosody.safe_hooks"
local stanza = require "util.stanza"

local channel_binding_offer = {}

-- SASL handler -> the type that the client chose in it.
local chosen = setmetatable({}, { __mode = "k" })

-- Session -> the SASL handler of its latest offer.
local offers = setmetatable({}, { __mode = "k" })

-- Session -> true after a binding did not match.
local mismatched = setmetatable({}, { __mode = "k" })

local xmlns_binding = "urn:xmpp:sasl-cb:0"

-- The versions of SASL (RFC 6120, XEP-0388): their namespace, the element that lists mechanisms, and the one that
-- begins a login.
local versions = {
	{ xmlns = "urn:ietf:params:xml:ns:xmpp-sasl", list = "mechanisms", login = "auth" },
	{ xmlns = "urn:xmpp:sasl:2", list = "authentication", login = "authenticate" },
}

local added_types = { "tls-exporter", "tls-server-end-point" }

-- In the order in which they are announced.
local known_types = { "tls-exporter", "tls-server-end-point", "tls-unique" }

-- A table that makes the value of each key once. For keys that a server has few of.
local function once(make)
	return setmetatable({}, { __index = function (made, key)
		local value = make(key)
		made[key] = value
		return value
	end })
end

-- Elements of the features that are alike on all streams. To build them anew was a third of the cost of the offer.
-- Nothing changes an element without children once it is in the features.
local mechanism_element = once(function (name)
	return stanza.stanza("mechanism"):text(name)
end)

local type_element = once(function (name)
	return stanza.stanza("channel-binding", { type = name })
end)

-- To check a name and a namespace costs ten times as much as a copy.
local empty_mechanisms = stanza.stanza("mechanisms", { xmlns = versions[1].xmlns })

local is_bound = once(function (name)
	return name:find "^SCRAM%-.+%-PLUS$" ~= nil
end)

-- The mechanisms with channel binding that the handler takes: a list, sorted. Prosody 0.12 offers them only with
-- tls-unique, so they may be the only mechanisms of the handler that are not disabled.
local function bound_mechanisms(handler, disabled)
	local list = {}
	for name in pairs(handler.mechs) do
		if is_bound[name] and not disabled:contains(name) then
			list[#list + 1] = name
		end
	end
	table.sort(list)
	return list
end

-- A type's function for a handler, which remembers that the client chose the type. `own`: the server's function, which
-- stays, or nil. A value that nobody can guess stands for one that has become unknown. The handler is not always
-- that of the offer: FAST (XEP-0484) takes the functions over into another.
local function value_function(connection, name, own)
	return function (handler, ...)
		chosen[handler] = name
		if own then
			return own(handler, ...)
		end
		return core.observer.channel_binding(connection, name) or require "util.random".bytes(32)
	end
end

-- A module for authentication may share its profile between sessions: a handler with values of one connection needs
-- one of its own, in front of the shared one. That may have tls-unique from another connection, which TLS 1.3 has not
-- (rfc9266.3.no-tls-unique).
local function own_profile(profile, connection)
	local bindings, own = {}, profile.cb or {}
	for name, value_of in pairs(own) do
		if name ~= "tls-unique" or core.observer.has_channel_binding(connection, name) then
			bindings[name] = value_function(connection, name, value_of)
		end
	end
	for _, name in ipairs(added_types) do
		if not own[name] and core.observer.has_channel_binding(connection, name) then
			bindings[name] = value_function(connection, name)
		end
	end
	return setmetatable({ cb = bindings }, { __index = profile })
end

-- A handler may be offered again, and has its types then.
local function add_types(session, handler, connection)
	if offers[session] ~= handler then
		handler.profile = own_profile(handler.profile, connection)
		offers[session] = handler
	end
end

local function has_child(element, text, attribute)
	local tags = element.tags
	for index = 1, #tags do
		local child = tags[index]
		if (attribute and child.attr[attribute] or child[1]) == text then
			return true
		end
	end
	return false
end

-- Adds the mechanisms that an element does not list yet.
local function add_mechanisms(element, names)
	for _, name in ipairs(names) do
		if not has_child(element, name) then
			element:add_direct_child(mechanism_element[name])
		end
	end
end

local function add_announced(element, bindings)
	for _, name in ipairs(known_types) do
		if bindings[name] and not has_child(element, name, "type") then
			element:add_direct_child(type_element[name])
		end
	end
	return element
end

-- Number of a set of known types -> the element that announces them, for all streams.
local announcements = {}

-- Another module may have added to the element of a stream before: then it is made anew.
local function announcement_of(bindings)
	local set, count = 0, 0
	for index = 1, #known_types do
		if bindings[known_types[index]] then
			set, count = set + 2 ^ index, count + 1
		end
	end
	local element = announcements[set]
	if not element or #element ~= count then
		element = add_announced(stanza.stanza("sasl-channel-binding", { xmlns = xmlns_binding }), bindings)
		announcements[set] = element
	end
	return element
end

-- The element of XEP-0440, which Prosody 13 has already.
local function announce(features, bindings)
	local element = features:get_child("sasl-channel-binding", xmlns_binding)
	if element then
		add_announced(element, bindings)
	else
		features:add_direct_child(announcement_of(bindings))
	end
end

-- The LuaSec connection of a session whose client can log in with channel binding now, or nil.
local function connection_of_login(server, session)
	local handler = session.sasl_handler
	if handler and handler.add_cb_handler and handler.profile and handler.mechs and not session.username then
		return server.connection(session)
	end
end

local function lists_in(features)
	local lists = {}
	for _, version in ipairs(versions) do
		lists[#lists + 1] = features:get_child(version.list, version.xmlns)
	end
	return lists
end

-- Whether mod_saslauth has made no list because all mechanisms are disabled that it takes for those of the handler. The
-- mod_saslauth of Prosody 0.12 knows of no channel binding under TLS 1.3. A list that is missing for another reason
-- stays missing.
local function has_made_no_list(handler, disabled, host)
	for name in pairs(handler:mechanisms()) do
		if not disabled:contains(name) then
			return false
		end
	end
	return modulemanager.is_loaded(host, "saslauth") == true
end

-- After the server has offered its mechanisms.
local function offer(server, session, features, disabled)
	local connection = connection_of_login(server, session)
	local handler = session.sasl_handler
	local names = connection and bound_mechanisms(handler, disabled)
	if not names or not names[1] then
		return
	end
	local lists = lists_in(features)
	-- Before the handler gets its types, as mod_saslauth saw it.
	local needs_list = not lists[1] and has_made_no_list(handler, disabled, server.host(session))
	add_types(session, handler, connection)
	if not next(handler.profile.cb) then
		return
	end
	if needs_list then
		lists[1] = stanza.clone(empty_mechanisms, true)
		features:add_direct_child(lists[1])
	end
	for _, list in ipairs(lists) do
		add_mechanisms(list, names)
	end
	announce(features, handler.profile.cb)
end

-- rfc5802.6.downgrade-is-refused: after an abort, or in the middle of a login, mod_saslauth would go on with a new
-- handler, which would know of no channel binding. After a failure, Prosody 0.12 forgets the connection.
local function keep_offer(session)
	local offered, handler = offers[session], session.sasl_handler
	if not offered or session.username then
		return
	elseif not handler or handler.selected then
		handler = offered:clean_clone()
		session.sasl_handler = handler
	end
	if handler.profile == offered.profile and not handler.userdata then
		handler.userdata = offered.userdata
	end
end

-- rfc5802.6.binding-finds-interception: somebody may read this stream, so no login passes on it any more, with or
-- without channel binding. Some clients try another mechanism at once.
local function refuse_after_mismatch(server, session)
	if mismatched[session] then
		server.close(session, "policy-violation", "A channel binding did not match on this stream")
		return true
	end
end

-- The text by which Prosody's SASL says that the values differ.
local MISMATCH = "Invalid channel binding value"

-- The events of a login that failed -> the field with SASL's text. Modules for SASL 2 fire their own, and in part the
-- other one, too.
local failures = { ["authentication-failure"] = "text", ["sasl2/c2s/failure"] = "error_text" }

local function note_mismatch(service, session, text)
	local handler = session.sasl_handler
	local name = handler and chosen[handler]
	if name and not mismatched[session] and tostring(text):find(MISMATCH, 1, true) then
		mismatched[session] = true
		service.binding_mismatches:add(session, name, handler.username)
	end
end

--- On a host: offers types to clients, and tells the service of logins and of values that differ.
function channel_binding_offer.hook(service, host_module)
	local host, server = host_module.host, service.server
	local disabled
	host_module:hook_global("config-reloaded", function ()
		disabled = nil
	end)
	-- After mod_saslauth (0), and modules for SASL 2.
	safe_hooks.hook(host_module, "stream-features", function (event)
		local policy, session = service.policies:policy_for(host), event.origin
		-- A stream may have a new handler, and after a login it has none.
		if offers[session] ~= session.sasl_handler then
			offers[session] = nil
		end
		if policy.channel_binding and policy.mode ~= "report" then
			disabled = disabled or host_module:get_option_set("disable_sasl_mechanisms", { "DIGEST-MD5" })
			offer(server, session, event.features, disabled)
		end
	end, -2)
	-- Before mod_saslauth (0), and modules for SASL 2.
	for _, version in ipairs(versions) do
		safe_hooks.hook(host_module, ("stanza/%s:%s"):format(version.xmlns, version.login), function (event)
			if refuse_after_mismatch(server, event.origin) then
				return true
			end
			keep_offer(event.origin)
		end, 1)
	end
	-- XEP-0078.
	safe_hooks.hook(host_module, "stanza/iq/jabber:iq:auth:query", function (event)
		return refuse_after_mismatch(server, event.origin)
	end, 1)
	for name, text_field in pairs(failures) do
		safe_hooks.hook(host_module, name, function (event)
			note_mismatch(service, event.session, event[text_field])
		end, 1)
	end
end

--- The type by which a client has bound a login to its connection; nil: none. `handler`: the login's SASL handler,
-- or nil.
function channel_binding_offer.of_login(handler)
	return handler and chosen[handler]
end

return channel_binding_offer
