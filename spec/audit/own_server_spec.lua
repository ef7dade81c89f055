-- The audit of a Prosody with the policy finds nothing to blame, and needs no more connections than it makes.
local audit_report = require "support.audit_report"
local pki = require "support.pki"
local prosody = require "support.prosody"

local PROFILE = "draft-saintandre-xmpp-tls-02"

describe("the audit of a server with the policy", function ()
	local servers = prosody.group()
	local authority, server

	setup(function ()
		authority = pki.authority()
		server = servers.start {
			hosts = { ["example.test"] = authority:issue { names = { "example.test" }, key = "rsa2048" } },
			domain = "example.test", with_policy = true, policy = { profile = PROFILE },
		}
	end)

	teardown(function ()
		servers.stop()
		pki.remove()
	end)

	for _, service in ipairs { "c2s", "s2s", "c2s_direct_tls" } do
		it("tests all that can be tested from outside, and finds it right: " .. service, function ()
			local endpoint, status = audit_report(server:target(service, "example.test"), {
				authorities = authority.certificate, profile = PROFILE,
			})
			-- The exit status counts those that can be tested from outside.
			local open = {}
			for _, clause in ipairs(endpoint.clauses) do
				if clause.result == "broken" or clause.result == "not tested" then
					open[#open + 1] = ("%s: %s"):format(clause.id, clause.sentence)
				end
			end
			assert.equal(0, status, table.concat(open, "\n"))
			assert.is_true(endpoint.connections <= 40, endpoint.connections)
		end)
	end
end)
