local adapter = require "support.adapter"
local command_service = require "support.command_service"
local shut_hosts = require "xmpp_tls_policy.stream.shut_hosts"
local tls_policy = require "xmpp_tls_policy"

describe("a host without STARTTLS", function ()
	local policies = {
		draft = tls_policy.policy {}, must = tls_policy.policy { level = "must" },
		strict = tls_policy.policy { profile = "rfc7590", level = "must" }, report = tls_policy.policy { mode = "report" },
	}
	local requires_tls = { draft = true, strict = true }
	local served = { -- by clients, by servers
		["clients and servers"] = { true, true }, clients = { true, false }, servers = { false, true },
		nobody = { false, false },
	}

	-- Every state of a host; what is expected follows from the sentence in shut_hosts.lua.
	for policy_name, policy in pairs(policies) do
		for who, serves in pairs(served) do
			for _, lack in ipairs { "mod_tls is missing", false } do
				for _, covered in ipairs { true, false } do
					it(("is shut or not: %s, %s, %s, %s"):format(policy_name, who, tostring(lack), tostring(covered)), function ()
						local server = adapter.new {
							hosts = function () return { "a.test" } end,
							serves_clients = function () return serves[1] end,
							serves_servers = function () return serves[2] end,
							lacks_starttls = function () return lack or nil end,
						}
						local by_host = { ["*"] = policy, ["a.test"] = covered and policy or nil }
						local all = command_service.policies(by_host)
						local expected = requires_tls[policy_name] and who ~= "nobody" and lack and covered
							and who .. " cannot connect, except by direct TLS: the policy requires TLS, and there is no STARTTLS, "
							.. "because mod_tls is missing" or nil
						assert.equal(expected, shut_hosts.reason(server, all, "a.test"))
						shut_hosts.log(server, all)
						assert.same({ expected and "error a.test: " .. expected }, server.take_lines())
					end)
				end
			end
		end
	end

	it("shares a line of the log with others for the same reason", function ()
		local server = adapter.new {
			hosts = function () return { "a.test", "b.test", "c.test", "d.test" } end,
			serves_clients = function (host) return host ~= "b.test" end,
			lacks_starttls = function (host) return host ~= "d.test" and "mod_tls is missing" or nil end,
		}
		local policy = policies.draft
		shut_hosts.log(server, command_service.policies {
			["*"] = policy, ["a.test"] = policy, ["b.test"] = policy, ["c.test"] = policy, ["d.test"] = policy,
		})
		local lines = server.take_lines()
		assert.equal(2, #lines)
		assert.matches("^error a.test, c.test: clients and servers cannot connect", lines[1])
		assert.matches("^error b.test: servers cannot connect", lines[2])
	end)
end)
