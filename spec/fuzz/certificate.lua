-- Certificates of peers (DER) and of operators (PEM).
local core = require "xmpp_tls_policy.core"
local pki = require "support.pki"

local target = {}

local function read(bytes)
	if bytes:find("-----BEGIN", 1, true) then
		return core.certificate.from_pem(bytes)
	end
	return core.certificate.from_der(bytes)
end

local function same(one, other, what)
	if one ~= other then
		error(("%s: %q, %q"):format(what, tostring(one), tostring(other)))
	end
end

-- A parsed certificate can be written, and then reads the same.
function target.test(bytes)
	local certificate, message, code = read(bytes)
	if not certificate then
		same("parse", code, message)
		return
	end
	local facts = certificate:facts()
	for _, kind in ipairs { "dns", "xmpp" } do
		for _, name in ipairs(facts.identities[kind]) do
			certificate:matches(name, "xmpp-client")
		end
	end
	for _, identity in ipairs(facts.identities.srv) do
		certificate:matches(identity.name, "xmpp-server")
	end
	local der = certificate:der()
	if der then
		local again = assert(core.certificate.from_der(der))
		same(der, again:der(), "DER")
		same(facts.spki_sha256, again:facts().spki_sha256, "digest of the key")
		same(der, assert(core.certificate.from_pem(certificate:pem())):der(), "PEM")
		again:close()
	end
	certificate:close()
end

function target.seeds()
	local authority = pki.authority()
	local seeds = {}
	local function add(pem)
		seeds[#seeds + 1] = pem
		seeds[#seeds + 1] = pki.to_der(pem)
	end
	for _, kind in ipairs { "rsa2048", "p256", "p384", "ed25519", "ed448" } do
		add(authority:issue({ names = { "example.test", "*.example.test" }, key = kind }).pem)
	end
	add(authority:issue({ names = { "a.test" }, srv = { "_xmpp-client.a.test" }, xmpp = { "a.test", "b@a.test" } }).pem)
	add(authority:issue({ names = { "a.test" }, extended_key_usages = { "serverAuth", "1.2.3.4" } }).pem)
	add(authority:issue({ common_name = "a.test", names = {}, expired = true }).pem)
	add(authority:intermediate():issue({ names = { "a.test" }, digest = "sha384" }).pem)
	add(pki.self_signed({ names = { "\255\0" }, subject = "/C=DE/O=a/OU=b/CN=\195\164" }).pem)
	pki.remove()
	return seeds
end

return target
