--- Stores of our hosts, in whatever storage the operator has configured. Their methods never throw.
-- The log says once that a store fails, and once that it works again.
local hashes = require "util.hashes"
local text = require "xmpp_tls_policy.text"

--- The functions for one server. `parts`: {
--   open = function(module, name, kind) -> the server's store, or nil, message; may throw,
--   keys = function(store) -> an iterator, or nil, message; may throw,
--   has_file = function(host, name, key) -> whether the server's own driver is in use and has a file for a key }.
return function (parts)

local storage = {}

local stores = {}
local stores_metatable = { __index = stores }

local methods = {}
local metatable = { __index = methods }

-- A server logs a missing driver each time that a store is opened.
local OPENED_FOR = 60 -- seconds

-- A store in which single records fail works and fails in turns. It is logged again after this time.
local LOGGED_AGAIN = 600 -- seconds

-- Bytes of a file name that a key may take. The server's storage names files by the key, with three bytes
-- for each byte that is no letter or digit, and a file name has 255 bytes at most.
local LONGEST_NAME = 200

--- `now`: function() -> UTC seconds.
function storage.new(now)
	return setmetatable({ _now = now, _generation = 0 }, stores_metatable)
end

--- Opens a store. `module`: of a host;
-- `description`: of the contents, as a sentence begins.
function stores:open(module, name, description)
	return setmetatable({
		_stores = self, _module = module, _name = name, _description = description,
		_failed = {}, -- "read" or "stored" -> { logged, logged_at }
		_opened = {}, -- kind -> { generation, since, store or message }
	}, metatable)
end

--- To be called when the configuration was loaded: the stores may have other drivers.
function stores:reopen()
	self._generation = self._generation + 1
end

-- The store of some kind ("keyval"); or nil and a message.
local function opened(self, kind)
	local known, now, generation = self._opened[kind], self._stores._now(), self._stores._generation
	if not known or known.generation ~= generation or math.abs(now - known.since) >= OPENED_FOR then
		local done, store, message = pcall(parts.open, self._module, self._name, kind)
		known = { generation = generation, since = now, store = done and store or nil }
		if not known.store then
			known.message = tostring(done and message or store)
		end
		self._opened[kind] = known
	end
	return known.store, known.message
end

-- `how`: "read" or "stored"; `failure`: nil if it worked.
local function note(self, how, failure)
	local known, now = self._failed[how] or {}, self._stores._now()
	self._failed[how] = known
	if not failure and known.logged then
		self._module:log("info", "%s can be %s again", self._description, how)
		known.logged = false
	elseif failure and not known.logged and math.abs(now - (known.logged_at or 0)) >= LOGGED_AGAIN then
		self._module:log("error", "%s cannot be %s: %s", self._description, how, text.shown(tostring(failure)))
		known.logged, known.logged_at = true, now
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

-- The key under which the server stores a key, and whether it is another one.
local function stored_key(key)
	if key == nil or #key:gsub("%W", "%%00") <= LONGEST_NAME then
		return key, false
	end
	return "sha256-" .. hashes.sha256(key, true), true
end

--- The table that is stored under a key (nil: the host's own), which is empty if its file is; nil if
-- there is none; nil and a message if it cannot be read.
function methods:get(key)
	local stored_as = stored_key(key)
	local value, failure = call(self, "keyval", "get", stored_as)
	-- The server's substitute for a missing driver returns false.
	if not value and failure ~= nil then
		note(self, "read", tostring(failure))
		return nil, tostring(failure)
	end
	note(self, "read", nil)
	-- The server's own driver reads an empty file as if there were none.
	if value == nil and parts.has_file(self._module.host, self._name, stored_as) then
		return {}
	end
	return value
end

--- Stores a table under a key; nil removes it. True, or nil and a message. A table under a long key
-- gets the key as its field `domain`, by which keys() finds it.
function methods:set(key, value)
	local stored_as, is_another = stored_key(key)
	if value and is_another then
		value.domain = key
	end
	local done, failure = call(self, "keyval", "set", stored_as, value)
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
	local done, iterate, state, control = pcall(parts.keys, store)
	if not done or not iterate then
		return nil, tostring(not done and iterate or state or "it has no list")
	end
	return function ()
		control = iterate(state, control)
		local value = control and control:match "^sha256%-%x+$" and self:get(control)
		return value and value.domain or control
	end
end

return storage

end
