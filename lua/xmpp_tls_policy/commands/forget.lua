--- The command `forget`: forgets the certificates of another server.
local counted = require "xmpp_tls_policy.text".counted
local remembered_certificates = require "xmpp_tls_policy.commands.remembered_certificates"

-- How many certificates were forgotten; or nil and a message.
local function forget(service, given)
	local domain, message = remembered_certificates.prepare(service.server, given)
	if not domain then
		return nil, message
	end
	return remembered_certificates.change(service, "forget", domain)
end

--- See run.lua.
return {
	name = "forget",
	argument = "domain", needs_argument = true,
	help = "Forget the certificates of a domain; the next one that it presents counts as its first",
	data = function (service, domain)
		local count, message = forget(service, domain)
		if not count then
			return nil, message
		end
		return { forgotten = count }
	end,
	show = function (_, service, domain)
		local count, message = forget(service, domain)
		if not count then
			return nil, message
		end
		return true, ("%s of %s forgotten"):format(counted(count, "certificate"), domain)
	end,
}
