--- Asks the admission about each element that comes in on a session, and about each stanza that is
-- sent to another server.
local filters = require "util.filters"
local jid = require "util.jid"
local safe_hooks = require "xmpp_tls_policy.servers.prosody.safe_hooks"
local sessions = require "xmpp_tls_policy.servers.prosody.sessions"
local stanza = require "util.stanza"

local stanza_filter = {}

-- Ends the previous filter, which a failed load of the module may have left.
local stop

-- Before the filters of other modules, after fail_closed's.
local PRIORITY = 1000

local is_stanza = stanza.is_stanza
local is_server = { s2sin = true, s2sout = true }
local stanza_names = { message = true, presence = true, iq = true }
local stanza_namespaces = { ["jabber:client"] = true, ["jabber:server"] = true }

local function is_sent_stanza(element)
	return is_stanza(element) and stanza_names[element.name]
		and (not element.attr.xmlns or stanza_namespaces[element.attr.xmlns])
end

-- Needs nothing of ours, for when the admission failed.
local function domain_of(address)
	local _, domain = jid.prepped_split(address)
	return domain
end

--- Filters all sessions, those in the list `present` and those that come. `admission`: see
-- stream/admission.lua; `hooks`: see safe_hooks.lua; `reroute`: function(session, stanza), for a
-- stanza that may not leave on a session. Returns a function that ends the filter.
function stanza_filter.start(admission, hooks, reroute, present)
	if stop then
		stop()
	end
	local active = true

	local function element_in(element, session)
		local kind = session.type
		if kind == "c2s" or not active or not is_stanza(element) then
			return element
		end
		local attr = element.attr
		-- Dialback has pairs of its own, whatever was admitted.
		local is_known = is_server[kind] and not attr.xmlns and admission:is_known(session, "in", attr.to, attr.from)
		if is_known or not sessions.role(session) then
			return element
		end
		local done, may = safe_hooks.call("elements that come in", admission.may_pass, admission, session, element)
		if not done then
			may = not hooks:refuse(session, domain_of(element.attr.to))
		end
		return may and element or nil
	end

	local function stanza_out(element, session)
		if not active or not is_sent_stanza(element)
			or admission:is_known(session, "out", element.attr.from, element.attr.to) then
			return element
		end
		local done, may = safe_hooks.call("stanzas to other servers", admission.may_send_stanza, admission, session, element)
		if not done then
			may = not hooks:refuse(session, domain_of(element.attr.from))
		elseif not may then
			safe_hooks.call("stanzas to other servers", reroute, session, element)
		end
		return may and element or nil
	end

	local filtered = setmetatable({}, { __mode = "k" })
	local function add(session)
		filters.add_filter(session, "stanzas/in", element_in, PRIORITY)
		if session.direction then
			filters.add_filter(session, "stanzas/out", stanza_out, PRIORITY)
		end
		filtered[session] = true
	end
	filters.add_filter_hook(add)
	for _, session in ipairs(present) do
		add(session)
	end
	function stop()
		active = false
		filters.remove_filter_hook(add)
		for session in pairs(filtered) do
			filters.remove_filter(session, "stanzas/in", element_in)
			filters.remove_filter(session, "stanzas/out", stanza_out)
		end
	end
	return stop
end

return stanza_filter
