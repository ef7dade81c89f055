local audit_reports = require "support.audit_reports"
local report_text = require "xmpp_tls_policy.audit.report_text"
local text = require "xmpp_tls_policy.text"

local endpoint, domain, of = audit_reports.endpoint, audit_reports.domain, audit_reports.of

-- One domain with a bad, a good and an unreached endpoint.
local function example()
	return of { domain("example.org", {
		endpoint { ["version.TLSv1"] = true, ["suites.rc4"] = { "TLS_RSA_WITH_RC4_128_SHA" }, early_data = "timed out" },
		endpoint({ ["certificate.expected"] = false, ["groups.hybrid"] = false }, { direct = true, port = 5223 }),
		audit_reports.unreached { service = "s2s", port = 5269, host = "2001:db8::1", address = "2001:db8::1" },
	}) }
end

local function many(count, changes)
	local domains = {}
	for index = 1, count do
		domains[index] = domain(("host%d.example"):format(index), { endpoint(index == 2 and changes or {}) })
	end
	return of(domains)
end

local function has(page, line)
	assert.truthy(page:find(line, 1, true), line .. "\n is not in\n" .. page)
end

describe("a report for a terminal", function ()
	local page = report_text.of(example(), { width = 120 })

	it("begins with the domain, its letter and the count", function ()
		assert.equal("example.org  F\n", page:match "^[^\n]*\n")
		has(page, "\ndraft-saintandre-xmpp-tls-02, level should: ")
	end)

	it("lists the endpoints, with the address if it is not the host's name", function ()
		has(page, "\n   1  c2s xmpp.example.org:5222 (192.0.2.1)             F  18 of 31 clauses hold, 4 broken")
		has(page, "\n   2  c2s direct TLS xmpp.example.org:5223 (192.0.2.1)  A  ")
		has(page, "\n   3  s2s [2001:db8::1]:5269                            ?  not reached: the connection was refused\n")
	end)

	it("has a row for each clause that an outsider can test, and names the others", function ()
		has(page, "\n  version.tls10       SHOULD NOT                   broken       holds        no answer\n")
		has(page, "\n  support.abort       MUST                         not asked    not asked    not asked\n")
		has(page, "\nNo outsider can see: resume.sealed, admin.status,")
		assert.is_nil(page:find "\n  admin%.status")
	end)

	it("says of each broken clause where and why", function ()
		has(page, "\n  cipher.rc4 (draft-saintandre-xmpp-tls-02, section 4.3, MUST NOT): RC4\n"
			.. "      c2s xmpp.example.org:5222: RC4 is accepted: TLS_RSA_WITH_RC4_128_SHA\n")
	end)

	it("says once why many clauses got no answer", function ()
		local _, count = page:gsub("the connection was refused\n      ", "")
		assert.equal(1, count)
	end)

	it("has alarms and notes", function ()
		has(page, "\nALARM  c2s direct TLS xmpp.example.org:5223: the certificate is none of those that were expected;")
		has(page, "\nNOTE   c2s direct TLS xmpp.example.org:5223: no hybrid group is accepted")
	end)

	it("has colours only if asked, and says the same with them", function ()
		assert.is_nil(page:find "\27")
		local coloured = report_text.of(example(), { width = 120, colours = true })
		has(coloured, "\27[1;31mbroken\27[0m")
		has(coloured, "\27[1;31mALARM\27[0m")
		has(coloured, "\27[32mholds\27[0m")
		assert.equal(page, (coloured:gsub("\27%[[%d;]*m", "")))
		local summary = many(5, { ["suites.rc4"] = true })
		assert.equal(report_text.of(summary), (report_text.of(summary, { colours = true }):gsub("\27%[[%d;]*m", "")))
	end)

	it("keeps to the width, but for the table of results", function ()
		for width = 40, 130, 15 do
			for line in report_text.of(example(), { width = width }):gmatch "[^\n]+" do
				local is_table = line:find "^  %l[%w.-]+ +%u" or line:find "^  %l[%w.-]+ +%l+ " or line:find "^ +%d  "
				local is_narrow = line:find "^ +" and #line:match "^ +" > width - 20
				assert.is_true(#line <= width or is_table ~= nil or is_narrow, ("%d: %s"):format(width, line))
			end
		end
	end)

	it("of more than three domains has a line for each, with what is broken", function ()
		has(report_text.of(many(3)), "\n  version.sslv2 ")
		local summary = report_text.of(many(4, { ["suites.rc4"] = true, ["plaintext.mechanisms"] = true }), { width = 200 })
		assert.is_nil(summary:find("\n  version.sslv2 ", 1, true))
		has(summary, "host1.example  A  22 of 31 clauses hold, 3 not asked for, 6 not visible from outside\n")
		has(summary, "\nhost2.example  F  20 of 31 clauses hold, 2 broken, 3 not asked for, 6 not visible from outside; "
			.. "broken: cipher.rc4, cipher.aead; ALARM: SASL is offered before TLS\n")
		has(summary, "\ndraft-saintandre-xmpp-tls-02, level should, 4 domains: 86 of 124 clauses hold, 2 broken")
	end)

	it("says why a domain has no endpoint", function ()
		local page_without = report_text.of(of { domain("example.org", {}, { reason = "the name does not exist" }) })
		has(page_without, "\nthe name does not exist\n")
		has(page_without, "\n  example.org: the name does not exist\n")
	end)

	it("shows text of strangers without control characters", function ()
		local evil = "\27[2J\r\n\226\128\174\255"
		local changes = { ["plaintext.features"] = { evil }, ["suites.rc4"] = { evil }, early_data = evil }
		for _, profile in ipairs { "rfc9325", "draft-saintandre-xmpp-tls-02" } do
			local made = of({ domain(evil, { endpoint(changes, { host = evil, address = evil }),
				audit_reports.unreached { reason = evil, host = evil } }, { reason = evil }) }, profile)
			local shown = report_text.of(made)
			assert.equal(shown, text.shown_lines(shown))
			assert.is_nil(shown:find "[%z\1-\9\11-\31\127]")
		end
	end)
end)
