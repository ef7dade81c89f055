--- `xmpp-tls-policy policy`: the policy itself as JSON, for auditors.
local clauses = require "xmpp_tls_policy.policy.clauses"
local demands = require "xmpp_tls_policy.render.demands"
local json = require "dkjson"
local openssl_names = require "xmpp_tls_policy.render.openssl_names"
local policy_options = require "xmpp_tls_policy.command_line.policy_options"
local profiles = require "xmpp_tls_policy.policy.profiles"
local settings = require "xmpp_tls_policy.policy.settings"
local signature_schemes = require "xmpp_tls_policy.policy.signature_schemes"
local suites = require "xmpp_tls_policy.policy.suites"
local version = require "xmpp_tls_policy.version"

local command = { name = "policy", summary = "Print the policy as JSON: versions, suites, groups and clauses." }

-- The version of the format. It grows when a field changes its meaning or is gone.
local SCHEMA = 1

-- A table whose keys dkjson writes in this order.
local function ordered(keys, values)
	return setmetatable(values, { __jsonorder = keys })
end

local function list_of(names, make)
	local list = setmetatable({}, { __jsontype = "array" })
	for index, name in ipairs(names) do
		list[index] = make(name)
	end
	return list
end

local function hexadecimal(number)
	return ("0x%04X"):format(number)
end

local function suite(name)
	local record = suites.by_name[name]
	return ordered({ "name", "openssl", "number", "key_exchange", "authentication", "encryption", "bits", "aead" }, {
		name = name, openssl = openssl_names.suite(name), number = hexadecimal(record.number),
		key_exchange = record.key_exchange, authentication = record.authentication, encryption = record.encryption,
		bits = record.bits, aead = record.aead,
	})
end

local function group(name)
	local record = suites.groups_by_name[name:lower()]
	return ordered({ "name", "openssl", "number", "kind", "bits" }, {
		name = name, openssl = openssl_names.group(name), number = hexadecimal(record.number), kind = record.kind,
		bits = record.bits,
	})
end

local function scheme(name)
	return ordered({ "name", "openssl", "number" }, {
		name = name, openssl = openssl_names.scheme(name), number = hexadecimal(signature_schemes.by_name[name].number),
	})
end

local function demands_of(policy, entry)
	local names = {}
	for name in pairs(demands.of_clause(policy, entry)) do
		names[#names + 1] = name
	end
	table.sort(names)
	return setmetatable(names, { __jsontype = "array" })
end

local function clause(policy, entry)
	return ordered({
		"id", "document", "section", "level", "enforced_at", "enforced", "statement", "held_by", "demands",
	}, {
		id = entry.id, document = entry.document, section = entry.section, level = entry.level, enforced_at = entry.at,
		enforced = entry.enforced, statement = clauses[entry.id].statement, held_by = clauses[entry.id].held_by,
		demands = demands_of(policy, entry),
	})
end

local function switches(made)
	local values = {}
	for _, switch in ipairs(settings.switches) do
		values[switch] = made[switch] or false
	end
	return ordered(settings.switches, values)
end

local function as_data(policy)
	local profile, made = profiles.by_name[policy.profile], policy:settings()
	return ordered({
		"schema", "tool", "profile", "title", "document", "date", "level", "versions", "ciphers", "ciphersuites", "groups",
		"signature_schemes", "dh_bits", "security_level", "switches", "clauses",
	}, {
		schema = SCHEMA, tool = "xmpp-tls-policy " .. version,
		profile = profile.name, title = profile.title, document = profile.document, date = profile.date,
		level = policy.level, versions = suites.versions_from(made.minimum_version),
		ciphers = list_of(made.ciphers or {}, suite), ciphersuites = list_of(made.ciphersuites, suite),
		groups = list_of(made.groups, group),
		signature_schemes = made.signature_schemes and list_of(made.signature_schemes, scheme),
		dh_bits = made.dh_bits, security_level = made.security_level, switches = switches(made),
		clauses = list_of(policy.clauses, function (entry)
			return clause(policy, entry)
		end),
	})
end

--- See init.lua.
command.define = policy_options.define

--- See init.lua. Prints the policy as JSON.
function command.run(options, out)
	out.write(json.encode(as_data(policy_options.policy(options)), { indent = true }) .. "\n")
	return 0
end

return command
