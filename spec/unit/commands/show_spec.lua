-- The command `show`: the table of connections, and its filters.
local command_service = require "support.command_service"
local tls_policy = require "xmpp_tls_policy"

describe("the command show", function ()
	local policy = tls_policy.policy()
	local good = { refuse = false, broken = {} }
	local refusal = { refuse = true, broken = { { clause = "version.tls12", enforced = true } } }
	local exception = { domain = "old.test", expires = "2099-12-31" }
	local sessions, service

	-- A session over TLS.
	local function secure(session, known)
		local connection = {}
		session.connection, session.secure, session.host = connection, true, session.host or "host.test"
		known.connection, known.policy_name = connection, "the policy"
		known.facts = { version = "TLSv1.3", cipher_suite = "TLS_AES_256_GCM_SHA384", bits = 256, group = "x25519",
			forward_secrecy = true, resumed = false }
		function known.vouched(_, domain)
			for _, vouched in ipairs(session.vouched or {}) do
				if vouched == domain then
					return true
				end
			end
			return false
		end
		session.stream = known
		return session
	end

	before_each(function ()
		sessions = {
			secure({ role = "c2s", jid = "juliet@host.test/phone", address = "192.0.2.1" },
				{ mechanism = "SCRAM-SHA-1", verdict = good }),
			secure({ role = "c2s", jid = "juliet@host.test/desk", address = "192.0.2.1" },
				{ mechanism = "PLAIN", verdict = good }),
			secure({ role = "c2s", address = "192.0.2.2" }, { verdict = refusal }),
			{ role = "c2s", host = "host.test", address = "192.0.2.3" },
			{ role = "c2s", host = "host.test", jid = "romeo@host.test/gone", hibernating = true, address = "192.0.2.4" },
			{ role = "c2s", host = "host.test", carrier = "BOSH", secure = true, address = "192.0.2.5" },
			secure({ role = "s2sin", peer = "a.test", domains = { "a.test", "b.test" }, vouched = { "a.test" },
				vouched_by = "PKIX", address = "192.0.2.6" }, { mechanism = "EXTERNAL", verdict = good }),
			secure({ role = "s2sin", peer = "claimed.test", address = "192.0.2.7" }, { verdict = good }),
			secure({ role = "s2sin", peer = "claimed.test", domains = { "c.test" }, address = "192.0.2.8" },
				{ mechanism = "dialback", verdict = good }),
			secure({ role = "s2sout", peer = "old.test", domains = { "old.test" }, vouched = { "old.test" },
				vouched_by = "DANE", address = "192.0.2.9" },
				{ mechanism = "EXTERNAL", verdict = good, exception = exception }),
			secure({ role = "s2sout", peer = "b\195\188cher.test", vouched_by = "other", address = "192.0.2.10" },
				{ verdict = good }),
			{ role = "c2s", destroyed = true },
			{ role = nil },
		}
		service = {
			server = command_service.server { sessions = sessions },
			policies = command_service.policies { ["*"] = policy, ["host.test"] = policy },
		}
	end)

	it("has a row for each connection, sorted, and names servers by authenticated domains only", function ()
		local text, done, message = command_service.run(service, "show", "width=110")
		assert.same({ true, "11 connections" }, { done, message })
		local lines = {}
		for line in text:gmatch "[^\n]+" do
			-- The left half; every row is folded.
			lines[#lines + 1] = not line:find "^  " and line:gsub("  +", " | ") or nil
		end
		assert.same({
			"Role | Name | Encrypted | Authenticated | Verdict",
			"c2s | juliet@host.test/desk | yes | PLAIN | ok",
			"c2s | juliet@host.test/phone | yes | SCRAM-SHA-1 | ok",
			"c2s | romeo@host.test/gone | no connection | yes | not judged",
			"c2s | (192.0.2.2) | yes | no | refused: version.tls12",
			"c2s | (192.0.2.3) | no | no | not judged",
			"c2s | (192.0.2.5) | HTTPS (BOSH) | no | not judged",
			"s2sin | a.test, b.test for host.test | yes | no (dialback only for b.test) | ok",
			"s2sin | c.test for host.test | yes | no (dialback only) | ok",
			"s2sin | (192.0.2.7) for host.test | yes | no | ok",
			"s2sout | b\195\188cher.test for host.test | yes | no | ok",
			"s2sout | old.test for host.test | yes | DANE, EXTERNAL | exception for old.test",
		}, lines)
		assert.is_nil(text:find("claimed.test", 1, true))
	end)

	it("has the same as JSON", function ()
		local rows = command_service.json(service, "show").connections
		assert.equal(11, #rows)
		assert.same({
			role = "s2sin", who = "a.test", further_domains = { "b.test" }, host = "host.test", address = "192.0.2.6",
			encrypted = true, version = "TLSv1.3", cipher_suite = "TLS_AES_256_GCM_SHA384", bits = 256, group = "x25519",
			forward_secrecy = true, resumed = false, mechanism = "EXTERNAL", authenticated = false,
			authentication = "PKIX", without_certificate = { "b.test" }, verdict = "ok", policy = "the policy",
		}, rows[7])
		assert.same({ { domain = "old.test", expires = "2099-12-31" }, "exception" },
			{ rows[11].exception, rows[11].verdict })
	end)

	for filter, expected in pairs {
		c2s = 6, s2s = 5, s2sin = 3, s2sout = 2, exception = 1, refused = 1, ["would refuse"] = 1, unauthenticated = 7,
		plaintext = 1, ["host.test"] = 3, ["juliet@host.test"] = 2, ["juliet@host.test/desk"] = 1,
		["JULIET@host.test"] = 2, ["nobody@host.test"] = 0, ["juliet@a.test"] = 0,
		["a.test"] = 1, ["B.test"] = 1, ["c.test"] = 1, ["claimed.test"] = 0, ["old.test"] = 1,
		["xn--bcher-kva.test"] = 1, ["b\195\188cher.test"] = 1, ["192.0.2.7"] = 0,
	} do
		it(("shows %d of the connections for %s"):format(expected, filter), function ()
			assert.equal(expected, #command_service.json(service, "show", filter).connections)
			assert.equal(expected == 1 and "1 connection" or expected .. " connections",
				(select(3, command_service.run(service, "show", filter))))
		end)
	end

	it("says which filters there are", function ()
		for _, arguments in ipairs { { "a b@c@d" }, { "a b@c@d", "json" } } do
			local text, done, message = command_service.run(service, "show", (table.unpack or unpack)(arguments))
			assert.same({ "", nil }, { text, done })
			assert.equal([["a b@c@d" is not a JID or domain, a role (c2s, s2s, s2sin, s2sout), or one of exception, ]]
				.. "refused, unauthenticated, plaintext", message)
		end
	end)

	it("takes a word that is no filter, no host and no connected domain for a mistake", function ()
		for word, ending in pairs {
			nonsense = "plaintext", plain = "plaintext", refusd = 'plaintext; did you mean "refused"?',
		} do
			for _, format in ipairs { "width=80", "json" } do
				local text, done, message = command_service.run(service, "show", word, format)
				assert.same({ "", nil }, { text, done })
				assert.equal(ending, message:sub(-#ending))
			end
		end
		sessions[#sessions + 1] = { role = "c2s", host = "localhost", jid = "juliet@localhost/x" }
		assert.equal("1 connection", (select(3, command_service.run(service, "show", "localhost"))))
	end)

	it("lets the server go on between connections", function ()
		for index = 1, 1000 do
			sessions[index] = { role = "c2s", host = "host.test", address = "192.0.2.1" }
		end
		local _, done = command_service.run(service, "show", "width=110")
		assert.is_true(done)
		assert.is_true(service.server.turn_count >= 3000)
	end)
end)
