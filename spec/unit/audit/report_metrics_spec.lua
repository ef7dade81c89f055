local audit_reports = require "support.audit_reports"
local openmetrics = require "support.openmetrics"
local process = require "support.process"
local report_metrics = require "xmpp_tls_policy.audit.report_metrics"

local endpoint, domain, of = audit_reports.endpoint, audit_reports.domain, audit_reports.of

local function example()
	return of { domain("example.org", {
		endpoint({
			["suites.rc4"] = true, ["plaintext.mechanisms"] = true, ["groups.hybrid"] = false, early_data = "closed",
		}, { certificate = { not_after = 1800000000 } }),
		endpoint({}, { direct = true, port = 5223 }),
	}), domain("other.example", { audit_reports.unreached { service = "s2s", port = 5269 } }) }
end

-- "label values" -> value, of a family of the page.
local function values(page, name, order)
	local families = openmetrics.parse(page)
	return openmetrics.values(assert(families["xmpp_tls_audit_" .. name], name), "xmpp_tls_audit_" .. name, order, true)
end

describe("the metrics of a report", function ()
	local page = report_metrics.of(example())

	it("say when the audit was, and under which policy", function ()
		assert.same({ [""] = audit_reports.TIME }, values(page, "timestamp_seconds", {}))
		assert.same({ ["draft-saintandre-xmpp-tls-02 should"] = 1 }, values(page, "policy", { "profile", "level" }))
	end)

	it("have the letter and the results of each domain", function ()
		assert.same({ ["example.org F"] = 1, ["other.example ?"] = 1 }, values(page, "grade", { "domain", "letter" }))
		local results = values(page, "clauses", { "domain", "result" })
		local count = example().domains[1].count
		assert.same({ count.broken, count.holds, count.unanswered, count.not_asked, count.not_offered, count.inside }, {
			results["example.org broken"], results["example.org holds"], results["example.org no answer"],
			results["example.org not asked"], results["example.org not offered"], results["example.org not visible"],
		})
		assert.is_true(results["example.org broken"] == 2 and results["example.org not visible"] > 0)
	end)

	it("say of each clause that was tested whether it is broken", function ()
		local broken = values(page, "clause_broken", { "domain", "clause", "enforced" })
		assert.equal(1, broken["example.org cipher.rc4 true"])
		assert.equal(0, broken["example.org cipher.null true"])
		assert.equal(0, broken["example.org version.tls11 false"])
		assert.is_nil(broken["example.org support.abort true"])
		assert.is_nil(broken["other.example cipher.null true"])
	end)

	it("count findings", function ()
		assert.same({
			["example.org alarm"] = 1, ["example.org note"] = 1, ["other.example alarm"] = 0, ["other.example note"] = 0,
		}, values(page, "findings", { "domain", "kind" }))
	end)

	it("have each endpoint", function ()
		local order = { "domain", "service", "tls", "host", "address", "port" }
		local first = "example.org c2s starttls xmpp.example.org 192.0.2.1 5222"
		local unreached = "other.example s2s starttls xmpp.example.org 192.0.2.1 5269"
		local reached = values(page, "endpoint_reached", order)
		assert.same({ 1, 1, 0 }, {
			reached[first], reached["example.org c2s direct xmpp.example.org 192.0.2.1 5223"], reached[unreached],
		})
		assert.equal(0.42, values(page, "endpoint_duration_seconds", order)[first])
		assert.same({ [first] = 1800000000 }, values(page, "endpoint_certificate_not_after_timestamp_seconds", order))
	end)

	it("have no series twice, and no timestamps", function ()
		local twice = of { domain("example.org", { endpoint(), endpoint() }), domain("example.org", { endpoint() }) }
		local seen = {}
		for line in report_metrics.of(twice):gmatch "[^\n]+" do
			local series = not line:find "^#" and assert(line:match '^([%w_]+{?.-}?) [%d.e+-]+$', line)
			if series then
				assert.is_nil(seen[series], series)
				seen[series] = true
			end
		end
		assert.truthy(next(seen))
	end)

	it("escape what is not their own", function ()
		local evil = "a\"b\\c\nd\27\255"
		local shown = report_metrics.of(of { domain(evil, { endpoint({}, { host = evil }) }) })
		assert.truthy(shown:find([[xmpp_tls_audit_grade{domain="a\"b\\c\\010d\\027\\255",letter="A"} 1]], 1, true))
		assert.is_nil(shown:find "[%z\1-\9\11-\31\127-\255]")
	end)

	local has_promtool = process.run { "sh", "-c", "command -v promtool" } ~= ""
	local sentence = "are accepted by promtool, in OpenMetrics' words and in Prometheus's"
	if has_promtool then
		it(sentence, function ()
			assert.equal("", process.check({ "promtool", "check", "metrics" }, { input = page }))
			assert.equal("", process.check({ "promtool", "check", "metrics" }, { input = openmetrics.as_prometheus(page) }))
			local _, status = process.run({ "promtool", "check", "metrics" }, { input = page .. "x{ 1\n" })
			assert.is_true(status ~= 0)
		end)
	else
		pending(sentence .. " (the package prometheus, with promtool, is not installed: make deps-test)")
	end
end)
