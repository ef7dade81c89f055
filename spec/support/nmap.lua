--- nmap's script ssl-enum-ciphers at a server with direct TLS, and what it found, as plain data.
local process = require "support.process"

local nmap = {}

--- Why it cannot run here; nil if it can.
function nmap.missing()
	return process.run { "sh", "-c", "command -v nmap" } == ""
		and "nmap is not installed; `make deps-test` installs it" or nil
end

-- nmap's names of versions -> OpenSSL's; it does not try SSLv2.
local versions = { ["TLSv1.0"] = "TLSv1" }

--- What it finds at a target (see prosody.lua), whose domain it sends as the server name: { versions = set, suites =
-- { [version] = list of IANA's names, in the server's order if it has one }, dh_bits, key_bits,
-- preference = { [version] = "server" | "client" } }.
function nmap.run(target)
	local output = process.check { "nmap", "-Pn", "-p", tostring(target.port), "--script", "+ssl-enum-ciphers",
		"--script-args", "tls.servername=" .. target.domain, "127.0.0.1" }
	local found, version = { versions = {}, suites = {}, preference = {} }, nil
	for line in output:gmatch "[^\n]+" do
		local name = line:match "^|%s+(%u+v[%d.]+):"
		version = name and (versions[name] or name) or version
		if name then
			found.versions[version], found.suites[version] = true, {}
		end
		local suite, kind, bits = line:match "^|%s+(TLS_%S+) %((%S+) ?(%d*)%)"
		if suite then
			-- nmap puts "AKE_WITH" into the names of TLS 1.3, which have no such part (RFC 8446 B.4).
			table.insert(found.suites[version], (suite:gsub("^TLS_AKE_WITH_", "TLS_")))
			found.dh_bits = kind == "dh" and tonumber(bits) or found.dh_bits
			found.key_bits = kind == "rsa" and tonumber(bits) or found.key_bits
		end
		if version then
			found.preference[version] = line:match "cipher preference: (%l+)" or found.preference[version]
		end
	end
	return found
end

return nmap
