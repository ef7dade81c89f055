--- Verdicts that streams of clients share.
local stream_cases = require "support.stream_cases"
local stream_world = require "support.stream_world"

local element = stream_world.element
local connection_of, host_of = stream_cases.connection_of, stream_cases.host_of

describe("the verdict on a client", function ()
	teardown(stream_cases.close)

	local function world_of_hosts()
		local hosts = {}
		for _, kind in ipairs { "should", "must", "report" } do
			for number = 1, 2 do
				hosts[host_of(kind, number)] = stream_cases.policy_of(kind, {})
			end
		end
		return stream_world.new(hosts)
	end

	local function open(world, kind, number, tls)
		local session = world:session {
			role = "c2s", host = host_of(kind, number), connection = connection_of("c2s", tls, "none"), secure = true,
			authed = {},
		}
		return session, world.admission:opened(session)
	end

	it("is made once for each policy and for what is negotiated, whatever the host", function ()
		local world, judged, policies = world_of_hosts(), 0, {}
		for index, kind in ipairs { "should", "must" } do
			local policy = stream_cases.policy_of(kind, {})
			policies[index] = policy
			function policy.judge(...)
				judged = judged + 1
				return getmetatable(policy).__index.judge(...)
			end
		end
		finally(function ()
			for _, policy in ipairs(policies) do
				policy.judge = nil
			end
		end)
		local first, again
		for _ = 1, 3 do
			for number = 1, 2 do
				for _, kind in ipairs { "should", "must" } do
					local session, ended = open(world, kind, number, "good")
					assert.is_false(ended)
					first, again = session.stream, first
				end
			end
		end
		assert.equal(2, judged)
		assert.equal(first.facts, again.facts)
		assert.are_not.equal(first.verdict, again.verdict)
		assert.same({ refuse = false, broken = {} }, first.verdict)
		assert.equal(12, #world.handshakes)
	end)

	it("is shared by servers without a certificate, unless another module vouches for one", function ()
		local world = stream_world.new { [host_of("should", 1)] = stream_cases.policy_of("should", {}) }
		local function verdict_on(peer, certificate, is_vouched)
			local session = world:session {
				role = "s2sin", host = host_of("should", 1), peer = peer, secure = true, authed = {},
				connection = connection_of("s2sin", "good", certificate), chain_valid = is_vouched, identity_valid = is_vouched,
			}
			world.admission:opened(session)
			return session.stream.verdict
		end
		local first = verdict_on("a.test", "none", false)
		assert.equal(first, verdict_on("a.test", "none", false))
		assert.equal(first, verdict_on("b.test", "none", false))
		assert.not_equal(first, verdict_on("a.test", "none", true))
		assert.equal(first, verdict_on("b.test", "none", false))
		local shown = verdict_on("a.test", "a", true)
		assert.not_equal(first, shown)
		assert.not_equal(shown, verdict_on("a.test", "a", true))
	end)

	it("leaves the stream with eight fields of its own", function ()
		local world = world_of_hosts()
		local session = world:session { role = "c2s", host = host_of("should", 1), authed = {} }
		local starttls = element("starttls", "urn:ietf:params:xml:ns:xmpp-tls")
		assert.is_true(world.admission:may_pass(session, starttls))
		world.admission:starttls_agreed(session)
		session.secure, session.connection = true, connection_of("c2s", "good", "none")
		assert.is_false(world.admission:opened(session))
		assert.is_true(world.admission:may_pass(session, element("auth", "urn:ietf:params:xml:ns:xmpp-sasl")))
		world.admission:client_authenticated(session, "SCRAM-SHA-1")
		local fields = {}
		for field in pairs(session.stream) do
			fields[#fields + 1] = field
		end
		table.sort(fields)
		assert.same({ "connection", "counted", "facts", "judged", "mechanism", "policy_name", "session", "verdict" }, fields)
	end)

	it("ends each stream that breaks the policy, and again when it is asked again", function ()
		local world = world_of_hosts()
		for count = 1, 3 do
			local session, ended = open(world, "should", 1, "bad")
			assert.is_true(ended)
			assert.equal("policy-violation", session.condition)
			assert.is_true(world.admission:opened(session))
			assert.equal(2, session.closed)
			assert.equal(2 * count, #world.refusals)
			assert.is_false((select(2, open(world, "report", 1, "bad"))))
			assert.is_false((select(2, open(world, "should", 1, "good"))))
		end
	end)

	it("holds for elements until host, policy or connection is another", function ()
		local auth = element("auth", "urn:ietf:params:xml:ns:xmpp-sasl")
		for _, change in ipairs {
			function (session) session.host = host_of("should", 1) end,
			function (_, world) world.policies:set(host_of("must", 1), stream_cases.policy_of("should", {})) end,
			function (session) session.connection = connection_of("c2s", "bad", "none") end,
		} do
			local world = world_of_hosts()
			local session, ended = open(world, "must", 1, "weak")
			assert.is_false(ended)
			for _ = 1, 2 do
				assert.is_true(world.admission:may_pass(session, auth))
			end
			change(session, world)
			for _ = 1, 2 do
				assert.is_false(world.admission:may_pass(session, auth))
			end
			assert.equal(2, session.closed)
		end
	end)

	it("is another one on a stream whose header names a stricter host, or whose host has another policy", function ()
		local world = world_of_hosts()
		local session, ended = open(world, "must", 1, "weak")
		assert.is_false(ended)
		session.host = host_of("should", 1)
		assert.is_true(world.admission:opened(session))
		session, ended = open(world, "must", 2, "weak")
		assert.is_false(ended)
		world.policies:set(host_of("must", 2), stream_cases.policy_of("should", {}))
		assert.is_true(world.admission:opened(session))
	end)
end)
