--- One question to an endpoint: a hello made by hand (client_hello.lua) on a connection of its own, and
-- the answer (server_answer.lua).
local client_hello = require "xmpp_tls_policy.audit.client_hello"
local server_answer = require "xmpp_tls_policy.audit.server_answer"
local tasks = require "xmpp_tls_policy.audit.tasks"
local text = require "xmpp_tls_policy.text"

local question = {}

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

--- Sends a hello, built or as an offer (client_hello.build). Returns the answer: one whose kind is
-- "server_hello", "hello_retry_request", "sslv2", or "alert" with a refusal; or nil and the reason.
function question.ask(endpoint, offer)
	local channel, kind, message = endpoint:open()
	if not channel then
		return nil, question.reason(kind, message)
	end
	local deadline = endpoint:deadline()
	local sslv2 = type(offer) == "table" and offer.version == "SSLv2"
	-- If this fails, there may still be an answer to read.
	channel:write(type(offer) == "table" and client_hello.build(offer) or offer, deadline)
	local answer, failure = read(channel, server_answer.new(sslv2), deadline)
	channel:close()
	if not answer then
		return nil, question.reason(failure)
	elseif answer.kind == "malformed" then
		return nil, "malformed: " .. answer.message
	elseif answer.kind == "alert" and not refusals[answer.description] then
		return nil, ("the server answered with the alert %s, which does not say that it refuses the offer"):format(
			answer.description)
	end
	return answer
end

--- Whether the server took the offer.
function question.is_accepted(answer)
	return answer.kind ~= "alert"
end

--- An answer as evidence: "chose TLSv1.2 with TLS_RSA_WITH_RC4_128_SHA", "answered with the alert
-- handshake_failure".
function question.evidence(answer)
	if answer.kind == "alert" then
		return "answered with the alert " .. answer.description
	end
	local chosen = answer.suite and " with " .. answer.suite or ""
	local group = answer.group and " and " .. answer.group or ""
	local bits = answer.dhe_bits and (" (DHE of %d bits)"):format(answer.dhe_bits) or ""
	return ("chose %s%s%s%s"):format(answer.version, chosen, group, bits)
end

return question
