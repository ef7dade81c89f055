-- The options of an operator: validation, defaults, and a host's own over the global ones.
local exceptions = require "xmpp_tls_policy.policy.exceptions"
local profiles = require "xmpp_tls_policy.policy.profiles"
local validators = require "xmpp_tls_policy.policy.validators"

local one_of = validators.one_of

local options = {}

-- The name of the option in a server's configuration.
options.name = "xmpp_tls_policy"

local defaults = {
	certificate_change = "warn",
	level = profiles.levels[1],
	mode = "enforce",
	notify_admins = false,
	profile = profiles.default,
	resumption = { enabled = true, lifetime = 3600, memory = 16 },
	unauthenticated_s2s = "dialback",
}

-- Options of the whole process, which no host can have of its own.
local of_the_process = { "resumption" }

local validate = validators.table_of({
	certificate_change = one_of({ "warn", "refuse" }),
	exceptions = exceptions.validate,
	level = one_of(profiles.levels),
	mode = one_of({ "enforce", "report" }),
	notify_admins = validators.boolean,
	profile = one_of(profiles.names, profiles.superseded),
	resumption = validators.table_of({
		enabled = validators.boolean,
		lifetime = validators.number_of("seconds", 1, 604800), -- rfc8446.4.6.1.lifetime-seven-days
		memory = validators.number_of("MiB", 1, 4096),
	}, "{ lifetime = 3600 }"),
	unauthenticated_s2s = one_of({ "dialback", "refuse" }),
}, ('{ level = "%s" }'):format(defaults.level))

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

-- The options as the operator wrote them (nil: none) -> a new table with every default
-- filled in, and with exceptions as in exceptions.normal. Or nil, and a list of every
-- fault, in the order of the options:
--   { option = "level", value = printable, message = for the log }
-- Throws no error and changes nothing of its argument.
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
	complete.exceptions = exceptions.normal(rawget(given, "exceptions"))
	return complete
end

local function fingerprint(value)
	if type(value) == "number" then
		return ("%.14g"):format(value)
	elseif type(value) ~= "table" then
		return ("%s %q"):format(type(value), tostring(value))
	end
	local parts = {}
	for _, key in ipairs(validators.sorted_keys(value)) do
		parts[#parts + 1] = ("[%q]=%s"):format(key, fingerprint(value[key]))
	end
	return "{" .. table.concat(parts, ",") .. "}"
end

-- A string that is the same for options, as check returns them, if and only if every
-- option is the same.
function options.fingerprint(checked)
	return fingerprint(checked)
end

-- The global options with a host's own put over them, key by key, as a new table; of the
-- two, a value that is not a table is returned itself, so that check finds the fault. Then
-- a list of errors, as in check, for options that a host cannot have of its own; the global
-- ones stay in their place.
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
			local path = validators.path_of(options.name, name)
			validators.report(errors, path, host[name],
				("%s is for the whole server; it belongs above the hosts"):format(path))
			merged[name] = global and rawget(global, name)
		end
	end
	return merged, errors
end

return options
