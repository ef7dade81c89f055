--- The contexts of a server that are under a policy: adopted, tightened, and
-- given back. One table for the process; it outlives a reload of the plugin.
local core = require "xmpp_tls_policy.core"

local contexts = {}

-- LuaSec context -> what was done to it. The keys are weak: a context that the
-- server has dropped needs no giving back.
local adopted = setmetatable({}, { __mode = "k" })

-- What the operator listed himself, as one word that can be compared.
local function fingerprint(operator)
	local words = {}
	for _, list in ipairs { "ciphers", "ciphersuites", "groups" } do
		words[#words + 1] = operator and operator[list] and list or "-"
	end
	return table.concat(words, " ")
end

-- Returns what was applied and what was dropped of it, or nil and a message.
local function apply(context, policy, operator)
	local released, message = context:release()
	if not released then
		return nil, message
	end
	local in_force, settings, dropped
	in_force, message = context:settings()
	if not in_force then
		return nil, message
	end
	settings, message = policy:settings_for(in_force, operator)
	if not settings then
		return nil, message
	end
	dropped, message = context:apply(settings)
	if not dropped then
		return nil, message
	end
	return settings, dropped
end

-- The context is either under the policy afterwards, or disabled.
local function tighten(entry, context, operator)
	local settings, result = apply(context, entry.policy, operator)
	if settings then
		entry.settings, entry.dropped = settings, result
		entry.certificate = context:inspect().certificate
		return
	end
	entry.failure = result
	local disabled, message = context:disable()
	if not disabled then
		entry.failure = ("%s; %s"):format(result, message)
	end
end

--- Brings a LuaSec context (or Prosody 13's table around one) under a policy.
-- `operator` tells which lists the operator's own configuration made: { ciphers
-- = boolean, ciphersuites = boolean, groups = boolean }. Nothing happens to a
-- context that is under this policy already.
-- Returns a table: policy; new (whether anything was done); settings (what was
-- applied); dropped (see context:apply); certificate, the context's own, if it
-- has one; failure, a message, where the context could not be brought under the
-- policy: no handshake on it succeeds then.
function contexts.enforce(luasec, policy, operator, owner)
	luasec = type(luasec) == "table" and luasec._inner or luasec
	local marks = fingerprint(operator)
	local entry = adopted[luasec]
	if entry and entry.policy == policy and entry.marks == marks then
		entry.new = false
		return entry
	end
	entry = { policy = policy, marks = marks, owner = owner, new = true }
	local context, message = core.context.adopt(luasec)
	if context then
		tighten(entry, context, operator)
		context:close()
	else
		entry.failure = message
	end
	adopted[luasec] = entry
	return entry
end

--- What enforce returned for a context, or nil for one that is not adopted.
function contexts.get(luasec)
	return adopted[luasec]
end

local function give_back(luasec)
	local context, message = core.context.adopt(luasec)
	if not context then
		return nil, message
	end
	local released, failure = context:release()
	context:close()
	return released, failure
end

--- Gives the contexts of one owner (nil: all of them) back as they were. Returns
-- a list of messages, one for each that could not be.
function contexts.release(owner)
	local messages = {}
	for luasec, entry in pairs(adopted) do
		if owner == nil or entry.owner == owner then
			local released, message = give_back(luasec)
			if not released then
				messages[#messages + 1] = message
			end
			adopted[luasec] = nil
		end
	end
	return messages
end

return contexts
