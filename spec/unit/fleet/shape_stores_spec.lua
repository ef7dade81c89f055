local adapter = require "support.adapter"
local shape_stores = require "xmpp_tls_policy.fleet.shape_stores"

describe("the stores of a host's shapes", function ()
	local server, stores

	before_each(function ()
		server = adapter.new()
		stores = shape_stores.open(server, "a.test")
	end)

	-- Key of a record -> its store, and its key there.
	local places = {
		["state"] = { "tls_policy_fleet", "state of the host" },
		["shape 0a"] = { "tls_policy_fleet", "shape 0a" },
		["server far.test"] = { "tls_policy_fleet_servers", "far.test" },
		["client user@a.test"] = { "tls_policy_fleet_clients", "user" },
		["client anonymous clients"] = { "tls_policy_fleet_clients", "anonymous clients" },
	}

	it("have each record in its place, under the account for a client, and find all again", function ()
		for key, place in pairs(places) do
			assert.is_true(stores:set(key, { key }))
			assert.same({ key }, server.stores[place[1]][place[2]])
			assert.equal(place[1], stores.name(key))
		end
		local again, count = shape_stores.open(server, "a.test"), 0
		for index, key in ipairs(again:keys()) do
			assert.equal(index == 1, key == "state")
			assert.same({ key }, again:get(key))
			assert.is_truthy(places[key])
			count = count + 1
		end
		assert.equal(5, count)
		for key in pairs(places) do
			assert.is_true(again:set(key, nil))
			assert.is_nil(again:get(key))
		end
		assert.same({ "state" }, again:keys())
	end)

	it("have no keys where a storage cannot list them", function ()
		local open = server.open_store
		server.open_store = function (...)
			local store = open(...)
			store.keys = function () end
			return store
		end
		stores = shape_stores.open(server, "a.test")
		stores:set("server far.test", {})
		assert.same({ "state" }, stores:keys())
	end)
end)
