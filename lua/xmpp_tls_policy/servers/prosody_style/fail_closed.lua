--- Fails closed: while the module should be active on a host and is not, clients and servers are
-- refused there. Prosody-style servers go on without a module that fails to load, and would take
-- connections under their own TLS policy. The library and the core may be missing: this file requires only
-- log_limit and text, which require none but invisible.lua.
local jid = require "util.jid"
local log = require "util.logger".init "tls_policy"
local log_limit = require "xmpp_tls_policy.log_limit"
local text = require "xmpp_tls_policy.text"
local timer = require "util.timer"

--- The functions for one server. `parts`: { root = the server's table { hosts, events }, filters, hosts, sessions,
-- events = list of the events of a host in which streams are refused }; these require none of ours but
-- files of this kind.
return function (parts)

local root, filters, hosts, sessions = parts.root, parts.filters, parts.hosts, parts.sessions

local fail_closed = {}

-- The module, and the name of its option.
local name = "xmpp_tls_policy"

local not_active = "the TLS policy of this server is not active; its log says why"

local advice = "Fix that and restart the server. To go on without the policy, take " .. name
	.. " out of modules_enabled and reload the configuration"

-- Before all other handlers: one that fails keeps the server from calling those after it.
local first = 1e6

-- Host -> true where the load of the module has finished; "*": its global part.
local active = {}
-- Host -> true where an administrator unloaded it.
local released = {}
-- The reason why the module is not active, if it gave one.
local reason
-- The module of a load that did not finish.
local unfinished
-- The lines that were logged last.
local said
-- From fail_closed.start to fail_closed.stop.
local watching = false
-- Whether all handlers of this file are there.
local installed = false
-- Whether the last call of fail_closed.start has finished.
local started = false

---- Questions ------------------------------------------------------------------

--- Whether the operator configured report mode for a host (nil: for all). Reads the option as it
-- is written, since the code that checks options may have failed.
function fail_closed.only_reports(host)
	local all, own = hosts.option("*", name), host and hosts.option(host, name)
	all, own = type(all) == "table" and all or {}, type(own) == "table" and own or {}
	return (own.mode or all.mode) == "report"
end

--- Whether the operator wants the policy enforced on a host. Reads the configuration alone.
function fail_closed.should_enforce(host)
	return watching and not released[host] and hosts.wants_module(host, name) and not fail_closed.only_reports(host)
end

local function is_missing(host)
	if not watching or active["*"] and (not host or active[host] or released[host]) then
		return false
	end
	return hosts.wants_module(host or "*", name)
end

local function is_closed(host)
	return is_missing(host) and not fail_closed.only_reports(host)
end

-- Whether no host is closed. Asked for each element, so it is computed only after a change.
local all_open

local function is_all_open()
	if all_open == nil then
		all_open = not is_closed(nil)
		for host in pairs(root.hosts) do
			all_open = all_open and not is_closed(host)
		end
	end
	return all_open
end

---- The log --------------------------------------------------------------------

-- The beginning of a message of many lines, as `require` has them.
local function in_one_line(message)
	local line = tostring(message):gsub("%s*stack traceback:.*", ""):gsub("^%S+%.lua:%d+: ", ""):gsub("%s+", " ")
	return #line <= 300 and line or line:sub(1, 300) .. " ..."
end

local function why()
	return reason and reason .. " (" .. hosts.versions() .. ")" or "see the error above"
end

-- Logs the hosts on which connections are refused, after a change.
local function tell()
	local lists = { {}, {} }
	for host in pairs(root.hosts) do
		if is_missing(host) then
			table.insert(lists[fail_closed.only_reports(host) and 2 or 1], host)
		end
	end
	local lines = {}
	for index, sentence in ipairs {
		"Refusing all clients and servers on %s: mod_%s is not active: %s. %s.",
		"No report is made on %s: mod_%s is not active: %s. %s.",
	} do
		table.sort(lists[index])
		lines[#lines + 1] = lists[index][1] and sentence:format(table.concat(lists[index], ", "), name, why(), advice)
	end
	local all = table.concat(lines, "\n")
	if all ~= said then
		for _, line in ipairs(lines) do
			log("error", "%s", line)
		end
		if all == "" and said then
			log("info", "Accepting connections again: mod_%s is active wherever modules_enabled lists it", name)
		end
	end
	said = (all ~= "" or said) and all
end

-- To be called after each change. It is logged once the server has handled its event, in which
-- it may still try another host.
local telling = false
local function note_change()
	all_open = nil
	if not telling then
		telling = true
		timer.add_task(0, function ()
			telling = false
			tell()
		end)
	end
end

local lines = log_limit.new { now = function () return os.time() end, lines = math.huge }

--- Writes a line at level error, at most one a minute of each kind, since peers may be able to
-- cause any number. `write`: function(level, format, …); `kind`: one of a few strings, with which
-- the line begins.
function fail_closed.log_limited(write, kind, message)
	local allowed, suppressed = lines:allows(kind)
	if allowed then
		local before = suppressed > 0 and (" (and %d times before)"):format(suppressed) or ""
		write("error", "%s%s: %s", kind, before, text.shown_failure(tostring(message)))
	end
end

---- Streams ----------------------------------------------------------------------

local function is_unauthenticated(session)
	return sessions.role(session) ~= nil and not sessions.is_authenticated(session)
end

local function is_server(session)
	return session.type == "s2sin" or session.type == "s2sout"
end

--- Ends a session of which it is not known whether the policy allows it. Never throws.
function fail_closed.refuse(session)
	local closed, problem = pcall(sessions.close, session, "internal-server-error", not_active)
	if closed then
		return
	end
	fail_closed.log_limited(session.log or log, "A stream could not be closed, so its connection is", tostring(problem))
	local conn = session.conn
	closed, problem = pcall(function ()
		return conn and conn:close()
	end)
	if not closed then
		fail_closed.log_limited(session.log or log, "A connection could not be closed", tostring(problem))
	end
end

local function refuse_session(session)
	fail_closed.log_limited(session.log, "Refused a stream", ("%s, %s, %s: mod_%s is not active: %s"):format(
		tostring(session.type):match "^%w*", sessions.host(session) or "any host",
		text.shown(sessions.peer(session) or session.ip or "unknown address"), name, why()))
	fail_closed.refuse(session)
end

-- Whether an element is for a closed host that is not the one of its stream.
local function is_for_another(session, element)
	local _, host = jid.prepped_split(element.attr.to)
	return host and host ~= sessions.host(session) and root.hosts[host] and is_closed(host)
end

-- Whether an element has to stop here.
local function may_not_pass(session, element)
	if is_all_open() then
		return false
	elseif is_unauthenticated(session) then
		return sessions.speaks_xmpp_itself(session)
			and (is_closed(sessions.host(session)) or is_for_another(session, element))
	end
	return is_server(session) and is_for_another(session, element)
end

-- The filter of the module itself, while it is active. It is called from here, because each filter of
-- a server's costs each session and each element.
local filter_of_module

-- Whether an element goes on to the filters that follow. The session is ended otherwise.
local function may_go_on(element, session)
	local done, closed = pcall(may_not_pass, session, element)
	if done and not closed then
		return true
	elseif not done then
		fail_closed.log_limited(session.log, "Internal error in the check whether the policy is active",
			tostring(closed))
	end
	refuse_session(session)
	return false
end

local function pass(element, session)
	if not all_open and not may_go_on(element, session) then
		return nil
	elseif filter_of_module then
		return filter_of_module(element, session)
	end
	return element
end

local function add_filter(session)
	filters.add(session, "stanzas/in", pass, first)
end

--- Gives elements that come in to function(element, session) -> element or nil, before all filters of
-- other modules; nil: to none.
function fail_closed.set_filter(filter)
	filter_of_module = filter
end

local function refuse_stream(event)
	if all_open then
		return nil
	end
	local session = event.origin or event
	if sessions.speaks_xmpp_itself(session) and is_unauthenticated(session) and is_closed(sessions.host(session)) then
		refuse_session(session)
		return true
	end
end

local watched = parts.events

-- Host -> handler of the event that a server authenticates for it: on a stream that is older than
-- the failure or belongs to another host, by dialback (xep0220.1.2.pair-of-domains).
local refuse_authentication = setmetatable({}, { __index = function (handlers, host)
	handlers[host] = function (event)
		if not all_open and is_closed(host) then
			refuse_session(event.session)
			return false
		end
	end
	return handlers[host]
end })

local function watch(host)
	local events = root.hosts[host].events
	for _, event in ipairs(watched) do
		events.add_handler(event, refuse_stream, first)
	end
	events.add_handler("s2s-authenticated", refuse_authentication[host], first)
	note_change()
end

-- A server unloads modules from a host that it deactivates, as an administrator would. When the
-- host is activated again, the configuration counts.
local function forget(host)
	active[host], released[host] = nil, nil
	note_change()
end

---- Life --------------------------------------------------------------------------

-- The server does not remove the handlers of a module that failed.
local function clear_up(module)
	for object, event, handler in module.event_handlers:iter(nil, nil, nil) do
		object.remove_handler(event, handler)
	end
	module.loaded = false
end

-- Harmless if an earlier attempt has failed half way: the server keeps each handler once.
local function install(module)
	filters.remove_hook(add_filter)
	filters.add_hook(add_filter)
	for _, session in ipairs(sessions.all(module)) do
		add_filter(session)
	end
	root.events.add_handler("host-activated", watch, first)
	root.events.add_handler("host-deactivated", forget, first)
	root.events.add_handler("config-reloaded", note_change, first)
	for host in pairs(root.hosts) do
		watch(host)
	end
	installed = true
end

--- To be called first when the module is loaded or reloaded. Wherever the configuration enables the
-- module, connections are refused from now on until fail_closed.open was called for "*" and for the
-- host. `module`: ours.
function fail_closed.start(module)
	started = false
	local before = unfinished
	unfinished, reason, active["*"], all_open = module, nil, nil, nil
	if before then
		clear_up(before)
	end
	watching = true
	if not installed then
		install(module)
	end
	note_change()
	started = true
end

--- Whether the last call of fail_closed.start has finished. If not, connections may not be refused
-- where they have to be.
function fail_closed.has_started()
	return started
end

--- The module does not load, for a known reason; it can be unloaded all the same.
function fail_closed.stay_closed(problem)
	unfinished, reason = nil, in_one_line(problem)
	note_change()
end

--- The module is active on a host ("*": its global part).
function fail_closed.open(host)
	if host == "*" then
		unfinished = nil
	end
	active[host], released[host] = true, nil
	note_change()
end

--- The module is about to become active on a host, which may fail.
function fail_closed.close(host)
	active[host], released[host] = nil, nil
	note_change()
end

--- An administrator unloads the module from a host.
function fail_closed.release(host)
	active[host], released[host] = nil, true
	note_change()
end

--- Whether an administrator unloaded the module from a host, and did not load it again.
function fail_closed.was_released(host)
	return released[host] or false
end

--- An administrator unloads the module altogether: nothing is refused any more.
function fail_closed.stop()
	log("info", "mod_%s is unloaded: connections are accepted under the server's own TLS policy", name)
	watching, installed, unfinished, reason, said, all_open = false, false, nil, nil, nil, nil
	active, released = {}, {}
	filters.remove_hook(add_filter)
	root.events.remove_handler("host-activated", watch)
	root.events.remove_handler("host-deactivated", forget)
	root.events.remove_handler("config-reloaded", note_change)
	for host, session in pairs(root.hosts) do
		for _, event in ipairs(watched) do
			session.events.remove_handler(event, refuse_stream)
		end
		session.events.remove_handler("s2s-authenticated", refuse_authentication[host])
	end
end

return fail_closed

end
