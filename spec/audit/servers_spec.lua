-- The audit of servers of other projects: jabberd2, ejabberd and gnutls-serv, each as Debian has it or with
-- parameters that break a clause.
local audit_report = require "support.audit_report"
local ejabberd = require "support.ejabberd"
local gnutls_server = require "support.gnutls_server"
local jabberd2 = require "support.jabberd2"
local pki = require "support.pki"

local DOMAIN = "host.test"

local authority, certificate

local function make_certificate()
	authority = pki.authority()
	certificate = authority:issue { names = { DOMAIN }, key = "rsa2048" }
end

-- The audit of a target under the draft. Returns results by clause and the endpoint.
local function audited(target, options)
	options = options or {}
	options.authorities = authority.certificate
	local endpoint, status = audit_report(target, options)
	local results = {}
	for _, clause in ipairs(endpoint.clauses) do
		results[clause.id] = clause.result
	end
	assert.is_true(endpoint.reached)
	assert.is_true(endpoint.connections <= 40, endpoint.connections .. " connections")
	return results, endpoint, status
end

-- Fails if a result is not as expected, with all of those that differ.
local function assert_results(expected, results)
	local found = {}
	for id in pairs(expected) do
		found[id] = results[id]
	end
	assert.same(expected, found)
end

describe("the audit of jabberd2", function ()
	local missing = jabberd2.missing()
	if missing then
		return it("names what its defaults break", function ()
			pending(missing)
		end)
	end
	local server

	setup(function ()
		make_certificate()
		server = jabberd2.start(DOMAIN, certificate)
	end)

	teardown(function ()
		server.stop()
		pki.remove()
	end)

	for service, required in pairs { c2s = "holds", s2s = "broken" } do
		it("names what its defaults break, " .. service, function ()
			local results, endpoint, status = audited(server.target(service))
			assert_results({
				["support.offer"] = "holds", ["support.required"] = required, ["version.latest"] = "holds",
				["cipher.aead"] = "broken", ["cipher.fs"] = "broken", ["resume.session-id"] = "broken",
				["key.dh2048"] = "holds", ["compress.tls"] = "holds", ["sni.harmless"] = "holds",
			}, results)
			assert.equal(1, status)
			-- It closes the connection where others send an alert: that is no answer.
			assert.is_nil(endpoint.observations["version.TLSv1"].seen)
			assert.equal("not tested", results["version.tls10"])
		end)
	end
end)

describe("the audit of ejabberd", function ()
	local version, missing = ejabberd.version()
	if not version then
		return it("names what its defaults break", function ()
			pending(missing)
		end)
	end
	local server

	setup(function ()
		make_certificate()
		server = ejabberd.start {
			hosts = { [DOMAIN] = certificate }, ca = authority.certificate, c2s = { starttls = true },
			options = { s2s_use_starttls = "required" },
		}
	end)

	teardown(function ()
		server:stop()
		pki.remove()
	end)

	for service, required in pairs { c2s = "broken", s2s = "holds" } do
		it("names what its options break, " .. service, function ()
			local results = audited(server:target(service, DOMAIN))
			assert_results({
				["support.offer"] = "holds", ["support.required"] = required, ["version.latest"] = "holds",
				["cipher.aead"] = "broken", ["cipher.fs"] = "broken", ["compress.tls"] = "holds",
			}, results)
		end)
	end
end)

describe("the audit of gnutls-serv", function ()
	setup(make_certificate)
	teardown(pki.remove)

	-- Priority of GnuTLS -> what the audit has to say. gnutls-serv speaks no XMPP.
	for priority, expected in pairs {
		["SECURE128:-VERS-TLS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-AES-128-CBC:-AES-256-CBC:-AES-128-CCM:-AES-256-CCM"] = {
			["version.sslv3"] = "holds", ["version.tls10"] = "holds", ["version.tls12"] = "holds",
			["cipher.null"] = "holds", ["cipher.rc4"] = "holds", ["cipher.export"] = "holds", ["cipher.aead"] = "holds",
			["cipher.fs"] = "holds", ["cert.identity"] = "holds",
		},
		["NORMAL:-VERS-TLS-ALL:+VERS-TLS1.2:+VERS-TLS1.1:+VERS-TLS1.0:+NULL:+3DES-CBC:+ARCFOUR-128:+ANON-ECDH:+ANON-DH"] = {
			["version.sslv3"] = "holds", ["version.tls10"] = "broken", ["version.tls12"] = "broken",
			["version.latest"] = "broken", ["cipher.null"] = "broken", ["cipher.rc4"] = "broken",
			["cipher.export"] = "holds", ["cipher.bits128"] = "broken", ["cipher.aead"] = "broken",
			["cipher.fs"] = "broken", ["cert.identity"] = "broken",
		},
	} do
		it("follows its priority: " .. priority:match "^%u+", function ()
			local server = gnutls_server.start(DOMAIN, certificate, priority)
			local results = audited(server.target, { timeout = 2 })
			server.stop()
			assert_results(expected, results)
		end)
	end
end)
