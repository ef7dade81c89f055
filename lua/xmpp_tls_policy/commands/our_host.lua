--- Finds the host of ours that an operator names.
local name_of = require "xmpp_tls_policy.certificates.domain_store".name_of
local text = require "xmpp_tls_policy.text"

--- `given`: a name in any form: upper case, U-labels, with a dot at its end. Returns the host as the server names it;
-- or nil and a message.
return function (server, given)
	local wanted, hosts = name_of(server.prepare_domain(given) or given), server.hosts()
	for _, host in ipairs(hosts) do
		if name_of(host) == wanted then
			return host
		end
	end
	return nil, ("%s is no host of this server%s"):format(text.quote(given), text.suggestion(given, hosts))
end
