-- `xmpp-tls-policy audit` against a Prosody without the policy and one with it.
local free_ports = require "support.free_ports"
local json = require "dkjson"
local pki = require "support.pki"
local prosody = require "support.prosody"
local run = require "support.command_run"

describe("xmpp-tls-policy audit", function ()
	local servers = prosody.group()
	local authority, own, lax, strict, listening

	setup(function ()
		authority = pki.authority()
		local hosts = { ["example.test"] = authority:issue { names = { "example.test" }, key = "rsa2048" } }
		lax = servers.start { hosts = hosts, options = {
			c2s_require_encryption = false, s2s_require_encryption = false, allow_unencrypted_plain_auth = true,
			ssl = { protocol = "tlsv1+", ciphers = "ALL:@SECLEVEL=0" },
		} }
		own = authority:issue { names = { "our.test" }, key = "rsa2048" }
		listening = free_ports(1)[1]
		strict = servers.start { hosts = hosts, with_policy = true, routes = { ["our.test"] = { s2s = listening } },
			ca = authority.certificate }
	end)

	teardown(function ()
		servers.stop()
		pki.remove()
	end)

	local function audit(server, service, ...)
		local target = server:target(service)
		local arguments = { "audit", "example.test", "--connect", "127.0.0.1:" .. target.port, "--service", target.kind,
			"--authorities", authority.certificate, ... }
		if target.direct_tls then
			table.insert(arguments, "--direct")
		end
		return run((unpack or table.unpack)(arguments))
	end

	local function endpoint_of(server, service)
		local _, written = audit(server, service, "--format", "json")
		return assert(json.decode(written)).domains[1].endpoints[1]
	end

	it("ends with status 1 and says what is broken", function ()
		local status, written = audit(lax, "c2s")
		assert.equal(1, status)
		assert.truthy(written:find("SASL is offered before TLS", 1, true), written)
	end)

	for _, service in ipairs { "c2s", "s2s", "c2s_direct_tls", "s2s_direct_tls" } do
		it("finds nothing broken under the policy, " .. service, function ()
			local endpoint = endpoint_of(strict, service)
			for _, clause in ipairs(endpoint.clauses) do
				assert.not_equal("broken", clause.result, clause.id .. ": " .. clause.sentence)
			end
			assert.same({}, endpoint.findings[1] and endpoint.findings[1].kind == "alarm" and endpoint.findings or {})
			assert.is_true(endpoint.observations["certificate.trusted"].seen)
			assert.is_true(endpoint.observations["certificate.domain"].seen)
			assert.is_true(endpoint.connections <= 40, endpoint.connections)
		end)
	end

	it("sees the features after TLS, and that data before it does not count", function ()
		local observed = endpoint_of(strict, "c2s").observations
		local mechanisms = table.concat(observed["tls.mechanisms"].value, " ")
		assert.truthy(mechanisms:find("SCRAM-SHA-1-PLUS", 1, true), mechanisms)
		assert.is_false(observed["plaintext.pipelined"].seen)
		assert.is_true(endpoint_of(strict, "s2s").observations["plaintext.pipelined"].seen == false)
	end)

	it("takes certificates that are expected, and no others", function ()
		local certificate = strict.spec.hosts["example.test"].certificate
		assert.is_true(select(2, audit(strict, "c2s", "--format", "json", "--expect-certificate", certificate))
			:find '"certificate.expected":{"seen":true' ~= nil)
		local status, written = audit(strict, "c2s", "--expect-key", ("0"):rep(64))
		assert.equal(1, status)
		assert.truthy(written:find("the certificate is none of those that were expected", 1, true), written)
	end)

	it("audits the server as a client", function ()
		local _, written = audit(strict, "s2s", "--callback", "our.test", "--listen", "127.0.0.1:" .. listening,
			"--format", "json")
		local client = json.decode(written).domains[1].client
		assert.is_true(client.observations["client.calls_back"].seen, client.observations["client.calls_back"].reason)
		assert.is_true(client.observations["client.aborts_without_starttls"].seen)
		for _, clause in ipairs(client.clauses) do
			assert.not_equal("broken", clause.result, clause.id .. ": " .. clause.sentence)
		end
	end)

	it("sees EXTERNAL between servers, if it has a certificate of ours", function ()
		local function external(...)
			local _, written = audit(strict, "s2s", "--callback", "our.test", "--listen", "127.0.0.1:" .. listening,
				"--format", "json", ...)
			return json.decode(written).domains[1].endpoints[1].observations["tls.external"]
		end
		assert.same({ seen = false, evidence = "after TLS, to a client without a certificate: no EXTERNAL" }, external())
		assert.same({ seen = true, evidence = "after TLS, to a client with our certificate: EXTERNAL" },
			external("--our-certificate", own.certificate, "--our-key", own.key))
	end)

	it("writes a file in one step", function ()
		local path = pki.path ".json"
		local _, written = audit(strict, "c2s", "--format", "json", "--output", path)
		assert.equal("", written)
		local file = assert(io.open(path))
		assert.equal("example.test", json.decode(file:read "*a").domains[1].domain)
		file:close()
		assert.is_nil(io.open(path .. ".new"))
		assert.equal(64, (audit(strict, "c2s", "--output", "/none/file")))
	end)

	it("judges by the profile and level that are asked for", function ()
		local _, written = audit(strict, "c2s", "--format", "json", "--profile", "rfc9325", "--level", "must")
		local made = json.decode(written)
		assert.same({ "rfc9325", "must" }, { made.profile, made.level })
	end)
end)
