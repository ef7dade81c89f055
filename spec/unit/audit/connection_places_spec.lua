local connection_places = require "xmpp_tls_policy.audit.connection_places"
local tasks = require "xmpp_tls_policy.audit.tasks"

describe("the places of connections", function ()
	-- Runs `count` tasks that take a place, and give it back when the list of places is full or nobody
	-- else can. Returns their order, and the most that were taken.
	local function run(places, count, meanwhile)
		local order, taken, most = {}, 0, 0
		tasks.run(function ()
			local functions = {}
			for index = 1, count do
				functions[index] = function ()
					places:take()
					order[#order + 1] = index
					taken = taken + 1
					most = math.max(most, taken)
					tasks.sleep(0.001)
					if meanwhile then
						meanwhile(index)
					end
					taken = taken - 1
					places:give()
				end
			end
			tasks.all(functions)
		end)
		return order, most
	end

	it("are as many as they say, and go to the one that has waited longest", function ()
		local order, most = run(connection_places.new(3), 10)
		assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, order)
		assert.equal(3, most)
	end)

	it("are all free again after use", function ()
		local places = connection_places.new(2)
		run(places, 7)
		assert.same({ 2, 0 }, { places:count() })
	end)

	it("become fewer when those that are too many are given back", function ()
		local places, later = connection_places.new(4), 0
		local order = run(places, 12, function (index)
			if index == 1 then
				places:shrink(1)
			end
			if index > 4 then
				later = math.max(later, (select(2, places:count())))
			end
		end)
		assert.equal(12, #order)
		assert.equal(1, later)
		assert.same({ 1, 0 }, { places:count() })
	end)

	it("never become none, nor more", function ()
		local places = connection_places.new(2)
		places:shrink(0)
		assert.equal(1, (places:count()))
		places:shrink(5)
		assert.equal(1, (places:count()))
	end)
end)
