-- Sentences about the configuration in the log.
local adapter = require "support.adapter"
local configuration_log = require "xmpp_tls_policy.configuration_log"

describe("the log of the configuration", function ()
	local server, log

	before_each(function ()
		server = adapter.new()
		log = configuration_log.new(server)
	end)

	local function lines()
		server.run_timers()
		return server.take_lines()
	end

	it("has each distinct sentence once, with all places", function ()
		log:add("warn", "a.test, c2s", "it is old")
		log:add("warn", "a.test, s2sin", "it is old")
		log:add("info", "a.test, c2s", "it is old")
		log:add("warn", "a.test, c2s", "it is short")
		log:add("warn", "a.test, c2s", "it is old")
		log:add("warn", "any host, c2s (c2s_direct_tls, port 5223)", "it is old")
		assert.same({}, server.take_lines())
		assert.same({
			"warn a.test, c2s; a.test, s2sin; any host, c2s (c2s_direct_tls, port 5223): it is old",
			"info a.test, c2s: it is old", "warn a.test, c2s: it is short",
		}, lines())
		log:add("warn", "b.test, c2s", "it is old")
		assert.same({ { "*", "debug", "b.test, c2s: it is old" } }, server.lines)
	end)

	it("has errors of further places as errors", function ()
		log:add("error", "a.test, c2s", "no TLS")
		assert.same({ "error a.test, c2s: no TLS" }, lines())
		log:add("error", "b.test, c2s", "no TLS")
		log:add("error", "c.test, c2s", "no TLS")
		assert.same({ "error b.test, c2s; c.test, c2s: no TLS" }, lines())
	end)

	it("names six places, and counts the others", function ()
		for number = 1, 300 do
			log:add("info", ("%d.test, c2s"):format(number), "it is old")
		end
		assert.same({
			"info 1.test, c2s; 2.test, c2s; 3.test, c2s; 4.test, c2s; 5.test, c2s; 6.test, c2s and 294 more: it is old",
		}, lines())
	end)

	it("begins anew when the configuration is loaded", function ()
		log:add("info", "a.test, c2s", "it is old")
		assert.equal(1, #lines())
		log:forget()
		log:add("info", "a.test, c2s", "it is old")
		assert.equal(1, #lines())
	end)

	it("loses no line that waits when the configuration is loaded", function ()
		log:add("info", "a.test, c2s", "it is old")
		log:forget()
		log:add("info", "b.test, c2s", "it is new")
		assert.same({ "info a.test, c2s: it is old", "info b.test, c2s: it is new" }, lines())
	end)
end)
