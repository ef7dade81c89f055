-- What is counted, where a live server cannot be made to show it.
local contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local metrics = require "xmpp_tls_policy.metrics"
local suites = require "xmpp_tls_policy.policy.suites"

-- A metric's series, as { ["values"] = value }.
local function series(name)
	for _, metric in ipairs(metrics.list()) do
		if metric.name == name then
			local found = {}
			for _, one in ipairs(metric.series) do
				found[table.concat(one.values, " ")] = one.value
			end
			return found
		end
	end
	error(name)
end

local function change(of, from)
	local changed = {}
	for key, value in pairs(of) do
		changed[key] = value ~= (from[key] or 0) and value - (from[key] or 0) or nil
	end
	return changed
end

describe("the metrics", function ()
	local sessions = contexts.sessions

	after_each(function ()
		contexts.sessions = sessions
	end)

	local function says(store, hits, refused)
		store = store or {}
		function store.stats()
			return { hits = hits, insertions = 0, evictions = 0, removals = 0, sessions = 0, bytes = 0,
				misses = { unknown = 0, expired = 0, context = 0, refused = refused } }
		end
		contexts.sessions = function () return store end
		return store
	end

	-- The store counts a hit, and takes it back when the handshake refuses the session.
	it("never count backwards", function ()
		local before = series "session_store_hits_total"
		local store, last = nil, 0
		for _, step in ipairs { { 1, 0, 1 }, { 2, 0, 2 }, { 1, 1, 2 }, { 2, 1, 2 }, { 5, 1, 5 } } do
			store = says(store, step[1], step[2])
			local hits = change(series "session_store_hits_total", before)[""]
			assert.equal(step[3], hits)
			assert.is_true(hits >= last)
			last = hits
		end
	end)

	it("go on from where they were with another store, and without one", function ()
		local before = series "session_store_hits_total"
		local misses = series "session_store_misses_total"
		says(nil, 7, 2)
		metrics.read_store()
		says(nil, 3, 1)
		assert.same({ [""] = 10 }, change(series "session_store_hits_total", before))
		contexts.sessions = function () return nil end
		collectgarbage()
		collectgarbage()
		assert.same({ [""] = 10 }, change(series "session_store_hits_total", before))
		says(nil, 1, 0)
		assert.same({ [""] = 11 }, change(series "session_store_hits_total", before))
		assert.same({ refused = 3 }, change(series "session_store_misses_total", misses))
	end)

	it("count certificate changes by kind", function ()
		local before = series "certificate_changes_total"
		assert.equal(0, before.change)
		for _, kind in ipairs { "change", "renewal", "change", "as a stranger likes" } do
			metrics.certificate_change(kind)
		end
		assert.same({ change = 2, renewal = 1, other = 1 }, change(series "certificate_changes_total", before))
	end)

	it("count handshakes that were lost", function ()
		local before = series "handshakes_total"
		metrics.lost_handshakes(5)
		metrics.lost_handshakes(0)
		assert.same({ ["none none none none none handshake_failed"] = 5 }, change(series "handshakes_total", before))
	end)

	it("are bounded in all that a peer can choose", function ()
		package.loaded["xmpp_tls_policy.metrics"] = nil
		local fresh = require "xmpp_tls_policy.metrics"
		package.loaded["xmpp_tls_policy.metrics"] = metrics
		local total = 0
		for name in pairs(suites.by_name) do
			for _, group in ipairs(suites.groups) do
				fresh.handshake("s2sin", { version = "TLSv1.2", cipher_suite = name, group = group.name, resumed = false },
					"would_refuse")
				total = total + 1
			end
		end
		local handshakes = fresh.list()[1]
		for _, one in ipairs(handshakes.series) do
			total = total - one.value
		end
		assert.equal("handshakes_total", handshakes.name)
		assert.equal(501, #handshakes.series)
		assert.equal(0, total)
	end)

	it("know no group, suite or version but those of the policy's tables", function ()
		local before = series "handshakes_total"
		metrics.handshake("c2s", { version = "TLSv1.3", cipher_suite = "TLS_AES_128_GCM_SHA256", group = "X25519",
			resumed = false }, "accepted")
		metrics.handshake("c2s", { version = "TLSv9", cipher_suite = "x", group = "y", resumed = true }, "accepted")
		assert.same({
			["c2s TLSv1.3 TLS_AES_128_GCM_SHA256 x25519 false accepted"] = 1, ["c2s other other other true accepted"] = 1,
		}, change(series "handshakes_total", before))
	end)
end)
