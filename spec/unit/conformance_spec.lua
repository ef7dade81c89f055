-- Each rule of an RFC and each clause has code and a spec that name it.
local report = require "conformance.report"
local sources = require "conformance.sources"

-- Put together here, so that no search finds ids of rules that there are not.
local function id(name)
	return "rfc9999" .. ".1." .. name
end

local given_sources = sources.read()

describe("the rules and clauses", function ()
	local given = given_sources

	it("are named by the code and by the specs that hold them, or a gap is on record", function ()
		local entries, problems = report.of(given)
		assert.same({}, problems)
		assert.is_true(#entries > 100)
	end)

	it("have ids of a document, a section and a name, each once, and a statement", function ()
		local seen = {}
		for _, rule in ipairs(given.rules) do
			assert.is_nil(seen[rule.id], rule.id)
			seen[rule.id] = true
			assert.matches("^[RX][FE][CP][ -]%d+$", rule.document, nil, nil, rule.id)
			assert.equal(rule.id, ("%s.%s.%s"):format(rule.document:lower():gsub("[ -]", ""), rule.section,
				rule.id:match "[%l%d%-]+$"))
			assert.is_true(#rule.statement > 10, rule.id)
			assert.is_nil(given.clauses[rule.id])
		end
	end)
end)

describe("the report of rules and clauses", function ()
	local function inside()
		return { result = "not tested", cause = "inside", sentence = "it is a secret", observations = {} }
	end

	-- The problems where one rule is in code and in a spec, and one clause is its own code and in a spec;
	-- after `change`, a function of all that is given.
	local function problems_after(change)
		local given = {
			rules = { { id = id "held", document = "RFC 9999", statement = "a rule" } },
			clauses = { ["key.short"] = { statement = "a clause", judge = function () end, probe = inside } },
			profiles = { draft = {
				entries = { { clause = "key.short", document = "RFC 9998", section = "1", level = "MUST" } },
			} },
			code = {
				["c/a.c"] = ("/* As %s says. RFC 9998 4.1. */"):format(id "held"),
				["lua/clauses.lua"] = "id = 'key.short'",
			},
			specs = { ["spec/a_spec.lua"] = ("it('%s: holds, key.short: too.')"):format(id "held") },
			clause_table = "lua/clauses.lua", lists_of_clauses = { ["lua/clauses.lua"] = true },
		}
		change(given)
		return select(2, report.of(given))
	end

	for expected, change in pairs {
		[""] = function () end,
		[id "held" .. ": no code names it"] = function (given) given.code["c/a.c"] = "" end,
		[id "held" .. ": no spec names it, and no gap is on record"] = function (given)
			given.specs["spec/a_spec.lua"] = "key.short"
		end,
		[id "held" .. ": a spec names it, but a gap is on record"] = function (given) given.rules[1].gap = "a fault" end,
		["key.short: no code names it"] = function (given) given.clauses["key.short"].judge = nil end,
		["key.short: no probe, and no reason why there is none"] = function (given)
			given.clauses["key.short"].probe = nil
		end,
		["key.short: no profile has it"] = function (given)
			given.profiles.draft.entries[1].clause = "key.long"
		end,
		["key.short: no spec names it, and no gap is on record"] = function (given)
			given.specs["spec/a_spec.lua"] = id "held" .. " key.shorter, a.key.short, key.short_one, key.short-one"
		end,
		[id "unknown" .. ": not defined, but named in c/b.c"] = function (given)
			given.code["c/b.c"] = ("(%s)."):format(id "unknown")
		end,
		[id "unknown" .. ": not defined, but named in spec/b_spec.lua"] = function (given)
			given.specs["spec/b_spec.lua"] = id "unknown"
		end,
		["c/b.c: cites a section of RFC 9999 without the id of a rule"] = function (given)
			given.code["c/b.c"] = "/* RFC 9999 1. */"
		end,
		["lua/b.lua: cites a section of XEP-9999 without the id of a rule"] = function (given)
			given.code["lua/b.lua"] = "-- See XEP-9999, section 1"
		end,
	} do
		it("says: " .. (expected ~= "" and expected or "nothing"), function ()
			assert.equal(expected, table.concat(problems_after(change), "\n"))
		end)
	end

	it("says nothing of a rule without a spec if a gap is on record", function ()
		assert.same({}, problems_after(function (given)
			given.rules[1].gap, given.specs["spec/a_spec.lua"] = "a fault", "key.short"
		end))
	end)

	it("finds the id of a clause in code that is no part of the table of clauses", function ()
		assert.same({}, problems_after(function (given)
			given.clauses["key.short"].judge, given.code["lua/b.lua"] = nil, "-- (key.short)."
		end))
	end)

	it("says which profiles have a clause, with document, section and level", function ()
		for _, entry in ipairs(report.of(given_sources)) do
			if entry.id == "group.secp256r1" then
				return assert.equal("bcp195-2026-07 (RFC 8446 9.1, MUST)", entry.profiles[1])
			end
		end
		error "no such clause"
	end)

	it("says which clause an outsider can test, and why not", function ()
		local entries = report.of(given_sources)
		local probes = {}
		for _, entry in ipairs(entries) do
			assert.equal(entry.is_clause or false, entry.probe ~= nil, entry.id)
			probes[entry.id] = entry.probe
		end
		assert.equal("from outside", probes["version.tls10"])
		assert.equal("none: only an administrator of the server sees it", probes["admin.status"])
	end)

	it("asks for the id of a rule of a document that has rules, though a clause comes from it, too", function ()
		assert.same({ "c/b.c: cites a section of RFC 9999 without the id of a rule" }, problems_after(function (given)
			given.profiles.draft.entries[2] = { clause = "key.short", document = "RFC 9999", section = "1", level = "MUST" }
			given.code["c/b.c"] = "/* RFC 9999 1. */"
		end))
	end)

	it("takes a document without a section for no citation", function ()
		assert.same({}, problems_after(function (given)
			given.code["lua/b.lua"] = "RFC 9999, and per RFC 9999, 9998; XEP-9999"
		end))
	end)
end)
