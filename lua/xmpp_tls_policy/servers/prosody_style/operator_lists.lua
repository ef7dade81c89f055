--- The lists that an operator wrote in a table of TLS options (`ssl` and its kind).
local operator_lists = {}

-- LuaSec's name of each list, by ours.
local luasec_options = {
	ciphers = { "ciphers" },
	ciphersuites = { "ciphersuites" },
	groups = { "curveslist", "curve" },
	protocol = { "protocol" },
}

local function mark(lists, ssl)
	if type(ssl) ~= "table" then
		return
	end
	for list, names in pairs(luasec_options) do
		for _, name in ipairs(names) do
			lists[list] = lists[list] or ssl[name] ~= nil
		end
	end
end

--- Marks in `lists` (ciphers, ciphersuites, groups, and protocol: the range of versions -> true) those that the value
-- of an option has, also by interface and by port. `ssl`: the value; nothing is marked if it is no table.
function operator_lists.mark(lists, ssl)
	mark(lists, ssl)
	for _, inner in pairs(type(ssl) == "table" and ssl or {}) do
		mark(lists, inner)
	end
end

return operator_lists
