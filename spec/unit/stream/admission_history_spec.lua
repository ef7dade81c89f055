--- Decisions on a stream after a change: of policies, TLS, the server's knowledge, the peer's claims.
local core = require "xmpp_tls_policy.core"
local stream_cases = require "support.stream_cases"
local stream_world = require "support.stream_world"
local tls_pairs = require "support.tls_pairs"
local tls_policy = require "xmpp_tls_policy"

local element, policy = stream_world.element, stream_world.policy
local connection_of = stream_cases.connection_of

local should, must, report = policy {}, policy { level = "must" }, policy { mode = "report" }

describe("an admitted pair", function ()
	teardown(stream_cases.close)

	-- An authenticated stream from a.test to strict.test, in a world with the given policies.
	local function admitted(hosts, tls, role)
		local world = stream_world.new(hosts)
		local session = world:session {
			role = role or "s2sin", host = "strict.test", peer = "a.test", secure = tls and true or nil,
			connection = tls and connection_of(role or "s2sin", tls, "a") or nil, chain_valid = tls and true,
			identity_valid = tls and true, authed = { ["a.test"] = true },
		}
		return world, session
	end

	local function message(host)
		return element("message", nil, host or "strict.test", "a.test")
	end

	it("is asked for once, in and out", function ()
		local world, session = admitted({ ["strict.test"] = should }, "good")
		local judged = 0
		function world.objection() judged = judged + 1 end
		for _ = 1, 3 do
			assert.is_true(world.admission:may_pass(session, message()))
			assert.is_true(world.admission:may_send(session, "strict.test", "a.test"))
		end
		assert.equal(1, judged)
		assert.equal(1, #world.written)
	end)

	for _, way in ipairs { "in", "out" } do
		local function goes(world, session)
			if way == "in" then
				return world.admission:may_pass(session, message())
			end
			return world.admission:may_send(session, "strict.test", "a.test")
		end

		it("is asked for anew after policies have changed: " .. way, function ()
			local world, session = admitted({ ["strict.test"] = must }, "weak")
			assert.is_true(goes(world, session))
			world.policies:set("strict.test", should)
			assert.is_false(goes(world, session))
			assert.equal(1, session.closed)
		end)

		it("is asked for anew when other policies have as many changes behind them: " .. way, function ()
			local world, session = admitted({ ["strict.test"] = must }, "weak")
			assert.is_true(goes(world, session))
			local other = admitted({ ["strict.test"] = should }, "weak")
			assert.equal(world.policies:generation(), other.policies:generation())
			assert.is_false(goes(other, session))
			assert.equal(1, session.closed)
		end)

		it("is asked for once its host has a policy: " .. way, function ()
			local world, session = admitted({ ["strict.test"] = false }, "weak")
			assert.is_true(goes(world, session))
			-- For a host that is as all others, nothing changes but that it is covered.
			world.policies.by_host["strict.test"] = should
			assert.is_false(goes(world, session))
			assert.equal(1, session.closed)
		end)

		it("is asked for anew when the stream is secured: " .. way, function ()
			local world, session = admitted({ ["strict.test"] = must }, nil)
			assert.is_true(goes(world, session))
			session.secure, session.connection = true, connection_of("s2sin", "bad", "a")
			assert.is_false(goes(world, session))
			assert.equal(1, session.closed)
		end)
	end

	it("is asked for when the stream is secured after the domain has authenticated", function ()
		local world, session = admitted({ ["strict.test"] = must }, nil)
		assert.is_false(world.admission:authenticated(session, "strict.test", "a.test", "dialback"))
		session.secure, session.connection = true, connection_of("s2sin", "bad", "a")
		assert.is_false(world.admission:may_pass(session, message()))
	end)

	-- A world that counts in world.seen how often a certificate was looked up for a pair.
	local function counting()
		local world, session = admitted({ ["strict.test"] = must }, "good")
		local certificates = world.certificates
		world.seen = 0
		world.certificates = setmetatable({
			see = function (_, ...)
				world.seen = world.seen + 1
				return certificates:see(...)
			end,
		}, { __index = function (_, name)
			return function (_, ...)
				return certificates[name](certificates, ...)
			end
		end })
		world:load_again()
		return world, session
	end

	it("is asked for once after each change", function ()
		local world, session = counting()
		local function twice(expected)
			for _ = 1, 2 do
				assert.is_true(world.admission:may_pass(session, message()))
			end
			assert.equal(expected, world.seen)
		end
		twice(1)
		world.policies:set("strict.test", should)
		twice(2)
		local other = admitted({ ["strict.test"] = should }, "good")
		other.policies.number = world.policies.number
		world.policies = other.policies
		world:load_again()
		twice(3)
	end)

	it("was judged when its domain was authenticated, and is not judged again", function ()
		local world, session = counting()
		assert.is_false(world.admission:authenticated(session, "strict.test", "a.test", "dialback"))
		assert.is_true(world.admission:may_pass(session, message()))
		assert.is_true(world.admission:may_send(session, "strict.test", "a.test"))
		assert.equal(1, world.seen)
	end)

	it("is known by the addresses of a stanza after the second one, in one direction", function ()
		local world, session = admitted({ ["strict.test"] = should, ["other.test"] = should }, "good")
		local admission = world.admission
		local to, from = "Me@Strict.test/x", "you@A.test"
		local function is_known(way, own, far)
			return admission:is_known(session.stream, way, own or to, far or from)
		end
		assert.is_false(is_known "in")
		for times = 1, 2 do
			assert.is_true(admission:may_pass(session, element("message", nil, to, from)))
			assert.equal(times == 2, is_known "in")
		end
		assert.is_false(is_known "out")
		assert.is_false(is_known("in", "me@other.test"))
		assert.is_false(is_known("in", nil, "you@b.test"))
		assert.is_false(admission:is_known(session.stream, "in", nil, from))
		assert.is_false(admission:is_known(session.stream, "in", to, nil))
		assert.is_true(admission:may_send_stanza(session, element("message", nil, from, to)))
		assert.is_true(is_known "out")
		assert.is_false(admission:may_send_stanza(session, element("message", nil, "you@b.test", to)))
		assert.is_false(is_known("out", nil, "you@b.test"))
		world:load_again()
		assert.is_true(world.admission:is_known(session.stream, "in", to, from))
		world.policies:set("other.test", must)
		assert.is_false(world.admission:is_known(session.stream, "in", to, from))
	end)

	it("is not known by addresses of a stanza on another connection", function ()
		local world, session = admitted({ ["strict.test"] = should }, "good")
		for _ = 1, 2 do
			world.admission:may_pass(session, message())
		end
		assert.is_true(world.admission:is_known(session.stream, "in", "strict.test", "a.test"))
		session.connection = connection_of("s2sin", "weak", "a")
		assert.is_true(world.admission:opened(session))
		assert.is_false(world.admission:is_known(session.stream, "in", "strict.test", "a.test"))
	end)

	it("is one of a domain that the server, too, takes for authenticated", function ()
		local world, session = admitted({ ["strict.test"] = should }, "good")
		assert.is_false(world.admission:authenticated(session, "strict.test", "b.test", "dialback"))
		assert.is_false(world.admission:may_send(session, "strict.test", "b.test"))
		session.authed["b.test"] = true
		assert.is_true(world.admission:may_send(session, "strict.test", "b.test"))
	end)

	it("does not let dialback for another host come in on an outgoing stream", function ()
		local hosts = { ["strict.test"] = should, ["other.test"] = should }
		for _, is_used in ipairs { true, false } do
			local world, session = admitted(hosts, "good", "s2sout")
			assert.is_true(not is_used or world.admission:may_pass(session, message "other.test"))
			assert.is_false(world.admission:may_pass(session,
				element("verify", "jabber:server:dialback", "other.test", "a.test")))
		end
	end)

	it("of a host with a policy is not one of another host", function ()
		for _, other in ipairs { false, report, must } do
			local world, session = admitted({ ["strict.test"] = should, ["other.test"] = other }, "weak")
			assert.is_true(world.admission:may_pass(session, message "other.test"))
			assert.is_false(world.admission:may_pass(session, message "strict.test"))
		end
	end)

	it("ends with the exception under which the stream was accepted", function ()
		local now = os.time()
		local function excepting(days)
			return assert(tls_policy.policy { exceptions = { ["a.test"] = {
				level = "must", expires = os.date("!%Y-%m-%d", now + days * 86400), reason = "old server",
			} } })
		end
		local world, session = admitted({ ["strict.test"] = excepting(1) }, "weak")
		assert.is_true(world.admission:may_pass(session, message()))
		assert.truthy(session.public.exception)
		assert.same({ "s2sin exception" }, world.handshakes)
		assert.matches('info Accepted under the exception for a.test until %d+%-%d+%-%d+ %("old server"%)', session.lines[1])
		world.admission:policies_changed()
		assert.is_nil(session.closed)
		world.policies.now = now + 3 * 86400
		world.admission:policies_changed()
		assert.equal(1, session.closed)
	end)

	it("does not end with the exception of another domain", function ()
		local world, session = admitted({ ["strict.test"] = assert(tls_policy.policy { exceptions = { ["b.test"] = {
			level = "must", expires = "2999-01-01", reason = "old server",
		} } }) }, "weak")
		assert.is_false(world.admission:may_pass(session, message()))
	end)

	it("is judged anew on all hosts that the stream is used for", function ()
		local world, session = admitted({ ["strict.test"] = should, ["other.test"] = should }, "good")
		assert.is_true(world.admission:may_pass(session, message "other.test"))
		world.policies:set("other.test", policy { unauthenticated_s2s = "refuse" })
		session.identity_valid = false
		world.admission:policies_changed()
		assert.equal(1, session.closed)
	end)

	it("is not refused for the objection of another module in report mode, but counted", function ()
		local world, session = admitted({ ["strict.test"] = report }, "good")
		function world.objection() return "no" end
		assert.is_true(world.admission:may_pass(session, message()))
		assert.same({ "s2sin would_refuse" }, world.handshakes)
		assert.is_false(session.public.verdict.refuse)
		assert.is_nil(session.closed)
	end)
end)

describe("a domain that has authenticated for one host", function ()
	teardown(stream_cases.close)

	-- Crossed: the policy of the host for which it has, the certificate, the direction.
	local function stream(mild, certificate, role)
		local world = stream_world.new { ["mild.test"] = mild, ["strict.test"] = should }
		local session = world:session {
			role = role, host = "mild.test", peer = "a.test", secure = true,
			connection = connection_of(role, "good", certificate),
			chain_valid = certificate ~= "none", identity_valid = certificate == "a",
		}
		if mild then
			assert.is_false(world.admission:authenticated(session, "mild.test", "a.test", "dialback"))
		end
		session.authed["a.test"] = true
		return world, session
	end

	for _, role in ipairs { "s2sin", "s2sout" } do
		it("is for no other host without a certificate, in and out: " .. role, function ()
			for _, mild in ipairs { should, must, report, false } do
				for _, certificate in ipairs { "none", "a" } do
					local is_vouched = certificate == "a"
					local world, session = stream(mild, certificate, role)
					assert.equal(is_vouched, world.admission:may_send(session, "strict.test", "a.test"))
					assert.is_nil(session.closed)
					assert.equal(is_vouched, world.admission:may_pass(session, element("message", nil, "strict.test", "a.test")))
					assert.equal(is_vouched and 0 or 1, session.closed or 0)
					assert.equal(not is_vouched and "not-authorized" or nil, session.condition)
					assert.equal(is_vouched, (" " .. table.concat(world.written, " ")):find(" strict.test", 1, true) ~= nil)
				end
			end
		end)
	end

	it("may authenticate for another one", function ()
		local world, session = stream(report, "none", "s2sin")
		local key = element("result", "jabber:server:dialback", "strict.test", "a.test")
		assert.is_true(world.admission:may_pass(session, key))
		assert.is_false(world.admission:authenticated(session, "strict.test", "a.test", "dialback"))
		assert.is_true(world.admission:may_pass(session, element("message", nil, "strict.test", "a.test")))
	end)

	-- Stanzas that were parsed may wait to be handled.
	it("is judged anew without TLS, too, before its next stanza comes", function ()
		local world = stream_world.new { ["mild.test"] = report, ["strict.test"] = must }
		local session = world:session { role = "s2sin", host = "mild.test", peer = "a.test" }
		assert.is_false(world.admission:authenticated(session, "strict.test", "a.test", "dialback"))
		session.authed["a.test"] = true
		assert.is_true(world.admission:may_pass(session, element("message", nil, "strict.test", "a.test")))
		world.policies:set("strict.test", should)
		world.admission:policies_changed()
		assert.equal(1, session.closed)
	end)

	it("is judged anew for that host alone", function ()
		local world, session = stream(report, "none", "s2sin")
		world.policies:set("strict.test", policy { unauthenticated_s2s = "refuse" })
		world.admission:policies_changed()
		assert.is_nil(session.closed)
	end)
end)

describe("a verdict", function ()
	teardown(stream_cases.close)

	local function opened(certificate, hosts)
		local world = stream_world.new(hosts or { ["strict.test"] = should })
		local session = world:session {
			role = "s2sin", host = "strict.test", peer = "a.test", secure = true,
			connection = connection_of("s2sin", "good", certificate),
		}
		return world, session
	end

	it("is reached anew once the server takes the certificate for valid", function ()
		local world, session = opened "older"
		assert.is_false(world.admission:opened(session))
		session.chain_valid, session.identity_valid = true, true
		assert.is_true(world.admission:certificate_checked(session, "a.test"))
		assert.matches("is not valid", session.text, 1, true)
	end)

	it("that refuses is reached again when it is asked for again", function ()
		local world, session = opened "none"
		function world.objection() return "not today\27" end
		for times = 1, 2 do
			assert.is_true(world.admission:opened(session))
			assert.equal(times, session.closed)
		end
		assert.equal("not today\\027", session.text)
		assert.equal(0, session.published or 0)
	end)

	it("does not change with the copies that other modules are shown", function ()
		local world, session = opened "none"
		function world.objection(host, event, make)
			assert.same({ "strict.test", "tls-policy/verdict" }, { host, event })
			local shown = make()
			assert.same({ session, "a.test", should:name() }, { shown.session, shown.domain, shown.policy })
			shown.verdict.refuse, shown.facts.version = true, "none"
		end
		assert.is_false(world.admission:opened(session))
		assert.is_false(session.public.verdict.refuse)
		assert.equal("TLSv1.2", session.public.facts.version)
	end)

	it("keeps its breaches, whatever other modules do with theirs", function ()
		local world, session = opened("none", { ["strict.test"] = must })
		session.connection = connection_of("s2sin", "weak", "none")
		function world.objection(_, _, make)
			local broken = make().verdict.broken
			assert.equal("cipher.aead", broken[1].clause)
			broken[1].clause = "changed"
			broken[2] = nil
		end
		assert.is_false(world.admission:opened(session))
		assert.equal("cipher.aead", session.public.verdict.broken[1].clause)
		assert.equal("cipher.fs", session.public.verdict.broken[2].clause)
	end)

	it("is that of one pair: other modules are asked of each", function ()
		for _, refused in ipairs { { "strict.test", "b.test" }, { "other.test", "a.test" } } do
			local world, session = opened("none", { ["strict.test"] = should, ["other.test"] = should })
			function world.objection(host, _, make)
				return host == refused[1] and make().domain == refused[2] and "no" or nil
			end
			assert.is_false(world.admission:authenticated(session, "strict.test", "a.test", "dialback"))
			session.authed["a.test"] = true
			assert.is_false(world.admission:may_pass(session, element("iq", nil, refused[1], refused[2])))
			assert.equal("no", session.text)
		end
	end)

	it("of another connection does not count", function ()
		local world, session = opened "none"
		assert.is_false(world.admission:opened(session))
		session.connection = connection_of("s2sin", "bad", "none")
		assert.is_true(world.admission:opened(session))
		assert.same({ "s2sin accepted", "s2sin stream_refused" }, world.handshakes)
	end)

	it("asks for contexts that were not found yet, where a handshake was not observed", function ()
		for _, given in ipairs { should, report } do
			local world, session = opened("none", { ["strict.test"] = given })
			session.connection = connection_of("s2sin", "unobserved", "none")
			assert.equal(given == should, world.admission:opened(session))
			assert.equal(1, world.unobserved)
		end
	end)

	it("asks for no contexts where the connection is closed by now", function ()
		for _, given in ipairs { should, report } do
			local world, session = opened("none", { ["strict.test"] = given })
			session.connection = tls_pairs.connection("s2sin", "good", "none", true)
			session.connection:close()
			assert.equal(given == should, world.admission:opened(session))
			assert.equal(0, world.unobserved)
		end
	end)
end)

describe("a stream", function ()
	teardown(stream_cases.close)

	it("to a known server whose certificate has changed is ended, and an administrator can accept it", function ()
		local world = stream_world.new { ["strict.test"] = policy { certificate_change = "refuse" } }
		local session = world:session {
			role = "s2sout", host = "strict.test", peer = "a.test", secure = true, chain_valid = true, identity_valid = true,
			connection = connection_of("s2sout", "good", "a"),
		}
		assert.is_false(world.admission:certificate_checked(session, "a.test"))
		assert.same({}, world.written)
		local older = connection_of("s2sin", "good", "older")
		local record = stream_world.record_of(core.observer.facts(older).certificate, "a.test")
		world.records["strict.test"] = { ["a.test"] = record }
		assert.is_true(world.admission:certificate_checked(session, "a.test"))
		assert.same({ "strict.test a.test" }, world.written)
		assert.equal(1, world.certificates:memory "strict.test":accept "a.test")
		assert.is_false(world.admission:certificate_checked(session, "a.test"))
	end)

	it("of a client needs no certificate, whatever it says that it is from", function ()
		local world = stream_world.new { ["strict.test"] = policy { unauthenticated_s2s = "refuse" } }
		local session = world:session {
			role = "c2s", host = "strict.test", secure = true, connection = connection_of("c2s", "good", "none"),
		}
		local auth = element("auth", "urn:ietf:params:xml:ns:xmpp-sasl", "strict.test", "user@a.test")
		assert.is_true(world.admission:may_pass(session, auth))
		assert.is_nil(session.closed)
	end)

	it("that is encrypted has no element that leads to TLS", function ()
		for domain, may in pairs { ["a.test"] = true, ["b.test"] = false } do
			local world = stream_world.new { ["strict.test"] = policy { unauthenticated_s2s = "refuse" } }
			local session = world:session {
				role = "s2sin", host = "strict.test", peer = "a.test", secure = true, chain_valid = true, identity_valid = true,
				connection = connection_of("s2sin", "good", "a"),
			}
			local given = element("starttls", "urn:ietf:params:xml:ns:xmpp-tls", "strict.test", domain)
			assert.equal(may, world.admission:may_pass(session, given))
		end
	end)

	it("to a server has the certificate looked up once, in whichever event", function ()
		for _, is_event_reached in ipairs { true, false } do
			local world = stream_world.new { ["strict.test"] = policy { certificate_change = "refuse" } }
			local session = world:session {
				role = "s2sout", host = "strict.test", peer = "a.test", secure = true, chain_valid = true, identity_valid = true,
				connection = connection_of("s2sout", "good", "a"),
			}
			local looks = 0
			function world.certificates.would_refuse()
				looks = looks + 1
			end
			if is_event_reached then
				assert.is_false(world.admission:certificate_checked(session, "a.test"))
			end
			for _ = 1, 3 do
				assert.is_true(world.admission:may_pass(session, element("features", "http://etherx.jabber.org/streams")))
			end
			assert.equal(1, looks)
		end
	end)

	it("is asked for a certificate anew after policies have changed", function ()
		for _, before in ipairs { false, should } do
			local world = stream_world.new { ["strict.test"] = before }
			local session = world:session {
				role = "s2sin", host = "strict.test", peer = "a.test", secure = true,
				connection = connection_of("s2sin", "good", "none"),
			}
			local bidi = element("bidi", "urn:xmpp:bidi")
			assert.is_false(world.admission:certificate_checked(session, "a.test"))
			assert.is_true(world.admission:may_pass(session, bidi))
			world.policies:set("strict.test", policy { unauthenticated_s2s = "refuse" })
			assert.is_false(world.admission:may_pass(session, bidi))
		end
	end)

	it("is asked for a certificate anew on another connection", function ()
		local world = stream_world.new { ["strict.test"] = policy { unauthenticated_s2s = "refuse" } }
		local session = world:session {
			role = "s2sin", host = "strict.test", peer = "a.test", secure = true, chain_valid = true, identity_valid = true,
			connection = connection_of("s2sin", "good", "a"),
		}
		assert.is_false(world.admission:certificate_checked(session, "a.test"))
		session.connection, session.chain_valid, session.identity_valid = connection_of("s2sin", "good", "none"), nil, nil
		assert.is_false(world.admission:may_pass(session, element("bidi", "urn:xmpp:bidi")))
	end)

	it("has a policy as its header names the pair", function ()
		local excepted = assert(tls_policy.policy { exceptions = { ["a.test"] = {
			level = "must", expires = "2999-01-01", reason = "old server",
		} } })
		local world = stream_world.new { ["strict.test"] = excepted, ["weak.test"] = false, ["report.test"] = report }
		local admission = world.admission
		local function of(role, host, peer)
			local session = world:session { role = role, host = host, peer = peer }
			return admission:policy_of(session), admission:is_enforced_on(session)
		end
		assert.same({ excepted, true }, { of("c2s", "strict.test") })
		assert.same({ excepted, true }, { of("s2sin", "strict.test", "b.test") })
		assert.equal("must", of("s2sin", "strict.test", "a.test").level)
		assert.same({ report, false }, { of("s2sin", "report.test", "a.test") })
		assert.same({ nil, false }, { of("s2sin", "weak.test", "a.test") })
		assert.same({ should, true }, { of("s2sin", nil, "a.test") })
		assert.same({ nil, false }, { of("s2sout", nil, "a.test") })
		assert.same({ nil, false }, { of("c2s", nil) })
		for host, enforced in pairs { ["strict.test"] = true, ["weak.test"] = false, ["report.test"] = false } do
			assert.equal(enforced, admission:is_enforced_for(host, "b.test"))
		end
	end)

	it("has a certificate that names the peer or not, where a policy holds and TLS is known", function ()
		local world = stream_world.new { ["strict.test"] = should, ["weak.test"] = false, ["report.test"] = report }
		local function names(host, connection, domain)
			local session = world:session {
				role = "s2sin", host = host, peer = "a.test", secure = connection and true, connection = connection,
			}
			return world.admission:certificate_names(session, domain)
		end
		local of_a = connection_of("s2sin", "good", "a")
		assert.same({ true, true }, { names("strict.test", of_a, "a.test") })
		assert.same({ false, true }, { names("strict.test", of_a, "b.test") })
		assert.same({ false, false }, { names("report.test", of_a, "b.test") })
		assert.same({ nil, true }, { names("strict.test", connection_of("s2sin", "good", "none"), "a.test") })
		assert.same({}, { names("weak.test", of_a, "b.test") })
		assert.same({}, { names("strict.test", nil, "b.test") })
		assert.same({}, { names("strict.test", connection_of("s2sin", "unobserved", "none"), "b.test") })
		assert.same({}, { names("strict.test", of_a, nil) })
	end)

	it("that has ended before its domain was authenticated is not ended again", function ()
		local world = stream_world.new { ["strict.test"] = should }
		local session = world:session { destroyed = true }
		assert.is_false(world.admission:authenticated(session, "strict.test", "a.test", "dialback"))
		assert.is_nil(session.closed)
		assert.equal(0, world.refusal_log:total())
	end)

	it("remembers the first mechanism by which it was authenticated", function ()
		local world = stream_world.new { ["strict.test"] = false }
		local session = world:session { role = "s2sin", host = "strict.test", peer = "a.test" }
		world.admission:authenticated(session, "strict.test", "a.test", "EXTERNAL")
		world.admission:authenticated(session, "strict.test", "b.test", "dialback")
		assert.equal("EXTERNAL", session.stream.mechanism)
		local client = world:session { role = "c2s", host = "strict.test" }
		world.admission:client_authenticated(client, "SCRAM-SHA-1")
		world.admission:client_authenticated(client, "PLAIN")
		assert.equal("SCRAM-SHA-1", client.stream.mechanism)
	end)

	it("xep0198.5.resumption: goes on on another connection when its client comes back", function ()
		local world = stream_world.new { ["strict.test"] = should }
		local old = world:session { role = "c2s", host = "strict.test", authenticated = true }
		local new = world:session { role = "c2s", host = "strict.test", secure = true,
			connection = connection_of("c2s", "good", "none") }
		assert.is_false(world.admission:opened(new))
		world.admission:resumed(old, new)
		assert.is_nil(old.stream)
		world.admission:client_authenticated(new, "PLAIN")
		world.admission:resumed(old, new)
		world.admission:resumed(old, new)
		assert.equal(new.stream, old.stream)
		assert.equal(old, old.stream.session)
		assert.equal("TLSv1.2", old.public.facts.version)
	end)

	it("xep0198.5.resumption: is about the connection that is there now, whatever carries XMPP", function ()
		-- From direct XMPP to WebSocket and back.
		local world = stream_world.new { ["strict.test"] = should }
		local old = world:session { role = "c2s", host = "strict.test", authenticated = true, secure = true,
			connection = connection_of("c2s", "good", "none") }
		world.admission:opened(old)
		assert.equal("TLSv1.2", old.public.facts.version)
		local over_http = world:session { role = "c2s", host = "strict.test", authenticated = true, secure = true,
			is_over_http = true, carrier = "WebSocket" }
		world.admission:resumed(old, over_http)
		assert.equal("WebSocket", old.carrier)
		assert.same({ nil, nil }, { old.stream.facts, old.public.facts })
		local back = world:session { role = "c2s", host = "strict.test", authenticated = true, secure = true,
			connection = connection_of("c2s", "good", "none") }
		world.admission:opened(back)
		world.admission:resumed(old, back)
		assert.is_nil(old.carrier)
		assert.equal("TLSv1.2", old.public.facts.version)
	end)

	it("over HTTP is the web server's", function ()
		local world = stream_world.new { ["strict.test"] = should }
		local session = world:session { role = "c2s", host = "strict.test", is_over_http = true }
		assert.is_true(world.admission:may_pass(session, element("auth", "urn:ietf:params:xml:ns:xmpp-sasl")))
		local component = world:session { host = "strict.test" }
		assert.is_true(world.admission:may_pass(component, element("message", nil, "strict.test")))
	end)

	it("is asked to stay closed for another reason", function ()
		local world = stream_world.new { ["strict.test"] = should }
		local session = world:session { role = "c2s", host = "strict.test" }
		assert.is_true(world.admission:refuse(session, { condition = "internal-server-error", text = "no TLS" }))
		assert.same({ 1, "internal-server-error" }, { session.closed, session.condition })
	end)

	it("answers an attempt at SASL without TLS", function ()
		local world = stream_world.new { ["strict.test"] = should }
		for _, given in ipairs { { "auth", "urn:ietf:params:xml:ns:xmpp-sasl", 1 }, { "auth", "urn:example" }, { "iq" } } do
			local session = world:session { role = "c2s", host = "strict.test" }
			assert.is_false(world.admission:may_pass(session, element(given[1], given[2])))
			assert.equal(given[3], session.encryption_required)
			assert.same({ "support.required" }, world.refusals[#world.refusals].clauses)
		end
	end)
end)

describe("an address", function ()
	teardown(stream_cases.close)

	local forms = { "%s", "NAME", "user@%s", "user@%s/resource", "%s/resource", "%s." }
	local invalid = { "", "@%s", "user@", "user@%s@%s", "/resource" }

	local function written(form, name)
		return form == "NAME" and name:upper() or (form:gsub("%%s", name))
	end

	local function stream_to(host, authed, hosts)
		local world = stream_world.new(hosts)
		return world, world:session {
			role = "s2sin", host = host, peer = "a.test", secure = true, authed = authed,
			connection = connection_of("s2sin", "weak", "none"),
		}
	end

	local hosts = { ["weak.test"] = false, ["strict.test"] = should }

	it("of a host counts in whatever form", function ()
		for _, form in ipairs(forms) do
			for _, authed in ipairs { {}, { ["a.test"] = true } } do
				local world, session = stream_to("weak.test", authed, hosts)
				local to = written(form, "strict.test")
				assert.is_false(world.admission:may_pass(session, element("iq", nil, to, "a.test")), to)
				local dialback = element("result", "jabber:server:dialback", to, "a.test")
				world, session = stream_to("weak.test", authed, hosts)
				assert.is_false(world.admission:may_pass(session, dialback), to)
			end
		end
	end)

	it("that is invalid belongs to no host", function ()
		for _, form in ipairs(invalid) do
			for _, authed in ipairs { {}, { ["a.test"] = true } } do
				local world, session = stream_to("weak.test", authed, hosts)
				local to = written(form, "strict.test")
				assert.is_true(world.admission:may_pass(session, element("iq", nil, to, "a.test")), to)
				world, session = stream_to("strict.test", {}, hosts)
				assert.is_false(world.admission:may_pass(session, element("iq", nil, to, "a.test")), to)
			end
		end
	end)

	it("of a server counts in whatever form", function ()
		local needs = { ["strict.test"] = policy { unauthenticated_s2s = "refuse" } }
		for _, form in ipairs(forms) do
			for domain, certificate in pairs { ["a.test"] = "a", ["b.test"] = "b" } do
				for _, shown in ipairs { "a", "b" } do
					local world = stream_world.new(needs)
					local session = world:session {
						role = "s2sin", host = "strict.test", peer = "c.test", secure = true, authed = { ["a.test"] = true },
						connection = connection_of("s2sin", "good", shown), chain_valid = true,
					}
					world:authenticate(session, "b.test")
					assert.equal(certificate == shown, world.admission:may_pass(session,
						element("message", nil, "strict.test", written(form, domain))), written(form, domain))
				end
			end
		end
	end)

	it("that is none, or is not there, stands for the server of the header", function ()
		for _, from in ipairs { "", "user@", false } do
			for _, peer in ipairs { "a.test", "b.test" } do
				local world = stream_world.new { ["strict.test"] = policy { unauthenticated_s2s = "refuse" } }
				local session = world:session {
					role = "s2sin", host = "strict.test", peer = peer, secure = true, authed = { ["a.test"] = true },
					connection = connection_of("s2sin", "good", "a"), chain_valid = true, identity_valid = peer == "a.test",
				}
				assert.equal(peer == "a.test",
					world.admission:may_pass(session, element("message", nil, "strict.test", from or nil)))
			end
		end
	end)

	it("and header that name no server are assigned to none, and nothing is remembered", function ()
		local world = stream_world.new { ["strict.test"] = policy { certificate_change = "refuse" } }
		local session = world:session {
			role = "s2sin", host = "strict.test", secure = true, authed = { ["a.test"] = true },
			connection = connection_of("s2sin", "good", "a"),
		}
		assert.is_true(world.admission:may_pass(session, element("bidi", "urn:xmpp:bidi", "strict.test")))
		assert.is_false(world.admission:may_pass(session, element("message", nil, "strict.test")))
		assert.same({}, world.written)
		session.connection = connection_of("s2sin", "weak", "a")
		assert.is_false(world.admission:may_pass(session, element("bidi", "urn:xmpp:bidi", "strict.test")))
	end)

	it("of no host of ours does not let a stanza leave for another domain", function ()
		for _, authed in ipairs { {}, { ["b.test"] = true } } do
			local world, session = stream_to("strict.test", authed, hosts)
			assert.is_false(world.admission:may_send(session, "elsewhere.test", "a.test"))
		end
		local world, session = stream_to("weak.test", {}, hosts)
		assert.is_true(world.admission:may_send(session, "elsewhere.test", "a.test"))
	end)
end)

describe("data that peers choose is bounded:", function ()
	teardown(stream_cases.close)

	-- Strings and tables that can be reached from a table, and how many bytes the strings have.
	local function size_of(value, seen)
		seen = seen or {}
		if type(value) == "string" then
			return 1, #value
		elseif type(value) ~= "table" or seen[value] then
			return 0, 0
		end
		seen[value] = true
		local count, bytes = 1, 0
		for key, item in pairs(value) do
			local key_count, key_bytes = size_of(key, seen)
			local item_count, item_bytes = size_of(item, seen)
			count, bytes = count + key_count + item_count, bytes + key_bytes + item_bytes
		end
		return count, bytes
	end

	it("the pairs of a stream", function ()
		local world = stream_world.new { ["strict.test"] = report, ["other.test"] = false }
		local session = world:session {
			role = "s2sin", host = "strict.test", peer = "a.test", secure = true,
			connection = connection_of("s2sin", "good", "none"),
		}
		world.server.speaks_for = function () return true end
		session.authed["a.test"] = true
		local most = 0
		for number = 1, 100000 do
			local host = number % 2 == 0 and "strict.test" or number % 3 == 0 and ("host%d.test"):format(number) or "other.test"
			local peer = ("peer%d.test"):format(number)
			assert.is_false(world.admission:authenticated(session, host, peer, "dialback"))
			assert.is_true(world.admission:may_pass(session, element("iq", nil, host, peer)))
			if number % 9999 == 0 then
				most = math.max(most, (size_of {
					session.stream.admitted, session.stream.cutoffs, session.stream.authenticated_for,
				}))
			end
		end
		assert.is_true(most > 0 and most < 8000, tostring(most))
		assert.is_true(session.stream.admitted_count <= 1000)
	end)

	it("the addresses of a stream", function ()
		local world = stream_world.new { ["strict.test"] = should }
		local session = world:session {
			role = "s2sin", host = "strict.test", peer = "a.test", secure = true, authed = { ["a.test"] = true },
			connection = connection_of("s2sin", "good", "none"),
		}
		local most, most_bytes = 0, 0
		for number = 1, 20000 do
			local to = ("user%d@strict.test/%s"):format(number, ("x"):rep(number % 1000))
			assert.is_true(world.admission:may_pass(session, element("iq", nil, to, ("user%d@a.test"):format(number))))
			assert.is_true(world.admission:may_send_stanza(session, element("iq", nil, "a.test", to)))
			if number % 199 == 0 then
				local count, bytes = size_of(session.stream.addresses)
				most, most_bytes = math.max(most, count), math.max(most_bytes, bytes)
			end
		end
		assert.is_true(most > 0 and most < 1000, tostring(most))
		assert.is_true(most_bytes < 200000, tostring(most_bytes))
	end)
end)
