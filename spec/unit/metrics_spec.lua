-- Counts that a live server cannot be made to show.
local adapter = require "support.adapter"
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local metrics = require "xmpp_tls_policy.metrics"
local pki = require "support.pki"
local ssl = require "ssl"
local suites = require "xmpp_tls_policy.policy.suites"
local tls_policy = require "xmpp_tls_policy"

describe("the metrics", function ()
	local store, made

	-- As far as the metrics look into the adopted contexts: a store that says what it is told to.
	local adopted = {
		sessions = function () return store end,
		entries = function () return pairs {} end,
	}

	before_each(function ()
		store = nil
		made = metrics.new { adopted = adopted, server = adapter.new() }
	end)

	-- A metric's series, as { ["values"] = value }.
	local function series(name)
		for _, metric in ipairs(made:list()) do
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

	-- Without what was never counted.
	local function counted(name)
		local found = {}
		for key, value in pairs(series(name)) do
			found[key] = value > 0 and value or nil
		end
		return found
	end

	local function says(another, hits, refused)
		store = another or {}
		function store.stats()
			return { hits = hits, insertions = 0, evictions = 0, removals = 0, sessions = 3, bytes = 4096,
				misses = { unknown = 0, expired = 0, context = 0, refused = refused },
				not_kept = { address = 2 * refused, state = 0 } }
		end
	end

	it("say whether the session store is not locked", function ()
		assert.equal(0, series "session_store_unlocked" [""])
		for value, locked in pairs { [0] = true, [1] = false } do
			says(nil, 0, 0)
			local stats = store.stats
			function store.stats()
				local found = stats()
				found.locked = locked
				return found
			end
			assert.equal(value, series "session_store_unlocked" [""])
		end
		store = nil
	end)

	-- The store counts a hit, and takes it back when the handshake refuses the session.
	it("never count backwards", function ()
		local last = 0
		for _, step in ipairs { { 1, 0, 1 }, { 2, 0, 2 }, { 1, 1, 2 }, { 2, 1, 2 }, { 5, 1, 5 } } do
			says(store, step[1], step[2])
			local hits = series "session_store_hits_total" [""]
			assert.equal(step[3], hits)
			assert.is_true(hits >= last)
			last = hits
		end
	end)

	it("go on from where they were with another store, and without one", function ()
		says(nil, 7, 2)
		made:read_store()
		says(nil, 3, 1)
		assert.same({ [""] = 10 }, counted "session_store_hits_total")
		assert.same({ 3, 4096 }, { series "session_store_sessions" [""], series "session_store_bytes" [""] })
		store = nil
		collectgarbage()
		collectgarbage()
		assert.same({ [""] = 10 }, counted "session_store_hits_total")
		assert.equal(0, series "session_store_sessions" [""])
		says(nil, 1, 0)
		assert.same({ [""] = 11 }, counted "session_store_hits_total")
		assert.same({ refused = 3 }, counted "session_store_misses_total")
		assert.same({ address = 6 }, counted "session_store_not_kept_total")
	end)

	it("go on over a reload of the module", function ()
		says(nil, 7, 2)
		made:certificate_change "renewal"
		made:read_store()
		made = metrics.new { adopted = adopted, server = adapter.new(), kept = made }
		says(store, 9, 2)
		made:certificate_change "renewal"
		assert.same({ renewal = 2 }, counted "certificate_changes_total")
		assert.same({ [""] = 9 }, counted "session_store_hits_total")
	end)

	it("have the number of shapes of each host", function ()
		assert.same({}, counted "hello_shapes")
		made:count_shapes_of {
			hosts = function () return { "a.test", "b.test" } end,
			get = function (_, host)
				return { count = function () return host == "a.test" and 7 or 0 end }
			end,
		}
		assert.same({ ["a.test"] = 7 }, counted "hello_shapes")
	end)

	it("of two processes of the module are apart", function ()
		local other = metrics.new { adopted = adopted, server = adapter.new() }
		other:lost_handshakes(3)
		assert.same({}, counted "handshakes_total")
	end)

	it("count certificate changes by kind", function ()
		assert.equal(0, series "certificate_changes_total".change)
		for _, kind in ipairs { "change", "renewal", "change", "as a stranger likes" } do
			made:certificate_change(kind)
		end
		assert.same({ change = 2, renewal = 1, other = 1 }, counted "certificate_changes_total")
	end)

	it("count refusals by clause, also where none was to blame", function ()
		made:refusal("c2s", "handshake", { "version.tls10", "cipher.aead" })
		made:refusal("s2sin", "stream", {})
		made:would_refuse("s2sout", { "unauthenticated_s2s", "as a stranger likes" })
		assert.same({
			["c2s handshake version.tls10"] = 1, ["c2s handshake cipher.aead"] = 1, ["s2sin stream none"] = 1,
		}, counted "refusals_total")
		assert.same({ ["s2sout unauthenticated_s2s"] = 1, ["s2sout other"] = 1 }, counted "would_refuse_total")
	end)

	it("count handshakes that failed, and that were lost", function ()
		made:failed_handshake("c2s", true)
		made:failed_handshake(nil, false)
		made:lost_handshakes(5)
		made:lost_handshakes(0)
		assert.same({
			["c2s none none none none handshake_refused"] = 1, ["none none none none none handshake_failed"] = 6,
		}, counted "handshakes_total")
	end)

	it("are bounded in all that a peer can choose", function ()
		local total = 0
		for name in pairs(suites.by_name) do
			for _, group in ipairs(suites.groups) do
				made:handshake("s2sin", { version = "TLSv1.2", cipher_suite = name, group = group.name, resumed = false },
					"would_refuse")
				total = total + 1
			end
		end
		local handshakes = made:list()[1]
		for _, one in ipairs(handshakes.series) do
			total = total - one.value
		end
		assert.equal("handshakes_total", handshakes.name)
		assert.equal(501, #handshakes.series)
		assert.equal(0, total)
	end)

	it("know no group, suite or version but those of the policy's tables", function ()
		made:handshake("c2s", { version = "TLSv1.3", cipher_suite = "TLS_AES_128_GCM_SHA256", group = "X25519",
			resumed = false }, "accepted")
		made:handshake("c2s", { version = "TLSv9", cipher_suite = "x", group = "y", resumed = true }, "accepted")
		assert.same({
			["c2s TLSv1.3 TLS_AES_128_GCM_SHA256 x25519 false accepted"] = 1, ["c2s other other other true accepted"] = 1,
		}, counted "handshakes_total")
	end)

	it("count streams that share their facts by role and outcome", function ()
		local facts = { version = "TLSv1.3", cipher_suite = "TLS_AES_128_GCM_SHA256", group = "X25519", resumed = false }
		for _ = 1, 2 do
			made:handshake("c2s", facts, "accepted")
			made:handshake("s2sin", facts, "accepted")
			made:handshake("c2s", facts, "stream_refused")
		end
		local suite = "TLSv1.3 TLS_AES_128_GCM_SHA256 x25519 false"
		assert.same({
			["c2s " .. suite .. " accepted"] = 2, ["s2sin " .. suite .. " accepted"] = 2,
			["c2s " .. suite .. " stream_refused"] = 2,
		}, counted "handshakes_total")
	end)

	it("have a line of documentation each", function ()
		local documented = {}
		for name in metrics.documentation():gmatch "\n| `([%w_]+)` |" do
			documented[#documented + 1] = name
		end
		local names = {}
		for index, metric in ipairs(made:list()) do
			names[index] = metric.name
		end
		assert.same(names, documented)
	end)

	describe("of our certificates", function ()
		local authority, policy = nil, tls_policy.policy()
		local contexts, server

		setup(function ()
			authority = pki.authority()
		end)

		teardown(pki.remove)

		before_each(function ()
			contexts = adopted_contexts.new()
			server = adapter.new()
			made = metrics.new { adopted = contexts, server = server }
		end)

		after_each(function ()
			contexts:release()
		end)

		local function luasec(days)
			local files = authority:issue { names = { "a.test" }, not_after = os.time() + days * 86400 }
			return assert(ssl.newcontext {
				mode = "server", protocol = "any", certificate = files.certificate, key = files.key, verify = "none",
			})
		end

		local function enforce(context, more)
			local given = { policy = policy, host = "a.test", role = "c2s", operator = {} }
			for name, value in pairs(more or {}) do
				given[name] = value or nil
			end
			return contexts:enforce(context, given)
		end

		-- Days that are left.
		local function left()
			local found = {}
			for key, value in pairs(series "certificate_not_after_timestamp_seconds") do
				found[key] = math.floor((value - os.time()) / 86400 + 0.5)
			end
			return found
		end

		it("are those of the newest context for STARTTLS of each host and role, though it is gone", function ()
			local older, newer, inward = luasec(5), luasec(3), luasec(7)
			enforce(older)
			enforce(inward, { role = "s2sin" })
			assert.same({ ["a.test c2s"] = 5, ["a.test s2sin"] = 7 }, left())
			enforce(newer)
			assert.same({ ["a.test c2s"] = 3, ["a.test s2sin"] = 7 }, left())
			newer = nil
			collectgarbage()
			collectgarbage()
			assert.is_nil(newer)
			assert.same({ ["a.test c2s"] = 3, ["a.test s2sin"] = 7 }, left())
			made = metrics.new { adopted = contexts, server = server, kept = made }
			assert.same({ ["a.test c2s"] = 3, ["a.test s2sin"] = 7 }, left())
		end)

		it("are those of the context that the server gives new streams, though none has used it", function ()
			local older, newer = luasec(5), luasec(60)
			enforce(older)
			server.current_contexts = function (host)
				assert.equal("a.test", host)
				return { { context = newer, role = "c2s" }, { context = newer, role = "s2sin" } }
			end
			assert.same({ ["a.test c2s"] = 60 }, left())
		end)

		it("have the beginnings of the same certificates", function ()
			enforce(luasec(5))
			local began = series "certificate_not_before_timestamp_seconds"["a.test c2s"]
			assert.is_true(began <= os.time() and began > os.time() - 90 * 86400, began)
		end)

		it("are gone with the host", function ()
			local context = luasec(5)
			enforce(context)
			left()
			server.is_host = function () return false end
			assert.same({}, left())
			server.is_host = function () return true end
			-- The context is still in use.
			assert.same({ ["a.test c2s"] = 5 }, left())
		end)

		it("of direct TLS are those that are served now", function ()
			local base, named = luasec(5), luasec(3)
			local option = "c2s_direct_tls_ssl"
			enforce(base, { host = false, option = option })
			enforce(named, { option = option })
			local listeners = { { context = { _inner = base }, service = "c2s_direct_tls", names = { ["a.test"] = named } } }
			server.direct_tls_contexts = function () return listeners end
			assert.same({ ["* c2s_direct_tls"] = 5, ["a.test c2s_direct_tls"] = 3 }, left())
			listeners = {}
			assert.same({}, left())
		end)
	end)
end)
