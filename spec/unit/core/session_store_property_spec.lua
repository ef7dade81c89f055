-- The session store beside a model of it. SEED repeats a run, STEPS makes it shorter.
local core = require "xmpp_tls_policy.core"
local store_model = require "support.store_model"

describe("a session store", function ()
	it("does the same as a simple model of it, step by step", function ()
		local seed = tonumber(os.getenv "SEED") or os.time() % 2 ^ 31
		local steps = tonumber(os.getenv "STEPS") or 1000000
		print(("Beside a model: SEED=%d STEPS=%d"):format(seed, steps))
		math.randomseed(seed)
		local store = core.session_store.new { memory = 1, lifetime = 3600 }
		local model = store_model.new(store, math.random)
		for _ = 1, steps do
			model:step()
		end
		model:finish()
	end)
end)
