local attempt = require "xmpp_tls_policy.audit.attempt"
local client_hello = require "xmpp_tls_policy.audit.client_hello"
local endpoint = require "xmpp_tls_policy.audit.endpoint"
local hello_answers = require "support.hello_answers"
local process = require "support.process"
local question = require "xmpp_tls_policy.audit.question"
local scripted = require "support.scripted_server"
local tasks = require "xmpp_tls_policy.audit.tasks"

-- The end of a wait that begins now.
local function soon()
	return tasks.now() + process.PATIENCE
end

local function new(port, timeout)
	return endpoint.new { domain = "a.test", service = "c2s", direct = true, host = "host", address = "127.0.0.1",
		port = port, timeout = timeout or process.PATIENCE }
end

local REFUSAL = hello_answers.alert(40)
-- A record of 90 bytes begins, and in it a ServerHello of TLS 1.2.
local BEGIN_OF_ANSWER = "\22\3\3\0\90\2\0\0\86\3\3"

-- Serves direct TLS. `behaviours`: number of a connection -> "close" (at once), "end" (after the hello), "wait" (until
-- the client leaves), "speak" (before the hello), "break" (in the middle of a ServerHello); others are answered with a
-- refusal. `ends(hello)`: whether a connection ends after this hello, or nil.
local function serving(behaviours, ends)
	return function (connection, number)
		local behaviour = behaviours[number]
		if behaviour == "close" then
			return
		elseif behaviour == "speak" then
			connection:write("hello\n", soon())
		end
		local bytes = connection:read(soon())
		if not bytes or behaviour == "end" or ends and ends(client_hello.parse(bytes)) then
			return
		elseif behaviour == "break" then
			connection:write(BEGIN_OF_ANSWER, soon())
			return
		elseif behaviour ~= "wait" then
			connection:write(REFUSAL, soon())
		end
		scripted.drain(connection)
	end
end

local OFFER = { suites = { "TLS_RSA_WITH_RC4_128_SHA" } }

local function has_one_suite(hello)
	return hello and #hello.suites == 1
end

-- Greets an endpoint, and asks `times` questions. Returns the last answer, its reason, and the endpoint.
local function ask(serve, times, timeout)
	return scripted.run(serve, function (port)
		local point = new(port, timeout)
		local answer, reason
		assert(attempt.greet(point))
		for _ = 1, times or 1 do
			answer, reason = question.ask(point, OFFER)
		end
		return answer, reason, point
	end)
end

local LIMITED = "^the server limits connections %(.*%): paused 1 s, then at most 2 at a time$"

describe("an attempt with direct TLS", function ()
	-- what -> { behaviours, connections, of them turned away }. The first connection is the greeting's; a control follows
	-- what is silent.
	for what, case in pairs {
		["was closed at once"] = { { nil, "close" }, 3, 1 },
		["was closed at once, as the next one"] = { { nil, "close", "close" }, 4, 2 },
		["was closed after the hello, as the next one and the control"] = { { nil, "end", "end", "end" }, 5, 3 },
	} do
		it("is made again when one " .. what, function ()
			local answer, _, point = ask(serving(case[1]))
			assert.same({ "alert", "handshake_failure" }, { answer and answer.kind, answer and answer.description })
			assert.same({ case[2], case[3] }, { point.connections, point.turned_away })
			assert.equal(39 - case[2] + case[3], attempt.left(point))
			assert.matches(LIMITED, point:limit_message())
			assert.is_false(attempt.has_declined(point))
		end)
	end

	it("is made again when one was not answered in time", function ()
		local answer, _, point = ask(serving { nil, "wait" }, 1, 3)
		assert.equal("alert", answer and answer.kind)
		-- The control that was answered does not count, either.
		assert.same({ 4, 2 }, { point.connections, point.turned_away })
		assert.matches("timeout", point:limit_message())
	end)

	it("takes the end of watched connections for a no, if the server answers another hello", function ()
		local answer, _, point = ask(serving({}, has_one_suite))
		assert.equal("closed", answer.kind)
		assert.same({ 4, 0 }, { point.connections, point.turned_away })
		assert.is_nil(point:limit_message())
		assert.is_true(attempt.has_declined(point))
	end)

	it("watches all connections after the first one that ended so", function ()
		local _, _, point = ask(serving({}, has_one_suite), 3)
		-- One of each question, and one control.
		assert.same({ 8, 0 }, { point.connections, point.turned_away })
	end)

	it("asks a second time before it takes an end for a no where connections were limited", function ()
		-- 2 is limited, 3 gives the answer. 4 ends, but the control does not, nor does 6.
		local answer, _, point = ask(serving { nil, "close", nil, "end" }, 2)
		assert.equal("alert", answer and answer.kind)
		assert.same({ 6, 3 }, { point.connections, point.turned_away })
		assert.is_false(attempt.has_declined(point))
	end)

	it("concludes nothing where a server ends all connections, and does not wait for it", function ()
		for _, behaviour in ipairs { "close", "end" } do
			local all = {}
			for number = 1, 9 do
				all[number] = behaviour
			end
			local answer, reason, point = ask(serving(all))
			assert.is_nil(answer)
			assert.equal(behaviour == "close" and "closed: the connection was closed"
				or "the server closed the connection without an answer", reason)
			assert.equal(0, point.limited)
			assert.is_false(attempt.has_declined(point))
		end
	end)

	it("concludes nothing from a connection that ends in the middle of an answer", function ()
		local answer, reason, point = ask(serving { nil, "break" })
		assert.is_nil(answer)
		assert.equal("the server closed the connection without an answer", reason)
		assert.is_false(attempt.has_declined(point))
	end)

	it("concludes nothing from a server that speaks before the hello of a watched connection", function ()
		local answer, reason = ask(serving({ nil, "end", "speak" }))
		assert.is_nil(answer)
		assert.equal("malformed: the server spoke before our hello", reason)
	end)

	it("gives up when the limit stays", function ()
		local all = {}
		for number = 2, 40 do
			all[number] = "close"
		end
		scripted.run(serving(all), function (port)
			local point = endpoint.new { domain = "a.test", service = "c2s", direct = true, host = "host",
				address = "127.0.0.1", port = port, timeout = process.PATIENCE, time_limit = 2.5 }
			assert(attempt.greet(point))
			local answer, reason = question.ask(point, OFFER)
			assert.is_nil(answer)
			assert.matches("^limited: the server limits connections .*; given up$", reason)
		end)
	end)
end)

describe("an attempt", function ()
	for condition, is_again in pairs {
		["policy-violation"] = true, ["resource-constraint"] = true, ["host-unknown"] = false,
	} do
		it(("is made %s after the stream error %s under TLS"):format(is_again and "again" or "once", condition), function ()
			scripted.run(serving {}, function (port)
				local point, count = new(port), 0
				assert(attempt.greet(point))
				local result, kind, message = attempt.make(point, function (channel)
					count = count + 1
					channel:close()
					if count == 1 then
						return nil, "stream_error", condition
					end
					return "a result"
				end)
				assert.same(is_again and { "a result", nil, nil, 2 } or { nil, "stream_error", condition, 1 },
					{ result, kind, message, count })
			end)
		end)
	end
end)
