local ready_contexts = require "xmpp_tls_policy.stream.ready_contexts"

describe("the memory of contexts for STARTTLS", function ()
	local asked, answer, generation, exceptions, ready

	before_each(function ()
		asked, answer, generation, exceptions = 0, true, 1, {}
		local server = {
			starttls_context = function (session) return session.context end,
			is_authenticated = function (session) return session.authenticated end,
		}
		local policies = {
			generation = function () return generation end,
			policy_for = function (_, host) return { exceptions = exceptions[host or "*"] or {} } end,
		}
		local contexts = {
			starttls = function ()
				asked = asked + 1
				return answer
			end,
		}
		ready = ready_contexts.new { server = server, policies = policies, contexts = contexts }
	end)

	-- Asks for a stream, and returns the answer and how often the contexts were asked for it.
	local function ask(context, host, role, authenticated)
		local before = asked
		local found = ready:starttls {
			session = { context = context, authenticated = authenticated or false }, role = role or "c2s",
			host = function () return host end,
		}
		return found, asked - before
	end

	local function assert_asks(expected, times, ...)
		local found, count = ask(...)
		assert.equal(expected, found)
		assert.equal(times, count)
	end

	it("asks for a context once", function ()
		local one, other = {}, {}
		assert_asks(true, 1, one, "a.test")
		assert_asks(true, 0, one, "a.test")
		assert_asks(true, 1, other, "a.test")
		assert_asks(true, 0, other, "a.test")
		assert_asks(true, 0, one, "a.test")
	end)

	it("asks again for another host, another role, and a stream that names no host", function ()
		local context = {}
		for _, case in ipairs { { "a.test", "c2s" }, { "b.test", "c2s" }, { "b.test", "s2sin" }, { nil, "s2sin" } } do
			assert_asks(true, 1, context, case[1], case[2])
			assert_asks(true, 0, context, case[1], case[2])
		end
	end)

	it("asks again after a change of policies, and after the configuration was loaded", function ()
		local context = {}
		assert_asks(true, 1, context, "a.test")
		generation = 2
		assert_asks(true, 1, context, "a.test")
		assert_asks(true, 0, context, "a.test")
		ready:forget()
		assert_asks(true, 1, context, "a.test")
	end)

	it("asks for each stream while a context is not ready", function ()
		local context = {}
		for _, failed in ipairs { false, "nil" } do
			answer = failed ~= "nil" and failed or nil
			assert_asks(answer, 1, context, "a.test")
			assert_asks(answer, 1, context, "a.test")
		end
		answer = true
		assert_asks(true, 1, context, "a.test")
		assert_asks(true, 0, context, "a.test")
	end)

	it("asks for each stream where a policy has exceptions, as peers have contexts of their own", function ()
		local context = {}
		exceptions = { ["a.test"] = { ["old.test"] = {} } }
		assert_asks(true, 1, context, "a.test")
		assert_asks(true, 1, context, "a.test")
		exceptions = { ["*"] = { ["old.test"] = {} } }
		assert_asks(true, 1, context, nil, "s2sin")
		assert_asks(true, 1, context, nil, "s2sin")
	end)

	it("has no answer for a stream that is authenticated, or has no context", function ()
		local context = {}
		assert_asks(nil, 0, nil, "a.test")
		assert_asks(true, 1, context, "a.test")
		assert_asks(nil, 0, context, "a.test", "c2s", true)
	end)

	it("keeps no context", function ()
		assert_asks(true, 1, {}, "a.test")
		collectgarbage()
		collectgarbage()
		assert.is_nil(next(ready._known))
	end)
end)
