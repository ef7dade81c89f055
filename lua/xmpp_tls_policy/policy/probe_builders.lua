--- The rules of probe_rules.lua as the table of clauses names them. Servers load that table, and only the audit
-- calls its probes: the rules are loaded, and each is made, when it is first called.
local unpack = table.unpack or unpack

local probe_builders = {}

local function rules()
	return require "xmpp_tls_policy.policy.probe_rules"
end

--- The rule of a name that takes no arguments.
function probe_builders.rule(name)
	return function (...)
		return rules()[name](...)
	end
end

--- All other names are functions that make rules, with the arguments that they have in probe_rules.lua.
return setmetatable(probe_builders, { __index = function (_, name)
	return function (...)
		local count, arguments, rule = select("#", ...), { ... }, nil
		return function (...)
			rule = rule or rules()[name](unpack(arguments, 1, count))
			return rule(...)
		end
	end
end })
