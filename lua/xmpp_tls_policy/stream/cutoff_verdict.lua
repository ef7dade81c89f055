--- The verdict on a connection if its policy, in report mode, were enforced.
local core = require "xmpp_tls_policy.core"
local shown = require "xmpp_tls_policy.text".shown
local starttls = require "xmpp_tls_policy.stream.starttls"

local cutoff_verdict = {}

-- Policies of one connection: its own, the milder ones that would keep it, and those before a
-- reload.
local MOST_REMEMBERED = 8

--- A sentence for the refusal of a peer that no certificate vouches for.
function cutoff_verdict.dialback_alone(domain)
	return ("no valid certificate vouches for %s, and dialback alone is not accepted here"):format(
		shown(domain or "the peer"))
end

-- A verdict with one more breach.
local function with(verdict, breach)
	local broken = {}
	for index, other in ipairs(verdict.broken) do
		broken[index] = other
	end
	broken[#broken + 1] = breach
	return { refuse = true, broken = broken }
end

-- The policy whose settings a context would have if `policy` were enforced on its streams; nil: no
-- other ones than it has. A listener for direct TLS does not know the peer, and the context that it
-- begins with no host: exceptions open neither.
local function policy_of_context(entry, policy)
	local own = entry.policy
	if not entry.given.option then
		return policy
	elseif policy.exception or policy == own:mildest_exception() then
		return own
	end
	return (policy == own or policy == own:milder()) and policy or nil
end

-- The verdict on the handshake, where other modules do not count.
local function judge_handshake(policy, stream, described)
	local contexts, offer = stream.contexts, core.observer.offer(stream.connection)
	local label = contexts and core.observer.label(stream.connection)
	local entry = label and contexts:by_label(label)
	if entry and not entry.enforcements then
		return policy:judge(stream.facts, described)
	end
	local of_context = entry and policy_of_context(entry, policy)
	if entry and not of_context then
		return policy:judge(stream.facts, described)
	end
	-- A server may have dropped the context by now.
	local enforcement = of_context and contexts:enforcement(entry, of_context) or policy:enforcement()
	return enforcement:judge(stream.facts, described, offer, policy)
end

--- The verdict on the handshake alone, of a Stream whose facts are known; for a domain of the peer
-- (nil: a client). The same object until the connection changes.
function cutoff_verdict.of_handshake(policy, stream, domain)
	local remembered = stream.cutoffs
	if not remembered or remembered.count >= MOST_REMEMBERED then
		remembered = { count = 0 }
		stream.cutoffs = remembered
	end
	local known, described = remembered[policy], stream:described(domain)
	if described then
		described.authenticated = stream:has_proved(domain)
	end
	local vouched = described and described.authenticated
	if known and known.domain == domain and known.objection == stream.objection and known.vouched == vouched then
		return known.verdict
	end
	local verdict = judge_handshake(policy, stream, described)
	if stream.objection then
		verdict = with(verdict, { clause = "tls-policy/verdict", enforced = true, text = stream.objection })
	end
	remembered.count = remembered.count + (known and 0 or 1)
	remembered[policy] = { domain = domain, objection = stream.objection, vouched = vouched, verdict = verdict }
	return verdict
end

-- The breach of a server's stream for which no certificate would vouch, or nil.
local function breach_of_dialback(policy, stream, domain)
	if stream:has_proved(domain) then
		return nil
	elseif policy.unauthenticated_s2s == "refuse" then
		local text = cutoff_verdict.dialback_alone(domain)
		return policy:breach("unauth.encrypt", text) or { clause = "unauthenticated_s2s", enforced = true, text = text }
	elseif stream:vouched(domain) and stream.server.demands_certificate(stream:host(), domain) then
		return policy:breach("cert.identity", ("the certificate shown for %s does not name it as RFC 6125 requires, and the "
			.. "server demands a valid one (s2s_secure_auth, s2s_secure_domains)"):format(shown(domain or "the peer")))
	end
end

-- The breach of a clause that facts do not show, or nil.
local function breach_of_stream(policy, stream, domain)
	if not stream:is_encrypted() then
		local id = starttls.broken_without_tls(policy, stream.role)
		if id then
			return policy:breach(id, "the stream was authenticated without TLS")
		end
	end
	return stream.role ~= "c2s" and breach_of_dialback(policy, stream, domain) or nil
end

-- The breach of a server that shows another certificate (clause admin.change), which no level and no exception permits.
local function breach_of_change(policy, message)
	return policy:breach("admin.change", message) or { clause = "admin.change", enforced = true, text = message }
end

--- The verdict on an authenticated stream, for a domain of a server (nil: a client). `changed`: the message of a
-- certificate that is refused because it has changed, or nil.
function cutoff_verdict.of(policy, stream, domain, changed)
	local verdict = stream.facts and stream:is_encrypted() and cutoff_verdict.of_handshake(policy, stream, domain)
		or { refuse = false, broken = {} }
	local breach = breach_of_stream(policy, stream, domain)
	verdict = breach and with(verdict, breach) or verdict
	return changed and with(verdict, breach_of_change(policy, changed)) or verdict
end

return cutoff_verdict
