--- Counts of handshakes, refusals, resumption and certificates. They are kept here,
-- whether Prosody has statistics or not, and are handed to it whenever it collects its
-- own: mod_http_openmetrics has a page of them.
local clauses = require "xmpp_tls_policy.policy.clauses"
local contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local counters = require "xmpp_tls_policy.counters"
local suites = require "xmpp_tls_policy.policy.suites"

local unpack = table.unpack or unpack

local metrics = {}

---- What is counted ------------------------------------------------------------

local function set(list, field)
	local members = {}
	for _, member in ipairs(list) do
		members[field and member[field] or member] = true
	end
	return members
end

local roles = { "c2s", "s2sin", "s2sout" }

-- Of handshakes that were finished, and of those that were not.
local outcomes = {
	"accepted", "exception", "would_refuse", "stream_refused", "handshake_refused", "handshake_failed",
}

-- As the memory of certificates has them.
local changes = { "first", "renewal", "verified", "unverified", "change", "pending", "unknown" }

-- As the store counts what it did not find.
local misses = { "unknown", "expired", "context", "refused" }

local suite_names = {}
for name in pairs(suites.by_name) do
	suite_names[name] = true
end

-- OpenSSL's spelling of some is not IANA's.
local group_names = {}
for _, group in ipairs(suites.groups) do
	group_names[group.name:lower()] = group.name
end

-- Beside the clauses: what only report mode tells (reports.lua).
local clause_ids = { ["tls-policy/verdict"] = true, unauthenticated_s2s = true }
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

-- A rate has no beginning where a series has none: what an alert may watch counts from zero.
local function unfinished()
	local zeros = { { nil, nil, nil, nil, nil, "handshake_failed" } }
	for _, role in ipairs(roles) do
		for _, outcome in ipairs { "handshake_refused", "handshake_failed" } do
			zeros[#zeros + 1] = { role, nil, nil, nil, nil, outcome }
		end
	end
	return zeros
end

local handshakes = counters.new {
	labels = { "role", "version", "suite", "group", "resumed", "outcome" },
	values = {
		role = set(roles), version = set(suites.versions), suite = suite_names, group = set(suites.groups, "name"),
		resumed = set { "true", "false" }, outcome = set(outcomes),
	},
	peer_chosen = { suite = true, group = true },
	zeros = unfinished(),
}

local refusals = counters.new {
	labels = { "role", "stage", "clause" },
	values = { role = set(roles), stage = set { "handshake", "stream" }, clause = clause_ids },
}

local would_refuse = counters.new {
	labels = { "role", "clause" },
	values = { role = set(roles), clause = clause_ids },
}

local certificate_changes = counters.new {
	labels = { "kind" }, values = { kind = set(changes) }, zeros = each(changes),
}

local store_misses = counters.new { labels = { "reason" }, values = { reason = set(misses) }, zeros = each(misses) }

local function plain_counter()
	return counters.new { labels = {}, zeros = { {} } }
end

local store_events = {
	hits = plain_counter(), insertions = plain_counter(), evictions = plain_counter(), removals = plain_counter(),
}

---- Where it is counted --------------------------------------------------------

--- Counts a finished handshake, once its stream was judged. `facts`: README.md has the
-- shape; `outcome`: "accepted", "exception" (accepted under one), "would_refuse" (in
-- report mode) or "stream_refused".
function metrics.handshake(role, facts, outcome)
	local group = facts.group and (group_names[facts.group:lower()] or "other")
	handshakes:add(1, role, facts.version, facts.cipher_suite, group, tostring(facts.resumed), outcome)
end

--- Counts one that was not finished; `by_us`: whether we ended it with an alert. `role`:
-- nil where it is not known.
function metrics.failed_handshake(role, by_us)
	handshakes:add(1, role, nil, nil, nil, nil, by_us and "handshake_refused" or "handshake_failed")
end

--- Counts so many of which nothing more is known.
function metrics.lost_handshakes(count)
	handshakes:add(count, nil, nil, nil, nil, nil, "handshake_failed")
end

--- Counts a refusal, by each clause (a list of ids) that stood against it. `stage`:
-- "handshake" or "stream".
function metrics.refusal(role, stage, ids)
	for index = 1, math.max(1, #ids) do
		refusals:add(1, role, stage, ids[index])
	end
end

--- Counts an authenticated connection that the policy would have refused, by each clause.
function metrics.would_refuse(role, ids)
	for index = 1, math.max(1, #ids) do
		would_refuse:add(1, role, ids[index])
	end
end

--- Counts a certificate of another server's that is not the one known; `kind`: one of
-- those that the memory of certificates tells apart, "known" excepted.
function metrics.certificate_change(kind)
	certificate_changes:add(1, kind)
end

---- The session store ----------------------------------------------------------

-- The store that was read last, and how much of what it said was counted.
local last, counted = setmetatable({}, { __mode = "v" }), { misses = {} }

-- The store takes a hit back when the handshake refuses the session after all, as late as
-- at its end: nothing is counted then until there are more hits than before.
local function count(counter, says, of, field, label)
	local more = says[field] - (of[field] or 0)
	if more > 0 then
		counter:add(more, label)
		of[field] = says[field]
	end
end

--- Counts what the session store did since the last call. To be called before another
-- store takes its place, too: what it did goes with it.
function metrics.read_store()
	local store = contexts.sessions()
	if store ~= last.store then
		last.store, counted = store, { misses = {} }
	end
	local says = store and store:stats()
	for event, counter in pairs(says and store_events or {}) do
		count(counter, says, counted, event)
	end
	for _, reason in ipairs(says and misses or {}) do
		count(store_misses, says.misses, counted.misses, reason, reason)
	end
end

local function of_store(field)
	return function ()
		local store = contexts.sessions()
		return { { values = {}, value = store and store:stats()[field] or 0 } }
	end
end

---- Our own certificates -------------------------------------------------------

-- By host and service, when the first of its certificates expires.
local expiries = {}

-- A certificate that is shown no more does not expire.
local NEVER = math.huge

local function not_after(entry)
	return entry and entry.certificate and entry.certificate:facts().not_after
end

local function note(host, service, time)
	if time then
		local key = host .. "\0" .. service
		expiries[key] = expiries[key] or { values = { host, service }, value = NEVER }
		expiries[key].value = math.min(expiries[key].value, time)
	end
end

-- By host and role, what the newest context for STARTTLS has shown: { host, role, number,
-- not_after }. The context itself may be gone when the server has made another, and none
-- came yet to whom it would show that.
local newest = {}

local function note_starttls()
	for _, entry in contexts.entries() do
		local given = entry.given
		if given.host and not given.option and not given.policy.exception then
			local key = given.host .. "\0" .. given.role
			if not newest[key] or entry.number > newest[key].number then
				newest[key] = { host = given.host, role = given.role, number = entry.number, not_after = not_after(entry) }
			end
		end
	end
	for _, shown in pairs(newest) do
		note(shown.host, shown.role, prosody.hosts[shown.host] and shown.not_after)
	end
end

local function no_direct_tls()
	return {}
end

-- As in server.lua; given by metrics.serve.
local direct_tls_contexts = no_direct_tls

local function note_direct_tls()
	for _, found in ipairs(direct_tls_contexts()) do
		note("*", found.service, not_after(contexts.get(found.context)))
		for host, context in pairs(found.names) do
			note(host, found.service, not_after(contexts.get(context)))
		end
	end
end

local function certificate_expiries()
	for _, expiry in pairs(expiries) do
		expiry.value = NEVER
	end
	note_starttls()
	note_direct_tls()
	local list = {}
	for _, expiry in pairs(expiries) do
		list[#list + 1] = expiry
	end
	table.sort(list, function (a, b)
		return table.concat(a.values, "\0") < table.concat(b.values, "\0")
	end)
	return list
end

---- All of it ------------------------------------------------------------------

local function of(counter)
	return function ()
		return counter:list()
	end
end

-- Units and names as OpenMetrics has them; Prosody adds "_total" to counters.
local families = {
	{
		name = "handshakes", type = "counter", list = of(handshakes),
		labels = { "role", "version", "suite", "group", "resumed", "outcome" },
		description = "TLS handshakes. Those that were finished count when the stream on them is opened: accepted, "
			.. "exception (accepted under an exception), would_refuse (accepted in report mode), stream_refused. "
			.. "Others: handshake_refused (by us, with an alert), handshake_failed (by the peer, or it went away; also "
			.. "those of which too many came in a second, which have no role)",
	},
	{
		name = "refusals", type = "counter", list = of(refusals), labels = { "role", "stage", "clause" },
		description = "Refusals by each clause that stood against them; none: no clause was to blame. Streams all "
			.. "count; of handshakes only those with a line in the log, as the clauses of others are not looked for",
	},
	{
		name = "would_refuse", type = "counter", list = of(would_refuse), labels = { "role", "clause" },
		description = "Authenticated connections that the policy would have refused if it were not only reported on, "
			.. "by each clause that stood against them",
	},
	{
		name = "session_store_hits", type = "counter", list = of(store_events.hits), labels = {},
		description = "Sessions that were looked for in the session store, to be resumed, and found",
	},
	{
		name = "session_store_misses", type = "counter", list = of(store_misses), labels = { "reason" },
		description = "Sessions that were looked for in the session store, and not resumed: unknown, expired, context "
			.. "(made for another host, role, policy or certificate), refused (found, and refused by the handshake)",
	},
	{
		name = "session_store_insertions", type = "counter", list = of(store_events.insertions), labels = {},
		description = "Sessions that were put into the session store",
	},
	{
		name = "session_store_evictions", type = "counter", list = of(store_events.evictions), labels = {},
		description = "Sessions that had to go before they expired, for lack of room in the session store",
	},
	{
		name = "session_store_removals", type = "counter", list = of(store_events.removals), labels = {},
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
		name = "certificate_changes", type = "counter", list = of(certificate_changes), labels = { "kind" },
		description = "Certificates of other servers that are not the ones known: first (the server is new), renewal, "
			.. "verified, unverified (it was verified before), change (any other), pending (a change that is still "
			.. "refused), unknown (could not be looked up)",
	},
	{
		name = "certificate_not_after_timestamp", type = "gauge", unit = "seconds", list = certificate_expiries,
		labels = { "host", "service" },
		description = "When the certificate expires that a host of ours shows, in seconds since 1970, by STARTTLS "
			.. "(c2s, s2sin, s2sout; of the last stream) or direct TLS (the service's name; host *: without a server "
			.. "name); infinite where it is shown no more",
	},
}

--- All metrics as they are now: a list of { name (full, without Prosody's prefix), type =
-- "counter" or "gauge", labels = list of names, description, series = list of { values =
-- list of strings in the labels' order, value = number } }.
function metrics.list()
	metrics.read_store()
	local list = {}
	for index, family in ipairs(families) do
		local suffix = family.unit and "_" .. family.unit or family.type == "counter" and "_total" or ""
		list[index] = {
			name = family.name .. suffix, type = family.type, labels = family.labels, description = family.description,
			series = family.list(),
		}
	end
	return list
end

--- The table of metrics in README.md.
function metrics.documentation()
	local lines = { "| metric | type | labels | meaning |", "| --- | --- | --- | --- |" }
	for _, metric in ipairs(metrics.list()) do
		lines[#lines + 1] = ("| `%s` | %s | %s | %s |"):format(metric.name, metric.type,
			metric.labels[1] and table.concat(metric.labels, ", ") or "—", metric.description:gsub("%*", "\\*"))
	end
	return table.concat(lines, "\n") .. "\n"
end

--- Hands them to Prosody's metrics, under the module's name, until the module is unloaded.
-- Prosody keeps what it is told once; where it has no statistics, it ignores it. `find`:
-- server.direct_tls_contexts.
function metrics.serve(module, find)
	direct_tls_contexts = find
	local registered = {}
	for index, family in ipairs(families) do
		registered[index] = module:metric(family.type, family.name, family.unit or "", family.description, family.labels)
	end
	module:hook("stats-update", function ()
		metrics.read_store()
		for index, family in ipairs(families) do
			for _, series in ipairs(family.list()) do
				registered[index]:with_labels(unpack(series.values)):set(series.value)
			end
		end
	end)
end

return metrics
