local audit_reports = require "support.audit_reports"
local json = require "dkjson"
local report_compare = require "xmpp_tls_policy.audit.report_compare"
local report_json = require "xmpp_tls_policy.audit.report_json"

local endpoint, domain, of = audit_reports.endpoint, audit_reports.domain, audit_reports.of
local PLACE = "c2s xmpp.example.org:5222 (192.0.2.1)"

local function one(...)
	return of { domain("example.org", { endpoint(...) }) }
end

-- The changes between two reports, in words.
local function changes(old, new)
	local found, words = report_compare.of(old, new), {}
	for index, change in ipairs(found.changes) do
		words[index] = ("%s: %s%s: %s"):format(change.direction, change.domain, change.where and ", " .. change.where or "",
			change.sentence)
	end
	return words
end

describe("two reports", function ()
	it("of the same have no change, also after one was written and read", function ()
		local made = of { domain("example.org", { endpoint { ["suites.rc4"] = true }, endpoint({}, { service = "s2s" }) }, {
			client = { observations = {} },
		}) }
		assert.same({}, changes(made, made))
		assert.same({}, changes(assert(report_json.decode(report_json.encode(made))), made))
	end)

	it("differ in results of clauses, for worse and for better", function ()
		local good, bad = one(), one { ["starttls.required"] = false }
		assert.same({
			"worse: example.org: letter C, was A",
			"worse: example.org, " .. PLACE .. ": support.required: broken, was holds: the offer does not say <required/>",
		}, changes(good, bad))
		assert.same({
			"better: example.org: letter A, was C",
			"better: example.org, " .. PLACE .. ": support.required: holds, was broken: the offer says <required/>",
		}, changes(bad, good))
	end)

	it("never call it better that a clause was not tested", function ()
		local bad, untested = one { ["suites.null"] = true }, one { ["suites.null"] = "timed out" }
		for _, words in ipairs(changes(bad, untested)) do
			assert.is_nil(words:find "^better: example.org, ")
		end
		assert.same("other: example.org, " .. PLACE .. ": cipher.null: not tested, was broken: timed out",
			changes(bad, untested)[2])
		assert.same("worse: example.org, " .. PLACE .. ": cipher.null: broken, was not tested: NULL encryption is accepted",
			changes(untested, bad)[2])
	end)

	it("differ in endpoints and domains", function ()
		local other = endpoint({}, { port = 5223, direct = true })
		local old = of { domain("example.org", { endpoint() }), domain("gone.example", { endpoint() }) }
		local new = of { domain("example.org", { other }), domain("new.example", { endpoint() }) }
		assert.same({
			"other: example.org, c2s direct TLS xmpp.example.org:5223 (192.0.2.1): a new endpoint, letter A",
			"other: example.org, " .. PLACE .. ": no longer an endpoint",
			"other: new.example: a new domain, letter A",
			"other: gone.example: no longer audited",
		}, changes(old, new))
	end)

	it("differ in one line where an endpoint is not reached, or again", function ()
		local unreached = of { domain("example.org", { audit_reports.unreached() }) }
		assert.same({
			"other: example.org: letter ?, was A",
			"worse: example.org, " .. PLACE .. ": not reached: the connection was refused",
		}, changes(one(), unreached))
		assert.same({ "other: example.org: letter A, was ?", "better: example.org, " .. PLACE .. ": reached again" },
			changes(unreached, one()))
	end)

	it("differ in certificates, and in whether the key is another", function ()
		local function with(sha256, key)
			return one({}, { certificate = { sha256 = sha256, spki_sha256 = key } })
		end
		assert.same({ "other: example.org, " .. PLACE .. ": another certificate, the same key: SHA-256 bb, was aa" },
			changes(with("aa", "k"), with("bb", "k")))
		assert.same({ "other: example.org, " .. PLACE .. ": another certificate, another key: SHA-256 bb, was aa" },
			changes(with("aa", "k"), with("bb", "l")))
		assert.same({}, changes(with("aa", "k"), with("aa", "k")))
		assert.same({}, changes(with(nil, nil), with("aa", "k")))
	end)

	it("differ in findings", function ()
		local old, new = one { ["groups.hybrid"] = false }, one { ["certificate.expected"] = false }
		assert.same({
			"worse: example.org, " .. PLACE .. ": new alarm: the certificate is none of those that were expected; "
				.. "someone may stand between you and the server",
			"better: example.org, " .. PLACE .. ": no longer: no hybrid group is accepted: a later quantum computer can read "
				.. "recorded traffic",
		}, changes(old, new))
	end)

	it("differ in what is accepted, where no clause is concerned", function ()
		for _, case in ipairs {
			{ "groups.accepted", { "x25519" }, { "x25519", "secp256r1" }, "also secp256r1" },
			{ "groups.accepted", { "x448", "x25519", "secp384r1" }, { "x25519", "secp256r1" },
				"also secp256r1, no longer x448, secp384r1" },
			{ "groups.accepted", { "x25519", "secp256r1" }, { "secp256r1", "x25519" }, "in another order" },
			{ "groups.accepted", { "x25519" }, {}, "no longer x25519" },
			{ "dhe.bits", 4096, 3072, "3072, was 4096" },
			{ "channel_binding.types", { ["TLSv1.3"] = { "tls-exporter" }, ["TLSv1.1"] = { "tls-unique" } },
				{ ["TLSv1.3"] = { "tls-exporter", "tls-server-end-point" }, ["TLSv1.2"] = { "tls-unique" } },
				"TLSv1.1 no longer tls-unique; TLSv1.2 also tls-unique; TLSv1.3 also tls-server-end-point" },
			{ "channel_binding.types", { ["TLSv1.3"] = { "tls-exporter" } }, { ["TLSv1.3"] = { a = 1 } }, "TLSv1.3 changed" },
		} do
			local name, before, now = case[1], case[2], case[3]
			local words = changes(one { [name] = before }, one { [name] = now })
			assert.equal(("other: example.org, %s: %s: %s"):format(PLACE, name, case[4]), words[#words])
			assert.same({}, changes(one { [name] = now }, one { [name] = now }))
		end
	end)

	it("differ in the server as a client", function ()
		local function with(seen)
			return of { domain("example.org", { endpoint() }, { client = { observations = {
				["client.ignores_required"] = { seen = seen, evidence = "" },
			} } }) }
		end
		assert.same({
			"worse: example.org: letter F, was A",
			"worse: example.org, as a client: support.flag: broken, was holds: the server starts TLS only after <required/>",
		}, changes(with(true), with(false)))
	end)

	it("of different policies say so, and compare the clauses of both", function ()
		local weak = { domain("example.org", { endpoint { ["suites.cbc"] = true } }) }
		local found = report_compare.of(of(weak, nil, "must"), of(weak, "rfc9325"))
		assert.equal("the policy is rfc9325, level should; it was draft-saintandre-xmpp-tls-02, level must", found.policy)
		assert.matches("\nthe policy is rfc9325, level should;", report_compare.text(found))
		assert.is_nil(report_compare.of(of(weak), of(weak)).policy)
	end)
end)

-- A report of one endpoint with few clauses and observations, which a JSON text can have in any wrong way.
local function small()
	local made = of { domain("example.org", { endpoint {
		["groups.accepted"] = { "x25519" }, ["channel_binding.types"] = { ["TLSv1.3"] = { "tls-exporter" } },
		["groups.hybrid"] = false,
	} }, { client = { observations = {} } }) }
	local found = made.domains[1]
	for _, place in ipairs { found, found.endpoints[1], found.client } do
		place.clauses = { place.clauses[1], place.clauses[12] }
	end
	local observed = found.endpoints[1].observations
	found.endpoints[1].observations = {}
	for _, name in ipairs { "groups.accepted", "channel_binding.types", "dhe.bits", "suites.accepted" } do
		found.endpoints[1].observations[name] = observed[name]
	end
	return made
end

-- Calls visit(table, key) for each value in a table and in the tables in it.
local function each_place(value, visit)
	for key, inner in pairs(value) do
		visit(value, key)
		if type(inner) == "table" then
			each_place(inner, visit)
		end
	end
end

describe("an old report with any value changed", function ()
	it("is refused by the reader, or can be compared", function ()
		local made, compared, refused = small(), 0, 0
		local others = { json.null, true, 3, -1 / 3, "x", {}, { 1, { 2 } }, { a = { "b", c = false } } }
		for _, other in ipairs(others) do
			local old = json.decode(report_json.encode(made))
			local places = {}
			each_place(old, function (map, key)
				places[#places + 1] = { map, key }
			end)
			for _, place in ipairs(places) do
				local map, key = place[1], place[2]
				local before = map[key]
				map[key] = other
				local read, problem = report_json.decode(json.encode(old))
				map[key] = before
				if read then
					compared = compared + 1
					-- An address in memory says nothing.
					assert.not_matches("table: ", report_compare.text(report_compare.of(read, made)))
					assert.not_matches("table: ", report_compare.text(report_compare.of(made, read)))
				else
					refused = refused + 1
					assert.matches("^[%a\"]", problem)
				end
			end
		end
		assert.is_true(compared > 200 and refused > 500, ("%d compared, %d refused"):format(compared, refused))
	end)
end)

describe("the text of a comparison", function ()
	local found = report_compare.of(one { ["suites.null"] = true },
		one { ["starttls.required"] = false, ["groups.accepted"] = { "x25519", "secp256r1" } })
	local shown = report_compare.text(found)

	it("counts, and marks the worse and the better", function ()
		assert.matches("^Since 2026%-11%-26T08:00:00Z: %d worse, %d better, 1 other\n", shown)
		assert.truthy(shown:find("\n- example.org, " .. PLACE .. ": support.required: broken, was holds: ", 1, true))
		assert.truthy(shown:find("\n+ example.org, " .. PLACE .. ": cipher.null: holds, was broken: ", 1, true))
		assert.truthy(shown:find("\n  example.org, " .. PLACE .. ": groups.accepted: ", 1, true))
	end)

	it("has colours only if asked, and shows no control characters of strangers", function ()
		assert.is_nil(shown:find "\27")
		local coloured = report_compare.text(found, { colours = true })
		assert.truthy(coloured:find "\27%[31m%- ")
		assert.equal(shown, (coloured:gsub("\27%[%d*m", "")))
		local evil = one({ ["groups.accepted"] = { "\27[2J\n\255" } }, { host = "\27[2J" })
		evil.time, evil.profile = "\27[2J", "\27[2J"
		assert.is_nil(report_compare.text(report_compare.of(evil, one())):find "[%z\1-\9\11-\31\127-\255]")
		assert.is_nil(report_compare.text(report_compare.of(one(), evil)):find "[%z\1-\9\11-\31\127-\255]")
	end)
end)
