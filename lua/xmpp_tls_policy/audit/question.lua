--- One question to an endpoint: a hello made by hand (exchange.lua), on as many connections as it takes (attempt.lua),
-- and the answer.
local attempt = require "xmpp_tls_policy.audit.attempt"
local exchange = require "xmpp_tls_policy.audit.exchange"

local question = {}

--- Whether the server took the offer.
function question.is_accepted(answer)
	return answer.kind ~= "alert" and answer.kind ~= "closed"
end

-- Asks with an offer: the answer, also "closed"; or nil, the reason, and the kind of the failure.
local function ask_surely(endpoint, offer)
	if attempt.left(endpoint) <= 0 then
		return nil, "the audit makes no more connections"
	end
	local reason
	local answer, kind, message = attempt.make(endpoint, function (channel)
		local found, failure
		found, failure, reason = exchange.run(endpoint, channel, offer)
		return found, failure
	end)
	if kind == "declined" then
		return { kind = "closed" }
	end
	return answer, message and exchange.reason(kind, message) or reason, kind
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
