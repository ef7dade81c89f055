local adapter = require "support.adapter"
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local metrics = require "xmpp_tls_policy.metrics"
local tls_policy = require "xmpp_tls_policy"

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

local STORE = "tls_policy_report"

describe("the reports of peers that would be cut off", function ()
	local policy = tls_policy.policy { mode = "report" }
	local server, counted, reports, now

	before_each(function ()
		now = 1800000000
		server = adapter.new { client_bare_jid = function (session) return session.jid end }
		counted = metrics.new { adopted = adopted_contexts.new(), server = server }
		reports = cutoff_reports.new { server = server, metrics = counted, now = function () return now end }
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
					reports = cutoff_reports.new { server = server, metrics = counted, now = function () return now end }
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

	it("are stored where they changed, and again where that failed", function ()
		see({ should = "cipher.aead" }, "far.test")
		reports:store "a.test"
		assert.equal("far.test", server.stores[STORE][""]["server far.test"].name)
		local writes, fails = 0, true
		local open_store = server.open_store
		server.open_store = function (...)
			local store = open_store(...)
			local set_fields = store.set_fields
			function store.set_fields(...)
				writes = writes + 1
				return not fails and set_fields(...) or nil, "disk full"
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
		assert.truthy(server.stores[STORE][""]["server other.test"])
	end)

	it("are stored once an hour", function ()
		see({}, "far.test")
		reports:store_hourly()
		assert.is_nil(server.stores[STORE][""])
		now = now + 3600
		reports:store_hourly()
		assert.truthy(server.stores[STORE][""])
	end)

	it("go on from the stored ones, without damaged entries", function ()
		see({ should = "cipher.aead" }, "far.test")
		reports:store_all()
		server.stores[STORE][""]["server bad.test"] = { kind = "server" }
		reports = cutoff_reports.new { server = server, metrics = counted, now = function () return now end }
		reports:open "a.test"
		assert.same({ "warn 1 damaged entries of tls_policy_report are left out" }, { server.take_lines()[2] })
		assert.equal("far.test", reports:get("a.test"):list()[1].name)
	end)

	it("go on over a reload of the module", function ()
		see({ should = "cipher.aead" }, "far.test")
		local after = cutoff_reports.new { server = server, metrics = counted, kept = reports }
		after:open "a.test"
		assert.equal(reports:get "a.test", after:get "a.test")
		assert.same({ "a.test" }, after:hosts())
		assert.is_nil(after:get "b.test")
	end)
end)
