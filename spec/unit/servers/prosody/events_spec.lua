local events = require "xmpp_tls_policy.servers.prosody.events"

describe("the events of an operator's modules", function ()
	local failures, fired, handlers, made
	local real = rawget(_G, "prosody")

	before_each(function ()
		failures, fired, handlers = {}, {}, {}
		local function events_of(name)
			return {
				fire_event = function (event, data)
					fired[#fired + 1] = ("%s %s"):format(name, event)
					if data == "fail" then
						error "injected"
					end
				end,
				get_handlers = function ()
					return handlers[name]
				end,
			}
		end
		rawset(_G, "prosody", { events = events_of "all", hosts = { ["a.test"] = { events = events_of "a.test" } } })
		made = events.new(function (kind, message)
			failures[#failures + 1] = kind .. ": " .. message
		end)
	end)

	after_each(function ()
		rawset(_G, "prosody", real)
	end)

	it("are fired on a host, or for global modules", function ()
		made.fire("a.test", "x", {})
		made.fire(nil, "x", {})
		made.fire("none.test", "x", {})
		assert.same({ "a.test x", "all x" }, fired)
	end)

	it("do no harm where a handler fails", function ()
		made.fire("a.test", "x", "fail")
		assert.matches("^A handler of x failed: .*injected", failures[1])
	end)

	it("ask each handler with a table of its own, and take the first string", function ()
		local given = {}
		local function handler(answer)
			return function (data)
				given[#given + 1] = data
				return answer
			end
		end
		local function fails()
			error "injected"
		end
		local cases = {
			{ {}, nil },
			{ { handler(nil), handler(true), handler(1) }, nil },
			{ { handler(nil), handler "no", handler "never" }, "no" },
			{ { fails, handler "no" }, "a module of this server could not judge the connection" },
			{ { handler "no", fails }, "no" },
		}
		for _, case in ipairs(cases) do
			handlers["a.test"] = case[1]
			assert.equal(case[2], made.ask("a.test", "x", function () return {} end))
		end
		assert.equal(2, #failures)
		for index, one in ipairs(given) do
			for other = index + 1, #given do
				assert.is_false(rawequal(one, given[other]))
			end
		end
		assert.is_nil(made.ask("none.test", "x", function () return {} end))
	end)
end)
