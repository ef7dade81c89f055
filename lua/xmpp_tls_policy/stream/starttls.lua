--- Clauses that a stream holds before TLS, as far as a policy has and enforces them, and the
-- refusals for breaking them (see closing.lua). They are of draft-saintandre-xmpp-tls, section 4.1.
local starttls = {}

local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"
local xmlns_sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
local xmlns_streams = "http://etherx.jabber.org/streams"

-- The clause by which the policy requires TLS, or nil. An exception for clients opens handshakes alone: see
-- policy:for_client.
local function wants_tls(policy)
	policy = policy.strict or policy
	return policy:enforces "support.required" and "support.required"
		or policy:enforces "support.strict" and "support.strict" or nil
end

--- The clause by which a policy accepts only elements that lead to TLS on a stream without TLS; nil
-- if it has none, or is in report mode.
function starttls.requires_tls(policy)
	return policy.mode ~= "report" and wants_tls(policy) or nil
end

--- The clause that a stream of a role breaks that is authenticated without TLS; nil if none. For
-- policies in report mode.
function starttls.broken_without_tls(policy, role)
	return role == "s2sout" and policy:enforces "support.abort" and "support.abort" or wants_tls(policy)
end

--- Whether an element leads to TLS. `role`: of our end. After STARTTLS was agreed on, no element
-- does, because it was sent in plain text before the handshake
-- (rfc6120.5.4.3.3.nothing-before-tls-counts).
function starttls.leads_to_tls(role, element)
	local attr = element.attr
	if role == "s2sout" then
		return attr.xmlns == xmlns_tls or attr.xmlns == xmlns_streams
	end
	return element.name == "starttls" and attr.xmlns == xmlns_tls
end

--- The reaction to a remote server that offers no STARTTLS: true, the stream ends (the draft);
-- false, STARTTLS is attempted (RFC 7590 3.1); nil, neither.
function starttls.aborts_without_offer(policy)
	if policy.mode == "report" then
		return nil
	elseif policy:enforces "support.abort" then
		return true
	elseif policy:enforces "support.attempt" then
		return false
	end
end

local function sentence(policy, id, text)
	local breach = policy:breach(id, text)
	return breach and policy:sentence(breach) or text
end
starttls.sentence = sentence

--- The refusal of an element on a stream without TLS; nil element: of all of it.
function starttls.plaintext_refusal(policy, element)
	local id = starttls.requires_tls(policy)
	return {
		condition = "policy-violation", clauses = { id }, policy = policy:name(),
		text = sentence(policy, id, "nothing but <starttls/> is accepted on a stream without TLS"),
		encryption_required = element ~= nil and element.name == "auth" and element.attr.xmlns == xmlns_sasl,
	}
end

--- The refusal of a remote server that offers no STARTTLS: nothing more is sent.
function starttls.abort_refusal(policy)
	return {
		clauses = { "support.abort" }, policy = policy:name(),
		text = sentence(policy, "support.abort", "the remote server offers no STARTTLS"),
	}
end

--- The refusal of a stream whose TLS context could not be brought under the policy.
function starttls.no_tls_refusal()
	return { condition = "internal-server-error", text = "TLS is not available; the log of the server says why" }
end

--- The refusal of a stream whose host requires TLS and does not offer it (see shut_hosts.lua).
function starttls.no_offer_refusal(policy)
	local id = starttls.requires_tls(policy)
	return {
		condition = "internal-server-error", clauses = { id }, policy = policy:name(),
		text = sentence(policy, id, "TLS is required here, and STARTTLS is not available; the log of the server says why"),
	}
end

--- The refusal of <starttls/> where it was not offered.
function starttls.not_offered_refusal(policy)
	return { condition = "policy-violation", policy = policy:name(), text = "STARTTLS was not offered on this stream" }
end

return starttls
