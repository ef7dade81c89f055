--- The effect that a policy would have on a context, which stays as the server made it.
local suites = require "xmpp_tls_policy.policy.suites"

local trial = {}

local curve_numbers = {}
for number, group in pairs(suites.groups_by_number) do
	curve_numbers[group.name] = number
end

-- The keys of a context's certificates (see policy/signatures.lua).
local function keys_of(context)
	local keys = {}
	for index, certificate in ipairs(context:inspect().certificates or {}) do
		local facts = certificate:facts()
		keys[index] = { type = facts.key_type, curve = facts.curve, curve_number = curve_numbers[facts.curve or ""] }
	end
	return keys
end

--- Brings a Context of the core under a policy as enforcing does, reads the settings back, and
-- releases it; no handshake happens in between. `apply`: function(context) that does the first: it
-- returns settings, or nil and a message. The caller has to observe the context again. Returns a
-- context as in policy/enforcement.lua; and a message if the context could not be released.
function trial.of(context, apply)
	local before = context:settings()
	local settings, failure = apply(context)
	if settings then
		settings, failure = context:settings()
	end
	local released, message = context:release()
	return {
		before = before, settings = settings, keys = keys_of(context), failure = not settings and failure or nil,
	}, not released and message or nil
end

return trial
