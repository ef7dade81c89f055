--- The command `peers`: the certificates that are remembered of other servers.
local counted = require "xmpp_tls_policy.text".counted
local date = require "xmpp_tls_policy.date"
local remembered_certificates = require "xmpp_tls_policy.commands.remembered_certificates"

-- A list; or nil and a message.
local function certificates_of(service, domain)
	if not domain or domain == "" then
		return remembered_certificates.list(service, nil)
	end
	local prepared, message = remembered_certificates.prepare(service.server, domain)
	if not prepared then
		return nil, message
	end
	local list, failure = remembered_certificates.list(service, prepared)
	if list and not list[1] then
		return nil, ("nothing is remembered of %s"):format(prepared)
	end
	return list, failure
end

local titles = {
	"Domain", "Host", "Way", "Verified", "Until", "First seen", "Last seen", "State", "SHA-256", "Issuer",
}

-- The second line of a folded row begins with the SHA-256, which must not be cut.
local FOLD = 9

local function cells_of(entry)
	if entry.failure then
		return { entry.domain, entry.host, "", "", "", "", "", "unreadable", entry.failure }
	end
	return {
		entry.domain, entry.host, table.concat(entry.directions, "/"), entry.verified and "yes" or "no",
		entry.not_after and date.of(entry.not_after) or "", date.of(entry.first_seen), date.of(entry.last_seen),
		entry.pending and "refused" or "", entry.sha256, entry.issuer or "",
	}
end

--- See run.lua.
return {
	name = "peers",
	argument = "domain",
	help = "Show the certificates that are remembered of other servers, of one domain or of all",
	data = function (service, domain)
		local list, message = certificates_of(service, domain)
		if not list then
			return nil, message
		end
		return { certificates = list }
	end,
	show = function (out, service, domain)
		local list, message = certificates_of(service, domain)
		if not list then
			return nil, message
		end
		local rows = {}
		for index, entry in ipairs(list) do
			rows[index] = cells_of(entry)
		end
		if rows[1] then
			out:table(titles, rows, FOLD)
		end
		return true, counted(#rows, "certificate")
	end,
}
