--- The stores of a host's shapes. Their records have the keys of shapes:changes().
local shape_stores = {}

local methods = {}
local metatable = { __index = methods }

-- Kind of record -> its store. That of clients has the account as its key, so that the server removes the
-- record with the account.
local STORES = {
	state = "tls_policy_fleet", shape = "tls_policy_fleet", client = "tls_policy_fleet_clients",
	server = "tls_policy_fleet_servers",
}

-- No account is called so.
local STATE_KEY = "state of the host"

--- Opens them. `server`: the adapter.
function shape_stores.open(server, host)
	local by_kind, by_name = {}, {}
	for kind, name in pairs(STORES) do
		by_name[name] = by_name[name] or server.open_store(host, name, "The shapes of ClientHellos that were seen")
		by_kind[kind] = by_name[name]
	end
	return setmetatable({ _host = host, _by_kind = by_kind }, metatable)
end

-- "client user@host" -> "client", "user": the kind, and the key in its store. No account has the key of a shape
-- either, which is whole.
local function place_of(key)
	local kind, name = key:match "^(%l+) ?(.*)$"
	if kind == "client" then
		return kind, name:match "^([^@]+)@" or name
	elseif kind == "state" then
		return kind, STATE_KEY
	end
	return kind, kind == "server" and name or key
end

-- The opposite.
local function key_of(host, kind, stored)
	if kind == "client" then
		return "client " .. (stored:find(" ", 1, true) and stored or stored .. "@" .. host)
	end
	return kind == "server" and "server " .. stored or stored
end

--- The keys of all records, a list. The state comes first, whether it is stored or not.
function methods:keys()
	local list = { "state" }
	for _, kind in ipairs { "shape", "client", "server" } do
		for stored in self._by_kind[kind]:keys() or function () end do
			list[#list + 1] = stored ~= "" and stored ~= STATE_KEY and key_of(self._host, kind, stored) or nil
		end
	end
	return list
end

--- A record, or nil.
function methods:get(key)
	local kind, stored = place_of(key)
	return self._by_kind[kind]:get(stored)
end

--- Stores a record (nil: removes it). Returns whether it did.
function methods:set(key, record)
	local kind, stored = place_of(key)
	return self._by_kind[kind]:set(stored, record)
end

--- The name of the store of a record.
function methods.name(key)
	return STORES[place_of(key)]
end

return shape_stores
