-- A deep copy of plain data: tables without cycles and metatables, and values.
local function copy(value)
	if type(value) ~= "table" then
		return value
	end
	local new = {}
	for key, item in pairs(value) do
		new[key] = copy(item)
	end
	return new
end

return copy
