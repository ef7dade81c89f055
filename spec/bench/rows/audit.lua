-- The audit of one endpoint, beside testssl.sh at the same server in the same run.
local audit_report = require "support.audit_report"
local measure = require "bench.measure"
local process = require "support.process"
local prosody = require "support.prosody"
local socket = require "socket"
local testssl = require "support.testssl"

local audit = { title = "Audit from outside" }

local DOMAIN = "example.test"

-- Seconds of a whole process.
local function seconds_of(command)
	local start = socket.gettime()
	process.run(command, { timeout = 600 })
	return socket.gettime() - start
end

-- Seconds of the audit of an endpoint, the start of Lua left out, three times.
local function audits(bench, target)
	local seconds = {}
	for attempt = 1, 3 do
		local endpoint = audit_report(target, { authorities = bench.authority.certificate })
		assert(endpoint.reached and not endpoint.reason, endpoint.reason)
		seconds[attempt] = endpoint.seconds
	end
	return measure.median(seconds)
end

function audit.run(bench)
	assert(not testssl.missing(), testssl.missing())
	local server = prosody.start { hosts = { [DOMAIN] = bench.certificate "rsa2048" }, with_policy = true }
	local target = server:target("c2s_direct_tls", DOMAIN)
	local ours = audits(bench, target)
	local starttls = audits(bench, server:target("c2s", DOMAIN))
	local whole = seconds_of { "env", "LUA_CPATH=" .. package.cpath, bench.interpreter, "lua/bin/xmpp-tls-policy",
		"audit", DOMAIN, "--connect", "127.0.0.1:" .. target.port, "--service", "c2s", "--direct", "--format", "json",
		"--authorities", bench.authority.certificate }
	local theirs = seconds_of(testssl.command(target, {}))
	server:stop()
	measure.note("the audit of an endpoint, direct TLS", "s", ours, 0.5)
	measure.note("the audit of an endpoint, STARTTLS", "s", starttls, 0.5)
	measure.note("xmpp-tls-policy audit, the whole command", "s", whole)
	measure.note("testssl.sh, all its tests", "s", theirs)
	measure.note("the command, as part of testssl.sh's time", "", whole / theirs, 0.2)
end

return audit
