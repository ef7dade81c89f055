--- testssl.sh at a server, and what it found, as plain data.
local json = require "dkjson"
local pki = require "support.pki"
local process = require "support.process"

local testssl = {}

--- Why it cannot run here; nil if it can.
function testssl.missing()
	return process.run { "sh", "-c", "command -v testssl" } == ""
		and "testssl.sh is not installed; `make deps-test` installs it" or nil
end

-- The words of its findings -> OpenSSL's names of versions.
local versions = { SSLv2 = "SSLv2", SSLv3 = "SSLv3", TLS1 = "TLSv1", TLS1_1 = "TLSv1.1", TLS1_2 = "TLSv1.2",
	TLS1_3 = "TLSv1.3" }

--- Its command for a target of clients (see prosody.lua). `more`: words of options.
function testssl.command(target, more)
	local words = { "testssl", "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none" }
	for _, word in ipairs(more) do
		words[#words + 1] = word
	end
	if not target.direct_tls then
		for _, word in ipairs { "--starttls", "xmpp", "--xmpphost", target.domain } do
			words[#words + 1] = word
		end
	end
	words[#words + 1] = "127.0.0.1:" .. target.port
	return words
end

--- What it finds: { versions = set of OpenSSL's names, suites = { [version] = set of IANA's names },
-- dh_bits = of the DHE suites, key_bits = of the certificate's key }.
function testssl.run(target)
	local path = pki.path ".json"
	process.run(testssl.command(target, { "--jsonfile", path, "-p", "-S", "-E" }), { timeout = 300 })
	local found = { versions = {}, suites = {} }
	for _, entry in ipairs(assert(json.decode(pki.read(path)))) do
		local id, finding = entry.id, entry.finding
		if versions[id] then
			found.versions[versions[id]] = finding:find "^offered" and true or nil
		elseif id:find "^cipher%-tls" then
			local version = versions[id:match "^cipher%-(tls1_?%d?)_x":upper()]
			local suite = finding:match "(%S+)%s*$"
			found.suites[version] = found.suites[version] or {}
			found.suites[version][suite] = true
			found.dh_bits = tonumber(finding:match " DH (%d+)") or found.dh_bits
		elseif id:find "^cert_keySize" then
			found.key_bits = tonumber(finding:match "(%d+) bits")
		end
	end
	return found
end

return testssl
