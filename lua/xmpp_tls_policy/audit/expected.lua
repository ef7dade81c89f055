--- Keys and certificates that the operator expects, so that an interception with another certificate shows,
-- even if it is valid.
local core = require "xmpp_tls_policy.core"
local text = require "xmpp_tls_policy.text"

local expected = {}

local methods = {}
local metatable = { __index = methods }

-- A SHA-256 digest as 64 hexadecimal digits, which may have colons between them.
local function digest_of(given)
	local digits = given:gsub(":", ""):lower()
	return digits:find "^%x+$" and #digits == 64 and digits or nil
end

-- The SHA-256 digest of the first certificate in a file, PEM or DER.
local function certificate_digest(path)
	local file, problem = io.open(path, "rb")
	local bytes
	if file then
		bytes, problem = file:read(1048577)
		file:close()
	end
	if not bytes then
		return nil, ("cannot read the certificate %s: %s"):format(text.quote(path), text.shown(problem or "it is empty"))
	end
	local read = bytes:find("-----BEGIN", 1, true) and core.certificate.from_pem or core.certificate.from_der
	local certificate, message = read(bytes)
	if not certificate then
		return nil, ("no certificate in %s: %s"):format(text.quote(path), message)
	end
	return certificate:facts().sha256
end

--- `keys`: a list of SHA-256 digests of SubjectPublicKeyInfos, in hexadecimal; `certificates`: a list of paths of
-- files. Returns an object; or nil and the fault.
function expected.new(keys, certificates)
	local self = setmetatable({ _keys = {}, _certificates = {}, _count = 0 }, metatable)
	for _, given in ipairs(keys) do
		local digest = digest_of(given)
		if not digest then
			return nil, ("%s is no SHA-256 digest: 64 hexadecimal digits are needed"):format(text.quote(given))
		end
		self._keys[digest], self._count = true, self._count + 1
	end
	for _, path in ipairs(certificates) do
		local digest, problem = certificate_digest(path)
		if not digest then
			return nil, problem
		end
		self._certificates[digest], self._count = true, self._count + 1
	end
	return self
end

--- Whether nothing is expected.
function methods:is_empty()
	return self._count == 0
end

--- Whether a certificate is one of those expected, or has one of the keys. `facts`: as certificate:facts().
function methods:has(facts)
	return self._keys[facts.spki_sha256] or self._certificates[facts.sha256] or false
end

return expected
