--- A parser (argparse) that parses nothing: it records the arguments and options that a command defines.

local Element = {}

-- Any other call on an element sets a property: element:default "8" sets element.set.default.
function Element.__index(_, property)
	return function (element, value)
		element.set[property] = value
		return element
	end
end

local function recorder(list, kind)
	return function (_, name, description)
		local element = setmetatable({ kind = kind, name = name, description = description, set = {} }, Element)
		list[#list + 1] = element
		return element
	end
end

--- Returns the list of { kind = "argument", "option" or "flag", name, description, set = { property = value } } that
-- `define`, of a file of command_line/, makes.
return function (define)
	local list = {}
	define {
		argument = recorder(list, "argument"), option = recorder(list, "option"), flag = recorder(list, "flag"),
	}
	return list
end
