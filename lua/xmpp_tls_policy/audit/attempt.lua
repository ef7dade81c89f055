--- Attempts at an endpoint, which begin with a hello on a connection of their own. The end of a connection may say no
-- to the hello, or a limit may have made it; attempts tell one from the other.
local exchange = require "xmpp_tls_policy.audit.exchange"
local hello_lists = require "xmpp_tls_policy.audit.hello_lists"
local tasks = require "xmpp_tls_policy.audit.tasks"

local attempt = {}

--- No question (question.lua) is asked after so many connections of its endpoint, those that limits cost left out. With
-- those that are under way at the time, an endpoint makes at most 40, and more only where handshakes fail at random.
attempt.MOST_CONNECTIONS = 39

--- How many more questions an endpoint can be asked.
function attempt.left(endpoint)
	return attempt.MOST_CONNECTIONS - endpoint.connections + endpoint.turned_away
end

--- Whether a kind of failure is the end of a connection that the server closed.
function attempt.is_end(kind)
	return kind == "closed" or kind == "reset"
end

-- The kinds of failures after which a server has answered nothing that counts. A close_notify is the end of a
-- connection, too.
local unanswered = { closed = true, reset = true, timeout = true, malformed = true, close_notify = true }

-- An offer that nearly every server takes.
local BROAD_OFFER = {
	versions = { "TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1" }, suites = {}, groups = hello_lists.groups, key_shares = "",
}
for _, list in ipairs { hello_lists.tls13, hello_lists.tls12 } do
	for _, name in ipairs(list) do
		table.insert(BROAD_OFFER.suites, name)
	end
end

-- Endpoint -> { hellos = how many began, answered = the number of the latest that was answered, failed = that of the
-- latest control that was not, is_closed = whether the server ever closed the connection of one, has_declined =
-- whether the end of a connection was ever taken for a no, is_counted = false while limits did not cost the latest
-- control, waiting = list of the tasks that wait for a control, or nil }. Numbers are 0 before the first hello.
local controls = setmetatable({}, { __mode = "k" })

local function control_of(endpoint)
	controls[endpoint] = controls[endpoint] or { hellos = 0, answered = 0, failed = 0 }
	return controls[endpoint]
end

-- The number of the next hello.
local function next_number(control)
	control.hellos = control.hellos + 1
	return control.hellos
end

-- Calls `begin(channel)`, as attempt.make does, and notes whether the hello was answered. Returns what happened:
-- { number; began = when it began to connect, since some limits decide then, and end it later; result, kind, message,
-- alert; is_silent = whether the server ended the connection, or let time pass, without a byte }.
local function try(endpoint, channel, begin)
	local control, before = control_of(endpoint), channel.received
	local tried = { number = next_number(control), began = channel.began }
	tried.result, tried.kind, tried.message, tried.alert = begin(channel)
	local is_answered = tried.result or channel.received > before and not unanswered[tried.kind]
	tried.is_silent = channel.received == before and (attempt.is_end(tried.kind) or tried.kind == "timeout")
	if is_answered then
		control.answered = math.max(control.answered, tried.number)
	end
	return tried
end

-- One hello that offers nearly everything. Nothing but a limit ends its connection where others were answered before.
local function ask_control(endpoint)
	local control = control_of(endpoint)
	local was_answered = control.answered > 0
	local channel = attempt.left(endpoint) > 0 and endpoint:open()
	if not channel then
		control.failed = next_number(control)
		return
	end
	local tried = try(endpoint, channel, function ()
		return exchange.run(endpoint, channel, BROAD_OFFER)
	end)
	control.is_counted = false
	control.is_closed = control.is_closed or attempt.is_end(tried.kind)
	if tried.is_silent and was_answered then
		endpoint:turn_away(tried.kind, nil, tried.began)
		control.is_counted = true
	end
	if control.answered < tried.number then
		control.failed = tried.number
	end
end

-- Whether the endpoint answers a hello whose number is above `since`: it does not close connections for another reason
-- than for what is asked. One hello serves all that wait.
local function is_answering(endpoint, since)
	local control = control_of(endpoint)
	while control.answered <= since do
		if control.waiting then
			tasks.wait(function (resume)
				table.insert(control.waiting, resume)
			end)
		elseif control.failed > since then
			return false
		else
			control.waiting = {}
			ask_control(endpoint)
			local waiting = control.waiting
			control.waiting = nil
			for _, resume in ipairs(waiting) do
				resume()
			end
		end
	end
	return true
end

--- Whether the endpoint closes connections also after a hello that offers nearly everything, so that the end of a
-- connection tells nothing of what is offered.
function attempt.closes_at_random(endpoint)
	return control_of(endpoint).is_closed or false
end

--- Whether the end of a connection was ever taken for a no.
function attempt.has_declined(endpoint)
	return control_of(endpoint).has_declined or false
end

--- Makes the first connection to an endpoint of direct TLS, with a hello that offers nearly everything: limits are
-- recognised only after an answer. Returns true; or nil, kind, message if it cannot be connected to.
function attempt.greet(endpoint)
	local channel, kind, message = endpoint:connect()
	if not channel then
		return nil, kind, message
	end
	try(endpoint, channel, function ()
		return exchange.run(endpoint, channel, BROAD_OFFER)
	end)
	return true
end

-- Counts the latest control among the connections that limits cost, once.
local function count_control(endpoint)
	local control = control_of(endpoint)
	if control.is_counted == false then
		control.is_counted = true
		endpoint.turned_away = endpoint.turned_away + 1
	end
end

-- Looks at what `try` returned after a connection that ended, or was silent. `is_doubted`: whether the one before it
-- was silent, too. Returns "again" if a limit ended it; "doubt" if another one is needed to tell; or "over", and the
-- kind of the failure, which is "declined" if the server answers other hellos.
local function judge(endpoint, tried, is_doubted)
	local is_end, control, ended = attempt.is_end(tried.kind), control_of(endpoint), tasks.now()
	if not is_end and control.answered == 0 then
		return "over", tried.kind
	end
	local answers = is_answering(endpoint, control.hellos)
	-- A control that is answered after a pause says nothing of the time before it.
	if tried.is_silent and endpoint:is_limiting(answers and tried.began or ended) then
		endpoint.turned_away = endpoint.turned_away + 1
		count_control(endpoint)
		return "again"
	elseif answers and tried.is_silent and not is_doubted and (not is_end or endpoint.limited > 0) then
		return "doubt"
	end
	control.has_declined = control.has_declined or answers and is_end
	return "over", answers and is_end and "declined" or tried.kind
end

-- The same for all that can fail. A connection of direct TLS that was not watched proves nothing by its end, nor does
-- one that ends in the middle of an answer.
local function judge_failure(endpoint, channel, tried, is_doubted)
	if endpoint.is_limit_error(tried.kind, tried.message) and control_of(endpoint).answered > 0 then
		endpoint:turn_away(tried.kind, tried.message, tried.began)
		return "again"
	elseif tried.is_silent and attempt.is_end(tried.kind) and endpoint.direct and not channel.watched then
		endpoint:watch_connections()
		return "doubt"
	elseif tried.is_silent then
		return judge(endpoint, tried, is_doubted)
	end
	return "over", tried.kind
end

--- Calls `begin(channel)` with a connection that is ready for a hello, and again with another one after the server has
-- limited connections. `begin` returns a result; or nil, kind, message, name of the alert. Returns the same of the last
-- attempt, or nil, kind, message of endpoint:open. kind is "declined" if the server ended the connection without a
-- result, but answered another hello after that.
function attempt.make(endpoint, begin)
	local doubted -- what `try` returned before, if a limit may have ended it
	while true do
		local channel, kind, message = endpoint:open()
		if not channel then
			return nil, kind, message
		end
		local tried = try(endpoint, channel, begin)
		if doubted and not tried.is_silent then
			-- The same was answered now.
			endpoint:turn_away(doubted.kind, nil, doubted.began)
			count_control(endpoint)
			doubted = nil
		end
		if tried.result then
			return tried.result
		end
		local verdict
		verdict, kind = judge_failure(endpoint, channel, tried, doubted ~= nil)
		if verdict == "over" or attempt.left(endpoint) <= 0 then
			return nil, kind or tried.kind, tried.message, tried.alert
		elseif verdict == "again" and doubted then
			endpoint.turned_away = endpoint.turned_away + 1
		end
		doubted = verdict == "doubt" and tried or nil
	end
end

return attempt
