--- The command `cert`: the certificates of a connected server or of a host of ours
-- (admin.certificate).
local counted = require "xmpp_tls_policy.text".counted
local date = require "xmpp_tls_policy.date"
local name_of = require "xmpp_tls_policy.certificates.domain_store".name_of
local offered_certificates = require "xmpp_tls_policy.commands.offered_certificates"
local quote = require "xmpp_tls_policy.text".quote

-- A list; or nil and a message.
local function certificates_of(service, given)
	local prepared = given and service.server.prepare_domain(given)
	-- Servers prepare more than the domains of JIDs.
	if not prepared or prepared == "" or prepared:find "[%s@/]" then
		return nil, given and ("%s is not a domain"):format(quote(given)) or 'name a domain, such as "far.example"'
	end
	local domain = name_of(prepared)
	local list = offered_certificates.of(service, domain)
	if not list[1] then
		return nil, ("no certificate of %s is known: it is not a host of ours with TLS, and no connection is there on "
			.. "which it presented one"):format(domain)
	end
	return list
end

local function names_of(certificate)
	local names = {}
	for _, kind in ipairs { { "DNS", "dns" }, { "SRV", "srv" }, { "XmppAddr", "xmpp" } } do
		for _, name in ipairs(certificate.names[kind[2]]) do
			names[#names + 1] = kind[1] .. " " .. name
		end
	end
	return names[1] and table.concat(names, ", ") or "none in the subjectAltName"
end

local function validity_of(certificate)
	if not certificate.not_before or not certificate.not_after then
		return "unknown"
	end
	local left = certificate.days_left >= 0 and counted(certificate.days_left, "day") .. " left" or "expired"
	return ("%s to %s (%s)"):format(date.of(certificate.not_before), date.of(certificate.not_after), left)
end

local function key_of(certificate)
	return ("%s%s%s"):format(certificate.key_type or "unknown",
		certificate.key_bits and (", %d bits"):format(certificate.key_bits) or "",
		certificate.curve and (", %s"):format(certificate.curve) or "")
end

local function authority_of(certificate)
	return ("%s, issued by %s, until %s"):format(certificate.subject or "unknown", certificate.issuer or "unknown",
		certificate.not_after and date.of(certificate.not_after) or "unknown")
end

-- Who shows a certificate, and in which roles.
local function shown_by(certificate)
	local ours, peers = {}, {}
	for _, role in ipairs(certificate.offered) do
		local own = role:match "^our own, (.*)$"
		table.insert(own and ours or peers, own or role)
	end
	local parts = {}
	if ours[1] then
		parts[1] = ("this server (%s)"):format(table.concat(ours, ", "))
	end
	if peers[1] then
		parts[#parts + 1] = ("the other server (%s)"):format(table.concat(peers, ", "))
	end
	return table.concat(parts, " and ")
end

local function print_certificate(out, certificate)
	local function field(title, value)
		out:print("  %-22s%s", title, value or "unknown")
	end
	out:print("Shown by %s%s", shown_by(certificate),
		certificate.authenticated == false and "; the stream is not authenticated for this domain" or "")
	field("Names", names_of(certificate))
	field("Subject", certificate.subject)
	field("Issuer", certificate.issuer)
	field("Serial number", certificate.serial)
	field("Valid", validity_of(certificate))
	field("Key", key_of(certificate))
	field("Signature", certificate.signature_algorithm)
	field("SHA-256", certificate.sha256)
	field("SHA-256 of the key", certificate.spki_sha256)
	field("Extended key usages", certificate.extended_key_usages and table.concat(certificate.extended_key_usages, ", ")
		or "not restricted")
	for index, authority in ipairs(certificate.chain) do
		field(index == 1 and "Followed by" or "", authority_of(authority))
	end
	for index, problem in ipairs(certificate.problems) do
		field(index == 1 and "Problems" or "", problem)
	end
end

--- See run.lua.
return {
	name = "cert",
	argument = "domain", needs_argument = true,
	help = "Show the certificate of a connected server or of a host of ours, its chain and its problems",
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
		for _, certificate in ipairs(list) do
			print_certificate(out, certificate)
		end
		return true, counted(#list, "certificate")
	end,
}
