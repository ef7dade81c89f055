local adapter = require "support.adapter"
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local metrics = require "xmpp_tls_policy.metrics"
local tls_policy = require "xmpp_tls_policy"
local work_queue = require "xmpp_tls_policy.work_queue"

-- The verdict on a stream is a matter of its own file: here a stream says itself which levels
-- would refuse it. The runner puts the real file back after this one.
package.loaded["xmpp_tls_policy.stream.cutoff_verdict"] = {
	of = function (policy, stream, domain)
		local level = policy.level
		local clause = stream.refused_at[level]
		assert(stream.domain == domain)
		return {
			refuse = clause ~= nil,
			broken = { clause and { clause = clause, document = "draft", section = "1", level = "MUST", enforced = true,
				text = "has a fault at " .. level } or nil },
		}
	end,
}
package.loaded["xmpp_tls_policy.stream.cutoff_reports"] = nil
local cutoff_reports = require "xmpp_tls_policy.stream.cutoff_reports"

local CLIENTS, SERVERS = "tls_policy_report", "tls_policy_report_s2s"

describe("the reports of peers that would be cut off", function ()
	local policy = tls_policy.policy { mode = "report" }
	local server, counted, reports, now
	-- A certificate that has changed is a matter of foreseen_change_spec.lua.
	local certificates = { foresee = function () end }

	local function new(kept)
		return cutoff_reports.new {
			server = server, metrics = counted, certificates = certificates, kept = kept,
			queue = work_queue.new { server = server },
			now = function () return now end,
		}
	end

	before_each(function ()
		now = 1800000000
		server = adapter.new {
			client_bare_jid = function (session) return session.jid end,
			is_anonymous = function (host) return host == "anonymous.test" end,
		}
		counted = metrics.new { adopted = adopted_contexts.new(), server = server }
		reports = new()
		reports:open "a.test"
	end)

	-- `refused_at`: level -> clause that the stream breaks there.
	local function see(refused_at, domain, jid)
		reports:see(policy, {
			session = { jid = jid }, role = domain and "s2sin" or "c2s", refused_at = refused_at, domain = domain,
		}, "a.test", domain)
	end

	local function would_refuse()
		for _, metric in ipairs(counted:list()) do
			if metric.name == "would_refuse_total" then
				local found = {}
				for _, one in ipairs(metric.series) do
					found[table.concat(one.values, " ")] = one.value
				end
				return found
			end
		end
	end

	it("have clients and servers, and which milder rule would keep them", function ()
		-- Whether a level refuses, for a client and a server: an exception helps servers alone, and
		-- makes the level "must".
		for _, at_should in ipairs { false, "cipher.aead" } do
			for _, at_must in ipairs { false, "version.tls12" } do
				for _, domain in ipairs { false, "far.test" } do
					server.stores = {}
					reports = new()
					reports:open "a.test"
					see({ should = at_should or nil, must = at_must or nil }, domain or nil, "user@a.test")
					local report, level = reports:get "a.test"
					assert.equal("must", level)
					assert.equal(1, report:counts()[domain and "servers" or "clients"])
					local entry = report:list()[1]
					assert.equal(at_should ~= false, entry ~= nil)
					if entry then
						assert.same({ domain or "user@a.test", domain and "server" or "client", not at_must,
							not at_must and domain ~= false, at_should },
							{ entry.name, entry.kind, entry.kept_by_level, entry.kept_by_exception, entry.clauses[1].clause })
					end
				end
			end
		end
	end)

	it("log and count connections that would be refused", function ()
		see({ should = "cipher.aead" }, "far.test")
		assert.matches("^info Would be refused under the TLS policy: far.test: draft%-saint.* has a fault at should$",
			server.take_lines()[1])
		see({ should = "cipher.aead" }, "far.test")
		assert.same({}, server.take_lines())
		assert.same({ ["s2sin cipher.aead"] = 2 }, would_refuse())
		see({}, nil, "user@a.test")
		assert.same({ {}, { ["s2sin cipher.aead"] = 2 } }, { server.take_lines(), would_refuse() })
	end)

	it("log sixty peers a minute", function ()
		for number = 1, 100 do
			see({ should = "cipher.aead" }, number .. ".test")
		end
		assert.equal(60, #server.take_lines())
		now = now + 60
		see({ should = "cipher.aead" }, "far.test")
		assert.equal(1, #server.take_lines())
	end)

	it("log a failure, and close nothing", function ()
		see({}, "far.test")
		reports:see(policy, { session = {}, role = "s2sin", refused_at = {}, domain = "other" }, "a.test", "far.test")
		assert.equal("A connection is missing in the report", server.failures[1][1])
	end)

	it("have clients without accounts under one name", function ()
		for number = 1, 3 do
			reports:see(policy, {
				session = { jid = number .. "@anonymous.test" }, role = "c2s", refused_at = { should = "cipher.aead" },
			}, "anonymous.test")
		end
		local report = reports:get "anonymous.test"
		assert.same({ "anonymous clients", 1 }, { report:list()[1].name, report:counts().clients })
		assert.is_nil(report:list()[2])
		reports:store_all()
		assert.equal("anonymous clients", server.stores[CLIENTS]["anonymous clients"].name)
	end)

	it("take in a client once for each connection", function ()
		local function stream()
			return { session = { jid = "user@a.test" }, role = "c2s", refused_at = { should = "cipher.aead" } }
		end
		local first = stream()
		reports:see_client(policy, first, "a.test")
		reports:see_client(policy, first, "a.test")
		assert.same({ ["c2s cipher.aead"] = 1 }, would_refuse())
		reports:see_client(policy, stream(), "a.test")
		assert.same({ ["c2s cipher.aead"] = 2 }, would_refuse())
	end)

	it("take in each pair of servers once for each connection", function ()
		local stream = { session = {}, role = "s2sin", refused_at = { should = "cipher.aead" } }
		for _ = 1, 2 do
			for _, domain in ipairs { "far.test", "other.test" } do
				stream.domain = domain
				reports:see_server(policy, stream, "a.test", domain)
				reports:see_server(policy, stream, "b.test", domain)
			end
		end
		assert.same({ ["s2sin cipher.aead"] = 4 }, would_refuse())
		assert.same({ 2, 2 }, { reports:get("a.test"):counts().servers, reports:get("b.test"):counts().servers })
	end)

	it("are stored by peer, clients under their account, and those that stay not at all", function ()
		see({ should = "cipher.aead" }, "far.test")
		see({ should = "cipher.aead" }, nil, "user@a.test")
		see({}, nil, "good@a.test")
		reports:store "a.test"
		assert.same({ "far.test", "user@a.test" },
			{ server.stores[SERVERS]["far.test"].name, server.stores[CLIENTS].user.name })
		assert.is_nil(server.stores[CLIENTS].good)
	end)

	it("are stored where they changed, and again where that failed", function ()
		see({ should = "cipher.aead" }, "far.test")
		reports:store "a.test"
		local writes, fails = 0, true
		local open_store = server.open_store
		server.open_store = function (...)
			local store = open_store(...)
			local set = store.set
			function store.set(...)
				writes = writes + 1
				return not fails and set(...) or nil, "disk full"
			end
			return store
		end
		reports:open "a.test"
		reports:store_all()
		assert.equal(0, writes)
		see({ should = "cipher.aead" }, "other.test")
		reports:store_all()
		fails = false
		reports:store_all()
		reports:store_all()
		assert.equal(2, writes)
		assert.truthy(server.stores[SERVERS]["other.test"])
	end)

	it("are stored once an hour, in turns, one record for each peer that changed", function ()
		for number = 1, 50 do
			see({ should = "cipher.aead" }, number .. ".test")
		end
		local function stored()
			local count = 0
			for _ in pairs(server.stores[SERVERS] or {}) do
				count = count + 1
			end
			return count
		end
		reports:store_hourly()
		server.run_timers()
		assert.equal(0, stored())
		now = now + 3600
		reports:store_hourly()
		assert.equal(0, stored())
		-- A turn that has no time left after its first step.
		server.monotonic = function ()
			server.time = server.time + 1
			return server.time
		end
		table.remove(server.timers, 1)[2]()
		assert.equal(20, stored())
		server.run_timers()
		assert.equal(50, stored())
	end)

	it("write one record for one new peer, however many there are", function ()
		local writes, open_store = 0, server.open_store
		server.open_store = function (...)
			local store = open_store(...)
			local set = store.set
			function store.set(...)
				writes = writes + 1
				return set(...)
			end
			return store
		end
		reports:open "a.test"
		for number = 1, 2000 do
			see({ should = "cipher.aead" }, nil, number .. "@a.test")
		end
		reports:store_all()
		assert.equal(2000, writes)
		see({ should = "cipher.aead" }, nil, "new@a.test")
		see({ should = "cipher.aead" }, nil, "1@a.test")
		reports:store_all()
		assert.equal(2001, writes)
	end)

	it("forget after thirty days, also in the storage", function ()
		see({ should = "cipher.aead" }, "far.test")
		reports:store_all()
		now = now + 30 * 86400 + 1
		reports:store_hourly()
		server.run_timers()
		assert.same({}, server.stores[SERVERS])
		assert.same({}, reports:get("a.test"):list())
	end)

	it("go on from the stored ones, without damaged records", function ()
		see({ should = "cipher.aead" }, "far.test")
		see({ should = "cipher.aead" }, nil, "user@a.test")
		reports:store_all()
		server.take_lines()
		server.stores[SERVERS]["bad.test"] = { kind = "server" }
		reports = new()
		reports:open "a.test"
		server.run_timers()
		assert.same({ "warn A damaged record of tls_policy_report_s2s is removed" }, server.take_lines())
		assert.is_nil(server.stores[SERVERS]["bad.test"])
		local list = reports:get("a.test"):list()
		assert.same({ "user@a.test", "far.test" }, { list[1].name, list[2].name })
		assert.is_nil(list[3])
	end)

	it("take in the list of an older version, without the peers that stay", function ()
		local function peer(kind, name, broken)
			return { kind = kind, name = name, first = now, last = now, broken = broken }
		end
		server.stores[CLIENTS] = { [""] = {
			["client a@a.test"] = peer("client", "a@a.test", {}),
			["client b@a.test"] = peer("client", "b@a.test", { ["cipher.aead"] = { last = now, text = "x" } }),
		} }
		reports = new()
		reports:open "a.test"
		server.run_timers()
		assert.is_nil(server.stores[CLIENTS][""])
		assert.equal("b@a.test", reports:get("a.test"):list()[1].name)
		assert.is_nil(reports:get("a.test"):list()[2])
		reports:store_all()
		assert.same({ "b" }, { (next(server.stores[CLIENTS])) })
	end)

	it("say so where the storage cannot list them", function ()
		server.open_store = function ()
			return { keys = function () return nil, "no list" end, get = function () end }
		end
		reports = new()
		reports:open "a.test"
		assert.same({ "warn The storage cannot list tls_policy_report: the report begins anew" }, server.take_lines())
	end)

	it("forget an account that is deleted", function ()
		see({ should = "cipher.aead" }, nil, "user@a.test")
		see({ should = "cipher.aead" }, nil, "other@a.test")
		reports:store_all()
		reports:forget_account("a.test", "user@a.test")
		reports:forget_account("none.test", "user@none.test")
		assert.same({ "other" }, { (next(server.stores[CLIENTS])) })
		assert.equal("other@a.test", reports:get("a.test"):list()[1].name)
	end)

	it("forget an account that is deleted before its record is read", function ()
		see({ should = "cipher.aead" }, nil, "user@a.test")
		see({ should = "cipher.aead" }, nil, "other@a.test")
		reports:store_all()
		reports = new()
		reports:open "a.test"
		reports:forget_account("a.test", "user@a.test")
		server.run_timers()
		reports:store_all()
		assert.same({ "other" }, { (next(server.stores[CLIENTS])) })
		assert.equal("other@a.test", reports:get("a.test"):list()[1].name)
		assert.is_nil(reports:get("a.test"):list()[2])
	end)

	it("are forgotten as a whole, and nothing that waits is written afterwards", function ()
		for number = 1, 50 do
			see({ should = "cipher.aead" }, number .. ".test")
		end
		reports:store_all()
		see({ should = "cipher.aead" }, nil, "user@a.test")
		now = now + 3600
		reports:store_hourly()
		reports:forget "a.test"
		assert.is_nil(reports:get "a.test")
		server.run_timers()
		assert.same({ {}, {} }, { server.stores[SERVERS], server.stores[CLIENTS] })
		-- It begins anew.
		reports:open("a.test", true)
		see({ should = "cipher.aead" }, nil, "user@a.test")
		reports:store_all()
		assert.same({ "user" }, { (next(server.stores[CLIENTS])) })
	end)

	it("of an earlier time in report mode are forgotten, once for each load", function ()
		see({ should = "cipher.aead" }, "far.test")
		reports:store_all()
		reports = new()
		reports:tidy "a.test"
		server.run_timers()
		assert.same({}, server.stores[SERVERS])
		server.stores[SERVERS]["x.test"] = {}
		reports:tidy "a.test"
		server.run_timers()
		assert.truthy(server.stores[SERVERS]["x.test"])
		reports:open "a.test"
		reports:tidy "a.test"
		server.run_timers()
		assert.same({}, server.stores[SERVERS])
		assert.is_nil(reports:get "a.test")
	end)

	it("go on over a reload of the module", function ()
		see({ should = "cipher.aead" }, "far.test")
		local after = new(reports)
		after:open "a.test"
		assert.equal(reports:get "a.test", after:get "a.test")
		assert.same({ "a.test" }, after:hosts())
		assert.is_nil(after:get "b.test")
	end)
end)
