-- A policy as it would be in force on one context of a server: its verdicts on connections that were
-- negotiated without it.
local copy = require "xmpp_tls_policy.copy"
local hello_verdicts = require "xmpp_tls_policy.policy.hello_verdicts"

local enforcement = {}

local methods = {}
local metatable = { __index = methods }

-- `parts` of a policy: { entries, clauses, allowed }, see hello_verdicts.lua. `context`: { before =
-- the settings that the server made; settings = those that would be in force; certificate = the facts
-- of its own, or nil; failure = a message in place of settings: no TLS would be left },
-- nil: none in particular, and everything counts that the policy allows. Fields for others: failure and
-- settings, those of the context.
function enforcement.new(policy, parts, context)
	local self = setmetatable({
		_policy = policy, failure = context and context.failure, settings = context and context.settings,
	}, metatable)
	if not context then
		self._verdicts = hello_verdicts.new(parts.entries, parts.clauses, parts.allowed)
	elseif context.settings then
		self._verdicts = hello_verdicts.new(parts.entries, parts.clauses, parts.allowed, context)
	end
	return self
end

-- The verdict on a ClientHello; see hello_verdicts.of. Not where no TLS would be left.
function methods:of_hello(hello)
	return self._verdicts:of(hello)
end

-- Breaches, and those of others whose clauses are not among them.
local function joined(breaches, others)
	local broken, is_listed = copy(breaches), {}
	for _, breach in ipairs(broken) do
		is_listed[breach.clause] = true
	end
	for _, breach in ipairs(others) do
		broken[#broken + 1] = not is_listed[breach.clause] and breach or nil
	end
	return { refuse = true, broken = broken }
end

-- The verdict on a connection. The handshake of a server would have another outcome, which depends on
-- the ClientHello (numbers, as the core has it; nil: unknown). `connection`: see clauses.lua;
-- `policy`: that judges the facts, as a peer's exception changes; by default this one.
function methods:judge(facts, connection, hello, policy)
	policy = policy or self._policy
	if self.failure then
		return joined({ { clause = "ssl", enforced = true, text = "no TLS would be left here: " .. self.failure } },
			policy:judge(facts, connection).broken)
	elseif not hello or facts.role ~= "server" then
		return policy:judge(facts, connection)
	end
	local judged = self._verdicts:of(hello)
	if judged.missing then
		return joined(judged.breaches, policy:judge(facts, connection).broken)
	end
	return policy:judge(self._verdicts:facts_if_enforced(judged, hello, facts), connection)
end

return enforcement
