--- A hello that was made by hand (client_hello.lua) on a channel, and the answer (server_answer.lua).
local client_hello = require "xmpp_tls_policy.audit.client_hello"
local hello_lists = require "xmpp_tls_policy.audit.hello_lists"
local rank = require "xmpp_tls_policy.policy.suites".rank
local server_answer = require "xmpp_tls_policy.audit.server_answer"
local tasks = require "xmpp_tls_policy.audit.tasks"
local text = require "xmpp_tls_policy.text"

local exchange = {}

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
	declined = "the server closed the connection without an answer, but answered the next hello",
}

--- The reason for an observation that could not be made: words for kind and message of a connection that
-- failed (endpoint:open, TlsClient).
function exchange.reason(kind, message)
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

--- Sends a hello with the endpoint's server name: an offer as client_hello.build takes it, by names, or
-- { bytes = … } to send as they are. Closes the channel after the answer, and returns it; or nil, the kind of the
-- failure, and the reason. An alert that does not say no is a failure, whose kind is its name.
function exchange.run(endpoint, channel, offer)
	local deadline = endpoint:deadline()
	-- If this fails, there may still be an answer to read.
	local named = setmetatable({ server_name = endpoint.server_name }, { __index = offer })
	channel:write(offer.bytes or client_hello.build(named), deadline)
	local answer, failure = read(channel, server_answer.new(offer.version == "SSLv2"), deadline)
	channel:close()
	if not answer then
		return nil, failure, exchange.reason(failure)
	elseif answer.kind == "malformed" then
		return nil, "malformed", "malformed: " .. answer.message
	end
	if answer.kind == "alert" and not refusals[answer.description] then
		return nil, answer.description, ("the server answered with the alert %s, which does not say that it refuses the "
			.. "offer"):format(answer.description)
	end
	local fault = unasked(offer, answer)
	return not fault and answer or nil, fault and "malformed", fault
end

return exchange
