local grade = require "xmpp_tls_policy.audit.grade"
local observed_endpoint = require "support.observed_endpoint"
local policies = require "xmpp_tls_policy.policy"

local endpoint = { service = "c2s", direct = false }

local function results_of(changes, options)
	return grade.clauses(assert(policies.new(options)), observed_endpoint.new(changes), endpoint)
end

local function letter(changes, options)
	return grade.letter(grade.count(results_of(changes, options)))
end

local function by_id(results)
	local map = {}
	for _, result in ipairs(results) do
		map[result.id] = result
	end
	return map
end

describe("the results of clauses", function ()
	it("come in the profile's order, with what the profile says of each", function ()
		local policy = assert(policies.new { profile = "rfc9325" })
		local results = grade.clauses(policy, observed_endpoint.new(), endpoint)
		assert.equal(#policy.clauses, #results)
		for index, entry in ipairs(policy.clauses) do
			for field, value in pairs(entry) do
				assert.equal(value, results[index][field])
			end
		end
	end)

	it("never say that a clause is broken that the document only allows", function ()
		local results = by_id(results_of { ["version.TLSv1.1"] = true, ["sni.wrong"] = false })
		assert.same({ "holds", "TLS 1.1 is accepted; the document allows it" },
			{ results["version.tls11"].result, results["version.tls11"].sentence })
		assert.equal("holds", results["sni.harmless"].result)
	end)

	it("are strict only for clauses that the level enforces", function ()
		local changes = { ["suites.cbc"] = true }
		assert.equal("broken", by_id(results_of(changes, { level = "should" }))["cipher.aead"].result)
		assert.equal("holds", by_id(results_of(changes, { level = "must" }))["cipher.aead"].result)
	end)
end)

describe("merged results", function ()
	-- What one endpoint says of a clause -> another -> both.
	local function result(kind)
		local tested = kind ~= "no answer" and kind ~= "not asked" and kind ~= "inside"
		return {
			id = "key.short", at = "must", enforced = true, result = tested and kind or "not tested",
			cause = not tested and kind or nil, sentence = "as " .. kind, observations = {},
		}
	end
	local from_worst = { "broken", "no answer", "holds", "not offered", "not asked", "inside" }

	for first, one in ipairs(from_worst) do
		for second, other in ipairs(from_worst) do
			local worse = math.min(first, second)
			it(("of %s and %s are %s"):format(one, other, from_worst[worse]), function ()
				local merged = grade.merged({ { result(one) }, { result(other) } }, { "A", "B" })
				local expected = result(from_worst[worse])
				if worse <= 2 then
					expected.sentence = (first <= second and "A: " or "B: ") .. expected.sentence
				end
				assert.same({ expected }, merged)
			end)
		end
	end

	it("of one list are that list", function ()
		local results = results_of { ["suites.rc4"] = true }
		assert.same(results, grade.merged({ results }, { "A" }))
	end)
end)

describe("the count", function ()
	it("counts results, and those that are broken or got no answer by what enforces them", function ()
		local count = grade.count(results_of({
			["suites.rc4"] = true, ["version.TLSv1"] = true, ["suites.null"] = "timed out", ["starttls.required"] = "timed out",
		}, { level = "must" }))
		assert.same({ 31, 31 }, { count.clauses, count.holds + count.broken + count.not_offered + count.not_tested })
		assert.same({ must = 1, should = 1, enforced = 1, none = 2, enforced_none = 1 }, {
			must = count.must_broken, should = count.should_broken, enforced = count.enforced_broken,
			none = count.unanswered, enforced_none = count.enforced_unanswered,
		})
		assert.equal(2, count.broken)
		assert.equal(count.not_tested, count.unanswered + count.not_asked + count.inside)
		assert.same({ 3, 6 }, { count.not_asked, count.inside })
	end)
end)

describe("the letter", function ()
	for _, case in ipairs {
		{ "A", {} },
		{ "F", { ["suites.rc4"] = true } },
		{ "F", { ["starttls.offered"] = false } },
		{ "F", { ["certificate.trusted"] = false } },
		{ "C", { ["version.TLSv1"] = true } },
		{ "C", { ["version.TLSv1"] = true, ["suites.null"] = "timed out" } },
		{ "D", { ["version.TLSv1"] = true, ["suites.cbc"] = true, ["starttls.required"] = false, ["dhe.bits"] = 1024 } },
		{ "B", { ["suites.null"] = "timed out" } },
	} do
		local words = {}
		for name, change in pairs(case[2]) do
			words[#words + 1] = ("%s %s"):format(name, tostring(change))
		end
		table.sort(words)
		it(("is %s after %s"):format(case[1], words[1] and table.concat(words, ", ") or "no change"), function ()
			assert.equal(case[1], letter(case[2]))
		end)
	end

	it("is the same at both levels where no preference is at stake", function ()
		assert.equal("C", letter({ ["version.TLSv1"] = true, ["suites.rc4"] = false }, { level = "must" }))
		assert.equal("F", letter({ ["suites.rc4"] = true }, { level = "must" }))
	end)

	it("is no letter when half of the clauses got no answer, or nothing was tested", function ()
		local refused = {}
		for name in pairs(observed_endpoint.new()) do
			refused[name] = "refused"
		end
		assert.equal("?", letter(refused))
		assert.equal("?", grade.letter(grade.count {}))
	end)

	it("of two counts is never better for more broken clauses", function ()
		local rank = { A = 1, B = 2, C = 3, D = 4, ["?"] = 5, F = 6 }
		for must = 0, 2 do
			for should = 0, 5 do
				for unanswered = 0, 3 do
					local function of(more_must, more_should)
						return rank[grade.letter {
							clauses = 31, not_tested = 8 + unanswered, unanswered = unanswered, must_broken = must + more_must,
							should_broken = should + more_should,
						}]
					end
					assert.is_true(of(1, 0) >= of(0, 0))
					assert.is_true(of(0, 1) >= of(0, 0))
				end
			end
		end
	end)
end)
