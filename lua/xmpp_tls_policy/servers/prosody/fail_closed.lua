--- Who is let in where the policy ought to be in force and is not: nobody. Prosody goes on
-- without a module that fails to load, and takes connections under a policy of its own.
-- Needs nothing of the library, which may be what is missing.
local filters = require "util.filters"
local jid = require "util.jid"
local log = require "util.logger".init "tls_policy"
local log_limit = require "xmpp_tls_policy.log_limit"
local server = require "xmpp_tls_policy.servers.prosody.server"
local timer = require "util.timer"

local gate = {}

-- The module, and the name of its option.
local name = "xmpp_tls_policy"

local text = "the TLS policy of this server is not in force; its log says why"

local advice = "Mend that and restart the server; or take " .. name .. " out of modules_enabled and reload the "
	.. "configuration, to go on without it"

-- Before all others' handlers.
local first = 1e6

local unauthenticated = { c2s_unauthed = true, s2sin_unauthed = true, s2sout_unauthed = true }
local servers = { s2sin = true, s2sout = true }

-- Host -> true where the module came to the end of its loading; "*": its global part.
local in_place = {}
-- Host -> true where an administrator unloaded it.
local let_go = {}
-- Why the module is not in force, as far as it could say so itself.
local reason
-- The module of an attempt to load that came to no end.
local unfinished
-- What was said last.
local said
-- From gate.start to gate.stop.
local watching = false

---- Questions ------------------------------------------------------------------

--- Whether the operator wants the policy only reported on, for a host (nil: for all). By
-- what is written, as what reads it may be what fails.
function gate.only_reports(host)
	local all, own = server.option("*", name), host and server.option(host, name)
	all, own = type(all) == "table" and all or {}, type(own) == "table" and own or {}
	return (own.mode or all.mode) == "report"
end

local function is_missing(host)
	if not watching or in_place["*"] and (not host or in_place[host] or let_go[host]) then
		return false
	end
	return server.wants_module(host or "*", name)
end

local function is_shut(host)
	return is_missing(host) and not gate.only_reports(host)
end

-- Whether no host is shut: asked for each element, and another only after a change.
local all_open

local function is_all_open()
	if all_open == nil then
		all_open = not is_shut(nil)
		for host in pairs(prosody.hosts) do
			all_open = all_open and not is_shut(host)
		end
	end
	return all_open
end

---- What is said ----------------------------------------------------------------

-- Of a message of many lines, as `require` has them, what it says first.
local function in_one_line(message)
	local line = tostring(message):gsub("%s*stack traceback:.*", ""):gsub("^%S+%.lua:%d+: ", ""):gsub("%s+", " ")
	return #line <= 300 and line or line:sub(1, 300) .. " ..."
end

local function why()
	return reason and reason .. " (" .. server.versions() .. ")" or "the log says above what failed"
end

-- A line for each of what is and what is not refused, when it has changed.
local function tell()
	local lists = { {}, {} }
	for host in pairs(prosody.hosts) do
		if is_missing(host) then
			table.insert(lists[gate.only_reports(host) and 2 or 1], host)
		end
	end
	local lines = {}
	for index, sentence in ipairs {
		"No client and no server is let in to %s, because mod_%s is not in force: %s. %s.",
		"Nothing is reported on %s, because mod_%s is not in force: %s. %s.",
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
			log("info", "Nobody is turned away any more: mod_%s is in force wherever modules_enabled has it", name)
		end
	end
	said = (all ~= "" or said) and all
end

-- To be called after each change. It is told of once the server has done what it is about,
-- which may be to try again on another host.
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

--- Writes a line of some kind, one of a few strings, at level error: strangers may be able
-- to have it written as often as they like, so of each there is one a minute.
function gate.tell_seldom(write, kind, message)
	local allowed, suppressed = lines:allows(kind)
	if allowed then
		local before = suppressed > 0 and (" (and %d times before)"):format(suppressed) or ""
		write("error", "%s%s: %s", kind, before, message)
	end
end

---- Streams ----------------------------------------------------------------------

--- Ends a session of which it is not known whether the policy allows it.
function gate.refuse(session)
	local closed, problem = pcall(session.close, session, { condition = "internal-server-error", text = text }, nil, text)
	if not closed then
		gate.tell_seldom(session.log, "The stream could not be closed", tostring(problem))
		if session.conn then
			session.conn:close()
		end
	end
end

local function turn_away(session)
	gate.tell_seldom(session.log, "Turned away", ("%s, %s, %s: mod_%s is not in force: %s"):format(
		tostring(session.type):match "^%w*", server.host(session) or "any host",
		server.peer(session) or session.ip or "unknown address", name, why()))
	gate.refuse(session)
end

-- Whether an element is for a host that is shut, and not the one that its stream is to.
local function is_for_another(session, element)
	local _, host = jid.prepped_split(element.attr.to)
	return host and host ~= server.host(session) and prosody.hosts[host] and is_shut(host)
end

-- Whether an element may go no further.
local function is_closed_to(session, element)
	if is_all_open() then
		return false
	elseif unauthenticated[session.type] then
		return server.speaks_xmpp_itself(session) and (is_shut(server.host(session)) or is_for_another(session, element))
	end
	return servers[session.type] and is_for_another(session, element)
end

local function pass(element, session)
	if all_open then
		return element
	end
	local done, shut = pcall(is_closed_to, session, element)
	if done and not shut then
		return element
	elseif not done then
		gate.tell_seldom(session.log, "It cannot be told whether the policy is in force", tostring(shut))
	end
	turn_away(session)
	return nil
end

local function add_filter(session)
	filters.add_filter(session, "stanzas/in", pass, first)
end

local function refuse_stream(event)
	local session = event.origin
	if server.speaks_xmpp_itself(session) and unauthenticated[session.type] and is_shut(server.host(session)) then
		turn_away(session)
		return true
	end
end

local watched = { "stream-features", "s2s-stream-features", "s2sout-authenticate-legacy" }

-- Host -> handler of the event that a server is authenticated to reach it: on a stream that
-- is older than the failure, or is to another host, by dialback (XEP-0220).
local refuse_authentication = setmetatable({}, { __index = function (handlers, host)
	handlers[host] = function (event)
		if is_shut(host) then
			turn_away(event.session)
			return false
		end
	end
	return handlers[host]
end })

local function watch(host)
	local events = prosody.hosts[host].events
	for _, event in ipairs(watched) do
		events.add_handler(event, refuse_stream, first)
	end
	events.add_handler("s2s-authenticated", refuse_authentication[host], first)
	note_change()
end

-- Prosody unloads modules from a host that it deactivates, as an administrator would: who
-- activates it again wants what the configuration says.
local function forget(host)
	in_place[host], let_go[host] = nil, nil
	note_change()
end

---- Life --------------------------------------------------------------------------

-- Prosody leaves behind what a module hooked before it failed.
local function clear_up(module)
	for object, event, handler in module.event_handlers:iter(nil, nil, nil) do
		object.remove_handler(event, handler)
	end
	module.loaded = false
end

--- To be called first of all when the module is loaded, or loaded again: nobody is let in
-- from now on, where the configuration wants it, until gate.open was called for "*" and
-- for the host. `module`: ours.
function gate.start(module)
	if unfinished then
		clear_up(unfinished)
	end
	unfinished, reason, in_place["*"] = module, nil, nil
	if not watching then
		watching = true
		filters.add_filter_hook(add_filter)
		for _, session in ipairs(server.sessions(module)) do
			add_filter(session)
		end
		prosody.events.add_handler("host-activated", watch)
		prosody.events.add_handler("host-deactivated", forget)
		prosody.events.add_handler("config-reloaded", note_change)
		for host in pairs(prosody.hosts) do
			watch(host)
		end
	end
	note_change()
end

--- The module does not load, for a reason that is known; it may be unloaded all the same.
function gate.stay_shut(problem)
	unfinished, reason = nil, in_one_line(problem)
	note_change()
end

--- The module is in force on a host ("*": its global part).
function gate.open(host)
	if host == "*" then
		unfinished = nil
	end
	in_place[host], let_go[host] = true, nil
	note_change()
end

--- It is about to be put in force on a host, again or not, which may fail.
function gate.shut(host)
	in_place[host], let_go[host] = nil, nil
	note_change()
end

--- An administrator unloads the module from a host.
function gate.let_go(host)
	in_place[host], let_go[host] = nil, true
	note_change()
end

--- Whether one did, and did not load it again.
function gate.has_let_go(host)
	return let_go[host] or false
end

--- An administrator unloads the module altogether: everybody is let in.
function gate.stop()
	log("info", "mod_%s is unloaded: everybody is let in, under the server's own TLS policy", name)
	watching, unfinished, reason, said, all_open = false, nil, nil, nil, nil
	in_place, let_go = {}, {}
	filters.remove_filter_hook(add_filter)
	prosody.events.remove_handler("host-activated", watch)
	prosody.events.remove_handler("host-deactivated", forget)
	prosody.events.remove_handler("config-reloaded", note_change)
	for host, session in pairs(prosody.hosts) do
		for _, event in ipairs(watched) do
			session.events.remove_handler(event, refuse_stream)
		end
		session.events.remove_handler("s2s-authenticated", refuse_authentication[host])
	end
end

return gate
