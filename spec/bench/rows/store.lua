-- The session store with up to a million sessions.
local core = require "xmpp_tls_policy.core"
local measure = require "bench.measure"

local trial = core.session_store_trial

local store = { title = "Session store" }

function store.run()
	local million = 1000000
	local memory = 112
	local full = assert(core.session_store.new { memory = memory, lifetime = 3600 })
	trial.fill(full, million)
	local stats = full:stats()
	assert(stats.sessions == million, "the store holds no million sessions")
	measure.note("sessions in a MiB, index included, of a store with a million", "sessions",
		stats.capacity / memory, 8000, true)
	full:close()
	for _, count in ipairs { 1000, 10000, 100000, million } do
		local made = assert(core.session_store.new { memory = memory, lifetime = 3600 })
		trial.fill(made, count)
		local inserting, finding = math.huge, math.huge
		for _ = 1, 5 do
			local insert, find = assert(trial.exercise(made, 10000))
			inserting, finding = math.min(inserting, insert * 1e6), math.min(finding, find * 1e6)
		end
		measure.note(("insertion, with %d in it"):format(count), "µs", inserting, 1)
		measure.note(("look-up, with %d in it"):format(count), "µs", finding, 1)
		made:close()
	end
end

return store
