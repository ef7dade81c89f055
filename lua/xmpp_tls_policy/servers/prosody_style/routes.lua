--- Which stream a stanza takes to another server. The server may hold a stream for a domain as which
-- its peer has not authenticated, and may send replies on the route of the stream that they answer.
local jid = require "util.jid"

--- The functions for one server. `parts`: { root = the server's table { hosts }, fail_closed, hosts, safe_hooks,
-- sessions }.
return function (parts)

local root, fail_closed, hosts, safe_hooks = parts.root, parts.fail_closed, parts.hosts, parts.safe_hooks
local sessions = parts.sessions

local routes = {}

-- Hands a stanza to the route of its own pair. Returns what the event returns.
local function route(origin, host, domain, stanza)
	return root.hosts[host].events.fire_event("route/remote", {
		origin = origin, from_host = host, to_host = domain, stanza = stanza,
	})
end

-- The stream that mod_s2s would take.
local function present_stream(from, to)
	local of_host = root.hosts[from]
	return of_host and of_host.s2sout and of_host.s2sout[to]
end

-- Makes a stanza take a stream that is admitted for its pair. True if it was sent.
local function choose_stream(admission, event)
	local from, to = event.from_host, event.to_host
	local host, domain = admission:pair_of(event.stanza, from, to)
	if (host ~= from or domain ~= to) and hosts.is_host(host) and not hosts.is_host(domain)
		and admission:is_enforced_for(host, domain) then
		return route(event.origin, host, domain, event.stanza)
	end
	local present = present_stream(from, to)
	if present and sessions.is_authenticated(present) and not admission:may_send(present, from, to)
		and present_stream(from, to) == present then
		-- mod_s2s opens a stream of its own then.
		root.hosts[from].s2sout[to] = nil
	end
end

--- The handler of the event route/remote, before mod_s2s looks for a stream.
function routes.handler(admission)
	local is_known = admission.is_known
	return function (event)
		local of_host = root.hosts[event.from_host]
		local present = of_host and of_host.s2sout and of_host.s2sout[event.to_host]
		local attr = event.stanza.attr
		-- The field is that of sessions.stream.
		if present and is_known(admission, present.tls_policy_stream, "out", attr.from, attr.to) then
			return nil
		end
		local done, result = safe_hooks.call("route/remote", choose_stream, admission, event)
		if done then
			return result or nil
		end
		-- The pair of the stanza is unknown, so it goes nowhere.
		local _, own = jid.prepped_split(attr.from)
		if fail_closed.should_enforce(event.from_host) or own and fail_closed.should_enforce(own) then
			return false
		end
	end
end

--- Hands a stanza that may not leave on a session to the route of its own pair, if that is another.
function routes.reroute(admission)
	return function (session, stanza)
		local host, domain = admission:domain_of(stanza.attr.from), admission:domain_of(stanza.attr.to)
		if hosts.is_host(host) and domain and not hosts.is_host(domain)
			and root.hosts[host].s2sout[domain] ~= session then
			route(root.hosts[host], host, domain, stanza)
		end
	end
end

return routes

end
