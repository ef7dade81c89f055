--- Of each host whose policy is only reported on: whom it would cut off, kept through
-- the server's own storage.
local log_limit = require "xmpp_tls_policy.log_limit"
local metrics = require "xmpp_tls_policy.metrics"
local report = require "xmpp_tls_policy.stream.cutoff_report"
local storage = require "xmpp_tls_policy.servers.prosody.storage"
local streams = require "xmpp_tls_policy.stream.admission"

local reports = {}

local STORE = "tls_policy_report"

-- The list is written as a whole by most storages.
local STORE_EVERY = 3600 -- seconds

-- Host -> { report, store, level }.
local by_host = {}

local function now()
	return os.time()
end

-- Many peers may be news in a minute; the log has sixty of them.
local lines = log_limit.new { now = now }

local function load(module)
	local store = storage.open(module, STORE, "Whom the policy would cut off")
	local peers = store:get(nil)
	local kept, damaged = { store = store }
	kept.report, damaged = report.new { now = now, peers = type(peers) == "table" and peers or nil }
	if damaged > 0 then
		module:log("warn", "%d damaged entries of %s are left out", damaged, STORE)
	end
	return kept
end

local function of_host(module)
	local kept = by_host[module.host]
	if not kept then
		kept = load(module)
		by_host[module.host] = kept
	end
	kept.store.module = module
	return kept
end

-- What would keep a connection that the policy would refuse.
local function keepers(policy, session, domain)
	local milder = policy:milder()
	local by_level = milder and not streams.verdict_if_enforced(milder, session, domain).refuse
	local by_exception = domain and not streams.verdict_if_enforced(policy:mildest_exception(), session, domain).refuse
	return { level = by_level and milder.level or nil, exception = by_exception or false }
end

local function take_in(module, policy, session, domain)
	local verdict = streams.verdict_if_enforced(policy, session, domain)
	local name = domain or ("%s@%s"):format(session.username, session.host)
	local kept = of_host(module)
	kept.level = policy:milder() and policy:milder().level
	local is_news = kept.report:see(domain and "server" or "client", name, policy:name(), verdict,
		verdict.refuse and keepers(policy, session, domain) or {})
	if verdict.refuse then
		metrics.would_refuse(streams.role(session), streams.clauses(verdict))
	end
	if is_news and lines:allows(name) then
		session.log("info", "Would be refused under the TLS policy: %s: %s", name, streams.sentences(policy, verdict))
	end
end

--- Takes in an authenticated session of a host under a policy, for a domain of a server's
-- (nil: a client). Nobody is kept from anything by what goes wrong here.
function reports.see(module, policy, session, domain)
	local done, problem = pcall(take_in, module, policy, session, domain)
	if not done then
		module:log("error", "A connection is not in the report: %s", tostring(problem))
	end
end

--- Prepares the report of a host.
function reports.open(module)
	of_host(module)
end

--- Stores what has changed on a host.
function reports.store(module)
	local kept = by_host[module.host]
	local changes = kept and kept.report:changes()
	if not changes then
		return
	end
	if not kept.store:set_fields(nil, changes) then
		kept.report:restore(changes)
	end
end

--- The same on all hosts.
function reports.store_all()
	for _, kept in pairs(by_host) do
		reports.store(kept.store.module)
	end
end

local stored_at = now()

--- The same, when it was not done for an hour.
function reports.store_hourly()
	if math.abs(now() - stored_at) >= STORE_EVERY then
		stored_at = now()
		reports.store_all()
	end
end

--- The report of a host, and the level that is milder than its policy's (nil: there is
-- none); nil where there is no report.
function reports.get(host)
	local kept = by_host[host]
	if kept then
		return kept.report, kept.level
	end
end

--- Hosts with a report, sorted.
function reports.hosts()
	local hosts = {}
	for host in pairs(by_host) do
		hosts[#hosts + 1] = host
	end
	table.sort(hosts)
	return hosts
end

return reports
