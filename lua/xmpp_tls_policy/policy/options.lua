-- The options of an operator: validation, defaults, and a host's own over the global ones.
local core = require "xmpp_tls_policy.core"
local engine_url = require "xmpp_tls_policy.policy.engine_url"
local exceptions = require "xmpp_tls_policy.policy.exceptions"
local profiles = require "xmpp_tls_policy.policy.profiles"
local text = require "xmpp_tls_policy.text"
local validators = require "xmpp_tls_policy.policy.validators"

local one_of = validators.one_of

local options = {}

-- The name of the option in a server's configuration.
options.name = "xmpp_tls_policy"

local defaults = {
	certificate_change = "warn",
	channel_binding = true,
	digest = false,
	dhe_per_second = 10,
	level = profiles.levels[1],
	mode = "enforce",
	notify_admins = false,
	profile = profiles.default,
	-- A service may lock 8 MiB by default (systemd). Half of it is left for others that lock memory,
	-- and for a second store while a reload replaces the first.
	resumption = { address_share = 16, enabled = true, lifetime = 3600, memory = 4 },
	unauthenticated_s2s = "dialback",
}

-- Options of the whole process, which no host can have of its own.
local of_the_process = { "dhe_per_second", "resumption" }

-- Values from strict to mild. A wrong option of a host gets the stricter of its default and the
-- value for all hosts. An option that is not here has no strict value.
local strict_to_mild = {
	certificate_change = { "refuse", "warn" },
	level = profiles.levels,
	mode = { "enforce", "report" },
	unauthenticated_s2s = { "refuse", "dialback" },
}

local MOST_MEMORY = 4096
local memory_of_sessions = validators.number_of("MiB", 1, MOST_MEMORY)

-- The rest of the machine needs memory, too, and sessions may lock theirs.
local function check_memory(value, path, errors)
	local machine = core.session_store.machine_memory -- 0: not known
	local quarter = math.max(1, math.floor(machine / 4))
	if machine == 0 or quarter >= MOST_MEMORY or type(value) ~= "number" or value % 1 ~= 0 or value <= quarter then
		return memory_of_sessions(value, path, errors)
	end
	validators.report(errors, path, value, ("%s is %s; accepted: at most %d MiB, a quarter of this machine's memory")
		:format(path, text.printable(value), quarter))
end

-- The URL may contain a password, so no message shows it.
local function check_url(value, path, errors)
	local place, reason = nil, "no string"
	if type(value) == "string" then
		place, reason = engine_url.parse(value)
	end
	if place then
		return value
	end
	validators.report(errors, path, "(not shown)", ("%s is malformed (%s); accepted: redis://host:6379/0, rediss://host "
		.. "(TLS), unix:/path, each with user:password@ before the host"):format(path, reason))
end

-- An absolute path; the server may change its directory.
local function check_path(value, path, errors)
	if type(value) == "string" and value:find "^/[^%z]*$" then
		return value
	end
	validators.report(errors, path, value, ("%s is %s; accepted: an absolute path"):format(path, validators.shown(value)))
end

local function check_name(value, path, errors)
	if type(value) == "string" and #value <= 64 and value:find "^[%w._:-]+$" then
		return value
	end
	validators.report(errors, path, value, ("%s is %s; accepted: up to 64 letters, digits and . _ : -"):format(path,
		validators.shown(value)))
end

local EXAMPLE_OF_SHARED = '{ url = "redis://localhost", key_file = "/etc/prosody/sessions.key" }'

local validate_shared = validators.table_of({
	ca_file = check_path, key_file = check_path, name = check_name, url = check_url,
}, EXAMPLE_OF_SHARED)

-- Without a URL and a key nothing is shared; a wrong option among these shares nothing.
local function check_shared(value, path, errors)
	local before = #errors
	if type(value) ~= "table" then
		return validators.report(errors, path, "(not shown)", ("%s is a %s; accepted: a table such as %s"):format(path,
			type(value), EXAMPLE_OF_SHARED))
	end
	local valid = validate_shared(value, path, errors)
	for _, name in ipairs { "key_file", "url" } do
		if rawget(value, name) == nil then
			validators.report(errors, validators.path_of(path, name), nil, ("%s is missing, as in %s"):format(
				validators.path_of(path, name), EXAMPLE_OF_SHARED))
		end
	end
	valid.name = valid.name or "xmpp-tls-policy"
	return #errors == before and valid or nil
end

local validators_of = {
	certificate_change = one_of({ "warn", "refuse" }),
	channel_binding = validators.boolean,
	digest = validators.boolean,
	dhe_per_second = validators.number_of("handshakes", 1, 10000),
	exceptions = exceptions.validate,
	level = one_of(profiles.levels),
	mode = one_of({ "enforce", "report" }),
	notify_admins = validators.boolean,
	profile = one_of(profiles.names, profiles.superseded),
	resumption = validators.table_of({
		address_share = validators.number_of("addresses", 1, 1024),
		enabled = validators.boolean,
		lifetime = validators.number_of("seconds", 1, 604800), -- rfc8446.4.6.1.lifetime-seven-days
		memory = check_memory,
		shared = check_shared,
	}, "{ lifetime = 3600 }"),
	unauthenticated_s2s = one_of({ "dialback", "refuse" }),
}

local validate = validators.table_of(validators_of, ('{ level = "%s" }'):format(defaults.level))

-- The names of all options, sorted.
options.names = validators.sorted_keys(validators_of)

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

-- The valid part of options (nil: none), and the errors.
local function valid_part(given)
	local errors = {}
	if given == nil then
		given = {}
	end
	return validate(given, options.name, errors) or {}, errors
end

-- The option of an error: "resumption" for "resumption.lifetime".
local function top_of(problem)
	return problem.option:match "^[%a_][%w_]*"
end

-- A switch of resumption that cannot be read switches it off, which is stricter than its default.
local function put_off_if_wrong(valid, errors)
	for _, problem in ipairs(errors) do
		if problem.option == "resumption" or problem.option == "resumption.enabled" then
			valid.resumption = valid.resumption or {}
			valid.resumption.enabled = false
		end
	end
end

local function complete(valid)
	local options_in_force = with_defaults(valid, defaults)
	options_in_force.resumption.shared = (valid.resumption or {}).shared
	options_in_force.exceptions = exceptions.normal(valid.exceptions)
	return options_in_force
end

-- The options as the operator wrote them (nil: none) -> a new table with every default
-- filled in, and with exceptions as in exceptions.normal. A wrong option has its default, a wrong
-- exception is left out, and resumption is off if its switch is wrong. Then the list of every
-- fault, in the order of the options:
--   { option = "level", value = printable, message = for the log, nearest = known name or nil }
-- Throws no error and changes nothing of its argument.
function options.repair(given)
	local valid, errors = valid_part(given)
	put_off_if_wrong(valid, errors)
	return complete(valid), errors
end

-- The same if there is no fault; otherwise nil, and the list.
function options.check(given)
	local repaired, errors = options.repair(given)
	if errors[1] then
		return nil, errors
	end
	return repaired
end

local function stricter(name, a, b)
	for _, value in ipairs(strict_to_mild[name] or {}) do
		if value == a or value == b then
			return value
		end
	end
	return b
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

-- The options of a host, from those for all and its own, repaired as in `repair`: a wrong option
-- of the host's own has the stricter of its default and the value for all. Then the errors in its
-- own options, and whether there are errors in those for all.
function options.repair_host(global, own)
	local all, errors_of_all = valid_part(global)
	put_off_if_wrong(all, errors_of_all)
	local _, errors = options.merge(nil, own)
	local mine, faults = valid_part(own)
	local merged = options.merge(all, mine)
	for _, problem in ipairs(faults) do
		local name = top_of(problem)
		if name == "exceptions" then
			merged.exceptions = mine.exceptions
		elseif mine[name] == nil and defaults[name] ~= nil then
			merged[name] = stricter(name, defaults[name], all[name])
		end
		errors[#errors + 1] = problem
	end
	return complete(merged), errors, errors_of_all[1] ~= nil
end

-- What is in force instead of a wrong option: 'level = "should"'; nil if there is no more to say
-- than that the option is unknown. `in_force`: a policy, or options as repair returns them; `stays`:
-- whether they are those of before the error.
function options.in_force_instead(problem, in_force, stays)
	local name = top_of(problem)
	if name == options.name then
		return stays and "the options of before" or "the defaults"
	elseif name == "exceptions" then
		return stays and "the exceptions of before" or problem.instead
			or problem.option == name and "no exceptions" or "no such exception"
	elseif problem.option:find "^resumption%.shared" or name == "resumption" and problem.nearest == "shared" then
		return in_force.resumption.shared and "sharing as before" or "no session is shared"
	elseif name == "resumption" then
		local field = problem.option:match "%.([%w_]+)$" or "enabled"
		field = in_force.resumption[field] ~= nil and field or problem.nearest
		return field and ("resumption.%s = %s"):format(field, text.printable(in_force.resumption[field]))
	end
	local known = defaults[name] ~= nil and name or problem.nearest
	local value = known and in_force[known]
	return value ~= nil and type(value) ~= "table" and ("%s = %s"):format(known, text.printable(value)) or nil
end

return options
