--- Finds the hosts in report mode that an operator asks for.
local our_host = require "xmpp_tls_policy.commands.our_host"

--- `given`: the name of a host; nil: all of them. Returns a list of at least one host; or nil and a message.
return function (service, given)
	if not given then
		local names = service.reports:hosts()
		if names[1] then
			return names
		end
		return nil, 'no host has a report: put mode = "report" into xmpp_tls_policy and reload the configuration, or use the '
			.. "command what_if, which needs no report"
	end
	local host, message = our_host(service.server, given)
	if host and not service.reports:get(host) then
		host, message = nil, ("%s has no report: it needs mode = \"report\" in its xmpp_tls_policy"):format(host)
	end
	return host and { host }, message
end
