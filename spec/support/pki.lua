-- Makes throw-away keys, authorities and certificates for tests and the demo,
-- with the openssl command in a directory of its own.
--
--     local pki = require "support.pki"
--     local ca = pki.authority()
--     local files = ca:issue {
--         names = { "localhost", "*.example.com" },
--         srv = { "_xmpp-client.example.com" },
--         xmpp = { "example.com" },
--         key = "rsa2048",
--     }
--     -- files.certificate and files.key are paths, files.pem is text
--     pki.remove()
--
-- Keys are made once for each kind and name. A command that fails raises an
-- error with the output of the command. Nothing here is fit for real use: the keys
-- are not encrypted, and rsa1024 and sha1 exist to be refused.

local lfs = require "lfs"
local process = require "support.process"

local pki = {}

-- ---- commands and files --------------------------------------------------

local directory

local function quote(word)
	return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

local function slurp(path)
	local file = assert(io.open(path, "rb"))
	local text = assert(file:read("*a"))
	file:close()
	return text
end

-- Lua 5.1 returns a number, newer ones true or nil.
local function succeeded(status)
	return status == true or status == 0
end

-- The directory in which everything is made; it exists until pki.remove(), or until
-- this process ends, however it ends.
function pki.directory()
	if not directory then
		directory = process.scratch("pki")
		assert(lfs.mkdir(directory))
	end
	return directory
end

-- Runs a command given as a list of words, and returns its standard output. `input`
-- (optional) is a path to read from.
function pki.run(words, input)
	local quoted = {}
	for index, word in ipairs(words) do
		quoted[index] = quote(word)
	end
	local out, err = pki.directory() .. "/stdout", pki.directory() .. "/stderr"
	local command = table.concat(quoted, " ")
	local status = os.execute(command .. " <" .. quote(input or "/dev/null")
		.. " >" .. quote(out) .. " 2>" .. quote(err))
	if not succeeded(status) then
		error(command .. " failed: " .. slurp(err), 2)
	end
	return slurp(out)
end

local count = 0

-- An unused path.
function pki.path(suffix)
	count = count + 1
	return ("%s/%d%s"):format(pki.directory(), count, suffix or "")
end

-- Writes the text to a new file and returns its path.
function pki.write(text, suffix)
	local path = pki.path(suffix or ".pem")
	local file = assert(io.open(path, "wb"))
	assert(file:write(text))
	assert(file:close())
	return path
end

pki.read = slurp

-- ---- DER -----------------------------------------------------------------

-- One DER value: the tag as a number, and its content.
function pki.der(tag, content)
	local length, octets = #content, ""
	if length < 128 then
		return string.char(tag, length) .. content
	end
	while length > 0 do
		octets = string.char(length % 256) .. octets
		length = math.floor(length / 256)
	end
	return string.char(tag, 128 + #octets) .. octets .. content
end

local function hex(bytes)
	return (bytes:gsub(".", function (byte)
		return ("%02X"):format(byte:byte())
	end))
end

-- GeneralNames of RFC 5280 4.2.1.6, for `alternative_names`. They are made here
-- and not by openssl, so that a name may hold any byte.
function pki.dns_name(text)
	return pki.der(0x82, text)
end

function pki.ip_address(bytes)
	return pki.der(0x87, bytes)
end

-- The OID's content in DER, and the value as a whole.
function pki.other_name(oid, value)
	return pki.der(0xA0, pki.der(0x06, oid) .. pki.der(0xA0, value))
end

local ID_ON = "\43\6\1\5\5\7\8" -- 1.3.6.1.5.5.7.8
pki.id_on_xmppaddr = ID_ON .. "\5"
pki.id_on_dnssrv = ID_ON .. "\7"

-- RFC 6120 13.7.1.4.
function pki.xmpp_address(text)
	return pki.other_name(pki.id_on_xmppaddr, pki.der(0x0C, text))
end

-- RFC 4985: "_service.name".
function pki.srv_name(text)
	return pki.other_name(pki.id_on_dnssrv, pki.der(0x16, text))
end

local function alternative_names(options)
	local names = {}
	local function add(list, make)
		for _, text in ipairs(list or {}) do
			names[#names + 1] = make(text)
		end
	end
	add(options.names, pki.dns_name)
	add(options.srv, pki.srv_name)
	add(options.xmpp, pki.xmpp_address)
	add(options.alternative_names, function (der) return der end)
	if #names > 0 then
		return pki.der(0x30, table.concat(names))
	end
end

-- ---- keys ----------------------------------------------------------------

local keys = {}

local function key_options(kind)
	local bits = kind:match("^rsa(%d+)$")
	if bits then
		return "RSA", "rsa_keygen_bits:" .. bits
	end
	local curve = kind:match("^p(%d+)$")
	if curve then
		return "EC", "ec_paramgen_curve:P-" .. curve
	end
	return kind
end

-- The path of a private key in PEM: "rsa1024", "rsa2048" and so on, "p256",
-- "p384", "p521", "ed25519", "ed448". The same kind and name give the same key;
-- another name gives one that does not match it.
function pki.key(kind, name)
	local id = kind .. "/" .. (name or "")
	if not keys[id] then
		local path = pki.path(".key")
		local algorithm, parameter = key_options(kind)
		local words = { "openssl", "genpkey", "-algorithm", algorithm, "-out", path }
		if parameter then
			words[#words + 1] = "-pkeyopt"
			words[#words + 1] = parameter
		end
		pki.run(words)
		keys[id] = path
	end
	return keys[id]
end

local requests = {}

local function request(key)
	if not requests[key] then
		local config = pki.write("[req]\ndistinguished_name=dn\n[dn]\n", ".conf")
		requests[key] = pki.path(".csr")
		pki.run { "openssl", "req", "-new", "-config", config, "-subj", "/CN=request",
			"-key", key, "-out", requests[key] }
	end
	return requests[key]
end

-- ---- certificates --------------------------------------------------------

local HOUR, DAY = 3600, 86400

local known_options = {
	names = true, srv = true, xmpp = true, alternative_names = true,
	common_name = true, subject = true, key = true, key_name = true, digest = true,
	days = true, expired = true, not_before = true, not_after = true,
	extended_key_usages = true, extensions = true, authority = true, signature_options = true,
}

local function check_options(options)
	for name in pairs(options) do
		if not known_options[name] then
			error("unknown option " .. tostring(name), 3)
		end
	end
end

local function subject(options)
	if options.subject then
		return options.subject
	end
	local name = options.common_name
	if not name then
		-- Names may hold any byte, and be longer than a Common Name.
		name = options.names and options.names[1] or "test"
		name = name:gsub("[^%w%.%*_-]", "?"):sub(1, 64)
	end
	return "/CN=" .. name:gsub("[\\/+]", "\\%0")
end

local function point_in_time(value)
	return type(value) == "number" and os.date("!%Y%m%d%H%M%SZ", value) or value
end

local function validity(options)
	local from, to = options.not_before, options.not_after
	local now = os.time()
	if options.expired then
		from, to = from or now - 60 * DAY, to or now - 30 * DAY
	end
	return point_in_time(from or now - HOUR), point_in_time(to or now + (options.days or 30) * DAY)
end

local function extensions(options)
	local lines = {}
	local names = alternative_names(options)
	if names then
		lines[#lines + 1] = "subjectAltName=DER:" .. hex(names)
	end
	if options.authority then
		lines[#lines + 1] = "basicConstraints=critical,CA:TRUE"
		lines[#lines + 1] = "keyUsage=critical,keyCertSign,cRLSign"
		lines[#lines + 1] = "subjectKeyIdentifier=hash"
	else
		-- This extension keeps the certificate from being of version 1.
		lines[#lines + 1] = "basicConstraints=CA:FALSE"
	end
	if options.extended_key_usages then
		lines[#lines + 1] = "extendedKeyUsage=" .. table.concat(options.extended_key_usages, ",")
	end
	for _, line in ipairs(options.extensions or {}) do
		lines[#lines + 1] = line
	end
	return table.concat(lines, "\n")
end

local CONFIG = [[
[ca]
default_ca=ca_default
[ca_default]
database=%s
new_certs_dir=%s
rand_serial=yes
unique_subject=no
default_md=%s
policy=policy
[policy]
commonName=optional
countryName=optional
stateOrProvinceName=optional
localityName=optional
organizationName=optional
organizationalUnitName=optional
[extensions]
%s
]]

local database_path

local function database()
	database_path = database_path or pki.write("", ".index")
	return database_path
end

-- `issuer` nil: signed with its own key. Uses `openssl ca`, because it is the only command
-- of OpenSSL 3.0 that takes both ends of the validity.
local function sign(issuer, options)
	local key = pki.key(options.key or "p256", options.key_name)
	local path = pki.path(".crt")
	local from, to = validity(options)
	local config = pki.write(CONFIG:format(database(), pki.directory(),
		options.digest or "default", extensions(options)), ".conf")
	local words = { "openssl", "ca", "-batch", "-notext", "-utf8", "-preserveDN",
		"-config", config, "-extensions", "extensions", "-subj", subject(options),
		"-startdate", from, "-enddate", to, "-in", request(key), "-out", path,
		"-keyfile", issuer and issuer.key or key }
	if issuer then
		words[#words + 1] = "-cert"
		words[#words + 1] = issuer.own
	else
		words[#words + 1] = "-selfsign"
	end
	for _, option in ipairs(options.signature_options or {}) do
		words[#words + 1] = "-sigopt"
		words[#words + 1] = option
	end
	pki.run(words)
	return path, key
end

local Authority = {}
Authority.__index = Authority

-- Makes a certificate and returns
--     certificate  path of it in PEM, with the intermediate authorities after it
--     key          path of its private key
--     pem          the text of `certificate`
--     own          path of the certificate alone
-- All options may be left out:
--     names, srv, xmpp      lists of text for the subjectAltName; the bytes go
--                           into it as they are
--     alternative_names     list of further GeneralNames in DER, see pki.dns_name
--     common_name, subject  subject as in openssl's -subj; default the first name
--     key, key_name         as for pki.key; default "p256"
--     digest                of the signature, "sha256" …
--     signature_options     list for openssl's -sigopt
--     days                  from now, default 30
--     expired               true: it ended 30 days ago
--     not_before, not_after UTC seconds or "YYYYMMDDHHMMSSZ"
--     extended_key_usages   list, "serverAuth" … or numbers
--     extensions            list of further lines for openssl's config file
--     authority             true: basicConstraints and keyUsage of a CA
function Authority:issue(options)
	check_options(options)
	local own, key = sign(self, options)
	local pem = slurp(own) .. self.chain
	return { own = own, key = key, pem = pem, certificate = pki.write(pem, ".crt") }
end

local function new_authority(own, key, chain)
	return setmetatable({
		own = own,
		key = key,
		certificate = own,
		pem = slurp(own),
		chain = chain,
	}, Authority)
end

local authorities = 0

local function authority_options(options)
	local merged = { authority = true }
	for name, value in pairs(options or {}) do
		merged[name] = value
	end
	authorities = authorities + 1
	merged.common_name = merged.common_name or "Test Authority " .. authorities
	merged.key_name = merged.key_name or "authority " .. authorities
	return merged
end

-- A root: `certificate` (path), `key` (path), `pem` (text), and the methods
-- issue and intermediate. Options as for issue.
function pki.authority(options)
	check_options(options or {})
	local own, key = sign(nil, authority_options(options))
	return new_authority(own, key, "")
end

-- An authority below this one. Certificates that it issues carry its own certificate.
function Authority:intermediate(options)
	check_options(options or {})
	local own, key = sign(self, authority_options(options))
	return new_authority(own, key, slurp(own) .. self.chain)
end

-- Like issue, but signed with its own key.
function pki.self_signed(options)
	check_options(options)
	local own, key = sign(nil, options)
	return { own = own, key = key, pem = slurp(own), certificate = own }
end

-- The first certificate of a text in PEM, as DER.
function pki.to_der(pem)
	return pki.run { "openssl", "x509", "-outform", "DER", "-in", pki.write(pem) }
end

-- ---- what is broken ------------------------------------------------------

-- Text that is cut off in the middle, as on a full disk.
function pki.truncated(text)
	return text:sub(1, math.floor(#text / 2))
end

-- Paths of faulty files in the place of a certificate (or of a key, except `empty` and
-- `missing`). `files`: a result of issue.
function pki.broken(files)
	return {
		missing = pki.path(".missing"),
		empty = pki.write(""),
		garbage = pki.write("This is not a certificate.\n"),
		binary = pki.write("\0\1\2\255\254\253"),
		truncated = pki.write(pki.truncated(files.pem)),
		key_truncated = pki.write(pki.truncated(slurp(files.key))),
		key_of_another = pki.key("p256", "of another"),
	}
end

-- Removes the directory and everything in it.
function pki.remove()
	if directory then
		local path = directory
		directory, database_path, keys, requests = nil, nil, {}, {}
		if not succeeded(os.execute("rm -rf " .. quote(path))) then
			error("cannot remove " .. path)
		end
	end
end

return pki
