local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local cutoff_verdict = require "xmpp_tls_policy.stream.cutoff_verdict"
local stream_world = require "support.stream_world"
local tls_pairs = require "support.tls_pairs"
local tls_policy = require "xmpp_tls_policy"
local verdicts = require "xmpp_tls_policy.policy.verdict"

local policy = stream_world.policy

describe("the verdict if a policy were enforced", function ()
	local connections = {}

	setup(function ()
		for _, quality in ipairs { "good", "weak", "bad" } do
			connections[quality] = tls_pairs.connection("s2sin", quality, "a", true)
		end
		connections.older = tls_pairs.connection("s2sin", "good", "older", true)
	end)

	teardown(tls_pairs.close)

	local should, must = policy { mode = "report" }, policy { mode = "report", level = "must" }

	local function stream_of(tls, fields)
		local session = {
			role = "s2sin", host = "host.test", peer = "a.test", secure = tls and true, connection = connections[tls],
			chain_valid = true, identity_valid = true,
		}
		for name, value in pairs(fields or {}) do
			session[name] = value
		end
		local world = stream_world.new { ["host.test"] = should }
		local stream = world.admission:stream(world:session(session))
		stream:read_facts()
		return stream
	end

	local function ids(verdict)
		return verdicts.clauses(verdict.broken)
	end

	it("is that on the handshake", function ()
		assert.same({ refuse = false, broken = {} }, cutoff_verdict.of(should, stream_of "good", "a.test"))
		local weak = cutoff_verdict.of(should, stream_of "weak", "a.test")
		assert.is_true(weak.refuse)
		assert.same({ "cipher.aead", "cipher.fs" }, ids(weak))
		assert.is_false(cutoff_verdict.of(must, stream_of "weak", "a.test").refuse)
		assert.is_true(cutoff_verdict.of(must, stream_of "bad", "a.test").refuse)
	end)

	it("has a breach where a stream was authenticated without TLS", function ()
		for role, clause in pairs { c2s = "support.required", s2sin = "support.required", s2sout = "support.abort" } do
			local verdict = cutoff_verdict.of(should, stream_of(nil, { role = role }), "a.test")
			assert.is_true(verdict.refuse)
			assert.same({ clause }, ids(verdict))
			assert.equal("the stream was authenticated without TLS", verdict.broken[1].text)
		end
		assert.is_false(cutoff_verdict.of(must, stream_of(nil), "a.test").refuse)
	end)

	it("has a breach where no certificate vouches for a server, if one is demanded", function ()
		local refusing = policy { mode = "report", unauthenticated_s2s = "refuse" }
		assert.is_false(cutoff_verdict.of(refusing, stream_of "good", "a.test").refuse)
		local verdict = cutoff_verdict.of(refusing, stream_of "good", "b.test")
		assert.same({ "unauth.encrypt" }, ids(verdict))
		assert.equal("no valid certificate vouches for b.test, and dialback alone is not accepted here",
			verdict.broken[1].text)
		assert.is_false(cutoff_verdict.of(should, stream_of "good", "b.test").refuse)
		assert.is_false(cutoff_verdict.of(refusing, stream_of("good", { role = "c2s" }), nil).refuse)
		-- A profile without the clause.
		local rfc9325 = tls_policy.policy { profile = "rfc9325", mode = "report", unauthenticated_s2s = "refuse" }
		assert.same({ "unauthenticated_s2s" }, ids(cutoff_verdict.of(rfc9325, stream_of "good", "b.test")))
		assert.equal("no valid certificate vouches for the peer, and dialback alone is not accepted here",
			cutoff_verdict.dialback_alone(nil))
		assert.matches("for a.test\\010b, and", cutoff_verdict.dialback_alone "a.test\nb", 1, true)
	end)

	it("has a breach where another module objects", function ()
		local stream = stream_of "good"
		assert.is_false(cutoff_verdict.of(should, stream, "a.test").refuse)
		stream.objection = "not today"
		local verdict = cutoff_verdict.of(should, stream, "a.test")
		assert.is_true(verdict.refuse)
		assert.same({ clause = "tls-policy/verdict", enforced = true, text = "not today" }, verdict.broken[1])
		stream.objection = nil
		assert.is_false(cutoff_verdict.of(should, stream, "a.test").refuse)
	end)

	it("on a handshake is the same object until something changes", function ()
		local stream = stream_of "weak"
		local first = cutoff_verdict.of_handshake(should, stream, "a.test")
		assert.equal(first, cutoff_verdict.of_handshake(should, stream, "a.test"))
		assert.not_equal(first, cutoff_verdict.of_handshake(must, stream, "a.test"))
		assert.equal(first, cutoff_verdict.of_handshake(should, stream, "a.test"))
		local of_b = cutoff_verdict.of_handshake(should, stream, "b.test")
		assert.not_equal(first, of_b)
		assert.not_equal(of_b, cutoff_verdict.of_handshake(should, stream, "c.test"))
		stream.session.connection = connections.good
		stream:read_facts()
		assert.is_false(cutoff_verdict.of_handshake(should, stream, "a.test").refuse)
	end)

	it("is another one once the server takes the certificate for valid", function ()
		local stream = stream_of("older", { chain_valid = false })
		assert.is_false(cutoff_verdict.of(should, stream, "a.test").refuse)
		stream.session.chain_valid = true
		assert.same({ "cert.identity" }, ids(cutoff_verdict.of(should, stream, "a.test")))
	end)

	it("is not changed by the breach of a stream", function ()
		local refusing = policy { mode = "report", unauthenticated_s2s = "refuse" }
		local stream = stream_of "weak"
		local of_handshake = cutoff_verdict.of_handshake(refusing, stream, "b.test")
		local before = #of_handshake.broken
		assert.equal(before + 1, #cutoff_verdict.of(refusing, stream, "b.test").broken)
		assert.equal(before, #of_handshake.broken)
	end)

	it("does not count the Common Name, with which a server comes in by dialback", function ()
		for _, demanded in ipairs { false, true } do
			for _, unauthenticated in ipairs { "dialback", "refuse" } do
				local of_option = policy { mode = "report", unauthenticated_s2s = unauthenticated }
				-- The server takes the certificate for one of c.test, which it does not name.
				local stream = stream_of("good", { peer = "c.test" })
				stream.server.demands_certificate = function (host, domain)
					assert.same({ "host.test", "c.test" }, { host, domain })
					return demanded
				end
				local expected = unauthenticated == "refuse" and { "unauth.encrypt" } or demanded and { "cert.identity" } or {}
				assert.same(expected, ids(cutoff_verdict.of(of_option, stream, "c.test")))
			end
		end
	end)

	describe("on a context", function ()
		local contexts, kept

		before_each(function ()
			contexts, kept = adopted_contexts.new(), {}
		end)

		after_each(function ()
			contexts:release()
		end)

		-- A stream over a handshake on a context that is adopted with `demand`.
		local function stream_on(demand, tls, fields)
			local connection, luasec = tls_pairs.connection("c2s", tls, "none", function (context)
				demand.host = demand.host ~= nil and demand.host or "host.test"
				demand.role, demand.operator = "c2s", demand.operator or { ciphers = true }
				contexts:enforce(context, demand)
			end)
			kept[#kept + 1] = luasec
			local session = { role = "c2s", host = "host.test", secure = true, connection = connection }
			for name, value in pairs(fields or {}) do
				session[name] = value
			end
			local world = stream_world.new { ["host.test"] = should }
			local stream = world.admission:stream(world:session(session))
			stream.contexts = contexts
			assert(stream:read_facts())
			return stream
		end

		it("is that on what would be in force there", function ()
			-- The one suite is the policy's, and the operator's.
			assert.same({}, ids(cutoff_verdict.of(should, stream_on({ policy = should }, "good"))))
			-- Nothing is left of the operator's list at the level should.
			local verdict = cutoff_verdict.of(should, stream_on({ policy = should }, "weak"))
			assert.equal("ssl", ids(verdict)[1])
			assert.matches("^no TLS would be left here: no cipher suite of TLS 1.2 or older is left", verdict.broken[1].text)
			assert.same({}, ids(cutoff_verdict.of(must, stream_on({ policy = should }, "weak"))))
		end)

		it("of another policy is about the facts alone", function ()
			-- A listener for direct TLS follows the policy for all hosts.
			local demand = { policy = must, option = "c2s_direct_tls_ssl", host = false }
			assert.same({ "cipher.aead", "cipher.fs" }, ids(cutoff_verdict.of(should, stream_on(demand, "weak"))))
			assert.same({}, ids(cutoff_verdict.of(must, stream_on(demand, "weak"))))
			demand = { policy = should, option = "c2s_direct_tls_ssl" }
			assert.equal("ssl", ids(cutoff_verdict.of(should, stream_on(demand, "weak")))[1])
			-- An exception does not open a listener.
			assert.equal("ssl", ids(cutoff_verdict.of(should:mildest_exception(), stream_on(demand, "weak")))[1])
			assert.same({}, ids(cutoff_verdict.of(should:mildest_exception(), stream_on({ policy = should }, "weak"))))
		end)

		it("that is not known any more is about all that the policy allows", function ()
			local stream = stream_on({ policy = should }, "weak")
			stream.contexts = adopted_contexts.new()
			assert.same({ "cipher.aead", "cipher.fs" }, ids(cutoff_verdict.of(should, stream)))
		end)
	end)

	it("is remembered of a bounded number of policies", function ()
		local stream = stream_of "good"
		for _ = 1, 50 do
			cutoff_verdict.of_handshake(tls_policy.policy { mode = "report" }, stream, "a.test")
			local count = 0
			for key in pairs(stream.cutoffs) do
				count = count + (key ~= "count" and 1 or 0)
			end
			assert.is_true(count <= 8, tostring(count))
		end
	end)

	it("does not count facts of a stream that only pretends to be encrypted", function ()
		local stream = stream_of "weak"
		stream.session.secure = false
		assert.same({ "support.required" }, ids(cutoff_verdict.of(should, stream, "a.test")))
	end)
end)
