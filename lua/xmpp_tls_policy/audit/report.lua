--- The report of an audit: made of observations, and taken by all forms of output. Its shape is data here:
-- report_json.lua checks what it reads against it, and doc/audit-report.md shows it.
local findings = require "xmpp_tls_policy.audit.findings"
local grade = require "xmpp_tls_policy.audit.grade"
local observations = require "xmpp_tls_policy.audit.observations"
local text = require "xmpp_tls_policy.text"
local version = require "xmpp_tls_policy.version"

local report = {}

--- The number of the schema. A change that readers of the old one do not understand makes it larger.
report.SCHEMA = 1

---- The schema ----------------------------------------------------------------

-- Kinds of values: "string", "number", "boolean", "plain" (any of these, and lists and maps of them), the name of
-- a shape, "list of KIND", "map of KIND". A kind that ends in "?" may be absent.

--- The shapes, the report's own first: { name, fields = list of { field, kind, meaning } }.
report.shapes = {
	{
		name = "report",
		fields = {
			{ "schema", "number", "the number of this schema" },
			{ "tool", "string", "name and version of the program" },
			{ "time", "string", "when the audit began, in UTC: 2026-11-26T08:00:00Z" },
			{ "profile", "string", "the profile of the policy" },
			{ "document", "string", "the document of the profile" },
			{ "level", "string", "the level of the policy, `must` or `should`" },
			{ "domains", "list of domain", "in the order of the command line" },
			{ "count", "count", "over the clauses of all domains" },
			{ "alarms", "number", "how many findings of all endpoints are alarms" },
		},
	},
	{
		name = "domain",
		fields = {
			{ "domain", "string", "the domain" },
			{ "reason", "string?", "why no endpoint of it was found" },
			{ "dns", "plain?", "the records, each with its DNSSEC status: `secure`, `insecure`, `bogus`, `unknown`; "
				.. "absent if DNS was not asked" },
			{ "failed_lookups", "list of string?", "the look-ups in DNS without an answer, such as `SRV of "
				.. "_xmpp-server._tcp.example.org`: endpoints, or records about them, may be missing" },
			{ "endpoints", "list of endpoint", "one for each service, way, host, address and port" },
			{ "client", "client?", "the domain's server as a client (`--callback`)" },
			{ "clauses", "list of clause", "the worst result of each clause over the endpoints" },
			{ "count", "count", "over these clauses" },
			{ "grade", "string", "the letter of these clauses" },
		},
	},
	{
		name = "endpoint",
		fields = {
			{ "service", "string", "`c2s` or `s2s`" },
			{ "direct", "boolean", "whether TLS begins at once; STARTTLS otherwise" },
			{ "host", "string", "the host's name or address, as DNS or the command line has it" },
			{ "address", "string?", "the IP address" },
			{ "port", "number", "the TCP port" },
			{ "connections", "number", "how many connections were made to it" },
			{ "seconds", "number", "how long its audit took" },
			{ "reached", "boolean", "whether it answered at all" },
			{ "reason", "string?", "why it was not reached, or not tested further" },
			{ "observations", "map of observation", "by their names, which audit/observations.lua lists" },
			{ "certificate", "plain?", "details of the certificate" },
			{ "findings", "list of finding", "facts that an operator has to know, and that no clause covers" },
			{ "clauses", "list of clause", "all clauses of the profile, in its order" },
			{ "count", "count", "over these clauses" },
			{ "grade", "string", "the letter of these clauses" },
		},
	},
	{
		name = "client",
		fields = {
			{ "observations", "map of observation", "by their names" },
			{ "clauses", "list of clause", "all clauses of the profile; those that say nothing of clients are not tested" },
		},
	},
	{
		name = "observation",
		fields = {
			{ "seen", "boolean?", "whether the statement of the observation is true of the endpoint; absent: not tested" },
			{ "value", "plain?", "details" },
			{ "evidence", "string?", "the messages that showed it" },
			{ "reason", "string?", "why it was not tested" },
		},
	},
	{
		name = "clause",
		fields = {
			{ "id", "string", "the clause" },
			{ "document", "string", "the document that says it" },
			{ "section", "string", "the section" },
			{ "level", "string", "the document's level, such as `MUST NOT`" },
			{ "at", "string", "the mildest level of a policy that enforces it: `must`, `should`, `never`" },
			{ "enforced", "boolean", "whether this policy enforces it" },
			{ "result", "string", "`holds`, `broken`, `not offered` (the endpoint does not do that which the clause "
				.. "restricts), `not tested`" },
			{ "sentence", "string", "the result, or the reason why it was not tested" },
			{ "observations", "list of string", "the observations that decided" },
			{ "cause", "string?", "of `not tested`: `inside` (no outsider can see it), `not asked` (the audit did not "
				.. "try), `no answer`" },
		},
	},
	{
		name = "finding",
		fields = {
			{ "kind", "string", "`alarm` (the audit fails) or `note`" },
			{ "observation", "string", "the observation that shows it" },
			{ "sentence", "string", "the fact" },
		},
	},
	{
		name = "count",
		fields = {
			{ "clauses", "number", "all" },
			{ "holds", "number", "results of this name" },
			{ "broken", "number", "results of this name" },
			{ "not_offered", "number", "results of this name" },
			{ "not_tested", "number", "results of this name" },
			{ "must_broken", "number", "broken, and enforced by both levels" },
			{ "should_broken", "number", "broken, and enforced by level should alone" },
			{ "enforced_broken", "number", "broken, and enforced by this policy" },
			{ "unanswered", "number", "not tested: `no answer`" },
			{ "not_asked", "number", "not tested: `not asked`" },
			{ "inside", "number", "not tested: `inside`" },
			{ "enforced_unanswered", "number", "the same, and enforced by this policy" },
		},
	},
}

---- Endpoints -----------------------------------------------------------------

-- The last parts of the names that observations.lua has as "NAME.*".
local parts = { ["version.*"] = { "SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" } }

-- What is only observed if the audit was asked to, or if the domain's DNS has records about it.
local function is_optional(name)
	return name:find "^client%." or name:find "^certificate%.caa" or name:find "^certificate%.tlsa"
		or name == "certificate.expected" or name == "certificate.same"
end

-- The observations, and each that no probe made, with the reason.
local function completed(given, reason)
	local observed, none = {}, observations.untested(reason or "no probe reported it")
	for name, observation in pairs(given or {}) do
		observed[name] = observation
	end
	for name in pairs(observations.statements) do
		local prefix = name:match "^(.*)%*$"
		for _, part in ipairs(is_optional(name) and {} or parts[name] or { "" }) do
			local full = (prefix or name) .. part
			observed[full] = observed[full] or none
		end
	end
	return observed
end

local function describe(endpoint)
	local host = endpoint.host:find(":", 1, true) and "[" .. endpoint.host .. "]" or endpoint.host
	return ("%s%s %s:%.0f"):format(endpoint.service, endpoint.direct and " direct TLS" or "", host, endpoint.port)
end

--- An endpoint in few words: "c2s direct TLS xmpp.example.org:5223".
report.describe = describe

-- Whether the domain announces direct TLS for a service; nil if DNS was not asked, or gave no answer to all.
local function announces_direct(domain, service)
	for _, endpoint in ipairs(domain.dns and domain.endpoints or {}) do
		if endpoint.direct and endpoint.service == service then
			return true
		end
	end
	if domain.dns and not (domain.failed_lookups or {})[1] then
		return false
	end
end

local function endpoint_of(policy, given, domain)
	local observed = completed(given.observations, given.reason)
	local results = grade.clauses(policy, observed, {
		service = given.service, direct = given.direct, direct_announced = announces_direct(domain, given.service),
	})
	local count = grade.count(results)
	return {
		service = given.service, direct = given.direct, host = given.host, address = given.address, port = given.port,
		connections = given.connections, seconds = given.seconds, reached = given.reached, reason = given.reason,
		observations = observed, certificate = given.certificate, findings = findings.of(observed),
		clauses = results, count = count, grade = grade.letter(count),
	}
end

---- Domains -------------------------------------------------------------------

-- The clauses of a domain without endpoints: nothing answered.
local function nothing_tested(policy, reason)
	local observed = completed(nil, reason)
	return grade.clauses(policy, observed, { service = "c2s", direct = false })
end

local function domain_of(policy, given)
	local made = {
		domain = given.domain, dns = given.dns, failed_lookups = given.failed_lookups, endpoints = {},
		reason = given.reason,
	}
	local lists, names = {}, {}
	for index, endpoint in ipairs(given.endpoints) do
		made.endpoints[index] = endpoint_of(policy, endpoint, given)
		lists[index], names[index] = made.endpoints[index].clauses, describe(endpoint)
	end
	if not lists[1] then
		lists[1], names[1] = nothing_tested(policy, given.reason or "no endpoint was found"), given.domain
	end
	if given.client then
		local observed = given.client.observations
		made.client = {
			observations = observed,
			clauses = grade.clauses(policy, observed, { service = "s2s", direct = false, client = true }),
		}
		lists[#lists + 1], names[#names + 1] = made.client.clauses, "as a client"
	end
	made.clauses = grade.merged(lists, names)
	made.count = grade.count(made.clauses)
	made.grade = grade.letter(made.count)
	return made
end

---- The whole -----------------------------------------------------------------

local function sum(domains)
	local all = {}
	for _, domain in ipairs(domains) do
		for _, clause in ipairs(domain.clauses) do
			all[#all + 1] = clause
		end
	end
	return grade.count(all)
end

local function count_alarms(domains)
	local alarms = 0
	for _, domain in ipairs(domains) do
		for _, endpoint in ipairs(domain.endpoints) do
			for _, finding in ipairs(endpoint.findings) do
				alarms = alarms + (finding.kind == "alarm" and 1 or 0)
			end
		end
	end
	return alarms
end

--- The report of an audit. `policy`: see policy/init.lua; `time`: UTC seconds of its beginning; `domains`: a
-- list of { domain, dns, failed_lookups, endpoints, client, reason }, where an endpoint is { service, direct, host,
-- address, port, connections, seconds, reached, reason, observations, certificate } and the client { observations };
-- the meaning: see report.shapes. What is given is not changed; the report shares parts of it.
function report.of(policy, time, domains)
	local made = {
		schema = report.SCHEMA, tool = "xmpp-tls-policy " .. version, time = os.date("!%Y-%m-%dT%H:%M:%SZ", time),
		profile = policy.profile, document = policy.document, level = policy.level, domains = {},
	}
	for index, domain in ipairs(domains) do
		made.domains[index] = domain_of(policy, domain)
	end
	made.count, made.alarms = sum(made.domains), count_alarms(made.domains)
	return made
end

--- The look-ups of a domain in DNS without an answer, in a sentence; nil if there are none.
function report.failed_lookups(domain)
	local failed = domain.failed_lookups or {}
	return failed[1] and ("not looked up, so that endpoints or records about them may be missing: %s"):format(
		text.shown(text.short_list(failed, 4))) or nil
end

--- The exit status of an audit: 0 if all enforced clauses hold, 1 if one is broken or there is an alarm, 2 if
-- one got no answer, or a look-up in DNS got none: there may be endpoints that were not audited.
function report.exit_status(made)
	if made.count.enforced_broken > 0 or made.alarms > 0 then
		return 1
	end
	local is_incomplete = made.count.enforced_unanswered > 0
	for _, domain in ipairs(made.domains) do
		is_incomplete = is_incomplete or report.failed_lookups(domain) ~= nil
	end
	return is_incomplete and 2 or 0
end

local words_of_counts = {
	{ "broken", "broken" }, { "unanswered", "without an answer" }, { "not_offered", "not offered" },
	{ "not_asked", "not asked for" }, { "inside", "not visible from outside" },
}

--- A count in a sentence: "20 of 31 clauses hold, 2 broken, 3 not offered, 6 not visible from outside".
function report.sentence(count)
	local words = { ("%.0f of %.0f clauses hold"):format(count.holds, count.clauses) }
	for _, kind in ipairs(words_of_counts) do
		words[#words + 1] = count[kind[1]] > 0 and ("%.0f %s"):format(count[kind[1]], kind[2]) or nil
	end
	return table.concat(words, ", ")
end

--- The shapes as tables, for the manual.
function report.documentation()
	local lines = {}
	for _, shape in ipairs(report.shapes) do
		lines[#lines + 1] = ("### %s\n\n| field | kind | meaning |\n| --- | --- | --- |"):format(shape.name)
		for _, field in ipairs(shape.fields) do
			lines[#lines + 1] = ("| `%s` | %s | %s |"):format(field[1], field[2], field[3])
		end
		lines[#lines + 1] = ""
	end
	return table.concat(lines, "\n")
end

return report
