local progress = require "xmpp_tls_policy.audit.progress"

describe("the progress of an audit", function ()
	-- A progress over so many domains, with two probes; its drawings, and a clock to set.
	local function new(domains, columns)
		local world = { drawn = {}, time = 0 }
		world.events, world.remove = progress.new(domains, 2, function (line)
			world.drawn[#world.drawn + 1] = line
		end, columns or 100, function () return world.time end)
		return world
	end

	it("grows with each probe and domain", function ()
		local world = new(2)
		for _, step in ipairs {
			function () world.events.begins("a.test", 2) end,
			function () world.events.probed { domain = "a.test" } end,
			function () world.events.ends { domain = "a.test" } end,
			function () world.events.begins("b.test", 0) end,
			function () world.events.ends { domain = "b.test" } end,
		} do
			world.time = world.time + 1
			step()
		end
		assert.same({
			"\r\27[K[....................]   0 %  0 of 2 domains  a.test",
			"\r\27[K[###.................]  12 %  0 of 2 domains  a.test",
			"\r\27[K[##########..........]  50 %  1 of 2 domains  a.test",
			"\r\27[K[##########..........]  50 %  1 of 2 domains  b.test",
			"\r\27[K[####################] 100 %  2 of 2 domains  b.test",
		}, world.drawn)
	end)

	it("is drawn ten times a second at most", function ()
		local world = new(1)
		world.events.begins("a.test", 100)
		for index = 1, 200 do
			world.time = index / 100
			world.events.probed { domain = "a.test" }
		end
		assert.is_true(#world.drawn > 10 and #world.drawn <= 21, #world.drawn)
	end)

	it("fits into a line, and is harmless to a terminal", function ()
		local world = new(1, 50)
		world.events.begins(("a"):rep(60) .. "\27[2J\n", 1)
		assert.is_true(#world.drawn[1] <= 49 + #"\r\27[K")
		assert.is_nil(world.drawn[1]:sub(5):find "%c")
	end)

	it("is removed at the end, if it was drawn", function ()
		local world = new(1)
		world.remove()
		assert.same({}, world.drawn)
		world.events.begins("a.test", 1)
		world.remove()
		assert.equal("\r\27[K", world.drawn[2])
	end)
end)
