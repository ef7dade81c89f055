-- The command `explain`: clauses as the policies of the hosts have them.
local command_service = require "support.command_service"
local tls_policy = require "xmpp_tls_policy"

describe("the command explain", function ()
	local should, must = tls_policy.policy(), tls_policy.policy { level = "must" }
	local report = tls_policy.policy { mode = "report" }
	local rfc9325 = tls_policy.policy { profile = "rfc9325" }
	local service

	before_each(function ()
		service = {
			server = command_service.server {},
			policies = command_service.policies {
				["*"] = should, ["a.test"] = should, ["b.test"] = report, ["c.test"] = must, ["d.test"] = rfc9325,
			},
		}
	end)

	it("explains a clause in each policy, with the hosts that have it", function ()
		local text, done, message = command_service.run(service, "explain", "version.tls10")
		assert.same({ true, "in 4 policies" }, { done, message })
		local function block(policy, hosts, enforced)
			return ("version.tls10, in %s (%s):\n  draft-saintandre-xmpp-tls-02, section 4.2: SHOULD NOT: negotiate TLS 1.0\n"
				.. "  %s\n  the handshake rules a breach out; each connection is judged by the result of its handshake\n")
				:format(policy, hosts, enforced)
		end
		assert.equal(block("draft-saintandre-xmpp-tls-02, level should", "all other hosts, a.test",
				"enforced at level should; enforced here: yes")
			.. block("draft-saintandre-xmpp-tls-02, level should", "b.test",
				"enforced at level should; here in report mode: breaches are recorded only")
			.. block("draft-saintandre-xmpp-tls-02, level must", "c.test",
				"enforced at level should; enforced here: no"), text:match "^(.*)version.tls10, in rfc9325.*$")
		assert.matches("\nversion.tls10, in rfc9325, level should %(d.test%):\n", text)
	end)

	it("has the same as JSON", function ()
		local list = command_service.json(service, "explain", "cipher.aead").clauses
		assert.same({ { "*", "a.test" }, "enforce", true, "should", { "ruled out", "arranged", "kept on" }, "judged" },
			{ list[1].hosts, list[1].mode, list[1].enforced, list[1].enforced_at, list[1].handshake, list[1].connection })
		assert.same({ { "b.test" }, "report" }, { list[2].hosts, list[2].mode })
	end)

	it("lists all clauses of each policy", function ()
		local _, done, message = command_service.run(service, "explain")
		local count = 2 * #should.clauses + #must.clauses + #rfc9325.clauses
		assert.same({ true, ("%d clauses"):format(count) }, { done, message })
		assert.equal(count, #command_service.json(service, "explain").clauses)
	end)

	it("marks in the list whether each is enforced", function ()
		local text = command_service.run(service, "explain", "width=80")
		for _, line in ipairs {
			"draft-saintandre-xmpp-tls-02, level should (all other hosts, a.test)",
			"draft-saintandre-xmpp-tls-02, level should (b.test)",
		} do
			assert.truthy(("\n" .. text):find("\n" .. line .. "\n", 1, true), line)
		end
		assert.matches("\nversion.sslv3 +4.2 +MUST NOT +yes\n  negotiate SSL 3.0\n", text)
		assert.matches("\nversion.sslv3 +4.2 +MUST NOT +report\n", text)
		assert.matches("\nversion.tls11 +4.2 +MAY +no\n", text)
	end)

	it("suggests a clause for a misspelt one", function ()
		local text, done, message = command_service.run(service, "explain", "version.tls01")
		assert.same({ "", nil }, { text, done })
		assert.matches('^"version.tls01" is no clause of draft%-saintandre%-xmpp%-tls%-02; did you mean', message)
		assert.same({ "", nil, message }, { command_service.run(service, "explain", "version.tls01", "json") })
	end)

	it("has words for every clause of every profile", function ()
		for _, profile in ipairs(tls_policy.profile_names) do
			for _, mode in ipairs { "enforce", "report" } do
				local policy = assert(tls_policy.policy { profile = profile, mode = mode })
				service.policies = command_service.policies { ["*"] = policy }
				for _, clause in ipairs(policy.clauses) do
					local text, done = command_service.run(service, "explain", clause.id)
					assert.is_true(done)
					local lines = {}
					for line in text:gmatch "[^\n]+" do
						lines[#lines + 1] = line
					end
					assert.equal(4, #lines)
				end
			end
		end
	end)
end)
