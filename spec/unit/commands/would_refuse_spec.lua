-- The command `would_refuse`: the peers that a policy in report mode would cut off.
local command_service = require "support.command_service"
local cutoff_report = require "xmpp_tls_policy.stream.cutoff_report"
local output = require "xmpp_tls_policy.commands.output"

describe("the command would_refuse", function ()
	local NOW = 1800000000
	local service, reports

	local function report_of(peers)
		local report = cutoff_report.new { now = function () return NOW end }
		for name, clauses in pairs(peers) do
			local broken = {}
			for index, clause in ipairs(clauses) do
				broken[index] = { clause = clause, enforced = true, text = clause .. " is broken" }
			end
			report:see(name:find "@" and "client" or "server", name, "the policy",
				{ refuse = broken[1] ~= nil, broken = broken }, { level = "must" })
		end
		return report
	end

	before_each(function ()
		reports = {
			["a.test"] = report_of { ["far.test"] = { "cipher.aead", "version.tls12" }, ["good@a.test"] = {} },
			["b.test"] = report_of {},
		}
		service = {
			server = command_service.server { hosts = { "a.test", "b.test", "none.test" } },
			outages = command_service.outages {},
			reports = {
				hosts = function ()
					return { "a.test", "b.test" }
				end,
				get = function (_, host)
					return reports[host], "must"
				end,
			},
		}
	end)

	it("lists the peers of each host, and the estimate", function ()
		local text, done, message = command_service.run(service, "would_refuse")
		assert.same({ true, "1 peer would be cut off, on 2 hosts" }, { done, message })
		local expected = {
			"a.test", "Peer      Clause         Last                 Why",
			"far.test  cipher.aead    " .. output.time(NOW) .. "  cipher.aead is broken",
			"          version.tls12  " .. output.time(NOW) .. "  version.tls12 is broken",
		}
		for _, host in ipairs { "a.test", "b.test" } do
			for _, sentence in ipairs(reports[host]:estimate "must") do
				expected[#expected + 1] = sentence
			end
			expected[#expected + 1] = host == "a.test" and "b.test" or ""
		end
		assert.equal(table.concat(expected, "\n"), text)
	end)

	it("lists those of one host", function ()
		local text, done, message = command_service.run(service, "would_refuse", "b.test")
		assert.same({ true, "0 peers would be cut off, on 1 host" }, { done, message })
		assert.is_nil(text:find("a.test", 1, true))
	end)

	it("has the same as JSON", function ()
		local items = command_service.json(service, "would_refuse").would_refuse
		assert.same({ { clients = 1, servers = 1, since = NOW }, "a.test", reports["a.test"]:estimate "must" },
			{ items[1].seen, items[1].host, items[1].estimate })
		assert.same({ "a.test", "server", "far.test", true }, {
			items[2].host, items[2].kind, items[2].name, items[2].kept_by_level,
		})
		assert.same({ "cipher.aead", "version.tls12" }, { items[2].clauses[1].clause, items[2].clauses[2].clause })
		assert.same({ "b.test", 3 }, { items[3].host, #items })
	end)

	it("begins with the outages that enforcing would cause", function ()
		service.outages = command_service.outages { ["b.test"] = { "if it were enforced, no clients could connect" } }
		local text, _, message = command_service.run(service, "would_refuse")
		assert.equal("all TLS of 1 host, and beside that 1 peer would be cut off, on 2 hosts", message)
		assert.matches("\nb.test\nOutage: if it were enforced, no clients could connect\n", text)
		assert.same({ {}, { "if it were enforced, no clients could connect" } }, {
			command_service.json(service, "would_refuse").would_refuse[1].outages,
			command_service.json(service, "would_refuse").would_refuse[3].outages,
		})
	end)

	it("says that no host is in report mode, not that nobody would be cut off", function ()
		service.reports.hosts = function () return {} end
		for _, command in ipairs { "would_refuse", "forget_report" } do
			for _, format in ipairs { "width=80", "json" } do
				assert.same({ "", nil, 'no host has a report: put mode = "report" into xmpp_tls_policy and reload the '
					.. "configuration, or use the command what_if, which needs no report" },
					{ command_service.run(service, command, format) })
			end
		end
	end)

	it("explains how to put a host into report mode", function ()
		for _, arguments in ipairs { { "none.test" }, { "none.test", "json" } } do
			assert.same({ "", nil, 'none.test has no report: it needs mode = "report" in its xmpp_tls_policy' },
				{ command_service.run(service, "would_refuse", (table.unpack or unpack)(arguments)) })
		end
	end)
end)
