--- The LuaSec contexts of a server that are under a policy: they are adopted, brought under it
-- and given back. One object for the process; it outlives a reload of the module.
local core = require "xmpp_tls_policy.core"
local trial = require "xmpp_tls_policy.contexts.trial"
local known_settings = require "xmpp_tls_policy.contexts.known_settings"
local lists = require "xmpp_tls_policy.policy.settings".lists

local adopted_contexts = {}

local methods = {}
local metatable = { __index = methods }

-- The server drops contexts without telling us. Dropped contexts need not be given back.
local weak_keys, weak_values = { __mode = "k" }, { __mode = "v" }

--- Without contexts.
function adopted_contexts.new()
	return setmetatable({
		_entries = setmetatable({}, weak_keys), -- LuaSec context -> entry, see enforce
		_index = {}, -- host ("*": none) -> role -> LuaSec context -> entry
		_labels = setmetatable({}, weak_values), -- the core's number for a context -> entry
		_last_label = 0,
		_last_number = 0,
		_settings = known_settings.new(),
		_kept = {}, -- LuaSec contexts that connections may have chosen by server name or network
		_substitutes = setmetatable({}, weak_keys), -- LuaSec context -> those in its place, see serve_networks
		_store = nil, -- sessions of all contexts, for resumption
		_store_memory = nil, -- MiB
	}, metatable)
end

---- The index -----------------------------------------------------------------

local function remember(self, luasec, entry)
	local host, role = entry.given.host or "*", entry.given.role
	local by_role = self._index[host] or {}
	self._index[host] = by_role
	by_role[role] = by_role[role] or setmetatable({}, weak_keys)
	self._entries[luasec], by_role[role][luasec] = entry, entry
end

local function forget(self, luasec)
	local given = self._entries[luasec].given
	self._entries[luasec] = nil
	self._index[given.host or "*"][given.role][luasec] = nil
end

-- A userdata that Lua has finalised stays a key until the next cycle of its collector.
local function is_closed(luasec)
	local context, _, code = core.context.adopt(luasec)
	if context then
		context:close()
	end
	return code == "closed"
end

---- Bringing a context under a policy -------------------------------------------

-- The lists that the operator wrote, as one word that can be compared.
local function fingerprint(operator)
	local words = {}
	for index, list in ipairs(lists) do
		words[index] = operator and operator[list] and list or "-"
	end
	return table.concat(words, " ")
end

-- Returns { settings, dropped, before, losses } for an entry; or nil, a message and `before`, if that
-- could be read.
local function apply(self, context, entry, operator)
	local before, message = self._settings:read(context, entry.given.role == "s2sout")
	if not before then
		return nil, message
	end
	local settings, losses = self._settings:of(entry.policy, before, operator, entry.marks)
	if not settings then
		return nil, losses, before
	end
	local dropped
	dropped, message = context:apply(settings)
	if not dropped then
		return nil, message, before
	end
	return { settings = settings, dropped = dropped, before = before, losses = losses }
end

-- Afterwards the context is either under the policy or disabled.
local function tighten(self, entry, context, operator)
	local applied, failure = apply(self, context, entry, operator)
	if applied then
		for field, value in pairs(applied) do
			entry[field] = value
		end
		entry.certificate = context:certificate()
		return
	end
	entry.failure = failure
	local disabled, message = context:disable()
	if not disabled then
		entry.failure = ("%s; %s"):format(failure, message)
	end
end

-- The core reports handshakes that fail on the context under the label. In report mode it also
-- keeps the offers of those that finish.
local function observe(self, entry, context)
	if not entry.label then
		self._last_label = self._last_label + 1
		entry.label = self._last_label
		self._labels[entry.label] = entry
	end
	return context:observe(entry.label, entry.policy.mode == "report")
end

-- A policy as it would be in force on a context (see policy/enforcement.lua), and a message if the
-- context could not be released; third, the settings that the server made. The context is observed no
-- more.
local function foresee(self, context, policy, given)
	local foreseen, message = trial.of(context, function ()
		return apply(self, context, { policy = policy, given = given, marks = fingerprint(given.operator) }, given.operator)
	end)
	return policy:enforcement(foreseen), message, foreseen.before
end

-- The same for a context in report mode, whose settings are returned.
local function try(self, entry, context, policy)
	local enforcement, message, before = foresee(self, context, policy, entry.given)
	entry.enforcements[policy] = enforcement
	entry.warning = entry.warning or message
	return before
end

-- In report mode the context stays as the server made it.
local function leave(self, entry, luasec, context)
	entry.dropped = {}
	entry.certificate = context:certificate()
	entry.luasec = setmetatable({ luasec }, weak_values)
	entry.enforcements = setmetatable({}, weak_keys)
	entry.settings = try(self, entry, context, entry.policy)
end

-- Sessions resume only where all of this is the same.
local function session_name(self, entry, host, role)
	-- The text of a certificate is its digest.
	return table.concat({
		host or "*", role, entry.policy:name(), tostring(entry.certificate), self._settings:text(entry.settings),
	}, "\0")
end

-- A server's context without a certificate cannot finish a handshake. Sessions of outgoing
-- connections have the peer's certificate, and such sessions are not resumed.
local function start_resumption(self, entry, context, given)
	if self._store and entry.certificate and given.role ~= "s2sout" then
		entry.session_name = session_name(self, entry, given.host, given.role)
		local done, message = context:resume(self._store, entry.session_name)
		entry.resumption_failure = not done and message or nil
	end
end

-- The entry for a demand of another host than the context's; the context is not touched.
local function refuse_host(entry, given)
	local host = given.host or "*"
	entry.refused = entry.refused or {}
	local refused = entry.refused[host]
	if refused and refused.policy == given.policy then
		refused.new = false
		return refused
	end
	refused = {
		given = given, policy = given.policy, number = entry.number, new = true,
		failure = ("it is a context of %s"):format(entry.given.host or "no host in particular"),
	}
	entry.refused[host] = refused
	return refused
end

local function is_done(self, entry, given, marks)
	return entry.policy == given.policy and entry.marks == marks and entry.store == self._store
		and entry.given.role == given.role
end

local function enforce_anew(self, luasec, given, marks)
	local known = self._entries[luasec]
	local number = known and known.number
	if known then
		forget(self, luasec)
	else
		self._last_number = self._last_number + 1
		number = self._last_number
	end
	-- All fields, so that Lua makes the table once in its size.
	local entry = {
		given = given, policy = given.policy, marks = marks, store = self._store, new = true, number = number,
		service = known and known.service, port = known and known.port, label = nil, certificate = nil,
		settings = nil, dropped = nil, before = nil, losses = nil, session_name = nil, names = nil,
	}
	local context, message = core.context.adopt(luasec)
	if not context then
		entry.failure = message
	elseif given.policy.mode == "report" then
		leave(self, entry, luasec, context)
	else
		tighten(self, entry, context, given.operator)
		if not entry.failure then
			start_resumption(self, entry, context, given)
		end
	end
	if context then
		local observed, failure = observe(self, entry, context)
		entry.warning = entry.warning or not observed and failure or nil
		context:close()
	end
	remember(self, luasec, entry)
	return entry
end

--- Brings a LuaSec context under a policy. `given`: policy; host, whose context it is, nil for
-- none in particular; role, "c2s", "s2sin" or "s2sout"; operator, the lists that the operator
-- wrote: { ciphers = boolean, ciphersuites = boolean, groups = boolean }. Nothing happens to a
-- context that is under all this already.
-- Returns an entry, a table:
--   given, policy
--   number              a context that was seen later has a higher one
--   new                 whether this call did anything
--   service, port       for the caller: of the listener whose context it is; nil for STARTTLS
--   settings            those that were applied, not to be changed; in report mode those of the context
--   before              those that the server had made, not to be changed
--   dropped             see context:apply
--   losses              sentences about versions that are lost; see context_settings.of
--   certificate         the context's own, if it has one
--   session_name        nil: its sessions cannot be resumed
--   resumption_failure  a message
--   failure             a message: the context could not be brought under the policy, and no
--                       handshake on it succeeds; or it is another host's, and was not touched
--   warning             a message: the context could not be observed
--   enforcements        in report mode: see enforcement below
function methods:enforce(luasec, given)
	local entry = self._entries[luasec]
	if entry and entry.given == given and entry.store == self._store then
		entry.new = false
		return entry
	elseif entry and entry.given.host ~= given.host then
		return refuse_host(entry, given)
	end
	local marks = fingerprint(given.operator)
	if entry and is_done(self, entry, given, marks) then
		entry.given, entry.new = given, false
		return entry
	end
	return enforce_anew(self, luasec, given, marks)
end

--- A policy as it would be in force on a context in report mode (see policy/enforcement.lua), for the
-- entry of the context; nil where the context is not in report mode, or the server has dropped it.
function methods:enforcement(entry, policy)
	local known = entry.enforcements and entry.enforcements[policy]
	if known or not entry.enforcements then
		return known
	end
	local context = entry.luasec[1] and core.context.adopt(entry.luasec[1])
	if not context then
		return nil
	end
	try(self, entry, context, policy)
	local observed, failure = observe(self, entry, context)
	entry.warning = entry.warning or not observed and failure or nil
	context:close()
	return entry.enforcements[policy]
end

--- The same for a LuaSec context that is not adopted. `given`: as for enforce. Or nil and a message.
function methods:foresee(luasec, given)
	local context, message = core.context.adopt(luasec)
	if not context then
		return nil, message
	end
	local enforcement = foresee(self, context, given.policy, given)
	context:close()
	return enforcement
end

--- Calls enforce again for each adopted context, with the result of `demand(given)` for its earlier
-- `given`, and tell(entry) for each context that this changed.
function methods:enforce_again(demand, tell)
	local changed = {}
	for luasec, entry in pairs(self._entries) do
		local given = demand(entry.given)
		if entry.given == given and entry.store == self._store then
			entry.new = false
		elseif is_done(self, entry, given, fingerprint(given.operator)) then
			entry.given, entry.new = given, false
		else
			changed[luasec] = given
		end
	end
	for luasec, given in pairs(changed) do
		if is_closed(luasec) then
			forget(self, luasec)
		else
			tell(self:enforce(luasec, given))
		end
	end
end

---- Server names (SNI) -------------------------------------------------------------

-- Whether the sessions of names, as serve_names told the core, are those of some entries still.
local function leads_to(names, entries)
	for name, entry in pairs(entries) do
		if names[name] ~= entry.session_name then
			return false
		end
	end
	for name in pairs(names) do
		if not entries[name] then
			return false
		end
	end
	return true
end

--- Tells a context through which other contexts it serves which server names, so that sessions
-- belong to those: { [name] = entry }. Returns true, or nil and a message.
function methods:serve_names(luasec, entries)
	local entry = self._entries[luasec]
	if not entry or not entry.session_name then
		return true
	end
	if entry.names and leads_to(entry.names, entries) then
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
	local done, failure = context:resume(self._store, entry.session_name, names)
	context:close()
	entry.names = done and names or nil
	return done, failure
end

---- Networks ---------------------------------------------------------------------

-- Calls action(names) with the LuaSec contexts in `names`, see serve_networks, as Contexts of the core.
local function with_contexts(names, action)
	local opened, adopted, result, message = {}, {}, nil, nil
	for name, list in pairs(names) do
		opened[name] = {}
		for number, luasec in pairs(list) do
			local context
			context, message = core.context.adopt(luasec)
			adopted[#adopted + 1] = context
			opened[name][number] = context
			if not context then
				break
			end
		end
	end
	if not message then
		result, message = action(opened)
	end
	for _, context in ipairs(adopted) do
		context:close()
	end
	return result, message
end

--- Tells an adopted context which others take its place for the clients of networks, by server name (see
-- core.network_contexts.set, which has the shape of `groups`): `names`: { [name] = { [number of group] = LuaSec
-- context } }. They are kept as long as the first one. Returns true, or nil and a message: then none takes the place.
function methods:serve_networks(luasec, groups, names)
	-- Handshakes may go on with those of before.
	for _, list in pairs(self._substitutes[luasec] or {}) do
		for _, substitute in pairs(list) do
			self._kept[substitute] = true
		end
	end
	self._substitutes[luasec] = names
	local context, problem, code = core.context.adopt(luasec)
	if code == "closed" then
		-- The server has dropped it, and no connection begins with it any more.
		self._substitutes[luasec] = nil
		return true
	elseif not context then
		return nil, problem
	end
	local done, message = with_contexts(names, function (opened)
		return core.network_contexts.set(context, groups, opened)
	end)
	if not done then
		core.network_contexts.set(context)
	end
	context:close()
	return done, message
end

--- The LuaSec contexts in whose place others may be: a list.
function methods:with_networks()
	local list = {}
	for luasec in pairs(self._substitutes) do
		list[#list + 1] = luasec
	end
	return list
end

local function is_negotiating(luasec)
	local context = core.context.adopt(luasec)
	if not context then
		return false
	end
	local negotiating = core.observer.is_negotiating(context)
	context:close()
	return negotiating
end

--- Keeps LuaSec contexts, which the server serves by name now, { [context] = true }, and those of the
-- calls before on which handshakes go on. LuaSec (1.2 to 1.3.2) uses the userdata of a context at
-- each step of a handshake, and nothing references the one that SNI chose: if the server drops it
-- and Lua collects it during a handshake, the next step reads freed memory.
function methods:keep(now)
	-- is_negotiating looks at all connections of the process.
	for luasec in pairs(self._kept) do
		now[luasec] = now[luasec] or is_negotiating(luasec) or nil
	end
	self._kept = now
end

---- Sessions --------------------------------------------------------------------

--- Makes the store of sessions as the options demand: { enabled, lifetime (seconds), memory
-- (MiB), address_share (so many addresses may fill it) }. Sessions outlive a change of lifetime and
-- share; contexts follow when they are enforced again. Returns true, or nil and a message: nothing is resumed then.
function methods:keep_sessions(options)
	if not options.enabled then
		self._store = nil
		return true
	end
	if self._store and self._store_memory == options.memory then
		self._store:set_lifetime(options.lifetime)
		self._store:set_share(options.address_share)
		return true
	end
	local message
	self._store, message = core.session_store.new {
		memory = options.memory, lifetime = options.lifetime, share = options.address_share,
	}
	self._store_memory = options.memory
	return self._store and true, message
end

--- The store of sessions, or nil.
function methods:sessions()
	return self._store
end

---- Questions -------------------------------------------------------------------

--- The entry of a LuaSec context, or nil for one that is not adopted.
function methods:get(luasec)
	return self._entries[luasec]
end

--- The entry of the context that the core knows by a label, or nil.
function methods:by_label(label)
	return self._labels[label]
end

--- The number of the context that was seen last.
function methods:newest()
	return self._last_number
end

--- Iterates over the LuaSec contexts that are adopted, with their entries.
function methods:entries()
	for luasec in pairs(self._entries) do
		if is_closed(luasec) then
			forget(self, luasec)
		end
	end
	return pairs(self._entries)
end

local function visit_each(self, entries, visit)
	local list = {}
	for luasec, entry in pairs(entries) do
		list[#list + 1] = { luasec, entry }
	end
	table.sort(list, function (a, b)
		return a[2].number < b[2].number
	end)
	for _, found in ipairs(list) do
		local context, _, code = core.context.adopt(found[1])
		if code ~= "closed" then
			visit(found[2], context, found[1])
		elseif self._entries[found[1]] then
			forget(self, found[1])
		end
		if context then
			context:close()
		end
	end
end

--- Calls visit(entry, context, luasec) for each adopted context that the server still has, in the order
-- in which they were first seen. `context`: a Context of the core, which is closed afterwards; nil
-- if there is none to be had.
function methods:each(visit)
	visit_each(self, self._entries, visit)
end

--- The same for the contexts of one host (nil: of no host in particular) and role.
function methods:each_of(host, role, visit)
	local by_role = self._index[host or "*"]
	visit_each(self, by_role and by_role[role] or {}, visit)
end

---- Giving back -----------------------------------------------------------------

-- Lua may finalise a context while others are given back.
local function give_back(luasec)
	local context, message, code = core.context.adopt(luasec)
	if not context then
		return code == "closed", message
	end
	local released, failure = context:release()
	context:close()
	return released, failure
end

--- Gives the contexts of one host (nil: all of them) back as they were. Returns a list of
-- messages, one for each that could not be.
function methods:release(host)
	local messages = {}
	local hosts = host == nil and self._index or { self._index[host] }
	for _, by_role in pairs(hosts) do
		for _, entries in pairs(by_role) do
			for luasec in pairs(entries) do
				local released, message = give_back(luasec)
				if not released then
					messages[#messages + 1] = message
				end
				self._entries[luasec] = nil
			end
		end
	end
	if host == nil then
		self._index = {}
	else
		self._index[host] = nil
	end
	return messages
end

return adopted_contexts
