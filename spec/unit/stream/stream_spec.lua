local stream_world = require "support.stream_world"
local tls_pairs = require "support.tls_pairs"

describe("a stream", function ()
	local connections = {}

	setup(function ()
		for _, certificate in ipairs { "none", "a", "b" } do
			connections[certificate] = tls_pairs.connection("s2sin", "good", certificate, true)
		end
		connections.unobserved = tls_pairs.connection("s2sin", "good", "a", false)
	end)

	teardown(tls_pairs.close)

	local function stream_of(fields)
		local world = stream_world.new { ["host.test"] = false }
		local session = world:session {
			role = "s2sin", host = "host.test", peer = "a.test", secure = true, chain_valid = true, identity_valid = true,
		}
		for name, value in pairs(fields or {}) do
			session[name] = value
		end
		return world.admission:stream(session), session, world
	end

	it("is one for each session", function ()
		local stream, session, world = stream_of()
		assert.equal(stream, world.admission:stream(session))
		assert.equal(session, stream.session)
		assert.equal("s2sin", stream.role)
	end)

	it("asks the adapter of the latest load", function ()
		local stream, session, world = stream_of()
		local other = stream_world.new { ["host.test"] = false }
		assert.equal(stream, other.admission:stream(session))
		assert.equal(other.server, stream.server)
		assert.not_equal(world.server, stream.server)
	end)

	it("asks the server for its host, its peer and the domains that it speaks for", function ()
		local stream, session = stream_of()
		assert.same({ "host.test", "a.test", false }, { stream:host(), stream:peer(), stream:speaks_for "b.test" })
		session.host, session.peer, session.authed["b.test"] = "other.test", "b.test", true
		assert.same({ "other.test", "b.test", true }, { stream:host(), stream:peer(), stream:speaks_for "b.test" })
	end)

	-- rfc6120.5.4.3.3.nothing-before-tls-counts
	it("is encrypted if the server says so, and spoofed without a TLS connection after STARTTLS", function ()
		local stream, session = stream_of()
		assert.same({ true, false }, { stream:is_encrypted(), stream:is_spoofed() })
		session.secure = false
		assert.same({ false, false }, { stream:is_encrypted(), stream:is_spoofed() })
		stream.tls_agreed = true
		assert.same({ false, false }, { stream:is_encrypted(), stream:is_spoofed() })
		session.secure = true
		assert.same({ false, true }, { stream:is_encrypted(), stream:is_spoofed() })
		session.connection = connections.a
		assert.same({ true, false }, { stream:is_encrypted(), stream:is_spoofed() })
	end)

	describe("has facts", function ()
		it("of its connection, read once", function ()
			local stream = stream_of { connection = connections.a }
			local facts = stream:read_facts()
			assert.equal("TLSv1.2", facts.version)
			assert.equal(facts, stream:read_facts())
			assert.equal(facts, stream.facts)
			assert.equal(connections.a, stream.connection)
		end)

		it("but not without TLS", function ()
			local stream = stream_of()
			assert.is_nil(stream:read_facts())
			assert.is_nil(stream.facts)
		end)

		it("but not of a handshake that was not observed", function ()
			local stream = stream_of { connection = connections.unobserved }
			local facts, message = stream:read_facts()
			assert.is_nil(facts)
			assert.equal("the connection's context was not under the policy", message)
		end)

		it("that end with the connection, and all that follows from them", function ()
			local stream, session = stream_of { connection = connections.a }
			stream:read_facts()
			local of_connection = {
				"verdict", "policy_name", "exception", "objection", "judged", "admitted", "counted", "cutoffs",
			}
			for _, name in ipairs(of_connection) do
				stream[name] = {}
			end
			stream.mechanism = "EXTERNAL"
			assert.is_true(stream:identity "a.test")
			session.connection = connections.b
			assert.is_truthy(stream:read_facts().certificate)
			for _, name in ipairs(of_connection) do
				assert.is_nil(stream[name], name)
			end
			assert.is_false(stream:identity "a.test")
			assert.equal("EXTERNAL", stream.mechanism)
		end)

		it("that are gone when the new connection was not observed", function ()
			local stream, session = stream_of { connection = connections.a }
			stream:read_facts()
			session.connection = connections.unobserved
			assert.is_nil(stream:read_facts())
			assert.is_nil(stream.facts)
		end)
	end)

	describe("knows from the certificate", function ()
		local function known(certificate, fields)
			local stream, session = stream_of(fields)
			session.connection = connections[certificate]
			stream:read_facts()
			return stream, session
		end

		it("which domains it names", function ()
			local stream = known "a"
			for _ = 1, 2 do
				assert.is_true(stream:identity "a.test")
				assert.is_false(stream:identity "b.test")
				assert.is_nil(stream:identity(nil))
			end
			stream = known "none"
			assert.is_nil(stream:identity "a.test")
			assert.is_nil(stream_of():identity "a.test")
		end)

		it("which domains it names, also after the header has named another peer", function ()
			local stream, session = known "a"
			assert.is_true(stream:identity "a.test")
			session.peer = "b.test"
			assert.is_false(stream:identity "b.test")
			assert.is_true(stream:identity "a.test")
		end)

		it("rfc6120.13.7.2.trusted-and-named: which domains it vouches for", function ()
			local stream, session = known("b", { identity_valid = false })
			assert.same({ false, true, false }, { stream:vouched "a.test", stream:vouched "b.test", stream:vouched "c.test" })
			session.chain_valid = false
			assert.is_false(stream:vouched "b.test")
			stream, session = known "a"
			assert.same({ true, false }, { stream:vouched "a.test", stream:vouched "b.test" })
			session.identity_valid = false
			assert.is_false(stream:vouched "a.test")
		end)

		it("which domains it vouches for, where another proof than a trusted root makes the chain valid", function ()
			for _, untrusted in ipairs { false, true } do
				local stream = known("b", { chain_untrusted = untrusted })
				-- The proof is one for the domain of the header.
				assert.same({ true, not untrusted }, { stream:vouched "a.test", stream:vouched "b.test" })
			end
		end)

		it("that it vouches for a further domain only by a name that the server's own check takes, too", function ()
			for _, unnamed in ipairs { false, true } do
				local stream, session = known("b", { unnamed = { ["b.test"] = unnamed } })
				for _ = 1, 2 do
					assert.same({ true, not unnamed }, { stream:vouched "a.test", stream:vouched "b.test" })
				end
				-- Of the header's domain the server has said so.
				session.peer = "b.test"
				assert.is_true(stream:vouched "b.test")
			end
		end)

		it("the data of a server for policies", function ()
			assert.same({
				domain = "b.test", service = "xmpp-server", identity = true, authenticated = true, proved_otherwise = false,
			}, known "b":described "b.test")
			assert.same({
				domain = "a.test", service = "xmpp-server", identity = false, authenticated = false, proved_otherwise = false,
			}, known("b", { identity_valid = false }):described "a.test")
			assert.is_false(known "b":described "a.test".proved_otherwise)
			assert.is_true(known("b", { unnamed = { ["a.test"] = true } }):described "a.test".proved_otherwise)
			assert.is_nil(known("none", { role = "c2s" }):described(nil))
		end)
	end)

	it("shows other modules its facts and its verdict", function ()
		local stream, session = stream_of { connection = connections.a }
		stream:read_facts()
		stream.verdict, stream.policy_name, stream.exception = {}, "a policy", {}
		stream:publish()
		assert.same({ facts = stream.facts, verdict = {}, policy = "a policy", exception = {} }, session.public)
	end)
end)
