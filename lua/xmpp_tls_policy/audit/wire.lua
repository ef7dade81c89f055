--- The wire format of TLS (rfc8446.3.numbers-and-vectors): numbers of one to four bytes, most significant first, and
-- vectors, which are bytes after their length.
local wire = {}

--- A number in `size` bytes.
function wire.integer(value, size)
	local bytes = {}
	for i = size, 1, -1 do
		bytes[i] = string.char(value % 256)
		value = math.floor(value / 256)
	end
	return table.concat(bytes)
end

--- Bytes after their length in `size` bytes.
function wire.vector(bytes, size)
	return wire.integer(#bytes, size) .. bytes
end

--- A list of numbers, each in `size` bytes.
function wire.integers(list, size)
	local bytes = {}
	for i, value in ipairs(list) do
		bytes[i] = wire.integer(value, size)
	end
	return table.concat(bytes)
end

local methods = {}
local metatable = { __index = methods }

--- A reader of foreign bytes. Each method returns nil, and moves nothing, if too few bytes are left.
function wire.reader(bytes)
	return setmetatable({ _bytes = bytes, _position = 1 }, metatable)
end

--- How many bytes are left.
function methods:left()
	return #self._bytes - self._position + 1
end

--- So many bytes.
function methods:bytes(size)
	if size > self:left() then
		return nil
	end
	local from = self._position
	self._position = from + size
	return self._bytes:sub(from, from + size - 1)
end

--- A number of `size` bytes.
function methods:integer(size)
	if size > self:left() then
		return nil
	end
	local value = 0
	for i = self._position, self._position + size - 1 do
		value = value * 256 + self._bytes:byte(i)
	end
	self._position = self._position + size
	return value
end

--- The bytes of a vector whose length has `size` bytes.
function methods:vector(size)
	local before = self._position
	local length = self:integer(size)
	local bytes = length and self:bytes(length)
	if not bytes then
		self._position = before
	end
	return bytes
end

--- Number -> bytes of the extensions of a hello; nil if they are malformed, or one is there twice
-- (rfc8446.4.2.extensions-once).
function wire.extensions(bytes)
	local found = {}
	local reader = wire.reader(bytes)
	while reader:left() > 0 do
		local kind, body = reader:integer(2), reader:vector(2)
		if not body or found[kind] then
			return nil
		end
		found[kind] = body
	end
	return found
end

return wire
