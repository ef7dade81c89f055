-- Each rendered configuration, audited from outside: no clause that it claims to hold is broken.
local audit_report = require "support.audit_report"
local grade = require "xmpp_tls_policy.audit.grade"
local pki = require "support.pki"
local program = require "support.rendered_program"
local prosody = require "support.prosody"
local render = require "xmpp_tls_policy.render"
local tls_policy = require "xmpp_tls_policy"

-- The server behind nginx and HAProxy, without TLS of its own.
local function start_behind(certificate)
	return prosody.start {
		hosts = { [program.domain] = { certificate = certificate.certificate, key = certificate.key } },
		options = { c2s_require_encryption = false, allow_unencrypted_plain_auth = true },
	}
end

-- Lists of policies for which a target has the same lines: one audit is enough for each list, as what is
-- observed does not depend on the policy.
local function policies_by_lines(name)
	local lists, of_lines = {}, {}
	for _, profile in ipairs(tls_policy.profile_names) do
		for _, level in ipairs { "should", "must" } do
			local policy = assert(tls_policy.policy { profile = profile, level = level })
			local lines = program.lines(render.of(policy, name, { dhparam = "/dh" }).text)
			if not of_lines[lines] then
				of_lines[lines] = {}
				lists[#lists + 1] = of_lines[lines]
			end
			table.insert(of_lines[lines], policy)
		end
	end
	return lists
end

-- OpenSSL's own server serves one connection after the other, and does not answer a stream header.
local limits = { openssl = { timeout = 1, connections = 1 } }

-- How many claims have to be seen to hold. ejabberd of Debian 12 closes connections without an alert, so that the
-- audit can tell little.
local least = { ejabberd = 3 }

local is_claim = { line = true, itself = true }

for _, name in ipairs(render.names) do
	local missing = program.missing(name)
	describe(name .. " with a rendered configuration, audited,", function ()
		if missing then
			return it("breaks no clause that it claims to hold", function ()
				pending(missing)
			end)
		end
		local certificate, behind

		setup(function ()
			certificate = program.files()
			behind = (name == "nginx" or name == "haproxy") and start_behind(certificate) or nil
		end)

		teardown(function ()
			if behind then
				behind:stop()
			end
			pki.remove()
		end)

		local function audited(policy)
			local started = program.start(name, policy, certificate, behind and "127.0.0.1:" .. behind.ports.c2s)
			local options = { authorities = certificate.authority }
			for field, value in pairs(limits[name] or {}) do
				options[field] = value
			end
			local endpoint = audit_report(started.target, options)
			started.stop()
			return endpoint
		end

		-- Checks the claims of a policy against what was observed.
		local function check(policy, endpoint)
			local is_claimed, held = {}, 0
			for _, clause in ipairs(render.of(policy, name, { dhparam = "/dh" }).clauses) do
				is_claimed[clause.id] = is_claim[clause.state]
			end
			for _, clause in ipairs(grade.clauses(policy, endpoint.observations, endpoint)) do
				if is_claimed[clause.id] then
					assert.is_not.equal("broken", clause.result,
						("%s, %s: %s"):format(policy:name(), clause.id, clause.sentence))
					held = held + (clause.result == "holds" and 1 or 0)
				end
			end
			assert.is_true(held >= (least[name] or 6), ("%s: %d clauses hold"):format(policy:name(), held))
		end

		for _, policies in ipairs(policies_by_lines(name)) do
			local names = {}
			for index, policy in ipairs(policies) do
				names[index] = policy:name()
			end
			it("breaks no clause that it claims to hold of " .. table.concat(names, "; "), function ()
				local endpoint = audited(policies[1])
				for _, policy in ipairs(policies) do
					check(policy, endpoint)
				end
			end)
		end
	end)
end
