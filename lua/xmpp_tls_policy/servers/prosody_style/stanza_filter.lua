--- Asks the admission about each element that comes in on a session, and about each stanza that is
-- sent to another server.
local jid = require "util.jid"

--- The functions for one server. `parts`: { root = the server's table { hosts }, fail_closed, filters, safe_hooks,
-- sessions, process = function(session, element): gives an element to its handlers,
-- is_stanza = function(data) -> whether it is an element }.
return function (parts)

local root, fail_closed, filters = parts.root, parts.fail_closed, parts.filters
local safe_hooks, sessions, process = parts.safe_hooks, parts.sessions, parts.process

local stanza_filter = {}

-- Ends the previous filter, which a failed load of the module may have left.
local stop

-- Before the filters of other modules.
local PRIORITY = 1000

local is_stanza = parts.is_stanza
local stream_of = sessions.stream
local is_server = { s2sin = true, s2sout = true }
-- Of clients, only elements before authentication are judged.
local is_client = { c2s = true, c2s_unbound = true }
local stanza_names = { message = true, presence = true, iq = true }
local stanza_namespaces = { ["jabber:client"] = true, ["jabber:server"] = true }

-- Whether an element with the name of a stanza is one.
local function is_sent_stanza(element)
	return is_stanza(element) and (not element.attr.xmlns or stanza_namespaces[element.attr.xmlns])
end

-- Needs nothing of ours, for when the admission failed.
local function domain_of(address)
	local _, domain = jid.prepped_split(address)
	return domain
end

-- Session -> number of its elements that wait for a decision in its coroutine.
local waiting = setmetatable({}, { __mode = "k" })

-- Elements on which a decision was made there.
local decided = setmetatable({}, { __mode = "k" })

-- Decides on an element in the session's coroutine, and hands it on from there. Elements behind it
-- wait in the same queue.
local function decide_in_order(session, element, decide)
	waiting[session] = (waiting[session] or 0) + 1
	sessions.in_order(session, function ()
		local may = decide(element, session)
		waiting[session] = waiting[session] > 1 and waiting[session] - 1 or nil
		if not may or sessions.is_destroyed(session) then
			return
		end
		decided[element] = true
		element = session.filter("stanzas/in", element)
		if element then
			process(session, element)
		end
	end)
end

-- Whether a handler of another module may take its time for the decision on an element: for its verdict, or to find
-- out whether a certificate is valid. Before TLS none is asked.
local function may_wait(admission, session, to)
	local stream = stream_of(session)
	if not sessions.is_secure(session) and not (stream and stream.facts) then
		return false
	end
	local own = sessions.host(session)
	if admission:awaits_certificate_check(session) or admission:is_asked_of_others(own) then
		return true
	end
	local target = admission:domain_of(to)
	return target ~= nil and target ~= own and root.hosts[target] ~= nil and admission:is_asked_of_others(target)
end

-- The filter of elements that come in. `state`: { active = whether decisions are made }.
local function incoming_filter(admission, hooks, state)
	local is_known = admission.is_known

	local function decide(element, session)
		local done, may = safe_hooks.call("elements that come in", admission.may_pass, admission, session, element)
		if not done then
			may = not hooks:refuse(session, domain_of(element.attr.to))
		end
		return may
	end

	return function (element, session)
		local kind = session.type
		if is_server[kind] and not waiting[session] then
			local attr = element.attr
			-- Dialback has pairs of its own, whatever was admitted. The field is that of sessions.stream.
			if attr and not attr.xmlns and is_known(admission, session.tls_policy_stream, "in", attr.to, attr.from) then
				return element
			end
		end
		local is_free = (is_client[kind] or not state.active) and not waiting[session]
		if is_free or not is_stanza(element) or decided[element] or not sessions.role(session) then
			return element
		elseif waiting[session] or may_wait(admission, session, element.attr.to) then
			decide_in_order(session, element, decide)
			return nil
		end
		return decide(element, session) and element or nil
	end
end

-- The filter of stanzas that leave on a session for another server. `reroute`: see stanza_filter.start.
local function outgoing_filter(admission, hooks, reroute, state)
	local is_known = admission.is_known
	return function (element, session)
		if not stanza_names[element.name] or not state.active then
			return element
		end
		local attr = element.attr
		if attr and is_known(admission, session.tls_policy_stream, "out", attr.from, attr.to)
			or not is_sent_stanza(element) then
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
end

--- Filters all sessions, those in the list `present` and those that come. `admission`: see
-- stream/admission.lua; `hooks`: see safe_hooks.lua; `reroute`: function(session, stanza), for a
-- stanza that may not leave on a session. Returns a function that ends the filter.
function stanza_filter.start(admission, hooks, reroute, present)
	if stop then
		stop()
	end
	local state = { active = true }
	local stanza_out = outgoing_filter(admission, hooks, reroute, state)
	local filtered = setmetatable({}, { __mode = "k" })
	local function add(session)
		if session.direction then
			filters.add(session, "stanzas/out", stanza_out, PRIORITY)
			filtered[session] = true
		end
	end
	fail_closed.set_filter(incoming_filter(admission, hooks, state))
	filters.add_hook(add)
	for _, session in ipairs(present) do
		add(session)
	end
	function stop()
		state.active = false
		fail_closed.set_filter(nil)
		filters.remove_hook(add)
		for session in pairs(filtered) do
			filters.remove(session, "stanzas/out", stanza_out)
		end
	end
	return stop
end

return stanza_filter

end
