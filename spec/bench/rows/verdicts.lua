-- What is known of a connection, and the verdict on it.
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local measure = require "bench.measure"
local tls_policy = require "xmpp_tls_policy"

local verdicts = { title = "Facts and verdicts" }

-- The best of five runs, in µs a call.
local function microseconds(count, action)
	local best = math.huge
	for _ = 1, 5 do
		local start = os.clock()
		for _ = 1, count do
			action()
		end
		best = math.min(best, (os.clock() - start) / count * 1e6)
	end
	return best
end

function verdicts.run(bench)
	local policy = tls_policy.policy()
	local files = bench.certificate "rsa2048"
	local server = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
	local client = assert(core.context.new { role = "client", verify = "none" })
	assert(server:apply(policy:settings()))
	assert(client:apply {})
	local one, other = assert(handshake.between(client, server))
	measure.note("facts, server", "µs", microseconds(20000, function () other:facts() end), 10)
	measure.note("facts, client, with a certificate unparsed", "µs",
		microseconds(20000, function () one:facts() end), 10)
	local facts = other:facts()
	measure.note("verdict", "µs", microseconds(20000, function () policy:judge(facts) end))
end

return verdicts
