--- The hosts that an operator asks a command about.
local our_host = require "xmpp_tls_policy.commands.our_host"
local text = require "xmpp_tls_policy.text"

--- `known`: an object whose method `hosts` returns a list of all hosts with a policy; `given`: the name of one host, in
-- any form, or nil for all of them. Returns a list of hosts, or nil and a message.
return function (server, known, given)
	if not given then
		return known:hosts()
	end
	local wanted, message = our_host(server, given)
	if not wanted then
		return nil, message
	end
	for _, host in ipairs(known:hosts()) do
		if host == wanted then
			return { host }
		end
	end
	return nil, ("nothing is known of %s: it has no policy"):format(text.quote(wanted))
end
