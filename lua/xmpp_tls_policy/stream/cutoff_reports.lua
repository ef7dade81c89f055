--- For each host in report mode: the peers that its policy would cut off, kept in a store of the
-- server.
local cutoff_report = require "xmpp_tls_policy.stream.cutoff_report"
local cutoff_verdict = require "xmpp_tls_policy.stream.cutoff_verdict"
local log_limit = require "xmpp_tls_policy.log_limit"
local verdicts = require "xmpp_tls_policy.policy.verdict"

local cutoff_reports = {}

local methods = {}
local metatable = { __index = methods }

local function clock()
	return os.time()
end

local STORE = "tls_policy_report"

-- Most storages write the list as a whole.
local STORE_EVERY = 3600 -- seconds

--- For one load of the module. `server`: the adapter; `metrics`; `kept`: the reports of the load
-- before, or nil; `now`: function() -> UTC seconds, the system's by default.
function cutoff_reports.new(options)
	local kept, now = options.kept, options.now or clock
	return setmetatable({
		_server = options.server,
		_metrics = options.metrics,
		_now = now,
		_reports = kept and kept._reports or {}, -- host -> { report, store, level }
		_stored_at = kept and kept._stored_at or now(),
		_lines = kept and kept._lines or log_limit.new { now = now },
	}, metatable)
end

--- Prepares the report of a host: goes on with the one of the load before, or with the stored one.
function methods:open(host)
	local kept = self._reports[host] or {}
	kept.store = self._server.open_store(host, STORE, "The report of peers that the policy would cut off")
	if not kept.report then
		local peers = kept.store:get(nil)
		local report, damaged = cutoff_report.new {
			now = self._now, peers = type(peers) == "table" and peers or nil,
		}
		kept.report = report
		if damaged > 0 then
			self._server.log(host, "warn", "%d damaged entries of %s are left out", damaged, STORE)
		end
	end
	self._reports[host] = kept
	return kept
end

---- Seeing --------------------------------------------------------------------

-- Which milder rule would keep a connection that the policy would refuse.
local function keepers(policy, stream, domain)
	local milder = policy:milder()
	local by_level = milder and not cutoff_verdict.of(milder, stream, domain).refuse
	local by_exception = domain and not cutoff_verdict.of(policy:mildest_exception(), stream, domain).refuse
	return { level = by_level and milder.level or nil, exception = by_exception or false }
end

local function take_in(self, policy, stream, host, domain)
	local server, session = self._server, stream.session
	local name = domain or server.client_bare_jid(session)
	local kept = self._reports[host] or self:open(host)
	local milder = policy:milder()
	kept.level = milder and milder.level
	local verdict = cutoff_verdict.of(policy, stream, domain)
	local is_news = kept.report:see(domain and "server" or "client", name, policy:name(), verdict,
		verdict.refuse and keepers(policy, stream, domain) or {})
	if not verdict.refuse then
		return
	end
	self._metrics:would_refuse(stream.role, verdicts.clauses(verdict.broken))
	if is_news and self._lines:allows(name) then
		server.log_session(session, "info", "Would be refused under the TLS policy: %s: %s", name,
			policy:sentences(verdict))
	end
end

--- Takes in an authenticated stream to a host, for a domain of a server (nil: a client). A failure
-- here closes no stream; it is logged.
function methods:see(policy, stream, host, domain)
	local done, problem = xpcall(function ()
		take_in(self, policy, stream, host, domain)
	end, debug.traceback)
	if not done then
		self._server.log_limited("A connection is missing in the report", problem)
	end
end

---- Storing -------------------------------------------------------------------

--- Stores the changes of a host's report.
function methods:store(host)
	local kept = self._reports[host]
	local changes = kept and kept.report:changes()
	if changes and not kept.store:set_fields(nil, changes) then
		kept.report:restore(changes)
	end
end

--- The same for all hosts.
function methods:store_all()
	for host in pairs(self._reports) do
		self:store(host)
	end
end

--- The same, if it was not done for an hour.
function methods:store_hourly()
	local now = self._now()
	if math.abs(now - self._stored_at) >= STORE_EVERY then
		self._stored_at = now
		self:store_all()
	end
end

---- Questions -----------------------------------------------------------------

--- The report of a host, and the level that is milder than its policy's (nil if there is none);
-- nil if there is no report.
function methods:get(host)
	local kept = self._reports[host]
	if kept then
		return kept.report, kept.level
	end
end

--- Hosts with a report, sorted.
function methods:hosts()
	local names = {}
	for host in pairs(self._reports) do
		names[#names + 1] = host
	end
	table.sort(names)
	return names
end

return cutoff_reports
