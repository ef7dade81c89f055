--- The verdicts that a policy would give on shapes (see shape.lua), if it were enforced on a host as the server
-- is configured now. They come from the code that foresees refusals in report mode.
local copy = require "xmpp_tls_policy.copy"
local policy_of_options = require "xmpp_tls_policy.policy".new
local profiles = require "xmpp_tls_policy.policy.profiles"
local shape = require "xmpp_tls_policy.fleet.shape"
local starttls = require "xmpp_tls_policy.stream.starttls"

local judgement = {}

local methods = {}
local metatable = { __index = methods }

--- `given`: server, the adapter; adopted, see contexts/adopted_contexts.lua; host; policy; contexts, a table in
-- which the contexts of the server are kept, so that several policies share them (nil: its own).
function judgement.new(given)
	return setmetatable({
		_server = given.server, _adopted = given.adopted, _host = given.host, _policy = given.policy,
		_contexts = given.contexts or {}, -- role -> { context, message }
		_enforcements = {}, -- role -> see enforcement
	}, metatable)
end

local every_policy

--- The policies of all profiles at all levels, in the order in which they are tried: a list.
function judgement.every_policy()
	if not every_policy then
		every_policy = {}
		for _, level in ipairs(profiles.levels) do
			for _, name in ipairs(profiles.names) do
				every_policy[#every_policy + 1] = assert(policy_of_options { profile = name, level = level })
			end
		end
	end
	return every_policy
end

-- The policy as it would be in force for new streams of a role (see policy/enforcement.lua); or false, and a
-- message: the server has no context for them.
local function enforcement(self, role)
	local known = self._enforcements[role]
	if not known then
		local server, made = self._server, nil
		self._contexts[role] = self._contexts[role] or { server.own_context(self._host, role) }
		local context, message = self._contexts[role][1], self._contexts[role][2]
		if context then
			made, message = self._adopted:foresee(server.luasec_context(context), {
				policy = self._policy, host = self._host, role = role, operator = server.operator_lists(self._host, role),
			})
		end
		known = { made or false, message }
		self._enforcements[role] = known
	end
	return known[1], known[2]
end

local function without_tls(policy, role)
	local id = starttls.broken_without_tls(policy, role)
	local breach = id and policy:breach(id, "logged in without TLS")
	return { refuse = breach ~= nil, broken = { breach } }
end

local function of_offer(self, packed, role)
	local made, message = enforcement(self, role)
	if not made then
		return nil, message
	end
	local hello, can = shape.offer(packed)
	local facts = {
		role = "server", resumed = false, compression = false, extended_master_secret = can.extended_master_secret,
		secure_renegotiation = can.secure_renegotiation,
	}
	local judged = not made.failure and made:of_hello(hello)
	if judged and judged.missing then
		return { refuse = true, broken = copy(judged.breaches) }
	elseif not judged then
		return { refuse = true, broken = { { clause = "ssl", enforced = true,
			text = "no TLS would be left here: " .. made.failure } } }
	end
	return made:judge(facts, nil, hello)
end

--- The verdict (see policy/verdict.lua) on a shape that came in a role; or nil and a message, where the server
-- has no TLS for the role.
function methods:of(packed, role)
	local answer = shape.answer(packed)
	if packed == shape.WITHOUT_TLS then
		return without_tls(self._policy, role)
	elseif answer then
		return self._policy:judge(answer)
	end
	return of_offer(self, packed, role)
end

return judgement
