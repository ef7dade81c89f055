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

-- The audit of a target under the draft. Returns the clauses by id, and the exit status.
local function audited(target, options)
	options = options or {}
	options.authorities = authority.certificate
	local endpoint, status = audit_report(target, options)
	local clauses = {}
	for _, clause in ipairs(endpoint.clauses) do
		clauses[clause.id] = clause
	end
	assert.is_true(endpoint.reached)
	assert.is_true(endpoint.connections <= 40, endpoint.connections .. " connections")
	return clauses, status
end

local function assert_results(expected, clauses)
	for id, result in pairs(expected) do
		assert.equal(result, clauses[id].result, ("%s: %s"):format(id, clauses[id].sentence))
	end
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
			local clauses, status = audited(server.target(service))
			assert_results({
				["support.offer"] = "holds", ["support.required"] = required, ["version.latest"] = "holds",
				-- It closes the connection where others send an alert.
				["version.sslv3"] = "holds", ["version.tls10"] = "holds", ["cipher.null"] = "holds",
				["cipher.aead"] = "broken", ["cipher.fs"] = "broken", ["resume.session-id"] = "broken",
				["key.dh2048"] = "holds", ["compress.tls"] = "holds", ["sni.harmless"] = "holds",
			}, clauses)
			assert.equal(1, status)
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
			local clauses = audited(server:target(service, DOMAIN))
			assert_results({
				["support.offer"] = "holds", ["support.required"] = required, ["version.latest"] = "holds",
				["cipher.aead"] = "broken", ["cipher.fs"] = "broken", ["compress.tls"] = "holds",
			}, clauses)
		end)
	end
end)

describe("the audit of gnutls-serv", function ()
	setup(make_certificate)
	teardown(pki.remove)

	-- Priority of GnuTLS -> what the audit has to say. gnutls-serv speaks no XMPP.
	for priority, expected in pairs {
		-- So few suites that 40 connections are enough to list them all.
		["SECURE128:-VERS-TLS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-RSA:-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM"] = {
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
			local clauses = audited(server.target, { timeout = 8 })
			server.stop()
			assert_results(expected, clauses)
		end)
	end
end)
