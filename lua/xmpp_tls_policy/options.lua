-- What an operator may write, and what is said about what he may not.
local profiles = require "xmpp_tls_policy.profiles"
local text = require "xmpp_tls_policy.text"

local options = {}

-- The name of the option in a server's configuration.
options.name = "xmpp_tls_policy"

-- A validator is function(value, path, errors). It appends to `errors` whatever
-- is wrong, and calls nothing of the value's, metamethods included.
local function report(errors, path, value, message)
	local option = path:sub(#options.name + 1):gsub("^%.", "")
	errors[#errors + 1] = {
		option = option ~= "" and option or path,
		value = text.printable(value),
		message = message,
	}
end

local function suggestion(value, names)
	local nearest = text.nearest(value, names)
	return nearest and ("; did you mean %s?"):format(text.quote(nearest)) or ""
end

-- One of `names`; `superseded` maps names that once were accepted to their heirs.
local function one_of(names, superseded)
	local accepted = {}
	for _, name in ipairs(names) do
		accepted[name] = true
	end
	return function(value, path, errors)
		if accepted[value] then
			return
		elseif superseded and superseded[value] then
			report(errors, path, value, ("%s is %s, which is superseded; use %s"):format(
				path, text.printable(value), text.quote(superseded[value])))
		else
			report(errors, path, value, ("%s is %s; accepted: %s%s"):format(
				path, text.printable(value), text.quoted_list(names), suggestion(value, names)))
		end
	end
end

local function path_of(path, key)
	if type(key) == "string" and #key <= 60 and key:find("^[%a_][%w_]*$") then
		return path .. "." .. key
	end
	return ("%s[%s]"):format(path, text.printable(key))
end

-- Keys in an order that is the same each time, whatever their types.
local function sorted_keys(value)
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

-- A table of which each key has a validator. `example` shows how one is written.
local function table_of(validators, example)
	local known = sorted_keys(validators)
	return function(value, path, errors)
		if type(value) ~= "table" then
			return report(errors, path, value, ("%s is %s; accepted: a table such as %s"):format(
				path, text.printable(value), example))
		end
		for _, key in ipairs(sorted_keys(value)) do
			local place = path_of(path, key)
			if validators[key] then
				validators[key](value[key], place, errors)
			else
				report(errors, place, value[key], ("%s is no option; known: %s%s"):format(
					place, text.quoted_list(known), suggestion(key, known)))
			end
		end
	end
end

local function boolean(value, path, errors)
	if type(value) ~= "boolean" then
		report(errors, path, value, ("%s is %s; accepted: true, false"):format(path, text.printable(value)))
	end
end

-- A whole number of a unit, from `least` to `most`.
local function number_of(unit, least, most)
	return function(value, path, errors)
		if type(value) ~= "number" or value % 1 ~= 0 or value < least or value > most then
			report(errors, path, value, ("%s is %s; accepted: a whole number of %s, from %d to %d"):format(
				path, text.printable(value), unit, least, most))
		end
	end
end

-- name -> validator, and the default of each.
local validators = {
	level = one_of(profiles.levels),
	profile = one_of(profiles.names, profiles.superseded),
	resumption = table_of({
		enabled = boolean,
		lifetime = number_of("seconds", 1, 604800), -- RFC 8446 4.6.1: at most seven days
		memory = number_of("MiB", 1, 4096),
	}, "{ lifetime = 3600 }"),
	unauthenticated_s2s = one_of({ "dialback", "refuse" }),
}

local defaults = {
	level = profiles.levels[1],
	profile = profiles.default,
	resumption = { enabled = true, lifetime = 3600, memory = 16 },
	unauthenticated_s2s = "dialback",
}

-- What is the process's and cannot be one host's.
local of_the_process = { "resumption" }

local validate = table_of(validators, ('{ level = "%s" }'):format(defaults.level))

local function with_defaults(given, known)
	local complete = {}
	for name, default in pairs(known) do
		local value = rawget(given, name)
		if type(default) == "table" then
			value = with_defaults(value or {}, default)
		elseif value == nil then
			value = default
		end
		complete[name] = value
	end
	return complete
end

-- The options as the operator wrote them -> a new table with every default filled
-- in. Or nil, and a list of everything that is wrong, in the order of the options:
--   { option = "level", value = <printable>, message = <for the log> }
-- Never throws and never changes what it is given. nil stands for no options.
function options.check(given)
	local errors = {}
	if given == nil then
		given = {}
	end
	validate(given, options.name, errors)
	if errors[1] then
		return nil, errors
	end
	return with_defaults(given, defaults)
end

-- The global options with a host's own put over them, key by key; a new table.
-- What is no table is handed on for check to complain of. Then a list of what
-- the host cannot have of its own, as in check; that is left out.
function options.merge(global, host)
	local errors = {}
	for _, given in ipairs({ global == nil and {} or global, host == nil and {} or host }) do
		if type(given) ~= "table" then
			return given, errors
		end
	end
	local merged = {}
	for key, value in next, global or {} do
		merged[key] = value
	end
	for key, value in next, host or {} do
		merged[key] = value
	end
	for _, name in ipairs(of_the_process) do
		if host and rawget(host, name) ~= nil then
			local path = path_of(options.name, name)
			report(errors, path, host[name], ("%s is for the whole server; it belongs above the hosts"):format(path))
			merged[name] = global and rawget(global, name)
		end
	end
	return merged, errors
end

return options
