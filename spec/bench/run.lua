-- `make bench`: what the policy costs, as a table and as JSON. Arguments: the
-- interpreter, and the file for the JSON.
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local pki = require "support.pki"
local process = require "support.process"
local tls_policy = require "xmpp_tls_policy"

local interpreter, json_path = arg[1], arg[2]
local results = {}

local function note(name, unit, value, limit)
	results[#results + 1] = { name = name, unit = unit, value = value, limit = limit }
end

-- Instructions of the server's side in so many full handshakes; what happens
-- once (loading, key tables) is left out by taking a difference.
local function instructions(mode, version, count, files)
	local output = pki.path ".callgrind"
	process.check({
		"env", "LUA_PATH=" .. package.path, "LUA_CPATH=" .. package.cpath,
		"valgrind", "--tool=callgrind", "--toggle-collect=SSL_accept", "--callgrind-out-file=" .. output,
		interpreter, "spec/bench/handshake.lua", mode, version, tostring(count), files.certificate, files.key,
	}, { timeout = 600 })
	local text = assert(io.open(output)):read "*a"
	return assert(tonumber(text:match "\ntotals: (%d+)" or text:match "\nsummary: (%d+)"), "callgrind counted nothing")
end

local function handshake_cost(kind, version)
	local files = pki.authority():issue { names = { "example.test" }, key = kind }
	local cost = {}
	for _, mode in ipairs { "stock", "policy" } do
		local few, many = instructions(mode, version, 5, files), instructions(mode, version, 25, files)
		cost[mode] = (many - few) / 20
	end
	local what = ("full handshake, server, %s, %s"):format(version, kind)
	note(what .. ", stock", "instructions", cost.stock)
	note(what .. ", policy", "instructions", cost.policy)
	note(what .. ", ratio", "policy/stock", cost.policy / cost.stock, 1.01)
end

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

local function facts_and_verdict()
	local files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
	local policy = tls_policy.policy()
	local server = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
	local client = assert(core.context.new { role = "client", verify = "none" })
	assert(server:apply(policy:settings()))
	assert(client:apply {})
	local one, other = assert(handshake.between(client, server))
	note("facts, server", "µs", microseconds(20000, function () other:facts() end), 10)
	note("facts, client, with a certificate unparsed", "µs", microseconds(20000, function () one:facts() end), 10)
	local facts = other:facts()
	note("verdict", "µs", microseconds(20000, function () policy:judge(facts) end))
end

local function json(list)
	local rows = {}
	for index, row in ipairs(list) do
		rows[index] = ("  {\"name\": %q, \"unit\": %q, \"value\": %.6g%s}"):format(row.name, row.unit, row.value,
			row.limit and (", \"limit\": %g"):format(row.limit) or "")
	end
	return "[\n" .. table.concat(rows, ",\n") .. "\n]\n"
end

for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
	for _, kind in ipairs { "rsa2048", "p256" } do
		handshake_cost(kind, version)
	end
end
facts_and_verdict()
pki.remove()

for _, row in ipairs(results) do
	print(("%-58s %12.6g %-13s %s"):format(row.name, row.value, row.unit,
		row.limit and ("at most %g%s"):format(row.limit, row.value <= row.limit and "" or ": MISSED") or ""))
end
local file = assert(io.open(json_path, "w"))
file:write(json(results))
file:close()
