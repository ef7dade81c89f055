--- CAA records (RFC 8659, RFC 8657): their bytes, and whom they permit to issue certificates.
local text = require "xmpp_tls_policy.text"

local caa = {}

local CRITICAL = 128

--- The fields of a record from its bytes (rfc8659.4.1.caa-rdata): { critical = boolean, tag (lower case), value };
-- or nil and the fault.
function caa.parse(rdata)
	local flags, length = rdata:byte(1, 2)
	local tag = length and rdata:sub(3, 2 + length)
	if not length or length == 0 or #tag < length or #rdata > 65535 or tag:find "[^%w]" then
		return nil, ("a CAA record cannot be read: %s"):format(text.quote(rdata))
	end
	return { critical = flags >= CRITICAL, tag = tag:lower(), value = rdata:sub(3 + length) }
end

local function trimmed(string)
	return string:match "^[ \t]*(.-)[ \t]*$"
end

-- More parameters than the two of RFC 8657 are of no use to us.
local MOST_PARAMETERS = 16

local function read_parameters(list)
	local parameters, count = {}, 0
	for parameter in (list .. ";"):gmatch "([^;]*);" do
		local part = trimmed(parameter)
		local name, value = part:match "^([%w][%w-]*)[ \t]*=[ \t]*([\33-\126]*)$"
		count = count + 1
		name = name and name:lower()
		local is_second = name == "accounturi" and parameters.accounturi
		if name and count <= MOST_PARAMETERS and name:sub(-1) ~= "-" and not is_second then
			parameters[name] = value
		elseif part ~= "" then
			return nil
		end
	end
	return parameters
end

--- The value of "issue" or "issuewild" (rfc8659.4.2.issue-value): { issuer = domain name in lower case; nil: nobody,
-- account = the URI of the only account for which it is (rfc8657.3.accounturi), or nil }. A value that cannot
-- be read, that names two accounts, or one that is no URI, permits nobody.
function caa.issue(value)
	local name, list = value:match "^([^;]*);?(.*)$"
	name = trimmed(name):lower()
	local parameters = read_parameters(list)
	local is_name = name:find "^[%w-]+[%w.-]*$" and not name:find("..", 1, true)
	local account = parameters and parameters.accounturi
	if not parameters or not is_name or account and not account:find "^%a[%w+.-]*:." then
		return {}
	end
	return { issuer = name, account = account }
end

-- Properties that RFC 8659, RFC 9495, and the registry of CAs know.
local known = {
	issue = true, issuewild = true, iodef = true, issuemail = true, issuevmc = true, contactemail = true,
	contactphone = true,
}

local function with_tag(records, tag)
	local list = {}
	for _, record in ipairs(records) do
		list[#list + 1] = record.tag == tag and record or nil
	end
	return list
end

--- Whom a set of records permits to issue a certificate. `is_wildcard`: for a name that begins with "*."
-- (rfc8659.4.3.issuewild-before-issue). Returns a list as of caa.issue, without those that permit nobody; nil: the
-- records restrict nothing.
function caa.permitted(records, is_wildcard)
	for _, record in ipairs(records) do
		if record.critical and not known[record.tag] then
			return {} -- rfc8659.4.5.critical-and-unknown
		end
	end
	local properties = is_wildcard and with_tag(records, "issuewild") or {}
	if not properties[1] then
		properties = with_tag(records, "issue")
	end
	if not properties[1] then
		return nil
	end
	local permitted = {}
	for _, property in ipairs(properties) do
		local issue = caa.issue(property.value)
		permitted[#permitted + 1] = issue.issuer and issue or nil
	end
	return permitted
end

-- Organisations of authorities, as their certificates have them, and the names by which CAA knows them
-- according to their statements of practice.
local authorities = {
	["Let's Encrypt"] = { "letsencrypt.org" },
	["Google Trust Services"] = { "pki.goog" },
	["DigiCert"] = { "digicert.com", "geotrust.com", "rapidssl.com", "thawte.com", "symantec.com" },
	["Sectigo"] = { "sectigo.com", "comodoca.com", "comodo.com", "usertrust.com", "trust-provider.com" },
	["COMODO"] = { "sectigo.com", "comodoca.com", "comodo.com", "usertrust.com", "trust-provider.com" },
	["ZeroSSL"] = { "sectigo.com", "comodoca.com", "comodo.com", "usertrust.com", "trust-provider.com" },
	["GlobalSign"] = { "globalsign.com" },
	["Amazon"] = { "amazon.com", "amazontrust.com", "awstrust.com", "amazonaws.com" },
	["Buypass"] = { "buypass.com", "buypass.no" },
	["SSL Corp"] = { "ssl.com" },
	["Actalis"] = { "actalis.it" },
	["GoDaddy.com"] = { "godaddy.com", "starfieldtech.com" },
	["Starfield Technologies"] = { "godaddy.com", "starfieldtech.com" },
	["Hellenic Academic and Research Institutions"] = { "harica.gr" },
	["D-Trust"] = { "d-trust.net", "dtrust.de", "d-trust.de" },
	["Deutsche Telekom Security"] = { "telesec.de", "pki.dfn.de", "dfn.de" },
	["SwissSign"] = { "swisssign.com", "swisssign.net", "swissign.com" },
	["Certainly"] = { "certainly.com" },
}

--- The names by which CAA knows the authority with this name (as certificate:facts().issuer, RFC 4514),
-- or nil: not known.
function caa.names_of(issuer)
	local organisation = ("," .. issuer):match ",O=([^,]*)"
	for beginning, names in pairs(authorities) do
		if organisation and organisation:sub(1, #beginning) == beginning then
			return names
		end
	end
end

return caa
