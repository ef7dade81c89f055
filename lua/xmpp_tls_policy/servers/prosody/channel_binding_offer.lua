--- Channel bindings for the logins of clients: those that Prosody does not offer by itself are offered and
-- announced, each with the value of this very connection.
local core = require "xmpp_tls_policy.core"
local safe_hooks = require "xmpp_tls_policy.servers.prosody.safe_hooks"

local channel_binding_offer = {}

-- Session -> the type that the client chose in its latest login.
local chosen = setmetatable({}, { __mode = "k" })

local xmlns_sasl, xmlns_binding = "urn:ietf:params:xml:ns:xmpp-sasl", "urn:xmpp:sasl-cb:0"

local added_types = { "tls-exporter", "tls-server-end-point" }

-- Adds what an element's children of a name say in their text, or in an attribute, to a set.
local function children_of(element, name, attribute)
	local found = {}
	for child in element:childtags(name) do
		found[attribute and child.attr[attribute] or child:get_text() or ""] = true
	end
	return found
end

-- The mechanisms with channel binding that the handler has for those in the offer: a list. Prosody 0.12
-- offers them only with tls-unique.
local function bound_mechanisms(handler, offered, disabled)
	local missing, has_any = {}, false
	for name in pairs(offered) do
		local bound = name .. "-PLUS"
		if name:find "^SCRAM%-" and handler.mechs[bound] and not disabled:contains(bound) then
			has_any = true
			missing[#missing + 1] = not offered[bound] and bound or nil
		end
	end
	table.sort(missing)
	return missing, has_any
end

-- Makes the handler's functions remember that a client chose their type.
local function remember_choices(session, bindings)
	for name, value_of in pairs(bindings) do
		bindings[name] = function (...)
			chosen[session] = name
			return value_of(...)
		end
	end
end

-- A value that nobody can guess stands for one that has become unknown.
local function value_function(connection, name)
	return function ()
		return core.observer.channel_binding(connection, name) or require "util.random".bytes(32)
	end
end

local function add_types(server, session, handler)
	local connection = server.connection(session)
	for _, name in ipairs(added_types) do
		local present = handler.profile.cb and handler.profile.cb[name]
		if not present and core.observer.channel_binding(connection, name) then
			handler:add_cb_handler(name, value_function(connection, name))
		end
	end
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
		features:tag("sasl-channel-binding", { xmlns = xmlns_binding }):up()
		element = features:get_child("sasl-channel-binding", xmlns_binding)
	end
	for _, name in ipairs(names) do
		element:tag("channel-binding", { type = name }):up()
	end
end

local function can_bind(server, session)
	local handler = session.sasl_handler
	return handler and handler.add_cb_handler and handler.profile and handler.mechs and not session.username
		and server.speaks_xmpp_itself(session) and server.connection(session) ~= nil
end

-- After mod_saslauth has offered its mechanisms. A type that the server offers by itself stays its own.
local function offer(server, session, features, disabled)
	local mechanisms = features:get_child("mechanisms", xmlns_sasl)
	if not mechanisms or not can_bind(server, session) then
		return
	end
	local handler = session.sasl_handler
	local missing, has_any = bound_mechanisms(handler, children_of(mechanisms, "mechanism"), disabled)
	if not has_any then
		return
	end
	add_types(server, session, handler)
	if not handler.profile.cb or not next(handler.profile.cb) then
		return
	end
	remember_choices(session, handler.profile.cb)
	for _, name in ipairs(missing) do
		mechanisms:tag("mechanism"):text(name):up()
	end
	announce(features, handler.profile.cb)
end

-- The text by which Prosody's SASL says that the values differ.
local MISMATCH = "Invalid channel binding value"

--- On a host: offers types to clients, and tells the service of logins and of values that differ.
function channel_binding_offer.hook(service, host_module)
	local host, server = host_module.host, service.server
	-- After mod_saslauth (0).
	safe_hooks.hook(host_module, "stream-features", function (event)
		local policy = service.policies:policy_for(host)
		if policy.channel_binding and policy.mode ~= "report" then
			offer(server, event.origin, event.features,
				host_module:get_option_set("disable_sasl_mechanisms", { "DIGEST-MD5" }))
		end
	end, -2)
	safe_hooks.hook(host_module, "authentication-failure", function (event)
		local session = event.session
		local name = chosen[session]
		chosen[session] = nil
		if name and tostring(event.text):find(MISMATCH, 1, true) then
			service.binding_mismatches:add(session, name, session.sasl_handler and session.sasl_handler.username)
		end
	end)
end

--- The type by which a client has bound its login to its connection; nil: none.
function channel_binding_offer.of_login(session)
	return chosen[session]
end

return channel_binding_offer
