--- One question to an endpoint: a hello made by hand (client_hello.lua) on a connection of its own, and
-- the answer (server_answer.lua).
local client_hello = require "xmpp_tls_policy.audit.client_hello"
local hello_lists = require "xmpp_tls_policy.audit.hello_lists"
local server_answer = require "xmpp_tls_policy.audit.server_answer"
local rank = require "xmpp_tls_policy.policy.suites".rank
local tasks = require "xmpp_tls_policy.audit.tasks"
local text = require "xmpp_tls_policy.text"

local question = {}

--- No question is asked after so many connections of its endpoint. With those that are under way at the
-- time, an endpoint makes at most 40.
question.MOST_CONNECTIONS = 39

--- How many more questions an endpoint can be asked.
function question.left(endpoint)
	return question.MOST_CONNECTIONS - endpoint.connections + endpoint.turned_away
end

-- The alerts that say no to an offer. Others say that the server could not read or handle the hello,
-- which is no answer to the question.
local refusals = {
	handshake_failure = true, protocol_version = true, insufficient_security = true, illegal_parameter = true,
	sslv2_error_1 = true, -- no cipher
}

-- Why there was no answer, in words.
local reasons = {
	closed = "the server closed the connection without an answer",
	reset = "the server broke off the connection without an answer",
	timeout = "the server did not answer in time",
}

--- The reason for an observation that could not be made: words for kind and message of a connection that
-- failed (endpoint:open, TlsClient).
function question.reason(kind, message)
	if message then
		return ("%s: %s"):format(kind, text.shown(message))
	end
	return reasons[kind] or kind
end

--- Whether the server took the offer.
function question.is_accepted(answer)
	return answer.kind ~= "alert" and answer.kind ~= "closed"
end

-- Reads until the flight is over, or fails with what is there of it.
local function read(channel, parser, deadline)
	while true do
		if tasks.now() >= deadline then
			return parser:partial(), "timeout"
		end
		local bytes, kind = channel:read(deadline)
		if not bytes then
			return parser:partial(), kind
		end
		local answer = parser:feed(bytes)
		if answer then
			return answer
		end
	end
end

--- Whether a kind of failure is the end of a connection that the server closed.
function question.is_end(kind)
	return kind == "closed" or kind == "reset"
end

-- An offer that nearly every server takes.
local BROAD_OFFER = {
	versions = { "TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1" }, suites = {}, groups = hello_lists.groups, key_shares = "",
}
for _, list in ipairs { hello_lists.tls13, hello_lists.tls12 } do
	for _, name in ipairs(list) do
		table.insert(BROAD_OFFER.suites, name)
	end
end

-- Endpoint -> { answered = when the latest hello began that was answered, failed = when the latest control
-- began that was not, is_closed = whether the server ever closed the connection of one, waiting = list of the tasks
-- that wait for a control, or nil }.
local controls = setmetatable({}, { __mode = "k" })

local function control_of(endpoint)
	controls[endpoint] = controls[endpoint] or { answered = -1, failed = -1 }
	return controls[endpoint]
end

-- Why an answer cannot be one to this offer, or nil.
local function unasked(offer, answer)
	local newest = offer.versions and "TLSv1.3" or offer.version or "TLSv1.2"
	if answer.kind == "alert" or offer.bytes then
		return nil
	elseif not rank[answer.version] or rank[answer.version] > rank[newest] then
		return "the server chose a version that was not offered"
	elseif answer.suite and not hello_lists.has(offer.suites, answer.suite) then
		return "the server chose a suite that was not offered"
	elseif answer.version == "TLSv1.3" and not hello_lists.has(offer.groups, answer.group) then
		return "the server chose a group that was not offered"
	elseif answer.compression and not hello_lists.has(offer.compressions or { "null" }, answer.compression) then
		return "the server chose a compression that was not offered"
	end
end

-- One attempt, with the endpoint's server name: the answer, or nil, the reason, and the kind of the failure.
local function ask_once(endpoint, offer)
	if question.left(endpoint) <= 0 then
		return nil, "the audit makes no more connections"
	end
	local channel, kind, message = endpoint:open()
	if not channel then
		return nil, question.reason(kind, message)
	end
	local began, deadline = tasks.now(), endpoint:deadline()
	-- If this fails, there may still be an answer to read.
	local named = setmetatable({ server_name = endpoint.server_name }, { __index = offer })
	channel:write(offer.bytes or client_hello.build(named), deadline)
	local answer, failure = read(channel, server_answer.new(offer.version == "SSLv2"), deadline)
	channel:close()
	if not answer then
		return nil, question.reason(failure), failure
	elseif answer.kind == "malformed" then
		return nil, "malformed: " .. answer.message
	end
	-- A close_notify is the end of a connection, too.
	if answer.kind ~= "alert" or answer.level == "fatal" then
		control_of(endpoint).answered = math.max(control_of(endpoint).answered, began)
	end
	if answer.kind == "alert" and not refusals[answer.description] then
		return nil, ("the server answered with the alert %s, which does not say that it refuses the offer"):format(
			answer.description), answer.description
	end
	local fault = unasked(offer, answer)
	return not fault and answer or nil, fault
end

--- Whether the endpoint answers a hello that begins after `since`, in seconds of tasks.now(): it does not
-- close connections for another reason than for what is asked. One hello serves all that wait.
function question.is_answering(endpoint, since)
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
			local began = tasks.now()
			local _, _, failure = ask_once(endpoint, BROAD_OFFER)
			if control.answered < began then
				control.failed = began
				control.is_closed = control.is_closed or question.is_end(failure)
			end
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
function question.closes_at_random(endpoint)
	return control_of(endpoint).is_closed or false
end

-- The same as ask_once. Some servers say no by closing the connection: that counts as an answer, "closed", if they
-- answer the next hello.
local function ask_surely(endpoint, offer)
	local answer, reason, failure = ask_once(endpoint, offer)
	if question.is_end(failure) and question.is_answering(endpoint, tasks.now()) then
		return { kind = "closed" }
	end
	return answer, reason, failure
end

-- The same offer without the suites that match a pattern; nil if none of them matches, or all do.
local function narrowed(offer, pattern)
	local narrower, kept = {}, {}
	for _, name in ipairs(offer.suites or {}) do
		kept[#kept + 1] = not name:find(pattern) and name or nil
	end
	for name, value in pairs(offer) do
		narrower[name] = value
	end
	narrower.suites = kept
	return #kept > 0 and #kept < #offer.suites and narrower or nil
end

-- A server says internal_error when it lacks something for the suite that it has chosen: parameters of DH,
-- or a signature that its security level allows. In another suite it might do without.
local function ask_for_less(endpoint, offer, patterns)
	local asked = false
	for _, pattern in ipairs(patterns) do
		local narrower = narrowed(offer, pattern)
		if narrower then
			local answer, reason, failure = ask_surely(endpoint, narrower)
			if answer and question.is_accepted(answer) then
				answer.narrowed = narrower.suites
				return answer
			elseif not answer and failure ~= "internal_error" then
				return nil, reason
			end
			offer, asked = narrower, true
		end
	end
	if not asked then
		local answer, reason, failure = ask_surely(endpoint, offer)
		if failure ~= "internal_error" then
			return answer, reason
		end
	end
	return { kind = "alert", level = "fatal", description = "internal_error", twice = true }
end

local WITHOUT_DH = { "^TLS_DHE?_", "^TLS_ECDHE?_" }

--- Sends a hello: an offer as client_hello.build takes it, by names, or { bytes = … } to send as they are.
-- Returns the answer: one whose kind is "server_hello", "hello_retry_request" or "sslv2", or a refusal,
-- which is an "alert" or "closed"; or nil and the reason. After internal_error it asks again,
-- without the suites that match the first of the patterns, and so on (default: without DH of finite fields, then
-- of curves); an answer to less has the suites as `narrowed`.
function question.ask(endpoint, offer, patterns)
	local answer, reason, failure = ask_surely(endpoint, offer)
	if failure == "internal_error" then
		return ask_for_less(endpoint, offer, patterns or WITHOUT_DH)
	end
	return answer, reason
end

--- An answer as evidence: "chose TLSv1.2 with TLS_RSA_WITH_RC4_128_SHA", "answered with the alert
-- handshake_failure".
function question.evidence(answer)
	if answer.kind == "closed" then
		return "closed the connection, but answered the next hello"
	elseif answer.kind == "alert" then
		return ("answered %swith the alert %s"):format(answer.twice and "twice " or "", answer.description)
	end
	local chosen = answer.suite and " with " .. answer.suite or ""
	local group = answer.group and " and " .. answer.group or ""
	local bits = answer.dhe_bits and (" (DHE of %d bits)"):format(answer.dhe_bits) or ""
	return ("chose %s%s%s%s"):format(answer.version, chosen, group, bits)
end

return question
