--- The command `accept`: accepts a changed certificate of another server that is refused.
local counted = require "xmpp_tls_policy.text".counted
local quote = require "xmpp_tls_policy.text".quote
local remembered_certificates = require "xmpp_tls_policy.commands.remembered_certificates"

-- The number of different certificates of a domain that wait; or nil and a message.
local function count_pending(service, domain)
	local list, message = remembered_certificates.list(service, domain)
	if not list then
		return nil, message
	end
	local seen, count = {}, 0
	for _, entry in ipairs(list) do
		if entry.pending and not seen[entry.sha256] then
			seen[entry.sha256], count = true, count + 1
		end
	end
	return count
end

-- How many certificates were accepted; or nil and a message. If several wait, one of them may be
-- newer than the list that the operator has seen: so the operator names one.
local function accept(service, given, sha256)
	local domain, message = remembered_certificates.prepare(service.server, given)
	if not domain then
		return nil, message
	end
	local pending, failure = count_pending(service, domain)
	if not pending then
		return nil, failure
	elseif pending > 1 and not sha256 then
		return nil, ("%d certificates of %s are refused; say which one by its SHA-256, which tlspolicy:peers(%s) shows")
			:format(pending, domain, quote(domain))
	end
	return remembered_certificates.change(service, "accept", domain, sha256 and sha256:lower())
end

--- See run.lua.
return {
	name = "accept",
	argument = "domain", needs_argument = true,
	further = "sha256",
	help = "Accept the changed certificate of a domain; if several wait, the one with this SHA-256",
	data = function (service, domain, sha256)
		local count, message = accept(service, domain, sha256)
		if not count then
			return nil, message
		end
		return { accepted = count }
	end,
	show = function (_, service, domain, sha256)
		local count, message = accept(service, domain, sha256)
		if not count then
			return nil, message
		end
		return true, ("%s of %s accepted"):format(counted(count, "certificate"), domain)
	end,
}
