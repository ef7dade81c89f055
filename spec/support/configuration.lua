-- Lua values written as a Prosody configuration file.

local configuration = {}

local function is_identifier(name)
	return type(name) == "string" and name:match("^[%a_][%w_]*$") ~= nil
end

local function sorted_keys(map)
	local keys = {}
	for key in pairs(map) do
		keys[#keys + 1] = key
	end
	table.sort(keys, function(a, b)
		if type(a) == type(b) then
			return a < b
		end
		return type(a) == "number"
	end)
	return keys
end

local function number_literal(value)
	if value ~= value then
		return "(0/0)"
	elseif value == math.huge then
		return "math.huge"
	elseif value == -math.huge then
		return "-math.huge"
	elseif value == math.floor(value) and math.abs(value) < 2 ^ 53 then
		return ("%d"):format(value)
	end
	return ("%.17g"):format(value)
end

-- A Lua literal of a boolean, number, string or table of them.
function configuration.literal(value, indent)
	local kind = type(value)
	if kind == "string" then
		return (("%q"):format(value):gsub("\\\n", "\\n"):gsub("\r", "\\r"))
	elseif kind == "number" then
		return number_literal(value)
	elseif kind == "boolean" or kind == "nil" then
		return tostring(value)
	elseif kind ~= "table" then
		error("a " .. kind .. " cannot be written into a configuration file", 2)
	end
	local inner = (indent or "") .. "\t"
	local lines = { "{" }
	for _, key in ipairs(sorted_keys(value)) do
		lines[#lines + 1] = ("%s[%s] = %s,"):format(inner, configuration.literal(key), configuration.literal(value[key], inner))
	end
	lines[#lines + 1] = (indent or "") .. "}"
	return table.concat(lines, "\n")
end

-- The text of a configuration: global options, hosts = { [name] = options },
-- components = { [name] = { module = "muc", options = {} } }.
function configuration.text(options, hosts, components)
	local lines = {}
	for _, name in ipairs(sorted_keys(options)) do
		if not is_identifier(name) then
			error(("%q is no name for a global option"):format(tostring(name)), 2)
		end
		lines[#lines + 1] = name .. " = " .. configuration.literal(options[name])
	end
	for _, name in ipairs(sorted_keys(hosts)) do
		lines[#lines + 1] = ("VirtualHost(%q)(%s)"):format(name, configuration.literal(hosts[name]))
	end
	for _, name in ipairs(sorted_keys(components or {})) do
		local component = components[name]
		lines[#lines + 1] = ("Component(%q)(%q)(%s)"):format(name, component.module, configuration.literal(component.options or {}))
	end
	return table.concat(lines, "\n") .. "\n"
end

return configuration
