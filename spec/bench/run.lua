-- `make bench`: what the policy costs and gives, as a table and as JSON. Arguments:
-- the interpreter, and the file for the JSON.
local connections = require "bench.connections"
local contexts = require "bench.contexts"
local core = require "xmpp_tls_policy.core"
local certificate_bench = require "bench.certificates"
local handshake = require "support.handshake"
local logins = require "bench.logins"
local measure = require "bench.measure"
local pki = require "support.pki"
local refusals = require "bench.refusals"
local tls_policy = require "xmpp_tls_policy"

local interpreter, json_path = arg[1], arg[2]
local authority = pki.authority()
local certificates = {}
for _, kind in ipairs { "rsa2048", "p256" } do
	certificates[kind] = authority:issue { names = { "example.test" }, key = kind }
end

local function compare(what, script, version, kind, modes, limit)
	local cost = {}
	for _, mode in ipairs(modes) do
		cost[mode] = measure.instructions(interpreter, script, 20, mode, version, certificates[kind])
		measure.note(("%s, %s, %s, %s"):format(what, version, kind, mode), "instructions", cost[mode])
	end
	measure.note(("%s, %s, %s, ratio"):format(what, version, kind), modes[2] .. "/" .. modes[1],
		cost[modes[2]] / cost[modes[1]], limit)
end

local function facts_and_verdict()
	local policy = tls_policy.policy()
	local files = certificates.rsa2048
	local server = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
	local client = assert(core.context.new { role = "client", verify = "none" })
	assert(server:apply(policy:settings()))
	assert(client:apply {})
	local one, other = assert(handshake.between(client, server))
	measure.note("facts, server", "µs", measure.microseconds(20000, function () other:facts() end), 10)
	measure.note("facts, client, with a certificate unparsed", "µs",
		measure.microseconds(20000, function () one:facts() end), 10)
	local facts = other:facts()
	measure.note("verdict", "µs", measure.microseconds(20000, function () policy:judge(facts) end))
end

local function store()
	local trial = core.session_store_trial
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

for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
	for _, kind in ipairs { "rsa2048", "p256" } do
		compare("full handshake, server", "spec/bench/handshake.lua", version, kind, { "stock", "policy" }, 1.01)
	end
	compare("resumed handshake, server", "spec/bench/resumption.lua", version, "rsa2048", { "openssl", "store" }, 1.05)
end
measure.report "Handshakes in memory"
contexts.run(interpreter, certificates.rsa2048)
facts_and_verdict()
measure.report "Facts and verdicts"
store()
measure.report "Session store"
local count = tonumber(os.getenv "PAIRS") or 10
logins.beside_tls(certificates, interpreter)
refusals.run(certificates, tonumber(os.getenv "REFUSALS") or 100000)
connections.run(certificates, tonumber(os.getenv "CONNECTIONS") or 10000)
certificate_bench.run(certificates.p256, 100000, 10000)
logins.run(certificates, count)
measure.write_json(json_path)
pki.remove()
