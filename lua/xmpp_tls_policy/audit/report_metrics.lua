--- A report as metrics, for the textfile collector of Prometheus's node_exporter. The text is OpenMetrics, and as
-- good in Prometheus's older format.
local date = require "xmpp_tls_policy.date"
local text = require "xmpp_tls_policy.text"

local report_metrics = {}

local PREFIX = "xmpp_tls_audit_"

---- Series --------------------------------------------------------------------

local escapes = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }

local function escaped(value)
	return (text.shown(tostring(value)):gsub('[\\"\n]', escapes))
end

-- Whole numbers and others, the same in all Luas.
local function number(value)
	return value % 1 == 0 and ("%.0f"):format(value) or ("%.6g"):format(value)
end

-- A family that collects series: { add = function(values of the labels in their order, value) }. Of two series with
-- the same labels the first counts, as a page with both would be refused.
local function new_family(name, labels)
	local family, known = { lines = {} }, {}
	function family.add(values, value)
		local pairs_of_labels = {}
		for index, label in ipairs(labels) do
			pairs_of_labels[index] = ('%s="%s"'):format(label, escaped(values[index]))
		end
		local series = PREFIX .. name .. (labels[1] and "{" .. table.concat(pairs_of_labels, ",") .. "}" or "")
		if not known[series] then
			known[series] = true
			family.lines[#family.lines + 1] = ("%s %s\n"):format(series, number(value))
		end
	end
	return family
end

---- Families ------------------------------------------------------------------

local function each_domain(made, visit)
	for _, domain in ipairs(made.domains) do
		visit(domain)
	end
end

-- Calls visit(endpoint, values of the labels of endpoints).
local function each_endpoint(made, visit)
	each_domain(made, function (domain)
		for _, endpoint in ipairs(domain.endpoints) do
			visit(endpoint, {
				domain.domain, endpoint.service, endpoint.direct and "direct" or "starttls", endpoint.host,
				endpoint.address or "", endpoint.port,
			})
		end
	end)
end

local of_endpoint = { "domain", "service", "tls", "host", "address", "port" }

-- UTC seconds of the time of a report.
local function seconds_of(time)
	local day, hours, minutes, seconds = time:match "^(%d%d%d%d%-%d%d%-%d%d)T(%d%d):(%d%d):(%d%d)Z$"
	local begins = date.begins(day)
	return begins and begins + 3600 * hours + 60 * minutes + seconds
end

local results = {
	{ "broken", "broken" }, { "holds", "holds" }, { "no answer", "unanswered" }, { "not asked", "not_asked" },
	{ "not offered", "not_offered" }, { "not visible", "inside" },
}

-- { name, labels, help, fill = function(report, add), unit }. All are gauges.
local families = {
	{
		"timestamp_seconds", {}, "When the audit began, in seconds since 1970. Alert if it is old", function (made, add)
			add({}, seconds_of(made.time))
		end, "seconds",
	},
	{
		"policy", { "profile", "level" }, "The policy of the audit, always 1", function (made, add)
			add({ made.profile, made.level }, 1)
		end,
	},
	{
		"grade", { "domain", "letter" }, "The letter of a domain, always 1", function (made, add)
			each_domain(made, function (domain)
				add({ domain.domain, domain.grade }, 1)
			end)
		end,
	},
	{
		"clauses", { "domain", "result" }, "Clauses of a domain with each result, the worst over its endpoints",
		function (made, add)
			each_domain(made, function (domain)
				for _, result in ipairs(results) do
					add({ domain.domain, result[1] }, domain.count[result[2]])
				end
			end)
		end,
	},
	{
		"clause_broken", { "domain", "clause", "enforced" },
		"1 if a clause is broken at an endpoint of the domain, else 0; absent if it was not tested",
		function (made, add)
			each_domain(made, function (domain)
				for _, clause in ipairs(domain.clauses) do
					if clause.result ~= "not tested" then
						add({ domain.domain, clause.id, clause.enforced }, clause.result == "broken" and 1 or 0)
					end
				end
			end)
		end,
	},
	{
		"findings", { "domain", "kind" }, "Findings at all endpoints of a domain: alarms, notes", function (made, add)
			each_domain(made, function (domain)
				local count = { alarm = 0, note = 0 }
				for _, endpoint in ipairs(domain.endpoints) do
					for _, finding in ipairs(endpoint.findings) do
						count[finding.kind] = (count[finding.kind] or 0) + 1
					end
				end
				add({ domain.domain, "alarm" }, count.alarm)
				add({ domain.domain, "note" }, count.note)
			end)
		end,
	},
	{
		"failed_lookups", { "domain" }, "Look-ups in DNS without an answer: endpoints of the domain may be missing",
		function (made, add)
			each_domain(made, function (domain)
				add({ domain.domain }, #(domain.failed_lookups or {}))
			end)
		end,
	},
	{
		"endpoint_reached", of_endpoint, "1 if the endpoint answered, else 0", function (made, add)
			each_endpoint(made, function (endpoint, values)
				add(values, endpoint.reached and 1 or 0)
			end)
		end,
	},
	{
		"endpoint_duration_seconds", of_endpoint, "How long the audit of the endpoint took", function (made, add)
			each_endpoint(made, function (endpoint, values)
				add(values, endpoint.seconds)
			end)
		end, "seconds",
	},
	{
		"endpoint_certificate_not_after_timestamp_seconds", of_endpoint,
		"When the certificate of the endpoint expires, in seconds since 1970", function (made, add)
			each_endpoint(made, function (endpoint, values)
				local certificate = endpoint.certificate
				if type(certificate) == "table" and type(certificate.not_after) == "number" then
					add(values, certificate.not_after)
				end
			end)
		end, "seconds",
	},
}

---- The text ------------------------------------------------------------------

--- The metrics of a report, a text.
function report_metrics.of(made)
	local parts = {}
	for _, entry in ipairs(families) do
		local name, labels, help, fill, unit = entry[1], entry[2], entry[3], entry[4], entry[5]
		local family = new_family(name, labels)
		fill(made, family.add)
		parts[#parts + 1] = ("# TYPE %s%s gauge\n"):format(PREFIX, name)
			.. (unit and ("# UNIT %s%s %s\n"):format(PREFIX, name, unit) or "")
			.. ("# HELP %s%s %s\n"):format(PREFIX, name, help) .. table.concat(family.lines)
	end
	return table.concat(parts) .. "# EOF\n"
end

--- The table of metrics, for the manual.
function report_metrics.documentation()
	local lines = { "| metric | labels | meaning |", "| --- | --- | --- |" }
	for _, entry in ipairs(families) do
		lines[#lines + 1] = ("| `%s%s` | %s | %s |"):format(PREFIX, entry[1],
			entry[2][1] and table.concat(entry[2], ", ") or "—", entry[3])
	end
	return table.concat(lines, "\n") .. "\n"
end

return report_metrics
