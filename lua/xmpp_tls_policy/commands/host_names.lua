--- Hosts of ours for people. In policies "*" stands for all hosts without an entry of their own.
local short_list = require "xmpp_tls_policy.text".short_list

--- One name, or a list of names, as text. Of many, the first are named and the others counted; JSON has all. `alone`:
-- the words for "*" where it is the only one; nil: "all other hosts".
return function (hosts, alone)
	local words = {}
	for index, host in ipairs(type(hosts) == "table" and hosts or { hosts }) do
		words[index] = host == "*" and "all other hosts" or host
	end
	if alone and #words == 1 and words[1] == "all other hosts" then
		return alone
	end
	return short_list(words)
end
