--- A host's store in whatever storage the operator has configured. Nothing of it throws,
-- and the log says once that it fails, and once that it works again.
local storage = {}

local methods = {}
local metatable = { __index = methods }

--- `module`: of a host (Prosody 0.12 has no storage for global ones); `what`: what is in
-- the store, as a sentence begins.
function storage.open(module, name, what)
	return setmetatable({ module = module, name = name, what = what, failed = {} }, metatable)
end

-- `how`: "read" or "stored".
local function note(self, how, failure)
	if failure and not self.failed[how] then
		self.module:log("error", "%s cannot be %s: %s", self.what, how, failure)
	elseif not failure and self.failed[how] then
		self.module:log("info", "%s can be %s again", self.what, how)
	end
	self.failed[how] = failure ~= nil
end

-- Calls a method of the store of some kind ("keyval", "map"), opened anew, as its driver
-- may be another after a reload. Returns what it returns, or nil and a message.
local function call(self, kind, method, ...)
	local opened, store, message = pcall(self.module.open_store, self.module, self.name, kind)
	if not opened or not store then
		return nil, tostring(opened and message or store)
	end
	local done, result, failure = pcall(store[method], store, ...)
	if not done then
		return nil, tostring(result)
	end
	return result, failure, store
end

--- What is stored under a key (nil: the host's own): a table; nil where there is
-- nothing; nil and a message where it cannot be read.
function methods:get(key)
	local value, failure = call(self, "keyval", "get", key)
	if value == nil and failure ~= nil then
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
	local opened, store = pcall(self.module.open_store, self.module, self.name, "map")
	local given = {}
	for field, value in pairs(fields) do
		given[field] = value or opened and store and store.remove
	end
	local done, failure = call(self, "map", "set_keys", key, given)
	failure = not done and tostring(failure or "unknown reason") or nil
	note(self, "stored", failure)
	return not failure and true or nil, failure
end

--- An iterator over the keys, in any order; or nil and a message.
function methods:keys()
	local opened, store, message = pcall(self.module.open_store, self.module, self.name)
	if not opened or not store then
		return nil, tostring(opened and message or store)
	end
	local done, iterate, state, control = pcall(store.users, store)
	if not done or not iterate then
		return nil, tostring(not done and iterate or state or "it has no list")
	end
	return iterate, state, control
end

return storage
