-- For tests only: a storage backend in memory that fails as the option test_storage says:
-- { get = "error" or "throw", set = "error" or "throw" }.
-- luacheck: globals module

local function fail(method)
	local how = (module:get_option("test_storage") or {})[method]
	if how == "throw" then
		error "the backend is broken"
	end
	return how == "error"
end

local Store = {}
Store.__index = Store

function Store:get(key)
	if fail "get" then
		return nil, "the backend cannot read"
	end
	return self.values[key]
end

function Store:set(key, value)
	if fail "set" then
		return nil, "the backend cannot write"
	end
	self.values[key] = value
	return true
end

function Store:users()
	return next, self.values
end

local driver = { stores = {} }

function driver:open(name, kind)
	if kind and kind ~= "keyval" then
		return nil, "unsupported-store"
	end
	self.stores[name] = self.stores[name] or setmetatable({ values = {} }, Store)
	return self.stores[name]
end

module:provides("storage", driver)
