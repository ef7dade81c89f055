-- Chains of certificates of strangers, with TLSA and CAA records. The input: for each part its length in two
-- bytes, then its bytes; the first two parts are the rdata of a TLSA record and of a CAA record, the others
-- certificates in DER.
local caa = require "xmpp_tls_policy.audit.caa"
local certificates = require "xmpp_tls_policy.audit.certificates"
local core = require "xmpp_tls_policy.core"
local pki = require "support.pki"
local tlsa = require "xmpp_tls_policy.audit.tlsa"

local target = {}

local MOST_PARTS = 8

local function parts_of(bytes)
	local parts, position = {}, 1
	while position + 1 <= #bytes and #parts < MOST_PARTS do
		local high, low = bytes:byte(position, position + 1)
		local length = high * 256 + low
		parts[#parts + 1] = bytes:sub(position + 2, position + 1 + length)
		position = position + 2 + length
	end
	return parts
end

local function part(bytes)
	return string.char(math.floor(#bytes / 256), #bytes % 256) .. bytes
end

local trust = assert(core.context.new { role = "client" })

-- Whatever a report shows has no control characters.
local function check_text(value)
	if type(value) == "table" then
		for name, inner in pairs(value) do
			check_text(name)
			check_text(inner)
		end
	elseif type(value) == "string" and value:find "%c" then
		error(("a control character in %q"):format(value))
	end
end

function target.test(bytes)
	local parts, chain = parts_of(bytes), {}
	for index = 3, #parts do
		chain[#chain + 1] = core.certificate.from_der(parts[index])
	end
	local association, message = tlsa.parse(parts[1] or "")
	check_text(message)
	local property, problem = caa.parse(parts[2] or "")
	check_text(problem)
	if association then
		association.dnssec = "secure"
	end
	local observed, data = certificates.examine(chain, {
		domain = "a.test", service = "s2s", trust = trust, now = 1767225600, host = "x.test", host_dnssec = "secure",
		tlsa = { association }, caa = { property },
	})
	for _, observation in pairs(observed) do
		if observation.seen == nil and not observation.reason or observation.seen ~= nil and not observation.evidence then
			error "an observation without its reason"
		end
	end
	-- Nothing is trusted without an authority.
	if observed["certificate.trusted"].seen then
		error "trusted"
	end
	check_text(observed)
	check_text(data)
end

function target.seeds()
	local root = pki.authority()
	local middle = root:intermediate()
	local own = pki.to_der(middle:issue({
		names = { "a.test" }, srv = { "_xmpp-server.a.test" }, xmpp = { "a.test" },
	}).pem)
	local chain = { own, pki.to_der(pki.read(middle.own)), pki.to_der(root.pem) }
	local seeds = {}
	local function add(association, property, length)
		local parts = { part(association), part(property) }
		for index = 1, length do
			parts[#parts + 1] = part(chain[index])
		end
		seeds[#seeds + 1] = table.concat(parts)
	end
	local spki = core.certificate.from_der(own):spki()
	add("\3\1\1" .. core.digest("SHA256", spki), "\0\5issueletsencrypt.org; accounturi=https://a.test/1", 3)
	add("\2\0\2" .. core.digest("SHA512", chain[2]), "\0\9issuewild;", 2)
	add("\2\0\0" .. chain[2], "\128\4x00d", 2)
	add("\0\0\0" .. chain[3], "\0\5iodefmailto:a@a.test", 3)
	add("\1\1\0" .. spki, "", 1)
	add("", "", 0)
	pki.remove()
	return seeds
end

return target
