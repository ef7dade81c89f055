-- The report as a page: what a browser makes of it.
local audit_reports = require "support.audit_reports"
local chromium = require "support.chromium"
local policies = require "xmpp_tls_policy.policy"
local profiles = require "xmpp_tls_policy.policy.profiles"
local report_html = require "xmpp_tls_policy.audit.report_html"

local endpoint, domain, of = audit_reports.endpoint, audit_reports.domain, audit_reports.of

-- A domain with a bad, a good and an unreached endpoint, and names as long as DNS allows.
local function example(profile)
	local long = ("a"):rep(63) .. "." .. ("b"):rep(63) .. "." .. ("c"):rep(63) .. ".example"
	return of({ domain(long, {
		endpoint({
			["version.TLSv1"] = true, ["suites.rc4"] = { "TLS_RSA_WITH_RC4_128_SHA" }, early_data = "timed out",
			["plaintext.mechanisms"] = true, ["alpn"] = ("x"):rep(200),
		}, { host = long }),
		endpoint({ ["certificate.expected"] = false, ["groups.hybrid"] = false }, {
			direct = true, port = 5223,
			certificate = {
				subject = "CN=" .. long, issuer = "CN=Authority", not_before = 1795000000, not_after = 1798276165,
				key = { type = "EC", bits = 256, curve = "secp256r1" }, signature = "ecdsa-with-SHA256",
				usages = { "serverAuth" }, sha256 = ("ab"):rep(32), spki_sha256 = ("cd"):rep(32), serial = ("ef"):rep(20),
				names = { dns = { long }, srv = {}, xmpp = {} },
				chain = { { subject = "CN=Authority", issuer = "CN=Root", key = { type = "RSA", bits = 4096 }, names = {} } },
			},
		}),
		audit_reports.unreached { service = "s2s", port = 5269, host = "2001:db8::1", address = "2001:db8::1" },
	}, { client = { observations = {} } }) }, profile)
end

local function many(count)
	local domains = {}
	for index = 1, count do
		local changes = index % 2 == 0 and { ["suites.rc4"] = true } or {}
		domains[index] = domain(("host%d.example"):format(index), { endpoint(changes) })
	end
	return of(domains)
end

-- Ids of all clauses of a profile.
local function ids_of(profile)
	local ids = {}
	for index, entry in ipairs(assert(policies.new { profile = profile }).clauses) do
		ids[index] = entry.id
	end
	table.sort(ids)
	return ids
end

local function sorted(list)
	table.sort(list)
	return list
end

describe("the page of a report", function ()
	it("loads nothing and runs nothing", function ()
		for _, made in ipairs { example(), many(3) } do
			local page = report_html.of(made)
			assert.is_nil(page:find "<script")
			assert.is_nil(page:find "%ssrc=")
			assert.is_nil(page:find "<link")
			assert.is_nil(page:find "url%(")
			assert.is_nil(page:find "@import")
			assert.is_nil(page:find "%son%l+=")
			for target in page:gmatch 'href="([^"]*)"' do
				assert.matches("^#d%d+$", target)
				assert.truthy(page:find('id="' .. target:sub(2) .. '"', 1, true))
			end
			assert.truthy(page:find([[content="default-src 'none'; style-src 'unsafe-inline'"]], 1, true))
		end
	end)

	it("has each clause of a profile once", function ()
		for _, profile in ipairs(profiles.names) do
			local names = {}
			for name in report_html.of(example(profile)):gmatch '<span class="name">([^<]*)</span>' do
				names[#names + 1] = name
			end
			assert.same(ids_of(profile), sorted(names))
		end
	end)

	it("shows a certificate with days and a key in words, whatever is missing", function ()
		local page = report_html.of(example())
		assert.truthy(page:find("<dt>valid</dt><dd>from 2026-11-18 to 2026-12-26</dd>", 1, true))
		assert.truthy(page:find("<dt>key</dt><dd>EC, 256 bits, secp256r1</dd>", 1, true))
		assert.truthy(page:find("<dt>sent after it, 1</dt><dd><dl><dt>subject</dt><dd>CN=Authority</dd>", 1, true))
		assert.truthy(page:find("<dd>from unknown to unknown</dd>", 1, true))
	end)

	it("is the same at each time", function ()
		assert.equal(report_html.of(example()), report_html.of(example()))
	end)

	it("has the worst domains first in its summary", function ()
		local page = report_html.of(many(4))
		local order = {}
		for number in page:gmatch 'href="#d(%d)"' do
			order[#order + 1] = tonumber(number)
		end
		assert.same({ 2, 4, 1, 3 }, order)
	end)

	it("of more than 100 domains has a line for each, and details only of problems", function ()
		local page = report_html.of(many(101))
		local _, lines = page:gsub('<div class="row">', "")
		assert.equal(101, lines)
		assert.truthy(page:find('<span class="name">cipher.rc4</span>', 1, true))
		assert.is_nil(page:find('<span class="name">version.sslv2</span>', 1, true))
		assert.truthy(report_html.of(many(100)):find('<span class="name">version.sslv2</span>', 1, true))
	end)

	it("escapes everything that is not its own", function ()
		local evil = "<script>alert(1)</script>\"'&\27[2J\226\128\174\255"
		local changes = { ["plaintext.features"] = { evil }, ["suites.rc4"] = { evil, { [evil] = evil } }, alpn = evil }
		local made = of { domain(evil, {
			endpoint(changes, { host = evil, address = evil, certificate = { [evil] = { evil, { evil } } } }),
			audit_reports.unreached { reason = evil, host = evil },
		}, { reason = evil, dns = { { name = evil } } }) }
		made.tool, made.time, made.profile, made.level = evil, evil, evil, evil
		for _, clause in ipairs(made.domains[1].clauses) do
			clause.level, clause.section, clause.document = evil, evil, evil
		end
		local page = report_html.of(made)
		assert.is_nil(page:find "<script")
		assert.is_nil(page:find "[%z\1-\8\11-\31\127\255]")
		assert.is_nil(page:find "\226\128\174")
		assert.is_nil(page:find "alert%(1%)[^&]")
	end)
end)

describe("in a browser, the page of a report", function ()
	local function in_browser(sentence, test)
		if chromium.is_installed then
			it(sentence, test)
		else
			pending(sentence .. " (the package chromium is not installed: make deps-test)")
		end
	end

	for _, width in ipairs { 400, 1280 } do
		in_browser(("at width %d does not scroll to the side, folded or not, and has no error"):format(width), function ()
			for _, made in ipairs { example(), many(5) } do
				local seen = chromium.open(report_html.of(made), width)
				assert.is_true(seen.width > width - 20 and seen.width <= width, tostring(seen.width))
				assert.equal(seen.width, seen.folded)
				assert.equal(seen.width, seen.unfolded)
				assert.same({ 0, 0 }, { seen.overflowing, seen.cramped })
				assert.same({}, seen.console)
				assert.same({ 0, 0, 1 }, { seen.scripts, seen.images, seen.sheets })
			end
		end)
	end

	for _, profile in ipairs { profiles.names[1], profiles.names[#profiles.names] } do
		in_browser("has each clause of " .. profile .. " once, to unfold", function ()
			local made = example(profile)
			local seen = chromium.open(report_html.of(made), 400)
			assert.same(ids_of(profile), sorted(seen.names))
			assert.equal("TLS audit of " .. made.domains[1].domain, seen.title)
			-- Those that are broken are unfolded.
			assert.equal(made.domains[1].count.broken, seen.open)
			assert.is_true(seen.open > 0)
			assert.truthy(seen.text:find("evidence of version.SSLv3", 1, true))
		end)
	end

	in_browser("has all clauses unfolded on paper", function ()
		local page = report_html.of(many(1))
		local folded = page:gsub("details%.clause::details%-content", "details.none")
		assert.is_true(chromium.sheets_of_paper(page) > chromium.sheets_of_paper(folded))
	end)

	in_browser("is dark for those who prefer it", function ()
		local page = report_html.of(many(2))
		local function brightness(is_dark)
			return tonumber(chromium.open(page, 400, is_dark).background:match "%d+")
		end
		assert.is_true(brightness(true) < 50)
		assert.is_true(brightness(false) > 200)
	end)
end)
