local channel_binding = require "xmpp_tls_policy.servers.prosody.channel_binding"
local tls_pairs = require "support.tls_pairs"

-- LuaSec's methods, which Prosody and its modules call.
local methods = debug.getregistry()["SSL:Connection"].__index

describe("LuaSec's getpeerfinished", function ()
	local original = methods.getpeerfinished

	after_each(function ()
		channel_binding.stop()
		methods.getpeerfinished = original
	end)

	teardown(tls_pairs.close)

	it("is replaced once, however often the module is loaded, and given back", function ()
		channel_binding.start()
		local replaced = methods.getpeerfinished
		assert.not_equal(original, replaced)
		channel_binding.start()
		assert.equal(replaced, methods.getpeerfinished)
		channel_binding.stop()
		assert.equal(original, methods.getpeerfinished)
		channel_binding.stop()
		assert.equal(original, methods.getpeerfinished)
	end)

	it("works if another module has wrapped it: ours stays beneath and does nothing while it is not loaded", function ()
		local connection = tls_pairs.connection("s2sout", "good", "a", true)
		channel_binding.start()
		local ours = methods.getpeerfinished
		local calls = 0
		local function wrapper(...)
			calls = calls + 1
			return ours(...)
		end
		methods.getpeerfinished = wrapper
		-- Of a client, the first Finished is its own.
		assert.equal(connection:getfinished(), connection:getpeerfinished())
		channel_binding.stop()
		assert.equal(wrapper, methods.getpeerfinished)
		assert.equal(original(connection), connection:getpeerfinished())
		channel_binding.start()
		assert.equal(wrapper, methods.getpeerfinished)
		assert.equal(connection:getfinished(), connection:getpeerfinished())
		assert.equal(3, calls)
		-- As when that module is unloaded.
		methods.getpeerfinished = ours
	end)

	it("returns LuaSec's own answer for a connection that is not ours", function ()
		local connection = tls_pairs.connection("c2s", "good", "none", false)
		channel_binding.start()
		assert.equal(original(connection), connection:getpeerfinished())
		assert.equal(12, #connection:getpeerfinished())
	end)
end)
