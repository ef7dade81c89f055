-- The command `forget_report`: forgets the peers that report mode has recorded.
local command_service = require "support.command_service"

describe("the command forget_report", function ()
	local service, calls

	before_each(function ()
		calls = {}
		local peers = { ["a.test"] = { {}, {} }, ["b.test"] = { {} } }
		service = {
			server = command_service.server { hosts = { "a.test", "b.test", "none.test" } },
			reports = {
				hosts = function ()
					return { "a.test", "b.test" }
				end,
				get = function (_, host)
					return peers[host] and { list = function () return peers[host] end }
				end,
				forget = function (_, host)
					calls[#calls + 1] = "forget " .. host
				end,
				open = function (_, host, anew)
					assert.is_true(anew)
					calls[#calls + 1] = "open " .. host
				end,
			},
		}
	end)

	it("forgets those of all hosts, or of one, which begin anew", function ()
		assert.same({ "", true, "3 peers forgotten, on 2 hosts" }, { command_service.run(service, "forget_report") })
		assert.same({ "forget a.test", "open a.test", "forget b.test", "open b.test" }, calls)
		assert.same({ "", true, "1 peer forgotten, on 1 host" }, { command_service.run(service, "forget_report", "b.test") })
		assert.same({ forgotten = 2, hosts = 1 }, command_service.json(service, "forget_report", "a.test"))
	end)

	it("explains that a host has no report", function ()
		for _, arguments in ipairs { { "none.test" }, { "none.test", "json" } } do
			assert.same({ "", nil, 'none.test has no report: it needs mode = "report" in its xmpp_tls_policy' },
				{ command_service.run(service, "forget_report", (table.unpack or unpack)(arguments)) })
		end
		assert.same({}, calls)
	end)
end)
