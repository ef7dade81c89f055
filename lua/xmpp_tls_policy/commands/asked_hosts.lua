--- The hosts that a command is asked for.
local text = require "xmpp_tls_policy.text"

--- `all`: a list of hosts; `is_known`: whether `host` has a policy; `host`: nil for all of them. Returns a list, or nil
-- and a message.
return function (all, is_known, host)
	if not host then
		return all
	elseif not is_known then
		return nil, ("nothing is known of %s: it has no policy"):format(text.printable(host))
	end
	return { host }
end
