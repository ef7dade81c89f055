-- A domain with all four kinds of endpoints, found by DNS, signed with DNSSEC.
local core = require "xmpp_tls_policy.core"
local files = require "support.files"
local json = require "dkjson"
local name_server = require "support.name_server"
local pki = require "support.pki"
local prosody = require "support.prosody"
local run = require "support.command_run"

local DOMAIN, HOST = "audited.example", "xmpp.audited.example"

describe("an audit of a domain", function ()
	local server, names, authority, anchor

	setup(function ()
		authority = pki.authority()
		local certificate = authority:issue { names = { DOMAIN }, key = "rsa2048" }
		server = prosody.start { hosts = { [DOMAIN] = certificate }, with_policy = true }
		local key = assert(core.certificate.from_pem(files.read(certificate.certificate))):spki()
		local zones = {
			[DOMAIN] = { A = { name_server.a "192.0.2.1" }, CAA = { name_server.caa(0, "issue", "ca.example") } },
			[HOST] = { A = { name_server.a "127.0.0.1" } },
		}
		for prefix, service in pairs {
			["_xmpp-client._tcp."] = "c2s", ["_xmpps-client._tcp."] = "c2s_direct_tls",
			["_xmpp-server._tcp."] = "s2s", ["_xmpps-server._tcp."] = "s2s_direct_tls",
		} do
			local port = server.ports[service]
			zones[prefix .. DOMAIN] = { SRV = { name_server.srv(0, 0, port, HOST) } }
			zones[("_%d._tcp.%s"):format(port, HOST)] = { TLSA = { "\3\1\1" .. core.digest("SHA256", key) } }
		end
		names = name_server.start(zones, { signed = DOMAIN })
		anchor = pki.write(names.anchor .. "\n", ".key")
	end)

	teardown(function ()
		if names then
			names.stop()
		end
		if server then
			server:stop()
		end
		pki.remove()
	end)

	local function audit(...)
		return run("audit", "--resolver", names.address, "--trust-anchors", anchor, "--authorities",
			authority.certificate, "--ipv4", ...)
	end

	it("finds and audits all endpoints, and nothing is broken under the policy", function ()
		local _, written = audit(DOMAIN, "--format", "json")
		local domain = json.decode(written).domains[1]
		local found = {}
		for index, endpoint in ipairs(domain.endpoints) do
			found[index] = ("%s %s %s %s"):format(endpoint.service, tostring(endpoint.direct), endpoint.host, endpoint.address)
			assert.is_true(endpoint.reached, endpoint.reason)
			assert.is_true(endpoint.connections <= 40, endpoint.connections)
			assert.equal(0, endpoint.count.broken)
			assert.is_true(endpoint.observations["certificate.tlsa"].seen, endpoint.observations["certificate.tlsa"].reason)
			assert.is_true(endpoint.observations["certificate.same"].seen)
			assert.is_true(endpoint.observations["certificate.caa"].seen)
		end
		assert.same({ "c2s false xmpp.audited.example 127.0.0.1", "c2s true xmpp.audited.example 127.0.0.1",
			"s2s false xmpp.audited.example 127.0.0.1", "s2s true xmpp.audited.example 127.0.0.1" }, found)
		local status = {}
		for _, entry in ipairs(domain.dns) do
			status[entry.name .. " " .. entry.type] = entry.dnssec
		end
		assert.equal("secure", status["_xmpp-client._tcp.audited.example SRV"])
		assert.equal("secure", status["xmpp.audited.example A"])
	end)

	it("audits the domains of a file, and says of each that it was not found", function ()
		local list = pki.write(DOMAIN .. "\nnone.example\n", ".txt")
		local status, written = audit("--file", list, "--format", "json", "--jobs", "2")
		local made = json.decode(written)
		assert.same({ DOMAIN, "none.example" }, { made.domains[1].domain, made.domains[2].domain })
		assert.same({ 4, 0 }, { #made.domains[1].endpoints, #made.domains[2].endpoints })
		assert.matches("none.example has no address", made.domains[2].reason)
		assert.equal(2, status)
	end)
end)
