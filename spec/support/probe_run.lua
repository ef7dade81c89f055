-- Runs probes of the audit on a TLS server that speaks no XMPP, but sends back what it gets.
local audit = require "xmpp_tls_policy.audit.audit"
local audit_endpoint = require "xmpp_tls_policy.audit.endpoint"
local process = require "support.process"
local tasks = require "xmpp_tls_policy.audit.tasks"

local probe_run = {}

-- The probes of TLS, in an order in which each has what it needs.
probe_run.names = {
	"versions", "classes", "short_curves", "old_signatures", "names", "resumption", "preferences",
	"pkcs1_signatures",
}

-- The server has sent its tickets before it answers.
local function open_stream(self, transport)
	local sent, kind = transport:write("hello\n", self:deadline())
	local answer
	if sent then
		answer, kind = transport:read(self:deadline())
	end
	return answer and {} or nil, kind
end

-- Runs probes by name, as a task, on an endpoint of direct TLS with these fields (port, and others of
-- endpoint.new). Returns the observations, and the endpoint with `seconds`.
function probe_run.within(fields, names)
	local all = { domain = "a.test", service = "c2s", direct = true, host = "localhost", address = "127.0.0.1",
		timeout = process.PATIENCE, time_limit = 10 * process.PATIENCE }
	for name, value in pairs(fields) do
		all[name] = value
	end
	local endpoint, observed = audit_endpoint.new(all), {}
	endpoint.open_stream = open_stream
	local began = tasks.now()
	for _, name in ipairs(names or probe_run.names) do
		require("xmpp_tls_policy.audit.probes." .. name).run(endpoint, observed)
	end
	endpoint.seconds = tasks.now() - began
	endpoint:close()
	return observed, endpoint
end

-- Runs all of them on an endpoint, as a task, side by side as far as none needs another's observations.
function probe_run.side_by_side(endpoint, observed)
	local probes = {}
	for index, name in ipairs(probe_run.names) do
		probes[index] = require("xmpp_tls_policy.audit.probes." .. name)
	end
	audit.run_probes(probes, endpoint, observed, function () end)
	assert(not endpoint.faults, endpoint.faults and endpoint.faults[1])
end

-- The same, outside of tasks.
function probe_run.on(fields, names)
	return tasks.run(function ()
		return probe_run.within(fields, names)
	end)
end

return probe_run
