--- Counts of handshakes, refusals, resumption and certificates. They are kept whether the server
-- has statistics of its own or not.
local clauses = require "xmpp_tls_policy.policy.clauses"
local core = require "xmpp_tls_policy.core"
local counters = require "xmpp_tls_policy.counters"
local shared_sessions = require "xmpp_tls_policy.sessions.shared_sessions"
local suites = require "xmpp_tls_policy.policy.suites"

local metrics = {}

local methods = {}
local metatable = { __index = methods }

---- Counters -------------------------------------------------------------------

local function set(list, field)
	local members = {}
	for _, member in ipairs(list) do
		members[field and member[field] or member] = true
	end
	return members
end

local roles = { "c2s", "s2sin", "s2sout" }

-- The first four are those of handshakes that were finished.
local outcomes = {
	"accepted", "exception", "would_refuse", "stream_refused", "handshake_refused", "handshake_failed",
}

-- The kinds of certificates/memory.lua.
local changes = { "first", "renewal", "verified", "unverified", "change", "pending", "unknown" }

-- The reasons of the session store.
local misses = { "unknown", "expired", "context", "refused" }
local not_kept = { "address", "state" }

local suite_names = {}
for name in pairs(suites.by_name) do
	suite_names[name] = true
end

-- Those of the servers that we know; without "-PLUS".
local mechanisms = {
	"PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "EXTERNAL", "ANONYMOUS", "OAUTHBEARER", "DIGEST-MD5",
	"GSSAPI",
}

local bindings = { "tls-unique", "tls-exporter", "tls-server-end-point" }

-- OpenSSL spells some groups otherwise than IANA.
local group_names = {}
for _, group in ipairs(suites.groups) do
	group_names[group.name:lower()] = group.name
end

-- The first three are reasons of report mode that are no clauses (see stream/cutoff_verdict.lua).
local clause_ids = { ["tls-policy/verdict"] = true, unauthenticated_s2s = true, ssl = true }
for id in pairs(clauses) do
	clause_ids[id] = true
end

local function each(list, before, after)
	local zeros = {}
	for _, value in ipairs(list) do
		zeros[#zeros + 1] = { before or value, before and value or after }
	end
	return zeros
end

-- A rate needs a first value, so series that alerts watch begin with zero.
local function unfinished()
	local zeros = { { nil, nil, nil, nil, nil, "handshake_failed" } }
	for _, role in ipairs(roles) do
		for _, outcome in ipairs { "handshake_refused", "handshake_failed" } do
			zeros[#zeros + 1] = { role, nil, nil, nil, nil, outcome }
		end
	end
	return zeros
end

local function plain_counter()
	return counters.new { labels = {}, zeros = { {} } }
end

local function new_counters()
	return {
		handshakes = counters.new {
			labels = { "role", "version", "suite", "group", "resumed", "outcome" },
			values = {
				role = set(roles), version = set(suites.versions), suite = suite_names, group = set(suites.groups, "name"),
				resumed = set { "true", "false" }, outcome = set(outcomes),
			},
			peer_chosen = { suite = true, group = true },
			zeros = unfinished(),
		},
		refusals = counters.new {
			labels = { "role", "stage", "clause" },
			values = { role = set(roles), stage = set { "handshake", "stream" }, clause = clause_ids },
		},
		would_refuse = counters.new {
			labels = { "role", "clause" },
			values = { role = set(roles), clause = clause_ids },
		},
		certificate_changes = counters.new {
			labels = { "kind" }, values = { kind = set(changes) }, zeros = each(changes),
		},
		logins = counters.new {
			labels = { "mechanism", "binding" }, values = { mechanism = set(mechanisms), binding = set(bindings) },
		},
		binding_mismatches = counters.new {
			labels = { "type" }, values = { type = set(bindings) }, zeros = each(bindings),
		},
		store_misses = counters.new {
			labels = { "reason" }, values = { reason = set(misses) }, zeros = each(misses),
		},
		store_not_kept = counters.new {
			labels = { "reason" }, values = { reason = set(not_kept) }, zeros = each(not_kept),
		},
		hits = plain_counter(), insertions = plain_counter(), evictions = plain_counter(), removals = plain_counter(),
	}
end

-- The counts of the store without a reason.
local store_events = { "hits", "insertions", "evictions", "removals" }

--- `adopted`: see contexts/adopted_contexts.lua; `shared_sessions`: see sessions/shared_sessions.lua, nil:
-- none; `server`: the adapter; `kept`: the metrics of the load before, or nil: counting goes on from there.
function metrics.new(options)
	local kept = options.kept
	return setmetatable({
		_adopted = options.adopted,
		_server = options.server,
		_shared = options.shared_sessions or shared_sessions.new { server = options.server, now = os.time },
		_counters = kept and kept._counters or new_counters(),
		-- Facts -> role -> outcome -> series: most streams share their facts.
		_handshakes = setmetatable({}, { __mode = "k" }),
		-- The store that was read last, and how much of its counts was counted.
		_last = kept and kept._last or setmetatable({}, { __mode = "v" }),
		_counted = kept and kept._counted or { misses = {}, not_kept = {} },
		_newest = kept and kept._newest or {}, -- see note_starttls
		_served = setmetatable({}, { __mode = "k" }), -- see served_validity
	}, metatable)
end

---- Counting ------------------------------------------------------------------

local function series_of(self, role, facts, outcome)
	local group = facts.group and (group_names[facts.group:lower()] or "other")
	return self._counters.handshakes:series(role, facts.version, facts.cipher_suite, group, tostring(facts.resumed),
		outcome)
end

-- The same for facts that streams share, remembered.
local function series_of_shared(self, role, facts, outcome)
	local of_facts = self._handshakes[facts] or {}
	local of_role = of_facts[role] or {}
	self._handshakes[facts], of_facts[role] = of_facts, of_role
	of_role[outcome] = of_role[outcome] or series_of(self, role, facts, outcome)
	return of_role[outcome]
end

--- Counts a finished handshake, once its stream was judged. `facts`: doc/scripting.md has the
-- shape; `outcome`: "accepted", "exception" (accepted under one), "would_refuse" (in
-- report mode) or "stream_refused".
function methods:handshake(role, facts, outcome)
	local find = facts.certificate and series_of or series_of_shared
	local series = find(self, role, facts, outcome)
	series.value = series.value + 1
end

--- Counts a handshake that was not finished. `role`: nil if it is not known; `by_us`: whether we
-- ended it with an alert.
function methods:failed_handshake(role, by_us)
	self._counters.handshakes:add(1, role, nil, nil, nil, nil, by_us and "handshake_refused" or "handshake_failed")
end

--- Counts unfinished handshakes of which only the number is known.
function methods:lost_handshakes(count)
	self._counters.handshakes:add(count, nil, nil, nil, nil, nil, "handshake_failed")
end

--- Counts a refusal by each clause (a list of ids) that was broken. `stage`: "handshake" or
-- "stream".
function methods:refusal(role, stage, ids)
	for index = 1, math.max(1, #ids) do
		self._counters.refusals:add(1, role, stage, ids[index])
	end
end

--- Counts an authenticated connection that the policy would have refused, by each clause.
function methods:would_refuse(role, ids)
	for index = 1, math.max(1, #ids) do
		self._counters.would_refuse:add(1, role, ids[index])
	end
end

--- Counts a certificate of another server that is not the known one. `kind`: see
-- certificates/memory.lua; never "known".
function methods:certificate_change(kind)
	self._counters.certificate_changes:add(1, kind)
end

--- Counts a login of a client by a mechanism of SASL (nil: unknown) and a type of channel binding (nil: none).
function methods:login(mechanism, binding)
	self._counters.logins:add(1, mechanism and (mechanism:gsub("%-PLUS$", "")) or "other", binding)
end

--- Counts a login that failed because the channel binding of a type did not match.
function methods:binding_mismatch(name)
	self._counters.binding_mismatches:add(1, name)
end

--- The fleets (see fleet/fleets.lua) whose shapes are counted.
function methods:count_shapes_of(fleets)
	self._fleets = fleets
end

local function shapes(self)
	local list = {}
	for index, host in ipairs(self._fleets and self._fleets:hosts() or {}) do
		list[index] = { values = { host }, value = self._fleets:get(host):count() }
	end
	return list
end

---- The session store ----------------------------------------------------------

-- The store takes a hit back when the handshake refuses the session after all, as late as
-- at its end: nothing is counted then until there are more hits than before.
local function count(counter, says, counted, field, label)
	local more = says[field] - (counted[field] or 0)
	if more > 0 then
		counter:add(more, label)
		counted[field] = says[field]
	end
end

--- Counts the work of the session store since the last call. Has to be called also before another
-- store replaces it.
function methods:read_store()
	local store = self._adopted:sessions()
	if store ~= self._last.store then
		self._last.store, self._counted = store, { misses = {}, not_kept = {} }
	end
	local says = store and store:stats()
	if not says then
		return
	end
	for _, event in ipairs(store_events) do
		count(self._counters[event], says, self._counted, event)
	end
	for _, reason in ipairs(misses) do
		count(self._counters.store_misses, says.misses, self._counted.misses, reason, reason)
	end
	for _, reason in ipairs(not_kept) do
		count(self._counters.store_not_kept, says.not_kept, self._counted.not_kept, reason, reason)
	end
end

local function of_store(field)
	return function (self)
		local store = self._adopted:sessions()
		return { { values = {}, value = store and store:stats()[field] or 0 } }
	end
end

---- Our own certificates -------------------------------------------------------

-- { not_before, not_after } of a certificate of the core, in UTC seconds; nil without one.
local function validity_of(certificate)
	local facts = certificate and certificate:facts()
	return facts and facts.not_after and { not_before = facts.not_before or 0, not_after = facts.not_after } or nil
end

-- Of several certificates of a host and service, the one that expires first counts. `validities`:
-- key -> { values, validity }.
local function note(validities, host, service, validity)
	local key = validity and host .. "\0" .. service
	local known = key and validities[key]
	if key and (not known or validity.not_after < known.validity.not_after) then
		validities[key] = { values = { host, service }, validity = validity }
	end
end

-- The validity of the certificate of a context of the server, adopted or not.
local function served_validity(self, luasec)
	local known = self._served[luasec]
	if known == nil then
		local context = core.context.adopt(luasec)
		known = context and validity_of(context:inspect().certificate) or false
		self._served[luasec] = known
		if context then
			context:close()
		end
	end
	return known or nil
end

-- The context for STARTTLS that new streams of each host and role get counts, or, where the server
-- does not tell, the newest: { number, validity }. It is remembered, because it may be gone when the
-- server has made another that nobody has used yet.
local function note_starttls(self, validities)
	for _, entry in self._adopted:entries() do
		local given = entry.given
		if given.host and not given.option and not given.policy.exception then
			local by_role = self._newest[given.host] or {}
			self._newest[given.host] = by_role
			local newest = by_role[given.role]
			if not newest or entry.number > newest.number then
				by_role[given.role] = { number = entry.number, validity = validity_of(entry.certificate) }
			end
		end
	end
	for host, by_role in pairs(self._newest) do
		for _, current in ipairs(self._server.current_contexts(host) or {}) do
			local newest = by_role[current.role]
			if newest then
				newest.validity = served_validity(self, self._server.luasec_context(current.context)) or newest.validity
			end
		end
		if not self._server.is_host(host) then
			self._newest[host] = nil
		else
			for role, newest in pairs(by_role) do
				note(validities, host, role, newest.validity)
			end
		end
	end
end

local function note_direct_tls(self, validities)
	local server = self._server
	local function validity(context)
		local entry = self._adopted:get(server.luasec_context(context))
		return entry and validity_of(entry.certificate)
	end
	for _, found in ipairs(server.direct_tls_contexts()) do
		note(validities, "*", found.service, validity(found.context))
		for host, context in pairs(found.names) do
			note(validities, host, found.service, validity(context))
		end
	end
end

-- `field`: "not_before" or "not_after".
local function certificates(field)
	return function (self)
		local validities, keys, list = {}, {}, {}
		note_starttls(self, validities)
		note_direct_tls(self, validities)
		for key in pairs(validities) do
			keys[#keys + 1] = key
		end
		table.sort(keys)
		for index, key in ipairs(keys) do
			list[index] = { values = validities[key].values, value = validities[key].validity[field] }
		end
		return list
	end
end

---- All of it ------------------------------------------------------------------

local function of(counter)
	return function (self)
		return self._counters[counter]:list()
	end
end

local function dhe_refusals()
	return { { values = {}, value = core.observer.dhe_refusals() } }
end

---- Shared sessions -------------------------------------------------------------

local function shared_count(name)
	return function (self)
		return { { values = {}, value = self._shared:counts()[name] } }
	end
end

local function shared_dropped(self)
	local list, counts = {}, self._shared:counts()
	for index, reason in ipairs(shared_sessions.reasons) do
		list[index] = { values = { reason }, value = counts[reason] }
	end
	return list
end

-- No series while nothing is to be shared, so that an alert can tell.
local function of_sharing(value)
	return function (self)
		local status = self._shared:status()
		return { status and { values = {}, value = value(status) } }
	end
end

-- Units and names as in OpenMetrics, which adds the unit, and "_total" for counters.
local families = {
	{
		name = "handshakes", type = "counter", list = of "handshakes",
		labels = { "role", "version", "suite", "group", "resumed", "outcome" },
		description = "TLS handshakes. Finished ones count when their stream is opened: accepted, exception (accepted "
			.. "under an exception), would_refuse (accepted in report mode), stream_refused. Others: handshake_refused (by "
			.. "us, with an alert), handshake_failed (ended by the peer; also those that were too many in a second, which "
			.. "have no role)",
	},
	{
		name = "refusals", type = "counter", list = of "refusals", labels = { "role", "stage", "clause" },
		description = "Refusals by each broken clause; none: no clause was broken. All streams count, but only handshakes "
			.. "with a line in the log, because the clauses of others are not determined",
	},
	{
		name = "dhe_refusals", type = "counter", list = dhe_refusals, labels = {},
		description = "Handshakes that were refused because they came to a key exchange with DHE, when more than "
			.. "dhe_per_second did. They also count as handshake_refused, as far as they were not too many",
	},
	{
		name = "would_refuse", type = "counter", list = of "would_refuse", labels = { "role", "clause" },
		description = "Authenticated connections in report mode that the policy would have refused, by each broken clause",
	},
	{
		name = "logins", type = "counter", list = of "logins", labels = { "mechanism", "binding" },
		description = "Logins of clients by mechanism of SASL and type of channel binding (none: without)",
	},
	{
		name = "binding_mismatches", type = "counter", list = of "binding_mismatches", labels = { "type" },
		description = "Logins that failed because the channel binding did not match: the sign of an interception",
	},
	{
		name = "session_store_hits", type = "counter", list = of "hits", labels = {},
		description = "Look-ups in the session store that found a session to resume",
	},
	{
		name = "session_store_misses", type = "counter", list = of "store_misses", labels = { "reason" },
		description = "Look-ups in the session store without a resumption: unknown, expired, context (made for another "
			.. "host, role, policy or certificate), refused (found, and refused by the handshake)",
	},
	{
		name = "session_store_insertions", type = "counter", list = of "insertions", labels = {},
		description = "Sessions that were put into the session store",
	},
	{
		name = "session_store_not_kept", type = "counter", list = of "store_not_kept", labels = { "reason" },
		description = "Sessions that were not put into the session store: address (it has its share of the sessions), "
			.. "state (the session has more than the store can keep, such as max_fragment_length or a client certificate)",
	},
	{
		name = "session_store_evictions", type = "counter", list = of "evictions", labels = {},
		description = "Sessions that were dropped before they expired, for lack of room in the session store",
	},
	{
		name = "session_store_removals", type = "counter", list = of "removals", labels = {},
		description = "Sessions that were removed from the session store after a fatal alert",
	},
	{
		name = "session_store_sessions", type = "gauge", list = of_store "sessions", labels = {},
		description = "Sessions in the session store",
	},
	{
		name = "session_store", type = "gauge", unit = "bytes", list = of_store "bytes", labels = {},
		description = "Memory of the session store",
	},
	{
		name = "session_store_unlocked", type = "gauge", list = function (self)
			local store = self._adopted:sessions()
			return { { values = {}, value = store and not store:stats().locked and 1 or 0 } }
		end,
		labels = {}, description = "1 if the memory of the session store is not locked and may get into swap, else 0",
	},
	{
		name = "shared_sessions_connected", type = "gauge", labels = {},
		list = of_sharing(function (status)
			return status.state == "connected" and 1 or 0
		end),
		description = "1 if sessions are shared with other processes, 0 if they are to be and the engine cannot be used. "
			.. "No series without resumption.shared",
	},
	{
		name = "shared_sessions_lag", type = "gauge", unit = "seconds", labels = {},
		list = of_sharing(function (status)
			return status.lag or 0
		end),
		description = "Time from sending a session to the engine until it came back to this process, measured last",
	},
	{
		name = "shared_sessions_appended", type = "counter", list = shared_count "appended", labels = {},
		description = "Records (sessions and their removals) that the engine took from this process",
	},
	{
		name = "shared_sessions_received", type = "counter", list = shared_count "received", labels = {},
		description = "Records of other processes that were put into the session store",
	},
	{
		name = "shared_sessions_dropped", type = "counter", list = shared_dropped, labels = { "reason" },
		description = "Records that were dropped. Of this process: queue (the engine took none and the queue was full), "
			.. "refused (by the engine), address (the client's address has its share of the stream). Of others: not_opened "
			.. "(another key or name, or damaged), malformed (not ours), expired, from_the_future (clocks differ by more than "
			.. "60 s), replayed (known already), removed (ended by a fatal alert), full (the store has only newer ones), "
			.. "over_share (the client's network has its share), writers (more than 256 process starts within a lifetime)",
	},
	{
		name = "hello_shapes", type = "gauge", list = shapes, labels = { "host" },
		description = "Shapes of ClientHellos that a host has seen in 30 days, each once (see the command fleet)",
	},
	{
		name = "certificate_changes", type = "counter", list = of "certificate_changes", labels = { "kind" },
		description = "Changes of the certificates of other servers: first (the server is new), renewal, "
			.. "verified, unverified (it was verified before), change (any other), pending (a change that is still "
			.. "refused), unknown (could not be looked up)",
	},
	{
		name = "certificate_not_after_timestamp", type = "gauge", unit = "seconds", list = certificates "not_after",
		labels = { "host", "service" },
		description = "Expiry of the certificate that a host of ours shows, in seconds since 1970, with STARTTLS (c2s, "
			.. "s2sin, s2sout; once a stream was there) or direct TLS (the service's name; host *: without a server name)",
	},	{
		name = "certificate_not_before_timestamp", type = "gauge", unit = "seconds", list = certificates "not_before",
		labels = { "host", "service" },
		description = "The same for the first second of that certificate's validity",
	},

}

local function full_name(family)
	return family.name .. (family.unit and "_" .. family.unit or family.type == "counter" and "_total" or "")
end

--- All metrics as they are now: a list of { name (full, without the server's prefix), base (without
-- unit and "_total"), unit or nil, type = "counter" or "gauge", labels = list of names, description,
-- series = list of { values = list of strings in the labels' order, value = number } }.
function methods:list()
	self:read_store()
	local list = {}
	for index, family in ipairs(families) do
		list[index] = {
			name = full_name(family), base = family.name, unit = family.unit, type = family.type, labels = family.labels,
			description = family.description, series = family.list(self),
		}
	end
	return list
end

--- The table of metrics in doc/metrics.md.
function metrics.documentation()
	local lines = { "| metric | type | labels | meaning |", "| --- | --- | --- | --- |" }
	for _, family in ipairs(families) do
		lines[#lines + 1] = ("| `%s` | %s | %s | %s |"):format(full_name(family), family.type,
			family.labels[1] and table.concat(family.labels, ", ") or "—", family.description:gsub("%*", "\\*"))
	end
	return table.concat(lines, "\n") .. "\n"
end

return metrics
