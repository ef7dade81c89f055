--- For each host in report mode: the peers that its policy would cut off, kept in a store of the
-- server.
local cutoff_report = require "xmpp_tls_policy.stream.cutoff_report"
local cutoff_verdict = require "xmpp_tls_policy.stream.cutoff_verdict"
local log_limit = require "xmpp_tls_policy.log_limit"
local unwritten_records = require "xmpp_tls_policy.unwritten_records"
local verdicts = require "xmpp_tls_policy.policy.verdict"

local cutoff_reports = {}

local methods = {}
local metatable = { __index = methods }

local function clock()
	return os.time()
end

-- Kind of peer -> its store. That of clients has the account as its key, so that the server removes
-- the record with the account.
local STORES = { client = "tls_policy_report", server = "tls_policy_report_s2s" }

local IN_A_TURN = 20 -- records to read, or to forget

-- In place of the account of clients that get a new one at each login. A space is in no account.
local ANONYMOUS = "anonymous clients"

---- Records -------------------------------------------------------------------

local function open_stores(self, host)
	local stores = {}
	for kind, name in pairs(STORES) do
		stores[kind] = self._server.open_store(host, name, "The report of peers that the policy would cut off")
	end
	return stores
end

-- "client user@host" -> "client", "user"
local function store_key(key)
	local kind, name = key:match "^(%l+) (.*)$"
	return kind, kind == "client" and name:match "^([^@]+)@" or name
end

-- Stores a record (nil: removes it). Returns whether it did.
local function store_record(self, host, key, record)
	local kind, name = store_key(key)
	return self._reports[host].stores[kind]:set(name, record)
end

--- For one load of the module. `server`: the adapter; `metrics`; `certificates`: those of other servers; `queue`: a
-- work_queue, in which records are read and written; `kept`: the reports of the load before, or nil; `now`:
-- function() -> UTC seconds, the system's by default.
function cutoff_reports.new(options)
	local kept, now = options.kept, options.now or clock
	local self = setmetatable({
		_server = options.server,
		_metrics = options.metrics,
		_certificates = options.certificates,
		_queue = options.queue,
		_now = now,
		_reports = kept and kept._reports or {}, -- host -> { report, stores, level }
		_tidy = {}, -- host -> true: nothing is stored of it
		_lines = kept and kept._lines or log_limit.new { now = now },
	}, metatable)
	self._unwritten = unwritten_records.new {
		queue = options.queue, now = now, kept = kept and kept._unwritten, work = "storing the report of",
		hosts = function () return self:hosts() end,
		source_of = function (host) return (self:get(host)) end,
		store = function (host, key, record) return store_record(self, host, key, record) end,
	}
	return self
end

-- The keys of both stores: a list of { kind, key }. The second result is false if a storage cannot tell.
local function stored_keys(stores)
	local list, complete = {}, true
	for kind, store in pairs(stores) do
		local iterate = store:keys()
		complete = complete and iterate ~= nil
		for key in iterate or function () end do
			list[#list + 1] = key ~= "" and { kind, key } or nil
		end
	end
	return list, complete
end

-- Calls action(kind, key) for each of a list of { kind, key } in later turns.
local function for_each_later(self, what, list, action)
	if not list[1] then
		return
	end
	local index = 0
	self._queue:add(what, function ()
		for _ = 1, IN_A_TURN do
			index = index + 1
			if not list[index] then
				return false
			end
			action(list[index][1], list[index][2])
		end
		return true
	end)
end

-- Up to version 0.2 the report was one list, of all peers that were seen.
local function take_old_list(kept)
	local old = kept.stores.client:get(nil)
	for _, peer in pairs(type(old) == "table" and old or {}) do
		kept.report:take(peer, true)
	end
	if old then
		kept.stores.client:set(nil, nil)
	end
end

local function read(self, host, kept)
	take_old_list(kept)
	local keys, complete = stored_keys(kept.stores)
	if not complete then
		self._server.log(host, "warn", "The storage cannot list %s: the report begins anew", STORES.client)
	end
	for_each_later(self, "reading the report of " .. host, keys, function (kind, key)
		local peer = self._reports[host] == kept and kept.stores[kind]:get(key)
		if peer and not kept.report:take(peer) then
			kept.stores[kind]:set(key, nil)
			self._server.log(host, "warn", "A damaged record of %s is removed", STORES[kind])
		end
	end)
end

--- Prepares the report of a host: goes on with the one of the load before, or with the stored one, unless
-- it is to begin anew.
function methods:open(host, anew)
	local kept = self._reports[host]
	if kept then
		kept.stores = open_stores(self, host)
		return kept
	end
	kept = { report = cutoff_report.new { now = self._now }, stores = open_stores(self, host) }
	self._reports[host], self._tidy[host] = kept, nil
	if not anew then
		read(self, host, kept)
	end
	return kept
end

--- Forgets the report of a host, and all that is stored of it, in later turns.
function methods:forget(host)
	local kept = self._reports[host]
	self._reports[host] = nil
	self._unwritten:drop(host)
	local stores = kept and kept.stores or open_stores(self, host)
	local keys, complete = stored_keys(stores)
	if complete and stores.client:get(nil) then
		stores.client:set(nil, nil)
	end
	for_each_later(self, "forgetting the report of " .. host, keys, function (kind, key)
		stores[kind]:set(key, nil)
	end)
end

--- Forgets what an earlier time in report mode has left of a host that is not in it: once for each load of
-- the module.
function methods:tidy(host)
	if not self._tidy[host] then
		self._tidy[host] = true
		self:forget(host)
	end
end

--- Forgets an account of a host that was deleted.
function methods:forget_account(host, jid)
	local kept = self._reports[host]
	if kept then
		kept.report:forget("client", jid)
		-- It may not be read yet.
		store_record(self, host, "client " .. jid, nil)
		self:store(host)
	end
end

---- Seeing --------------------------------------------------------------------

-- Which milder rule would keep a connection that the policy would refuse.
-- `changed`: see cutoff_verdict.of.
local function keepers(policy, stream, domain, changed)
	local milder = policy:milder()
	local by_level = milder and not cutoff_verdict.of(milder, stream, domain, changed).refuse
	local by_exception = domain and not cutoff_verdict.of(policy:mildest_exception(), stream, domain, changed).refuse
	return { level = by_level and milder.level or nil, exception = by_exception or false }
end

-- The verdict, and the message of a changed certificate for which alone the stream would be refused. As where the
-- policy is enforced, the certificate of a stream that is refused anyway is not looked at.
local function verdict_on(self, policy, stream, host, domain)
	local verdict = cutoff_verdict.of(policy, stream, domain)
	local changed = domain and not verdict.refuse and self._certificates:foresee(policy, stream, host, domain)
	return changed and cutoff_verdict.of(policy, stream, domain, changed) or verdict, changed
end

local function take_in(self, policy, stream, host, domain)
	local server, session = self._server, stream.session
	local name = domain or server.is_anonymous(host) and ANONYMOUS or server.client_bare_jid(session)
	local kept = self._reports[host] or self:open(host)
	local milder = policy:milder()
	kept.level = milder and milder.level
	local verdict, changed = verdict_on(self, policy, stream, host, domain)
	local is_news = kept.report:see(domain and "server" or "client", name, policy:name(), verdict,
		verdict.refuse and keepers(policy, stream, domain, changed) or {})
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

--- The same for a client, at each moment in which a connection becomes somebody's: once for a connection.
function methods:see_client(policy, stream, host)
	if not stream.reported then
		stream.reported = true
		self:see(policy, stream, host)
	end
end

--- The same for a pair of servers.
function methods:see_server(policy, stream, host, domain)
	local reported, pair = stream.reported or {}, host .. " " .. domain
	if not reported[pair] then
		stream.reported, reported[pair] = reported, true
		self:see(policy, stream, host, domain)
	end
end

---- Storing -------------------------------------------------------------------

--- Stores the changes of a host's report at once.
function methods:store(host)
	self._unwritten:write(host)
end

--- The same for all hosts.
function methods:store_all()
	self._unwritten:write_all()
end

--- The same in later turns, if it was not done for an hour. Forgets what is old.
function methods:store_hourly()
	self._unwritten:write_hourly()
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
