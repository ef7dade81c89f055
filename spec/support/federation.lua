-- Two servers that federate: their certificates, and the streams between them as the policy shows
-- them.

local json = require "dkjson"
local pki = require "support.pki"
local versions = require "support.versions"

local federation = {}

-- The kinds of certificates, in the order of the specs. `label`: for names of hosts; `valid`: whether
-- it vouches for its server; `for_clients`: whether it is also valid as a client certificate.
-- make(authority, names) issues one.
federation.certificates = {
	{
		name = "a CA-signed certificate", label = "ca", valid = true, for_clients = true,
		make = function (authority, names)
			return authority:issue { names = names, key = "rsa2048" }
		end,
	},
	{
		name = "a self-signed certificate", label = "self", valid = false, for_clients = false,
		make = function (_, names)
			return pki.self_signed { names = names, key = "rsa2048" }
		end,
	},
	-- As public authorities issue them since 2026.
	{
		name = "a serverAuth-only certificate", label = "server", valid = true, for_clients = false,
		make = function (authority, names)
			return authority:issue { names = names, key = "rsa2048", extended_key_usages = { "serverAuth" } }
		end,
	},
}

local function data(server, command)
	local output, status = server:shell(command)
	assert(status == 0, output)
	return assert(json.decode((output:gsub("OK: %d+ lines of JSON%s*$", ""))))
end

-- The authenticated streams between a host of a server's under the policy and another
-- domain, as in `tlspolicy:show`: { s2sin = row, s2sout = row }.
function federation.streams(server, host, domain)
	local found = {}
	for _, row in ipairs(data(server, [[tlspolicy:show("s2s", "json")]]).connections) do
		if row.host == host and row.who == domain and row.mechanism then
			assert(not found[row.role], "two streams of one role")
			found[row.role] = row
		end
	end
	return found
end

-- The refusals of a server for a host, the latest first, as in `tlspolicy:refused`.
function federation.refused(server, host)
	local found = {}
	for _, entry in ipairs(data(server, [[tlspolicy:refused("json")]]).refused) do
		if entry.host == host then
			found[#found + 1] = entry
		end
	end
	return found
end

-- The expected row of a stream. `valid`: whether the other side's certificate is; mechanism:
-- "EXTERNAL" or "dialback"; negotiated: fields that differ from those between two current servers.
-- The other side's OpenSSL is this system's or a newer one.
function federation.row(valid, mechanism, negotiated)
	local row = {
		encrypted = true, authenticated = valid, authentication = valid and "PKIX" or nil, mechanism = mechanism,
		verdict = "ok", version = "TLSv1.3", cipher_suite = "TLS_AES_256_GCM_SHA384", bits = 256,
		group = versions.has_group "X25519MLKEM768" and "X25519MLKEM768" or "x25519", forward_secrecy = true, resumed = false,
	}
	for field, value in pairs(negotiated or {}) do
		row[field] = value
	end
	return row
end

federation.tls12 = { version = "TLSv1.2", group = "x25519", cipher_suite = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" }
federation.tls11 = { version = "TLSv1.1", group = "x25519", cipher_suite = "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA" }

-- The text of the refusal of a server without a valid certificate.
function federation.no_certificate(domain)
	return ("draft-saintandre-xmpp-tls-02, section 4.6, unauth.encrypt (allowed): no valid certificate vouches for %s, "
		.. "and dialback alone is not accepted here"):format(domain)
end

-- The fields of `row` that `wanted` has.
function federation.fields(row, wanted)
	local found = {}
	for name in pairs(wanted) do
		found[name] = row and row[name]
	end
	return found
end

return federation
