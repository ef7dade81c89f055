--- Hosts of ours for people. In policies "*" stands for all hosts without an entry of their own.

--- One name, or a list of names, as text.
return function (hosts)
	local words = {}
	for index, host in ipairs(type(hosts) == "table" and hosts or { hosts }) do
		words[index] = host == "*" and "all other hosts" or host
	end
	return table.concat(words, ", ")
end
