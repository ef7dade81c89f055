--- A report as JSON (doc/audit-report.md), and back.
local json = require "dkjson"
local report = require "xmpp_tls_policy.audit.report"
local sorted_keys = require "xmpp_tls_policy.policy.validators".sorted_keys
local text = require "xmpp_tls_policy.text"

local report_json = {}

---- The schema ----------------------------------------------------------------

local shapes, kinds = {}, {}

-- A kind of report.shapes, taken apart: { name = as it is written there, is_optional, list, map = the kind of the
-- items, shape = its fields, base = the type of others, or "plain" }.
local function kind_of(name)
	if not kinds[name] then
		local base = name:gsub("%?$", "")
		local list, map = base:match "^list of (.+)$", base:match "^map of (.+)$"
		kinds[name] = {
			name = base, is_optional = base ~= name, list = list and kind_of(list), map = map and kind_of(map),
			shape = shapes[base], base = base,
		}
	end
	return kinds[name]
end

for _, shape in ipairs(report.shapes) do
	shapes[shape.name] = {}
end
for _, shape in ipairs(report.shapes) do
	for index, field in ipairs(shape.fields) do
		shapes[shape.name][index] = { name = field[1], kind = kind_of(field[2]) }
	end
end

---- Writing -------------------------------------------------------------------

-- Text of strangers: a terminal can show it, and JSON can hold it.
local function quoted(value)
	return json.quotestring(text.shown(tostring(value)))
end

-- The same in all Luas and locales. JSON has no other word for what is no number.
local function number(value)
	if value ~= value or value == math.huge or value == -math.huge then
		return "null"
	end
	return value % 1 == 0 and ("%.0f"):format(value) or (("%.14g"):format(value):gsub(",", "."))
end

local function list_of(items, write, kind)
	local parts = {}
	for index, item in ipairs(items) do
		parts[index] = write(item, kind)
	end
	return "[" .. table.concat(parts, ",") .. "]"
end

local function map_of(items, write, kind)
	local parts = {}
	for index, key in ipairs(sorted_keys(items)) do
		parts[index] = quoted(key) .. ":" .. write(items[key], kind)
	end
	return "{" .. table.concat(parts, ",") .. "}"
end

local function plain(value)
	if type(value) == "table" then
		return (#value > 0 or next(value) == nil) and list_of(value, plain) or map_of(value, plain)
	elseif type(value) == "number" then
		return number(value)
	elseif type(value) == "boolean" then
		return tostring(value)
	end
	return quoted(value)
end

local function write(value, kind)
	if kind.list then
		return list_of(value, write, kind.list)
	elseif kind.map then
		return map_of(value, write, kind.map)
	elseif not kind.shape then
		return plain(value)
	end
	local parts = {}
	for _, field in ipairs(kind.shape) do
		if value[field.name] ~= nil then
			parts[#parts + 1] = ('"%s":%s'):format(field.name, write(value[field.name], field.kind))
		end
	end
	return "{" .. table.concat(parts, ",") .. "}"
end

--- The JSON text of a report, with a line break at its end. Of the same report always the same text.
function report_json.encode(made)
	return write(made, kind_of "report") .. "\n"
end

---- Reading -------------------------------------------------------------------

-- A fault, as a sentence in two parts: about the place, to which the callers add theirs, and the rest.
local function fault(sentence)
	return { place = "", sentence = sentence }
end

local read

-- The checked items of a list or map, or nil and a fault. `key_type`: of all keys.
local function read_items(value, kind, key_type, fault_of_keys)
	local made = {}
	for key, item in pairs(value) do
		if type(key) ~= key_type then
			return nil, fault(fault_of_keys)
		end
		local checked, problem = read(item, kind)
		if problem then
			problem.place = (key_type == "number" and "[%s]" or ".%s"):format(text.shown(tostring(key))) .. problem.place
			return nil, problem
		end
		made[key] = checked
	end
	return made
end

local function read_shape(value, fields)
	local made = {}
	for _, field in ipairs(fields) do
		local item, problem = value[field.name], nil
		if item ~= nil or not field.kind.is_optional then
			made[field.name], problem = read(item, field.kind)
		end
		if problem then
			problem.place = "." .. field.name .. problem.place
			return nil, problem
		end
	end
	return made
end

-- The value, checked and without fields that its shape does not have; or nil and a fault.
function read(value, kind)
	if kind.base == "plain" then
		return value
	end
	local expected = (kind.list or kind.map or kind.shape) and "table" or kind.base
	if type(value) ~= expected then
		return nil, fault(("should be a %s, but is %s"):format(kind.name, text.printable(value)))
	elseif kind.list then
		local made, problem = read_items(value, kind.list, "number", "is no list")
		if made and #made ~= #value then
			return nil, fault "is no list"
		end
		return made, problem
	elseif kind.map then
		return read_items(value, kind.map, "string", "is no map")
	elseif kind.shape then
		return read_shape(value, kind.shape)
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
	local made, found = read(value, kind_of "report")
	return made, found and ("report%s %s"):format(found.place, found.sentence)
end

return report_json
