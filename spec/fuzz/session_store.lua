-- The store together with its model: the bytes choose the operations.
local core = require "xmpp_tls_policy.core"
local store_model = require "support.store_model"

local target = {}

local store

function target.test(bytes)
	local position = 0
	local function random(n)
		local value = 0
		for _ = 1, n > 256 and 3 or 1 do
			position = position + 1
			value = value * 256 + (bytes:byte(position) or 0)
		end
		return value % n + 1
	end
	store = store or core.session_store.new { memory = 1, lifetime = 3600 }
	store:set_lifetime(3600)
	local model = store_model.new(store, random)
	-- The store is nearly full, or new.
	if random(2) == 1 then
		model:fill(model.capacity - random(20))
	end
	while position < #bytes do
		model:step()
	end
	model:finish()
end

function target.seeds()
	local seeds = {}
	for seed = 1, 20 do
		math.randomseed(seed)
		local bytes = {}
		for index = 1, 30 * seed do
			bytes[index] = string.char(math.random(0, 255))
		end
		seeds[seed] = table.concat(bytes)
	end
	return seeds
end

return target
