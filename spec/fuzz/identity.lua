-- Subject alternative names, compared with a domain: the domain, a newline, and the contents of the
-- SEQUENCE of GeneralNames (RFC 5280 4.2.1.6).
local core = require "xmpp_tls_policy.core"
local pki = require "support.pki"

local target = {}

local der = pki.der

local function sequence(...)
	return der(0x30, table.concat { ... })
end

local algorithm = sequence("\6\8\42\134\72\206\61\4\3\2") -- ecdsa-with-SHA256
local key = sequence(sequence("\6\7\42\134\72\206\61\2\1\6\8\42\134\72\206\61\3\1\7"), der(3, ("\0"):rep(66)))
local time = der(0x17, "260101000000Z")

-- A certificate (RFC 5280 4.1) that is valid except for its key and signature.
local function certificate_with(names)
	local extension = sequence("\6\3\85\29\17", der(4, der(0x30, names))) -- subjectAltName
	return sequence(sequence("\160\3\2\1\2\2\1\1", algorithm, sequence(), sequence(time, time), sequence(), key,
		der(0xA3, sequence(extension))), algorithm, der(3, "\0\0"))
end

local function is_ascii(text)
	return not text:find "[\128-\255]"
end

local function normal(name)
	return (name:lower():gsub("%.$", ""))
end

-- Whether one of the identities matches the domain: a second, simpler implementation of RFC 6125 6.4.
local function is_named(identities, domain, service)
	domain = normal(domain)
	for _, name in ipairs(identities.dns) do
		local rest = name:match "^%*%.(.*)$"
		if normal(name) == domain or rest and rest:find(".", 1, true) and normal(rest) == domain:match "^[^.]+%.(.*)$" then
			return true
		end
	end
	for _, identity in ipairs(identities.srv) do
		if identity.service == service and normal(identity.name) == domain then
			return true
		end
	end
	for _, name in ipairs(identities.xmpp) do
		if normal(name) == domain or not is_ascii(name) then
			return true
		end
	end
end

function target.test(bytes)
	local domain, names = bytes:match "^(.-)\n(.*)$"
	if not domain then
		domain, names = bytes, ""
	end
	local certificate = core.certificate.from_der(certificate_with(names))
	if not certificate then
		return
	end
	local identities = certificate:facts().identities
	for _, service in ipairs { "xmpp-client", "xmpp-server" } do
		local matches = certificate:matches(domain, service)
		if matches and is_ascii(domain) and not is_named(identities, domain, service) then
			error(("%q matches, but no identity names it"):format(domain))
		end
		if is_ascii(domain) and matches ~= certificate:matches(domain:upper(), service) then
			error(("the match depends on the case of %q"):format(domain))
		end
		if domain:sub(-1) ~= "." and #domain < 250 and matches ~= certificate:matches(domain .. ".", service) then
			error(("the match depends on a dot after %q"):format(domain))
		end
	end
	certificate:close()
end

function target.seeds()
	local seeds = {}
	local function add(domain, ...)
		seeds[#seeds + 1] = domain .. "\n" .. table.concat { ... }
	end
	add("a.test", pki.dns_name "a.test")
	add("b.a.test", pki.dns_name "*.a.test", pki.dns_name "b.test")
	add("a.test", pki.srv_name "_xmpp-client.a.test", pki.srv_name "_xmpp-server.b.test")
	add("a.test", pki.xmpp_address "a.test", pki.xmpp_address "b@a.test/c")
	add("b\195\188cher.test", pki.dns_name "xn--bcher-kva.test", pki.xmpp_address "b\195\188cher.test")
	add("xn--bcher-kva.test", pki.xmpp_address "b\195\188cher.test", pki.ip_address "\127\0\0\1")
	add("127.0.0.1", pki.ip_address "\127\0\0\1", pki.dns_name "127.0.0.1")
	add("a.test", pki.other_name("\42\3", "\4\1x"), pki.dns_name "\255\0a.test")
	add(("a"):rep(63) .. ".test", pki.dns_name(("a"):rep(63) .. ".test"))
	return seeds
end

return target
