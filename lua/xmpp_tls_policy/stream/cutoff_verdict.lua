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

--- The verdict on the handshake alone, of a Stream whose facts are known; for a domain of the peer
-- (nil: a client). The same object until the connection changes.
function cutoff_verdict.of_handshake(policy, stream, domain)
	local remembered = stream.cutoffs
	if not remembered or remembered.count >= MOST_REMEMBERED then
		remembered = { count = 0 }
		stream.cutoffs = remembered
	end
	local known, described = remembered[policy], stream:described(domain)
	local vouched = described and described.authenticated
	if known and known.domain == domain and known.objection == stream.objection and known.vouched == vouched then
		return known.verdict
	end
	local offer = core.observer.offer(stream.connection)
	local verdict = policy:judge_as_enforced(stream.facts, described, offer)
	if stream.objection then
		verdict = with(verdict, { clause = "tls-policy/verdict", enforced = true, text = stream.objection })
	end
	remembered.count = remembered.count + (known and 0 or 1)
	remembered[policy] = { domain = domain, objection = stream.objection, vouched = vouched, verdict = verdict }
	return verdict
end

-- The breach of a clause that facts do not show, or nil.
local function breach_of_stream(policy, stream, domain)
	if not stream:is_encrypted() then
		local id = starttls.broken_without_tls(policy, stream.role)
		if id then
			return policy:breach(id, "the stream was authenticated without TLS")
		end
	end
	if stream.role ~= "c2s" and policy.unauthenticated_s2s == "refuse" and not stream:vouched(domain) then
		local text = cutoff_verdict.dialback_alone(domain)
		return policy:breach("unauth.encrypt", text) or { clause = "unauthenticated_s2s", enforced = true, text = text }
	end
end

--- The verdict on an authenticated stream, for a domain of a server (nil: a client).
function cutoff_verdict.of(policy, stream, domain)
	local verdict = stream.facts and stream:is_encrypted() and cutoff_verdict.of_handshake(policy, stream, domain)
		or { refuse = false, broken = {} }
	local breach = breach_of_stream(policy, stream, domain)
	return breach and with(verdict, breach) or verdict
end

return cutoff_verdict
