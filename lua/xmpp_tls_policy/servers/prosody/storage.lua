--- A host's store in whatever storage the operator has configured. Nothing of it throws,
-- and the log says once that it fails, and once that it works again.
local storage = {}

local methods = {}
local metatable = { __index = methods }

-- Of a driver that is missing, Prosody's log tells each time that a store is opened.
local OPENED_FOR = 60 -- seconds

-- Another one after each load of the configuration.
local generation = 0

--- `module`: of a host (Prosody 0.12 has no storage for global ones); `what`: what is in
-- the store, as a sentence begins.
function storage.open(module, name, what)
	return setmetatable({ module = module, name = name, what = what, failed = {}, opened = {} }, metatable)
end

--- To be called when the configuration was loaded: the stores' drivers may be others.
function storage.reopen()
	generation = generation + 1
end

-- The store of some kind ("keyval", "map"); or nil and a message.
local function opened(self, kind)
	local known, now = self.opened[kind], os.time()
	if not known or known.generation ~= generation or math.abs(now - known.since) >= OPENED_FOR then
		local done, store, message = pcall(self.module.open_store, self.module, self.name, kind)
		known = { generation = generation, since = now, store = done and store or nil }
		if not known.store then
			known.message = tostring(done and message or store)
		end
		self.opened[kind] = known
	end
	return known.store, known.message
end

-- Where one of many records fails, it fails and works in turns: that is told again after
-- so many seconds.
local TOLD_AGAIN = 600

-- `how`: "read" or "stored".
local function note(self, how, failure)
	local known, now = self.failed[how] or {}, os.time()
	self.failed[how] = known
	if not failure and known.told then
		self.module:log("info", "%s can be %s again", self.what, how)
		known.told = false
	elseif failure and not known.told and math.abs(now - (known.told_at or 0)) >= TOLD_AGAIN then
		self.module:log("error", "%s cannot be %s: %s", self.what, how, failure)
		known.told, known.told_at = true, now
	end
end

-- Calls a method of the store of some kind. Returns what it returns, or nil and a message.
local function call(self, kind, method, ...)
	local store, message = opened(self, kind)
	if not store then
		return nil, message
	end
	local done, result, failure = pcall(store[method], store, ...)
	if not done then
		return nil, tostring(result)
	end
	return result, failure
end

--- What is stored under a key (nil: the host's own): a table; nil where there is
-- nothing; nil and a message where it cannot be read.
function methods:get(key)
	local value, failure = call(self, "keyval", "get", key)
	-- What Prosody has in the place of a driver that is missing returns false.
	if not value and failure ~= nil then
		note(self, "read", tostring(failure))
		return nil, tostring(failure)
	end
	note(self, "read", nil)
	return value
end

--- Stores a table under a key; nil removes it. True, or nil and a message.
function methods:set(key, value)
	local done, failure = call(self, "keyval", "set", key, value)
	failure = not done and tostring(failure or "unknown reason") or nil
	note(self, "stored", failure)
	return not failure and true or nil, failure
end

--- Stores fields of the table under a key; a field that is false is removed. True, or nil
-- and a message.
function methods:set_fields(key, fields)
	local store = opened(self, "map")
	local given = {}
	for field, value in pairs(fields) do
		given[field] = value or store and store.remove
	end
	local done, failure = call(self, "map", "set_keys", key, given)
	failure = not done and tostring(failure or "unknown reason") or nil
	note(self, "stored", failure)
	return not failure and true or nil, failure
end

--- An iterator over the keys, in any order; or nil and a message.
function methods:keys()
	local store, message = opened(self, "keyval")
	if not store then
		return nil, message
	end
	local done, iterate, state, control = pcall(store.users, store)
	if not done or not iterate then
		return nil, tostring(not done and iterate or state or "it has no list")
	end
	return iterate, state, control
end

return storage
