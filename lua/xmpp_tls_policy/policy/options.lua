-- What an operator may write, and what is said about what he may not.
local date = require "xmpp_tls_policy.date"
local domain_name = require "xmpp_tls_policy.core".domain_name
local profiles = require "xmpp_tls_policy.policy.profiles"
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

-- ---- exceptions ----------------------------------------------------------------

local example = '{ level = "must"; expires = "2027-03-01"; reason = "old server" }'

local function day(value, path, errors)
	if not date.begins(value) then
		report(errors, path, value, ('%s is %s; accepted: a day such as "2027-03-01"'):format(
			path, text.printable(value)))
	end
end

local function words(value, path, errors)
	if type(value) ~= "string" or not value:find "%S" then
		report(errors, path, value, ("%s is %s; accepted: a few words for the log"):format(
			path, text.printable(value)))
	end
end

-- An exception only makes milder.
local milder_levels = {}
for index = 2, #profiles.levels do
	milder_levels[index - 1] = profiles.levels[index]
end

local exception = table_of({
	level = one_of(milder_levels),
	unauthenticated_s2s = one_of({ "dialback" }),
	expires = day,
	reason = words,
}, example)

local function complete_exception(value, path, errors)
	local before = #errors
	exception(value, path, errors)
	if #errors > before then
		return
	end
	for _, key in ipairs({ "expires", "reason" }) do
		if rawget(value, key) == nil then
			report(errors, path, nil, ("%s has no %s; a complete one is %s"):format(path, key, example))
		end
	end
	if rawget(value, "level") == nil and rawget(value, "unauthenticated_s2s") == nil then
		report(errors, path, nil, ('%s excepts nothing; it needs level = "must" or unauthenticated_s2s = "dialback"'):format(
			path))
	end
end

-- Exceptions by the domain of one peer, written in any form.
local function exceptions(value, path, errors)
	if type(value) ~= "table" then
		return report(errors, path, value, ('%s is %s; accepted: a table such as { ["old.example"] = %s }'):format(
			path, text.printable(value), example))
	end
	local written = {}
	for _, key in ipairs(sorted_keys(value)) do
		local place = path_of(path, key)
		local domain = type(key) == "string" and domain_name(key)
		if not domain then
			report(errors, place, value[key],
				('%s is no domain; an exception is for one peer, named as in ["old.example"]'):format(place))
		elseif written[domain] then
			report(errors, place, value[key], ("%s is the same domain as %s"):format(place, written[domain]))
		else
			written[domain] = place
			complete_exception(value[key], place, errors)
		end
	end
end

-- A new table: domain as in core.domain_name -> { domain, level,
-- unauthenticated_s2s, expires, reason, ends = UTC seconds }.
local function normal_exceptions(given)
	local normal = {}
	for key, value in next, given or {} do
		local domain = domain_name(key)
		normal[domain] = {
			domain = domain,
			level = rawget(value, "level"),
			unauthenticated_s2s = rawget(value, "unauthenticated_s2s"),
			expires = rawget(value, "expires"),
			reason = rawget(value, "reason"),
			ends = date.ends(rawget(value, "expires")),
		}
	end
	return normal
end

-- ---- all of them ---------------------------------------------------------------

-- name -> validator, and the default of each.
local validators = {
	certificate_change = one_of({ "warn", "refuse" }),
	exceptions = exceptions,
	level = one_of(profiles.levels),
	mode = one_of({ "enforce", "report" }),
	notify_admins = boolean,
	profile = one_of(profiles.names, profiles.superseded),
	resumption = table_of({
		enabled = boolean,
		lifetime = number_of("seconds", 1, 604800), -- RFC 8446 4.6.1: at most seven days
		memory = number_of("MiB", 1, 4096),
	}, "{ lifetime = 3600 }"),
	unauthenticated_s2s = one_of({ "dialback", "refuse" }),
}

local defaults = {
	certificate_change = "warn",
	level = profiles.levels[1],
	mode = "enforce",
	notify_admins = false,
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
-- in, and exceptions in their normal form. Or nil, and a list of everything that is wrong, in the order of the options:
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
	local complete = with_defaults(given, defaults)
	complete.exceptions = normal_exceptions(rawget(given, "exceptions"))
	return complete
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
