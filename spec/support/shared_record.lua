--- Plain records of shared sessions, as c/shared_session.c reads them.
local shared_record = {}

-- Name, bytes; in order.
local fields = {
	{ "type", 1 }, { "created", 4 }, { "lifetime", 4 }, { "version", 2 }, { "suite", 2 }, { "group", 2 }, { "family", 1 },
	{ "network", 6 }, { "renewal", 1 }, { "secret_length", 1 }, { "id", 32 }, { "earlier_id", 32 }, { "id_context", 16 },
	{ "secret", 48 },
}

local defaults = {
	type = 1, created = 1000, lifetime = 3600, version = 0x0304, suite = 0x1302, group = 29, family = 4,
	network = "\192\0\2\1\0\0", renewal = 0, secret_length = 48, id = ("i"):rep(32), earlier_id = ("\0"):rep(32),
	id_context = ("\0"):rep(16), secret = ("s"):rep(48),
}

local function bytes_of(number, size)
	local bytes = {}
	for index = size, 1, -1 do
		bytes[index], number = string.char(number % 256), math.floor(number / 256)
	end
	return table.concat(bytes)
end

--- Returns the bytes of a record; `values`: fields that differ from a session of TLS 1.3 made at 1000.
function shared_record.plain(values)
	local parts = {}
	for index, field in ipairs(fields) do
		local value = values and values[field[1]] or defaults[field[1]]
		parts[index] = type(value) == "number" and bytes_of(value, field[2]) or value
	end
	return table.concat(parts)
end

--- Bytes of each.
shared_record.SIZE = #shared_record.plain()

return shared_record
