-- The peers that a policy in report mode would cut off.
local date = require "xmpp_tls_policy.date"
local report = require "xmpp_tls_policy.stream.cutoff_report"

local DAY = 86400
local good = { refuse = false, broken = {} }

local function bad(...)
	local verdict = { refuse = true, broken = {} }
	for index, clause in ipairs { ... } do
		verdict.broken[index] = { clause = clause, enforced = true, text = clause .. " is broken" }
	end
	return verdict
end

describe("a report", function ()
	local now, seen

	before_each(function ()
		now = date.begins "2026-11-01"
		seen = report.new { now = function () return now end }
	end)

	it("lists the peers that the policy would cut off, with the clauses, and when last", function ()
		seen:see("client", "alice@example.test", "the policy", good, {})
		seen:see("server", "old.example", "the policy", bad("version.tls12", "cipher.aead"),
			{ level = "must", exception = true })
		now = now + 60
		seen:see("server", "old.example", "the policy", bad "cipher.aead", { level = "must", exception = true })
		seen:see("client", "bob@example.test", "the policy", bad "support.required", {})
		assert.same({
			{ kind = "client", name = "bob@example.test", kept_by_level = false, kept_by_exception = false,
				clauses = { { clause = "support.required", last = now, text = "support.required is broken" } } },
			{ kind = "server", name = "old.example", kept_by_level = true, kept_by_exception = true, clauses = {
				{ clause = "cipher.aead", last = now, text = "cipher.aead is broken" },
				{ clause = "version.tls12", last = now - 60, text = "version.tls12 is broken" },
			} },
		}, seen:list())
		assert.same({ clients = 2, servers = 1, since = now - 60 }, seen:counts())
	end)

	it("does not count breaches that are not enforced", function ()
		local verdict = bad "cipher.aead"
		verdict.broken[2] = { clause = "compress.tls", enforced = false, text = "x" }
		seen:see("client", "alice@example.test", "the policy", verdict, {})
		assert.equal(1, #seen:list()[1].clauses)
	end)

	it("asks for a line in the log once a day for a peer", function ()
		assert.is_false(seen:see("server", "good.example", "the policy", good, {}))
		assert.is_true(seen:see("server", "old.example", "the policy", bad "cipher.aead", {}))
		assert.is_false(seen:see("server", "old.example", "the policy", bad "cipher.fs", {}))
		assert.is_true(seen:see("server", "older.example", "the policy", bad "cipher.fs", {}))
		now = now + DAY
		assert.is_true(seen:see("server", "old.example", "the policy", bad "cipher.aead", {}))
	end)

	it("sums up in plain words", function ()
		assert.same({ "0 clients and 0 servers were seen since 2026-11-01. Of all in the last 30 days, 0 would be cut off." },
			seen:estimate "must")
		seen:see("client", "alice@example.test", "the policy", good, {})
		assert.same({ "1 client and 0 servers were seen since 2026-11-01. Of all in the last 30 days, 0 would be cut off." },
			seen:estimate "must")
		seen:see("client", "bob@example.test", "the policy", bad "cipher.aead", { level = "must" })
		seen:see("server", "old.example", "the policy", bad "cipher.aead", { level = "must", exception = true })
		seen:see("server", "plain.example", "the policy", bad "unauth.encrypt", { exception = true })
		seen:see("server", "older.example", "the policy", bad "version.sslv3", {})
		assert.same({
			"2 clients and 3 servers were seen since 2026-11-01. Of all in the last 30 days, 4 would be cut off.",
			'level = "must" would keep 2 of them: bob@example.test, old.example.',
			"An exception for each would keep 2: old.example, plain.example.",
			"Only a change on their own side would keep 1: older.example.",
		}, seen:estimate "must")
		assert.is_nil(table.concat(seen:estimate(nil)):find "level")
	end)

	it("takes a peer for kept only if one thing keeps it in all", function ()
		seen:see("server", "old.example", "the policy", bad "cipher.aead", { level = "must", exception = true })
		seen:see("server", "old.example", "the policy", bad "version.sslv3", {})
		assert.same({ false, false }, { seen:list()[1].kept_by_level, seen:list()[1].kept_by_exception })
	end)

	it("forgets after thirty days the breaches that did not happen again", function ()
		seen:see("server", "old.example", "the policy", bad "cipher.aead", {})
		now = now + 30 * DAY
		assert.equal(1, #seen:list())
		now = now + 1
		assert.equal(0, #seen:list())
		seen:changes()
		seen:see("server", "old.example", "the policy", good, {})
		-- Nothing is left of the peer.
		assert.same({ ["server old.example"] = false }, seen:changes())
	end)

	it("forgets old peers although they do not come again, and stores of no others", function ()
		seen:see("client", "alice@example.test", "the policy", good, {})
		seen:see("client", "bob@example.test", "the policy", bad "cipher.aead", {})
		seen:see("server", "old.example", "the policy", bad("cipher.aead", "cipher.fs"), {})
		local stored = seen:changes()
		assert.is_nil(stored["client alice@example.test"])
		assert.same({ "bob@example.test", "old.example" }, {
			stored["client bob@example.test"].name, stored["server old.example"].name,
		})
		now = now + 20 * DAY
		seen:see("server", "old.example", "the policy", bad "cipher.aead", {})
		seen:see("server", "new.example", "the policy", good, {})
		seen:changes()
		now = now + 10 * DAY + 1
		seen:sweep()
		local changes = seen:changes()
		assert.is_false(changes["client bob@example.test"])
		assert.same({ "cipher.aead" }, { (next(changes["server old.example"].broken)) })
		assert.same({ clients = 0, servers = 2, since = now - 30 * DAY }, seen:counts())
		now = now + 20 * DAY
		seen:sweep()
		assert.same({ ["server old.example"] = false }, seen:changes())
		assert.same({ clients = 0, servers = 0, since = now - 30 * DAY }, seen:counts())
		assert.same({}, seen:list())
	end)

	it("forgets one peer", function ()
		seen:see("client", "bob@example.test", "the policy", bad "cipher.aead", {})
		seen:see("client", "alice@example.test", "the policy", good, {})
		seen:changes()
		for _, name in ipairs { "bob@example.test", "alice@example.test", "nobody@example.test" } do
			seen:forget("client", name)
		end
		assert.same({ ["client bob@example.test"] = false }, seen:changes())
		assert.same({ {}, 0 }, { seen:list(), seen:counts().clients })
	end)

	it("counts nothing from under another policy, once the peer came again", function ()
		seen:see("server", "old.example", "one policy", bad "cipher.aead", {})
		assert.equal(1, #seen:list())
		seen:see("server", "old.example", "another policy", good, {})
		assert.equal(0, #seen:list())
	end)

	it("has nothing to store when a peer comes again on the same day", function ()
		seen:see("server", "old.example", "the policy", bad "cipher.aead", {})
		assert.is_truthy(seen:changes())
		now = now + 60
		seen:see("server", "old.example", "the policy", bad "cipher.aead", {})
		assert.is_nil(seen:changes())
		seen:see("server", "old.example", "the policy", bad "cipher.fs", {})
		assert.is_truthy(seen:changes())
		now = now + DAY
		seen:see("server", "old.example", "the policy", good, {})
		assert.is_nil(seen:changes())
	end)

	it("keeps peers that came on several days, if somebody invents many names", function ()
		for day = 1, 2 do
			now = date.begins "2026-11-01" + day * DAY
			seen:see("server", "real.example", "the policy", bad "cipher.aead", {})
		end
		for number = 1, 2 * report.MOST_PEERS do
			seen:see("server", number .. ".example", "the policy", bad "cipher.aead", {})
		end
		local found = false
		for _, entry in ipairs(seen:list()) do
			found = found or entry.name == "real.example"
		end
		assert.is_true(found)
	end)

	it("is stored by its changes, and goes on from them", function ()
		local stored = {}
		local function store()
			for key, peer in pairs(seen:changes() or {}) do
				stored[key] = peer or nil
			end
		end
		seen:see("client", "alice@example.test", "the policy", good, {})
		seen:see("server", "old.example", "the policy", bad "cipher.aead", { level = "must", exception = true })
		local before = seen:list()
		store()
		assert.is_nil(seen:changes())
		local again = report.new { now = function () return now end }
		for _, peer in pairs(stored) do
			assert.is_true(again:take(peer))
		end
		assert.same(before, again:list())
		assert.is_false(again:see("server", "old.example", "the policy", bad "cipher.aead", {}))
		assert.is_nil(again:changes())
	end)

	it("keeps changes that could not be stored for the next time", function ()
		seen:see("client", "alice@example.test", "the policy", bad "cipher.aead", {})
		local changes = seen:changes()
		assert.is_nil(seen:changes())
		seen:restore(assert(next(changes)))
		assert.same(changes, seen:changes())
	end)

	it("takes in no stored peer that is damaged, and none that it knows by now", function ()
		for _, damaged in ipairs {
			1, "x", {}, { kind = "x", name = "f", first = 1, last = 1, broken = {} },
			{ kind = "server", name = "c", first = 1, last = 1 },
			{ kind = "server", name = "d", first = 1, last = 1, broken = { ["cipher.aead"] = true } },
			{ kind = "server", name = "e", first = 1, last = 1, broken = { ["cipher.aead"] = { last = "x", text = "" } } },
		} do
			assert.is_false(seen:take(damaged))
		end
		local breach = { last = now, text = "an older breach" }
		seen:see("server", "old.example", "the policy", bad "cipher.fs", {})
		assert.is_true(seen:take { kind = "server", name = "old.example", first = 1, last = 1, broken = { x = breach } })
		assert.equal("cipher.fs", seen:list()[1].clauses[1].clause)
		assert.is_nil(seen:list()[2])
		-- One that is to be stored again, as it came from an older list.
		seen:changes()
		assert.is_true(seen:take({ kind = "server", name = "b.example", first = 1, last = 1, broken = { x = breach } }, true))
		assert.equal("b.example", seen:changes()["server b.example"].name)
	end)

	it("is bounded, and keeps the peers that the policy would cut off for longest", function ()
		seen:see("server", "old.example", "the policy", bad "cipher.aead", {})
		now = now + DAY
		seen:see("server", "old.example", "the policy", bad "cipher.aead", {})
		for number = 1, 3 * report.MOST_PEERS do
			now = now + 0.001
			seen:see("server", number .. ".example", "the policy", number % 2 == 0 and bad "cipher.fs" or good, {})
		end
		local list, stored, found = seen:list(), 0, false
		assert.equal(report.MOST_PEERS, seen:counts().servers)
		for _, entry in ipairs(list) do
			found = found or entry.name == "old.example"
		end
		assert.is_true(found)
		assert.is_true(#list <= report.MOST_PEERS)
		for _, peer in pairs(seen:changes()) do
			stored = stored + (peer and 1 or 0)
		end
		assert.equal(#list, stored)
	end)
end)
