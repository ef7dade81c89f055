-- The command `cert`: certificates of connected servers and of hosts of ours.
local command_service = require "support.command_service"
local core = require "xmpp_tls_policy.core"
local date = require "xmpp_tls_policy.date"
local files = require "support.files"
local observed_connection = require "support.observed_connection"
local pki = require "support.pki"
local ssl = require "ssl"

describe("the command cert", function ()
	local authority, own, closers = nil, nil, {}

	setup(function ()
		authority = pki.authority():intermediate { common_name = "Test Intermediate" }
		own = authority:issue { names = { "host.test" }, key = "rsa2048", srv = { "_xmpp-server.host.test" } }
	end)

	after_each(function ()
		for _, close in ipairs(closers) do
			close()
		end
		closers = {}
	end)

	teardown(pki.remove)

	-- A server's stream whose peer has shown a certificate.
	local function stream(shown, changes)
		local connection, close = observed_connection.open({
			certificate = own.certificate, key = own.key, verify = { "peer" }, verifyext = { "lsec_continue" },
		}, { certificate = shown.certificate, key = shown.key })
		closers[#closers + 1] = close
		local session = {
			role = "s2sin", peer = "far.test", domains = { "far.test" }, connection = connection, secure = true,
			checked_chain = true, valid_chain = true,
		}
		for name, value in pairs(changes or {}) do
			session[name] = value
		end
		return session
	end

	local function service_of(sessions, hosts, more)
		local service = {
			server = command_service.server { sessions = sessions, hosts = hosts },
			adopted = {
				each = function () end,
			},
			own_certificates = {
				problems = function (_, host, inspected)
					local chain = {}
					for index, certificate in ipairs(inspected.chain or {}) do
						chain[index] = certificate:facts()
					end
					return { { kind = "made-up", severity = "warn", message = "a problem of " .. host } }, chain
				end,
			},
		}
		for name, value in pairs(more or {}) do
			service[name] = value
		end
		return service
	end

	local function facts_of(issued)
		return core.certificate.from_pem(files.read(issued.certificate)):facts()
	end

	---- Other servers -----------------------------------------------------------

	it("shows the certificate of a server, in and out, as one", function ()
		local theirs = authority:issue { names = { "far.test", "other.test" }, key = "rsa2048",
			extended_key_usages = { "serverAuth" }, not_after = os.time() + 30 * date.DAY + 3600 }
		local service = service_of { stream(theirs), stream(theirs, { role = "s2sout" }), stream(theirs) }
		local found = command_service.json(service, "cert", "FAR.test").certificates
		assert.equal(1, #found)
		local facts = facts_of(theirs)
		for _, name in ipairs {
			"subject", "issuer", "serial", "not_before", "not_after", "key_type", "key_bits", "signature_algorithm", "sha256",
			"spki_sha256",
		} do
			assert.equal(facts[name], found[1][name], name)
		end
		assert.same({ { "s2sin", "s2sout" }, true, {}, 30, { "serverAuth" }, { dns = { "far.test", "other.test" }, srv = {},
			xmpp = {} } }, { found[1].offered, found[1].authenticated, found[1].problems, found[1].days_left,
			found[1].extended_key_usages, found[1].names })
		assert.same({ "CN=Test Intermediate" }, { found[1].chain[1].subject })
	end)

	it("prints all that has to be compared", function ()
		local theirs = authority:issue { names = { "far.test" }, key = "rsa2048",
			not_after = os.time() + 30 * date.DAY + 3600 }
		local text, done, message = command_service.run(service_of { stream(theirs) }, "cert", "far.test")
		assert.same({ true, "1 certificate" }, { done, message })
		local facts = facts_of(theirs)
		for _, line in ipairs {
			"Shown by the other server (s2sin)", "  Names                 DNS far.test", "  Subject               CN=far.test",
			"  Issuer                " .. facts.issuer, "  Serial number         " .. facts.serial,
			("  Valid                 %s to %s (30 days left)"):format(date.of(facts.not_before), date.of(facts.not_after)),
			"  Key                   RSA, 2048 bits", "  Signature             " .. facts.signature_algorithm,
			"  SHA-256               " .. facts.sha256, "  SHA-256 of the key    " .. facts.spki_sha256,
			"  Extended key usages   not restricted",
		} do
			assert.truthy(("\n" .. text):find("\n" .. line .. "\n", 1, true), line .. " is not in\n" .. text)
		end
		assert.matches("\n  Followed by           CN=Test Intermediate, issued by [^\n]+, until %d+%-%d+%-%d+\n", text)
	end)

	it("says that a stream only claims the domain", function ()
		local theirs = authority:issue { names = { "far.test" }, key = "p256" }
		local claimed = stream(theirs, { domains = {} })
		local service = service_of { claimed }
		assert.is_false(command_service.json(service, "cert", "far.test").certificates[1].authenticated)
		assert.matches("^Shown by the other server %(s2sin%); the stream is not authenticated for this domain\n",
			(command_service.run(service, "cert", "far.test")))
		-- The same certificate on a stream that is.
		service = service_of { claimed, stream(theirs) }
		assert.is_true(command_service.json(service, "cert", "far.test").certificates[1].authenticated)
	end)

	it("shows the certificate for each domain that a stream is authenticated for", function ()
		local theirs = authority:issue { names = { "far.test", "second.test" }, key = "p256" }
		local service = service_of { stream(theirs, { domains = { "far.test", "second.test" } }) }
		assert.is_true(command_service.json(service, "cert", "second.test").certificates[1].authenticated)
	end)

	-- Addresses, and names that are none of DNS, are domains of JIDs, too (RFC 7622 3.2).
	for given, peer in pairs {
		["192.0.2.1"] = "192.0.2.1", ["[2001:DB8::1]"] = "[2001:db8::1]", ["under_score.test"] = "under_score.test",
		["b\195\188cher.test"] = "xn--bcher-kva.test", ["xn--bcher-kva.test"] = "b\195\188cher.test",
	} do
		it("shows the certificate on the stream of " .. given, function ()
			local theirs = authority:issue { names = { "far.test" }, key = "p256" }
			for _, domains in ipairs { { peer }, {} } do
				local service = service_of { stream(theirs, { peer = peer, domains = domains }) }
				local found = command_service.json(service, "cert", given).certificates
				assert.equal(facts_of(theirs).sha256, found[1].sha256)
				assert.equal(domains[1] ~= nil, found[1].authenticated)
				assert.matches("^it does not name ", found[1].problems[1])
			end
		end)
	end

	for name, case in pairs {
		["an expired one"] = { { expired = true }, {}, "^it expired on %d+%-%d+%-%d+$" },
		["one for another name"] = { { names = { "else.test" } }, {}, "^it does not name far.test$" },
		["one whose chain failed"] = { {}, { valid_chain = false, chain_errors = {
			{ depth = "0", message = "self-signed certificate" }, { depth = "1", message = "expired" },
		} }, "^chain, depth 0: self%-signed certificate; chain, depth 1: expired$" },
		["one whose chain failed without a word"] = { {}, { valid_chain = false }, "^its chain is not valid$" },
		["one whose chain was not checked"] = { {}, { valid_chain = false, checked_chain = false },
			"^its chain was not checked$" },
	} do
		it("tells the problems of " .. name, function ()
			local options = { names = { "far.test" }, key = "p256" }
			for option, value in pairs(case[1]) do
				options[option] = value
			end
			local service = service_of { stream(pki.self_signed(options), case[2]) }
			local found = command_service.json(service, "cert", "far.test").certificates
			assert.matches(case[3], table.concat(found[1].problems, "; "))
			assert.truthy((command_service.run(service, "cert", "far.test")):find("\n  Problems              "
				.. found[1].problems[1] .. "\n", 1, true))
		end)
	end

	it("shows two where a server offers two", function ()
		local one, other = pki.self_signed { names = { "far.test" }, key = "p256" },
			pki.self_signed { names = { "far.test" }, key = "p384" }
		local service = service_of { stream(one), stream(other, { role = "s2sout" }) }
		local _, done, message = command_service.run(service, "cert", "far.test")
		assert.same({ true, "2 certificates" }, { done, message })
	end)

	it("lets nothing through that moves the cursor of a terminal", function ()
		local evil = pki.self_signed { subject = "/O=a\27[2Jb\194\155c\226\128\174d/CN=evil", key = "p256",
			alternative_names = { pki.dns_name "far.test", pki.xmpp_address "e\255vil\1" } }
		local service = service_of { stream(evil) }
		for _, format in ipairs { "width=80", "json" } do
			local text, done = command_service.run(service, "cert", "far.test", format)
			assert.is_true(done)
			assert.is_nil(text:find "[%z\1-\9\11-\31\127]")
			assert.is_nil(text:find("\194\155", 1, true))
			assert.is_nil(text:find("\226\128\174", 1, true))
		end
	end)

	it("has no certificate of sessions that have ended, of clients and of streams without TLS", function ()
		local theirs = authority:issue { names = { "far.test" }, key = "p256" }
		local service = service_of {
			stream(theirs, { destroyed = true }), stream(theirs, { role = "c2s" }),
			{ role = "s2sin", peer = "far.test", domains = { "far.test" } },
		}
		local text, done, message = command_service.run(service, "cert", "far.test")
		assert.same({ "", nil, "no certificate of far.test is known: it is not a host of ours with TLS, and no connection is "
			.. "there on which it presented one" }, { text, done, message })
	end)

	---- Our hosts ---------------------------------------------------------------

	local function context_of(files_of)
		return assert(ssl.newcontext {
			mode = "server", protocol = "any", certificate = files_of.certificate, key = files_of.key, verify = "none",
		})
	end

	it("shows the certificates of a host of ours that are in use, and those that follow", function ()
		local context = context_of(own)
		local service = service_of({}, { "host.test", "other.test" }, { adopted = {
			each = function (_, visit)
				for _, given in ipairs {
					{ host = "host.test", role = "c2s" }, { host = "host.test", role = "s2sin" },
					{ host = "host.test", role = "s2sout" }, { host = "other.test", role = "c2s" },
				} do
					local adopted = assert(core.context.adopt(context))
					visit({ given = given }, adopted)
					adopted:close()
				end
				visit({ given = { host = "host.test", role = "c2s" } }, nil)
			end,
		} })
		local found = command_service.json(service, "cert", "host.test").certificates
		assert.equal(1, #found)
		assert.equal(facts_of(own).sha256, found[1].sha256)
		assert.same({ { "our own, c2s", "our own, s2sin" }, { "a problem of host.test" }, { "_xmpp-server.host.test" } },
			{ found[1].offered, found[1].problems, found[1].names.srv })
		assert.equal("CN=Test Intermediate", found[1].chain[1].subject)
		assert.is_nil(found[1].authenticated)
		assert.matches("^Shown by this server %(c2s, s2sin%)\n", (command_service.run(service, "cert", "host.test")))
	end)

	it("shows the one that new connections get, not those that old streams hold", function ()
		local older = context_of(authority:issue { names = { "host.test" }, key = "p256" })
		local service = service_of({}, { "host.test" }, { adopted = { each = function (_, visit)
			local adopted = assert(core.context.adopt(older))
			visit({ given = { host = "host.test", role = "c2s" } }, adopted, older)
			adopted:close()
		end } })
		local newer = context_of(own)
		service.server.current_contexts = function ()
			local list = {}
			for index, role in ipairs { "c2s", "s2sin", "s2sout" } do
				list[index] = { context = newer, role = role }
			end
			return list
		end
		local found = command_service.json(service, "cert", "host.test").certificates
		assert.equal(1, #found)
		assert.same({ facts_of(own).sha256, { "our own, c2s", "our own, s2sin" } }, { found[1].sha256, found[1].offered })
	end)

	it("shows the one of the configuration where none is in use", function ()
		local service = service_of({}, { "host.test" })
		service.server.own_context = function (host, role)
			assert.same({ "host.test", "c2s" }, { host, role })
			return context_of(own)
		end
		local found = command_service.json(service, "cert", "host.test").certificates
		assert.same({ "our own, as configured" }, found[1].offered)
		assert.equal(facts_of(own).sha256, found[1].sha256)
	end)

	for _, case in ipairs {
		{ {}, 'name a domain, such as "far.example"' },
		{ { "a b" }, '"a b" is not a domain' },
		{ { "host.test" }, "no certificate of host.test is known: it is not a host of ours with TLS, and no connection is "
			.. "there on which it presented one" },
	} do
		it("explains a refusal: " .. case[2], function ()
			local service = service_of({}, { "host.test" })
			assert.same({ "", nil, case[2] }, { command_service.run(service, "cert", (table.unpack or unpack)(case[1])) })
			service.server.prepare_domain = string.lower
			assert.same({ "", nil, case[2] }, { command_service.run(service, "cert", (table.unpack or unpack)(case[1])) })
		end)
	end
end)
