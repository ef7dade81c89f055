--- Channel bindings for the logins of clients: those that Prosody does not offer by itself are offered and
-- announced, each with the value of this very connection.
local core = require "xmpp_tls_policy.core"
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

-- Elements of the features that are alike on all streams: mechanism -> element, type -> element. To build them anew
-- was a third of the cost of the offer. Nothing changes an element without children once it is in the features.
local mechanism_elements, type_elements = {}, {}

local function mechanism_element(name)
	mechanism_elements[name] = mechanism_elements[name] or stanza.stanza("mechanism"):text(name)
	return mechanism_elements[name]
end

local function type_element(name)
	type_elements[name] = type_elements[name] or stanza.stanza("channel-binding", { type = name })
	return type_elements[name]
end

-- Adds what an element's children of a name say in their text, or in an attribute, to a set.
local function children_of(element, name, attribute)
	local found = {}
	for child in element:childtags(name) do
		found[attribute and child.attr[attribute] or child:get_text() or ""] = true
	end
	return found
end

-- The mechanisms with channel binding that the handler has, if they are in the offer with or without it: a list of
-- those that are missing, and whether there are any. Prosody 0.12 offers them only with tls-unique.
local function bound_mechanisms(handler, offered, disabled)
	local missing, has_any = {}, false
	for bound in pairs(handler.mechs) do
		local name = bound:match "^(SCRAM%-.+)%-PLUS$"
		if name and (offered[name] or offered[bound]) and not disabled:contains(bound) then
			has_any = true
			missing[#missing + 1] = not offered[bound] and bound or nil
		end
	end
	table.sort(missing)
	return missing, has_any
end

local function copy_of(original)
	local copy = setmetatable({}, getmetatable(original))
	for key, value in pairs(original) do
		copy[key] = value
	end
	return copy
end

-- A module for authentication may share its profile between sessions: a handler with functions for one connection
-- needs a profile of its own.
local function own_profile(handler)
	handler.profile = copy_of(handler.profile)
	handler.profile.cb = handler.profile.cb and copy_of(handler.profile.cb)
end

-- Makes the handler's functions remember that a client chose their type.
local function remember_choices(bindings)
	for name, value_of in pairs(bindings) do
		bindings[name] = function (handler, ...)
			chosen[handler] = name
			return value_of(handler, ...)
		end
	end
end

-- A value that nobody can guess stands for one that has become unknown.
local function value_function(connection, name)
	return function ()
		return core.observer.channel_binding(connection, name) or require "util.random".bytes(32)
	end
end

-- A handler may be offered again, and has its types then.
local function add_types(server, session, handler)
	if offers[session] == handler then
		return
	end
	local connection = server.connection(session)
	own_profile(handler)
	for _, name in ipairs(added_types) do
		local present = handler.profile.cb and handler.profile.cb[name]
		if not present and core.observer.has_channel_binding(connection, name) then
			handler:add_cb_handler(name, value_function(connection, name))
		end
	end
	remember_choices(handler.profile.cb or {})
	offers[session] = handler
end

-- The element of XEP-0440, which Prosody 13 has already.
local function announce(features, bindings)
	local element = features:get_child("sasl-channel-binding", xmlns_binding)
	local announced, names = element and children_of(element, "channel-binding", "type") or {}, {}
	for name in pairs(bindings) do
		names[#names + 1] = not announced[name] and name or nil
	end
	table.sort(names)
	if not element then
		element = stanza.stanza("sasl-channel-binding", { xmlns = xmlns_binding })
		features:add_direct_child(element)
	end
	for _, name in ipairs(names) do
		element:add_direct_child(type_element(name))
	end
end

local function can_bind(server, session)
	local handler = session.sasl_handler
	return handler and handler.add_cb_handler and handler.profile and handler.mechs and not session.username
		and server.speaks_xmpp_itself(session) and server.connection(session) ~= nil
end

-- The lists of mechanisms in the features to which those with channel binding belong: { element, missing }.
local function lists_to_extend(features, handler, disabled)
	local lists = {}
	for _, version in ipairs(versions) do
		local element = features:get_child(version.list, version.xmlns)
		if element then
			local missing, has_any = bound_mechanisms(handler, children_of(element, "mechanism"), disabled)
			lists[#lists + 1] = has_any and { element = element, missing = missing } or nil
		end
	end
	return lists
end

-- After the server has offered its mechanisms. A type that the server offers by itself stays its own.
local function offer(server, session, features, host_module)
	if not can_bind(server, session) then
		return
	end
	local handler = session.sasl_handler
	local disabled = host_module:get_option_set("disable_sasl_mechanisms", { "DIGEST-MD5" })
	local lists = lists_to_extend(features, handler, disabled)
	if not lists[1] then
		return
	end
	add_types(server, session, handler)
	if not handler.profile.cb or not next(handler.profile.cb) then
		return
	end
	for _, list in ipairs(lists) do
		for _, name in ipairs(list.missing) do
			list.element:add_direct_child(mechanism_element(name))
		end
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

--- On a host: offers types to clients, and tells the service of logins and of values that differ.
function channel_binding_offer.hook(service, host_module)
	local host, server = host_module.host, service.server
	-- After mod_saslauth (0), and modules for SASL 2.
	safe_hooks.hook(host_module, "stream-features", function (event)
		local policy, session = service.policies:policy_for(host), event.origin
		-- A stream may have a new handler, and after a login it has none.
		if offers[session] ~= session.sasl_handler then
			offers[session] = nil
		end
		if policy.channel_binding and policy.mode ~= "report" then
			offer(server, session, event.features, host_module)
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
	safe_hooks.hook(host_module, "authentication-failure", function (event)
		local handler = event.session.sasl_handler
		local name = handler and chosen[handler]
		if name and tostring(event.text):find(MISMATCH, 1, true) then
			mismatched[event.session] = true
			service.binding_mismatches:add(event.session, name, handler.username)
		end
	end)
end

--- The type by which a client has bound a login to its connection; nil: none. `handler`: the login's SASL handler,
-- or nil.
function channel_binding_offer.of_login(handler)
	return handler and chosen[handler]
end

return channel_binding_offer
