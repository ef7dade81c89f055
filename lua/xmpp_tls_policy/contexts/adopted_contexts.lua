--- The contexts of a server that are under a policy: adopted, tightened, and
-- given back. One table for the process; it outlives a reload of the plugin.
local core = require "xmpp_tls_policy.core"

local contexts = {}

-- LuaSec context -> what was done to it. The keys are weak: a context that the
-- server has dropped needs no giving back.
local adopted = setmetatable({}, { __mode = "k" })

-- A userdata that Lua has finalised stays a key until the next cycle of its collector. That
-- context is gone: there is nothing to do to it, and nothing to tell.
local function forget_closed()
	for luasec in pairs(adopted) do
		local context, _, code = core.context.adopt(luasec)
		if context then
			context:close()
		elseif code == "closed" then
			adopted[luasec] = nil
		end
	end
end

-- What was done by the number that the core knows a context by.
local by_label, last_label = setmetatable({}, { __mode = "v" }), 0

-- In which order contexts were first seen.
local last_number = 0

-- Where sessions are kept for resumption: one store for all contexts.
local store, store_memory

-- What the operator listed himself, as one word that can be compared.
local function fingerprint(operator)
	local words = {}
	for _, list in ipairs { "ciphers", "ciphersuites", "groups" } do
		words[#words + 1] = operator and operator[list] and list or "-"
	end
	return table.concat(words, " ")
end

-- Returns what was applied, what was dropped of it, and what was there before; or nil and
-- a message.
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
	return settings, dropped, in_force
end

-- The context is either under the policy afterwards, or disabled.
local function tighten(entry, context, operator)
	local settings, result, before = apply(context, entry.policy, operator)
	if settings then
		entry.settings, entry.dropped, entry.before = settings, result, before
		entry.certificate = context:inspect().certificate
		return
	end
	entry.failure = result
	local disabled, message = context:disable()
	if not disabled then
		entry.failure = ("%s; %s"):format(result, message)
	end
end

-- What fails on the context is told with the entry's label. In report mode the context
-- stays as the server made it, and what finishes on it is remembered with its offer.
local function observe(entry, context)
	last_label = last_label + 1
	entry.label = last_label
	by_label[entry.label] = entry
	return context:observe(entry.label, entry.policy.mode == "report")
end

local function leave(entry, context)
	local released, message = context:release()
	entry.settings, entry.dropped = context:settings(), {}
	entry.certificate = context:inspect().certificate
	entry.warning = not released and message or nil
end

-- Sessions resume only where all of this is the same.
local function session_name(entry, host, role)
	local settings = entry.settings
	local parts = {
		host or "*", role, entry.policy:name(), entry.certificate:facts().sha256,
		settings.minimum_version or "", settings.maximum_version or "",
	}
	for _, list in ipairs { "ciphers", "ciphersuites", "groups" } do
		parts[#parts + 1] = table.concat(settings[list] or {}, ":")
	end
	return table.concat(parts, "\0")
end

-- A server's context without a certificate cannot finish a handshake, and what is
-- authenticated by a client's certificate is not resumed: so not as a client.
local function start_resumption(entry, context, given)
	if store and entry.certificate and given.role ~= "s2sout" then
		entry.session_name = session_name(entry, given.host, given.role)
		local done, message = context:resume(store, entry.session_name)
		entry.resumption_failure = not done and message or nil
	end
end

--- Brings a LuaSec context (or Prosody 13's table around one) under a policy.
-- `given`: policy; host, the one that it is for, nil if it is for any; role,
-- "c2s", "s2sin" or "s2sout"; operator, which lists the operator's own
-- configuration made: { ciphers = boolean, ciphersuites = boolean, groups =
-- boolean }. Nothing happens to a context that is under all this already.
-- Returns a table: given; policy; number (a context that was seen later has a higher
-- one); new (whether anything was done); settings (what was applied); before, those
-- of the server's own; dropped (see context:apply); certificate, the context's own, if it has one; session_name, where
-- its sessions can be resumed, or resumption_failure; failure, a message, where the
-- context could not be brought under the policy: no handshake on it succeeds then;
-- warning, a message, where it could not be observed. Under a policy that is only
-- reported on, the context is left as it is, and settings are those in force.
function contexts.enforce(luasec, given)
	luasec = type(luasec) == "table" and luasec._inner or luasec
	local entry = adopted[luasec]
	if entry and entry.given == given and entry.store == store then
		entry.new = false
		return entry
	end
	local marks = fingerprint(given.operator)
	if entry and entry.policy == given.policy and entry.marks == marks and entry.store == store then
		entry.given, entry.new = given, false
		return entry
	end
	local number = entry and entry.number
	if not number then
		last_number = last_number + 1
		number = last_number
	end
	entry = {
		given = given, policy = given.policy, marks = marks, host = given.host or "*", store = store, new = true,
		number = number,
	}
	local context, message = core.context.adopt(luasec)
	if not context then
		entry.failure = message
	elseif given.policy.mode == "report" then
		leave(entry, context)
	else
		tighten(entry, context, given.operator)
		if not entry.failure then
			start_resumption(entry, context, given)
		end
	end
	if context then
		local observed, failure = observe(entry, context)
		entry.warning = entry.warning or not observed and failure or nil
		context:close()
	end
	adopted[luasec] = entry
	return entry
end

--- The entry (see enforce) of the context that the core knows by a label, or nil.
function contexts.by_label(label)
	return by_label[label]
end

--- Which server names (SNI) a context serves through which other contexts, as
-- { [name] = what enforce returned for its context }: their sessions are theirs.
-- Returns true, or nil and a message.
function contexts.serve_names(luasec, entries)
	luasec = type(luasec) == "table" and luasec._inner or luasec
	local entry = adopted[luasec]
	if not entry or not entry.session_name then
		return true
	end
	local names = {}
	for name, other in pairs(entries) do
		names[name] = other.session_name
	end
	local context, message = core.context.adopt(luasec)
	if not context then
		return nil, message
	end
	local done, failure = context:resume(store, entry.session_name, names)
	context:close()
	return done, failure
end

-- LuaSec contexts that connections may have chosen by server name.
local kept = {}

local function is_negotiating(luasec)
	local context = core.context.adopt(luasec)
	if not context then
		return false
	end
	local negotiating = core.observer.is_negotiating(context)
	context:close()
	return negotiating
end

--- Keeps the LuaSec contexts that a server serves by name now, a list, and of those of the
-- calls before the ones with which handshakes go on. LuaSec (1.2 to 1.3.2) goes through a
-- context's userdata at each step of a handshake, and nothing keeps the one that SNI brought:
-- when the server drops it, and Lua collects it, in the middle of a handshake, the next step
-- is taken in freed memory.
function contexts.keep(list)
	local now = {}
	for _, luasec in ipairs(list) do
		now[type(luasec) == "table" and luasec._inner or luasec] = true
	end
	-- Which looks at all connections that there are, for each.
	for luasec in pairs(kept) do
		now[luasec] = now[luasec] or is_negotiating(luasec) or nil
	end
	kept = now
end

--- Makes the store of the process what the options say: { enabled, lifetime
-- (seconds), memory (MiB) }. Sessions outlive a change of the lifetime; contexts
-- follow when they are enforced again. Returns true, or nil and a message: then
-- nothing is resumed.
function contexts.keep_sessions(options)
	if not options.enabled then
		store = nil
		return true
	end
	if store and store_memory == options.memory then
		store:set_lifetime(options.lifetime)
		return true
	end
	local message
	store, message = core.session_store.new { memory = options.memory, lifetime = options.lifetime }
	store_memory = options.memory
	return store and true, message
end

--- The store of the process, or nil.
function contexts.sessions()
	return store
end

--- Calls enforce again for every adopted context, as `demand(given)` says that
-- it is given now.
function contexts.enforce_again(demand)
	local found = {}
	forget_closed()
	for luasec, entry in pairs(adopted) do
		found[luasec] = entry.given
	end
	for luasec, given in pairs(found) do
		contexts.enforce(luasec, demand(given))
	end
end

--- What enforce returned for a context, or nil for one that is not adopted.
function contexts.get(luasec)
	return adopted[type(luasec) == "table" and luasec._inner or luasec]
end

--- The number of the context that was seen last.
function contexts.newest()
	return last_number
end

--- Iterates over the adopted contexts, and what enforce returned for each.
function contexts.entries()
	forget_closed()
	return pairs(adopted)
end

--- Calls visit(entry, context) for each adopted context that the server still has, the
-- first adopted first: what enforce returned for it, and a Context of the core, which is
-- closed afterwards (nil if it cannot be had).
function contexts.each(visit)
	local list = {}
	for luasec, entry in pairs(adopted) do
		list[#list + 1] = { luasec, entry }
	end
	table.sort(list, function (a, b)
		return a[2].number < b[2].number
	end)
	for _, found in ipairs(list) do
		local context, _, code = core.context.adopt(found[1])
		if code == "closed" then
			adopted[found[1]] = nil
		else
			visit(found[2], context)
		end
		if context then
			context:close()
		end
	end
end

-- Lua may finalise a context even while others are given back.
local function give_back(luasec)
	local context, message, code = core.context.adopt(luasec)
	if not context then
		return code == "closed", message
	end
	local released, failure = context:release()
	context:close()
	return released, failure
end

--- Gives the contexts of one host (nil: all of them) back as they were. Returns a
-- list of messages, one for each that could not be.
function contexts.release(host)
	local messages = {}
	for luasec, entry in pairs(adopted) do
		if host == nil or entry.host == host then
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
