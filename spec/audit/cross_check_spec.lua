-- The audit beside testssl.sh and nmap's ssl-enum-ciphers at the same server: the same versions, suites and sizes
-- of keys. nmap knows STARTTLS only on the ports that IANA has for it, so it asks the port of direct TLS. There Prosody
-- 0.12 has no DHE for clients that name the host (SNI), which all see; with STARTTLS it has.
local audit_report = require "support.audit_report"
local nmap = require "support.nmap"
local pki = require "support.pki"
local prosody = require "support.prosody"
local testssl = require "support.testssl"

local DOMAIN = "host.test"

local function set_of(list)
	local set = {}
	for _, name in ipairs(list or {}) do
		set[name] = true
	end
	return set
end

-- What the audit found, in the shape of testssl.run.
local function found_by_audit(endpoint)
	local observed = endpoint.observations
	local found = { versions = {}, suites = {} }
	for name, observation in pairs(observed) do
		local version = name:match "^version%.(%u+v[%d.]+)$"
		if version then
			assert.is_boolean(observation.seen, name)
			found.versions[version] = observation.seen or nil
		end
	end
	for version, names in pairs(observed["suites.accepted"].value) do
		found.suites[version] = set_of(names)
	end
	found.dh_bits = observed["dhe.bits"].seen and observed["dhe.bits"].value or nil
	found.key_bits = endpoint.certificate.key.bits
	return found
end

-- Options `ssl` of Prosody. The audit lists all suites of a server only if 40 connections are enough for that; so
-- the second one has few.
local stock = {}
local mixed = {
	ciphers = "DHE-RSA-AES256-GCM-SHA384:AES256-GCM-SHA384:ECDHE-RSA-AES128-SHA256:@SECLEVEL=1",
	options = { cipher_server_preference = true },
}

describe("the audit, testssl.sh and nmap", function ()
	local missing = testssl.missing() or nmap.missing()
	if missing then
		return it("find the same", function ()
			pending(missing)
		end)
	end
	local authority, certificate

	setup(function ()
		authority = pki.authority()
		certificate = authority:issue { names = { DOMAIN }, key = "rsa2048" }
		mixed.dhparam = pki.path ".dh"
		pki.run { "openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe3072",
			"-out", mixed.dhparam }
	end)

	teardown(pki.remove)

	-- Calls look(target) for a service of a server with these settings. Returns the audit's endpoint, what it found,
	-- and what look returned.
	local function at_server(ssl, service, look)
		local server = prosody.start { hosts = { [DOMAIN] = certificate }, options = { ssl = ssl } }
		local target = server:target(service, DOMAIN)
		local endpoint = audit_report(target, { authorities = authority.certificate })
		local theirs = look(target)
		server:stop()
		assert.is_true(endpoint.observations["suites.complete"].seen)
		return endpoint, found_by_audit(endpoint), theirs
	end

	-- testssl.sh takes half a minute.
	it("find the same versions, suites and key sizes: testssl.sh, DHE, RSA key transport and CBC", function ()
		local _, ours, theirs = at_server(mixed, "c2s", testssl.run)
		assert.same(theirs, ours)
		assert.same({ 2048, 3072 }, { ours.key_bits, ours.dh_bits })
	end)

	for name, ssl in pairs { ["the stock settings of Prosody"] = stock, ["DHE, RSA key transport and CBC"] = mixed } do
		it("find the same versions, suites and key sizes: nmap, " .. name, function ()
			local endpoint, ours, theirs = at_server(ssl, "c2s_direct_tls", nmap.run)
			-- nmap does not try SSLv2.
			assert.is_nil(ours.versions.SSLv2)
			assert.same(theirs.versions, ours.versions)
			for version, names in pairs(theirs.suites) do
				assert.same(set_of(names), ours.suites[version])
			end
			assert.equal(theirs.dh_bits, ours.dh_bits)
			-- nmap has the size of the certificate's key from suites with RSA key transport alone.
			if ours.suites["TLSv1.2"].TLS_RSA_WITH_AES_256_GCM_SHA384 then
				assert.equal(theirs.key_bits, ours.key_bits)
			end
			local chooses = endpoint.observations["suites.server_chooses"].seen
			assert.equal(theirs.preference["TLSv1.2"], chooses and "server" or "client")
			-- The order is the server's only if the server chooses.
			if chooses then
				assert.same(theirs.suites["TLSv1.2"], endpoint.observations["suites.accepted"].value["TLSv1.2"])
			end
		end)
	end
end)
