local audit_reports = require "support.audit_reports"
local observations = require "xmpp_tls_policy.audit.observations"
local report = require "xmpp_tls_policy.audit.report"

local endpoint, unreached, domain, of =
	audit_reports.endpoint, audit_reports.unreached, audit_reports.domain, audit_reports.of

local function clause(list, id)
	for _, found in ipairs(list) do
		if found.id == id then
			return found
		end
	end
end

describe("a report", function ()
	it("has the audit's policy and time", function ()
		local made = of({}, "rfc9325", "must")
		assert.same({ 1, "2026-11-26T08:00:00Z", "rfc9325", "RFC 9325", "must" },
			{ made.schema, made.time, made.profile, made.document, made.level })
	end)

	it("has all observations of an endpoint, and says of those that no probe made that they were not tested", function ()
		local given = endpoint()
		given.observations["compression"] = nil
		local observed = of { domain("example.org", { given }) }.domains[1].endpoints[1].observations
		assert.same({ reason = "no probe reported it" }, observed.compression)
		assert.is_nil(given.observations.compression)
		for name in pairs(observations.statements) do
			local is_optional = name:find "%*$" or name:find "^client%." or name:find "^certificate%.[test]"
				or name:find "^certificate%.ca"
			assert.is_true(observed[name] ~= nil or is_optional ~= nil, name)
		end
		assert.is_true(observed["version.SSLv2"].seen == false)
		for name in pairs(observed) do
			assert.is_nil(name:find "^client%.")
		end
	end)

	it("says why nothing was tested where an endpoint was not reached", function ()
		local made = of { domain("example.org", { unreached() }) }
		local found = made.domains[1].endpoints[1]
		assert.equal("?", found.grade)
		assert.same({ "not tested", "the connection was refused", "no answer" },
			{ found.clauses[1].result, found.clauses[1].sentence, found.clauses[1].cause })
		assert.equal(0, found.count.holds + found.count.broken)
		assert.equal(2, report.exit_status(made))
	end)

	it("says why nothing was tested where a domain has no endpoint", function ()
		local made = of { domain("example.org", {}, { reason = "the name does not exist" }) }
		assert.same({ "?", "the name does not exist" }, { made.domains[1].grade, made.domains[1].clauses[1].sentence })
		assert.equal(2, report.exit_status(made))
	end)

	it("is incomplete if a look-up failed, and does not say of a domain that it announces nothing", function ()
		local failed = { "SRV of _xmpps-client._tcp.example.org" }
		for _, case in ipairs {
			{ {}, {}, 0 }, { {}, failed, 2 }, { { ["suites.rc4"] = true }, failed, 1 }, { { compression = "no answer" }, {}, 2 },
		} do
			local given = domain("example.org", { endpoint(case[1]) }, { failed_lookups = case[2] })
			assert.equal(case[3], report.exit_status(of { given, domain("b.example", { endpoint() }) }))
			assert.equal(case[3], report.exit_status(of { domain("b.example", { endpoint() }), given }))
		end
		local function direct_tls(given)
			return clause(of({ domain("example.org", { endpoint() }, given) }, "rfc9325").domains[1].clauses,
				"support.direct").result
		end
		assert.equal("broken", direct_tls { failed_lookups = {} })
		assert.equal("not tested", direct_tls { failed_lookups = failed })
	end)

	it("merges the endpoints of a domain and names the one with the worst result", function ()
		local made = of { domain("example.org", {
			endpoint(), endpoint({ ["suites.rc4"] = true }, { service = "s2s", direct = true, port = 5270 }),
		}) }
		local merged = clause(made.domains[1].clauses, "cipher.rc4")
		assert.same({ "broken", "s2s direct TLS xmpp.example.org:5270: RC4 is accepted" }, { merged.result, merged.sentence })
		assert.equal("holds", clause(made.domains[1].clauses, "support.offer").result)
		assert.same({ "A", "F", "F" }, {
			made.domains[1].endpoints[1].grade, made.domains[1].endpoints[2].grade, made.domains[1].grade,
		})
		assert.equal(1, report.exit_status(made))
	end)

	it("takes what was seen of a server as a client into the clauses of its domain", function ()
		local given = domain("example.org", { endpoint() })
		assert.equal("not asked", clause(of({ given }).domains[1].clauses, "support.abort").cause)
		given.client = { observations = { ["client.aborts_without_starttls"] = observations.made(false, "it sent a hello") } }
		local made = of { given }
		local merged = clause(made.domains[1].clauses, "support.abort")
		assert.equal("broken", merged.result)
		assert.equal("as a client: the server goes on without TLS or tries it", merged.sentence)
		assert.equal("holds", clause(made.domains[1].clauses, "cipher.rc4").result)
	end)

	it("knows from the domain whether direct TLS is announced", function ()
		local with = { endpoint(), endpoint({}, { direct = true, port = 5223 }) }
		local function said(endpoints, fields)
			local made = of({ domain("example.org", endpoints, fields) }, "rfc9325")
			local found = clause(made.domains[1].endpoints[1].clauses, "support.direct")
			return found.cause or found.result
		end
		assert.equal("holds", said(with))
		assert.equal("broken", said { endpoint() })
		local asked_for = domain("example.org", { endpoint() })
		asked_for.dns = nil
		assert.equal("not asked", clause(of({ asked_for }, "rfc9325").domains[1].clauses, "support.direct").cause)
	end)

	it("counts over all domains", function ()
		local made = of { domain("a.example", { endpoint() }), domain("b.example", { endpoint { ["suites.rc4"] = true } }) }
		assert.equal(62, made.count.clauses)
		assert.equal(1, made.count.must_broken)
	end)

	it("has an alarm for an unexpected certificate, which fails the audit", function ()
		local made = of { domain("example.org", { endpoint { ["certificate.expected"] = false } }) }
		assert.equal("A", made.domains[1].grade)
		assert.same({ "alarm", "certificate.expected" }, {
			made.domains[1].endpoints[1].findings[1].kind, made.domains[1].endpoints[1].findings[1].observation,
		})
		assert.same({ 1, 1 }, { made.alarms, report.exit_status(made) })
	end)

	it("has a note, which does not fail it, for a hybrid group that is missing", function ()
		local made = of { domain("example.org", { endpoint { ["groups.hybrid"] = false } }) }
		assert.equal("note", made.domains[1].endpoints[1].findings[1].kind)
		assert.same({ 0, 0 }, { made.alarms, report.exit_status(made) })
	end)

	it("has exit status 0 when a clause is broken that the level does not enforce", function ()
		local weak = { domain("example.org", { endpoint { ["version.TLSv1"] = true } }) }
		assert.equal(0, report.exit_status(of(weak, nil, "must")))
		assert.equal(1, report.exit_status(of(weak, nil, "should")))
	end)
end)

describe("a sentence about a count", function ()
	it("says only what there is", function ()
		local count = { clauses = 9, holds = 3, broken = 1, not_offered = 0, unanswered = 0, not_asked = 0, inside = 0 }
		assert.equal("3 of 9 clauses hold, 1 broken", report.sentence(count))
		count.broken, count.not_offered, count.unanswered, count.not_asked, count.inside = 0, 1, 2, 3, 4
		assert.equal("3 of 9 clauses hold, 2 without an answer, 1 not offered, 3 not asked for, 4 not visible from outside",
			report.sentence(count))
	end)
end)
