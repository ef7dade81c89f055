--- A report as JSON (doc/audit-report.md), and back.
local json = require "dkjson"
local report = require "xmpp_tls_policy.audit.report"
local text = require "xmpp_tls_policy.text"

local report_json = {}

local shapes = {}
for _, shape in ipairs(report.shapes) do
	shapes[shape.name] = shape.fields
end

local function parsed(kind)
	local base = kind:gsub("%?$", "")
	return base, base:match "^list of (.+)$", base:match "^map of (.+)$"
end

---- Writing -------------------------------------------------------------------

local function sorted_keys(map)
	local keys = {}
	for key in pairs(map) do
		keys[#keys + 1] = key
	end
	table.sort(keys, function (a, b)
		return tostring(a) < tostring(b)
	end)
	return keys
end

-- Text of strangers: a terminal can show it, and JSON can hold it. Whole numbers are written the same by all Luas.
local function plain(value)
	if type(value) == "string" then
		return text.shown(value)
	elseif type(value) == "number" and value % 1 == 0 then
		return math.floor(value)
	elseif type(value) ~= "table" then
		return value
	end
	local made, order = {}, {}
	if #value > 0 then
		for index, item in ipairs(value) do
			made[index] = plain(item)
		end
		return made
	end
	for index, key in ipairs(sorted_keys(value)) do
		order[index] = text.shown(tostring(key))
		made[order[index]] = plain(value[key])
	end
	return setmetatable(made, { __jsonorder = order, __jsontype = order[1] and "object" or "array" })
end

local as_kind

local function as_list(items, kind)
	local made = setmetatable({}, { __jsontype = "array" })
	for index, item in ipairs(items) do
		made[index] = as_kind(item, kind)
	end
	return made
end

local function as_map(items, kind)
	local made, order = {}, {}
	for index, key in ipairs(sorted_keys(items)) do
		order[index] = text.shown(key)
		made[order[index]] = as_kind(items[key], kind)
	end
	return setmetatable(made, { __jsonorder = order, __jsontype = "object" })
end

local function as_shape(value, fields)
	local made, order = {}, {}
	for index, field in ipairs(fields) do
		order[index] = field[1]
		if value[field[1]] ~= nil then
			made[field[1]] = as_kind(value[field[1]], field[2])
		end
	end
	return setmetatable(made, { __jsonorder = order, __jsontype = "object" })
end

function as_kind(value, kind)
	local base, of_list, of_map = parsed(kind)
	if of_list then
		return as_list(value, of_list)
	elseif of_map then
		return as_map(value, of_map)
	elseif shapes[base] then
		return as_shape(value, shapes[base])
	end
	return plain(value)
end

--- The JSON text of a report, with a line break at its end. Of the same report always the same text.
function report_json.encode(made)
	return json.encode(as_kind(made, "report")) .. "\n"
end

---- Reading -------------------------------------------------------------------

local read

local function read_list(value, kind, path)
	local made, count = {}, 0
	for key in pairs(value) do
		count = count + 1
		if type(key) ~= "number" then
			return nil, ("%s is no list"):format(path)
		end
	end
	for index = 1, count do
		local item, problem = read(value[index], kind, ("%s[%d]"):format(path, index))
		if problem then
			return nil, problem
		end
		made[index] = item
	end
	return made
end

local function read_map(value, kind, path)
	local made = {}
	for key, item in pairs(value) do
		if type(key) ~= "string" then
			return nil, ("%s is no map"):format(path)
		end
		local checked, problem = read(item, kind, ("%s.%s"):format(path, text.shown(key)))
		if problem then
			return nil, problem
		end
		made[key] = checked
	end
	return made
end

local function read_shape(value, fields, path)
	local made = {}
	for _, field in ipairs(fields) do
		local name, kind = field[1], field[2]
		local item, problem
		if value[name] ~= nil or not kind:find "%?$" then
			item, problem = read(value[name], kind, ("%s.%s"):format(path, name))
		end
		if problem then
			return nil, problem
		end
		made[name] = item
	end
	return made
end

-- The value, checked and without fields that its shape does not have; or nil and a message.
function read(value, kind, path)
	local base, of_list, of_map = parsed(kind)
	if base == "plain" then
		return value
	end
	local expected = (of_list or of_map or shapes[base]) and "table" or base
	if type(value) ~= expected then
		return nil, ("%s should be a %s, but is %s"):format(path, expected == "table" and base or expected,
			text.printable(value))
	elseif of_list then
		return read_list(value, of_list, path)
	elseif of_map then
		return read_map(value, of_map, path)
	elseif shapes[base] then
		return read_shape(value, shapes[base], path)
	end
	return value
end

--- The report of a JSON text; or nil and a message, of a text that is none or has another schema.
function report_json.decode(string)
	-- Text that is nested too deep makes it throw.
	local decoded, value, _, problem = pcall(json.decode, string, 1, nil, nil, nil)
	if not decoded or problem or type(value) ~= "table" then
		return nil, "no JSON: " .. text.shown(tostring(not decoded and "nested too deep" or problem or "no object"))
	elseif value.schema ~= report.SCHEMA then
		return nil, ("schema %s; this version reads schema %d"):format(text.printable(value.schema), report.SCHEMA)
	end
	return read(value, "report", "report")
end

return report_json
