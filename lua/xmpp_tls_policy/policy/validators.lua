-- Validators of options. Each is function(value, path, errors) -> the valid part of the value:
-- the value itself, of a table a new one with its valid parts, or nil. It appends every fault
-- to `errors`, as { option, value, message, nearest }, and calls no metamethod of the
-- value. `path` is the place in the configuration, such as "xmpp_tls_policy.level".
local text = require "xmpp_tls_policy.text"

local validators = {}

--- A value as a message may show it. A text that looks like a URL may contain a password, whatever option it was given
-- to.
function validators.shown(value)
	if type(value) == "string" and (value:find "^%s*%a[%w+.-]*:/" or value:find ":.*@") then
		return "a text like a URL (not shown)"
	end
	return text.printable(value)
end

local shown = validators.shown

-- Appends one fault. `option`: the path without the name of the whole table, for which
-- the path stands itself; `value`: printable; `nearest`: the known name that is like an
-- unknown one, or nil.
function validators.report(errors, path, value, message, nearest)
	local option = path:match "^[%a_][%w_]*%.?(.*)$"
	errors[#errors + 1] = {
		option = option ~= "" and option or path,
		value = shown(value),
		message = message,
		nearest = nearest,
	}
end

local report = validators.report

-- The path of a key of a table.
function validators.path_of(path, key)
	if type(key) == "string" and #key <= 60 and key:find("^[%a_][%w_]*$") then
		return path .. "." .. key
	end
	return ("%s[%s]"):format(path, shown(key))
end

-- The keys of a table in an order that is the same each time, whatever their types.
function validators.sorted_keys(value)
	local keys = {}
	for key in next, value do
		keys[#keys + 1] = key
	end
	table.sort(keys, function(a, b)
		if type(a) ~= type(b) then
			return type(a) < type(b)
		elseif type(a) == "string" or type(a) == "number" then
			return a < b
		end
		return text.printable(a) < text.printable(b)
	end)
	return keys
end

-- One of `names`. `superseded`: names that were accepted once -> the names to use instead.
function validators.one_of(names, superseded)
	local accepted = {}
	for _, name in ipairs(names) do
		accepted[name] = true
	end
	return function(value, path, errors)
		if accepted[value] then
			return value
		elseif superseded and superseded[value] then
			report(errors, path, value, ("%s is %s, which is superseded; use %s"):format(
				path, shown(value), text.quote(superseded[value])))
		else
			report(errors, path, value, ("%s is %s; accepted: %s%s"):format(
				path, shown(value), text.quoted_list(names), text.suggestion(value, names)))
		end
	end
end

-- A table in which every key has a validator of its own. `example` shows such a table.
function validators.table_of(of_keys, example)
	local known = validators.sorted_keys(of_keys)
	return function(value, path, errors)
		if type(value) ~= "table" then
			return report(errors, path, value, ("%s is %s; accepted: a table such as %s"):format(
				path, shown(value), example))
		end
		local valid = {}
		for _, key in ipairs(validators.sorted_keys(value)) do
			local place, part = validators.path_of(path, key), rawget(value, key)
			if of_keys[key] then
				valid[key] = of_keys[key](part, place, errors)
			elseif type(key) == "number" then
				report(errors, place, part, ("%s is %s, which has no name; accepted: a table such as %s; known names: %s")
					:format(place, shown(part), example, text.quoted_list(known)))
			else
				report(errors, place, part, ("%s is no option; known: %s%s"):format(
					place, text.quoted_list(known), text.suggestion(key, known)), text.nearest(key, known))
			end
		end
		return valid
	end
end

-- true or false.
function validators.boolean(value, path, errors)
	if type(value) == "boolean" then
		return value
	end
	report(errors, path, value, ("%s is %s; accepted: true, false"):format(path, shown(value)))
end

-- A whole number of a unit, from `least` to `most`.
function validators.number_of(unit, least, most)
	return function(value, path, errors)
		if type(value) == "number" and value % 1 == 0 and value >= least and value <= most then
			return value
		end
		report(errors, path, value, ("%s is %s; accepted: a whole number of %s, from %d to %d"):format(
			path, shown(value), unit, least, most))
	end
end

return validators
