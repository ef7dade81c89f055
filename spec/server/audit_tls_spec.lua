-- The probes of TLS on a real XMPP server: what they see of it with and without the policy, and what
-- they cost.
local audit_endpoint = require "xmpp_tls_policy.audit.endpoint"
local pki = require "support.pki"
local probe_run = require "support.probe_run"
local process = require "support.process"
local prosody = require "support.prosody"
local tasks = require "xmpp_tls_policy.audit.tasks"

describe("the probes of TLS, on Prosody,", function ()
	local servers = prosody.group()
	local files

	setup(function ()
		files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
	end)

	after_each(servers.stop)

	teardown(pki.remove)

	-- Runs all of them side by side, as far as one does not need another's observations.
	local function probe(server, service)
		local target = server:target(service, "example.test")
		return tasks.run(function ()
			local endpoint = audit_endpoint.new {
				domain = "example.test", service = target.kind, direct = target.direct_tls, host = "localhost",
				address = "127.0.0.1", port = target.port, from = target.kind == "s2s" and "far.test" or nil,
				timeout = process.PATIENCE, time_limit = 10 * process.PATIENCE,
			}
			local began = tasks.now()
			local observed = {}
			probe_run.side_by_side(endpoint, observed)
			endpoint.seconds = tasks.now() - began
			endpoint:close()
			return observed, endpoint
		end)
	end

	local function start(with_policy)
		return servers.start {
			hosts = { ["example.test"] = files }, domain = "example.test", with_policy = with_policy,
			policy = with_policy and {} or nil,
		}
	end

	local on_both = {
		["version.SSLv2"] = false, ["version.SSLv3"] = false, ["version.TLSv1"] = false, ["version.TLSv1.1"] = false,
		["version.TLSv1.2"] = true, ["version.TLSv1.3"] = true, ["version.newest"] = true, ["suites.null"] = false,
		["suites.rc4"] = false, ["suites.export"] = false, ["suites.under_128_bits"] = false, ["suites.anonymous"] = false,
		["suites.cbc"] = false, ["suites.rsa_key_transport"] = false, ["suites.static_dh"] = false, ["suites.aead"] = true,
		["suites.forward_secret"] = true, compression = false, ["renegotiation.secure"] = true,
		["renegotiation.client"] = false, extended_master_secret = true, early_data = false,
		["resumption.stateless_tls13"] = false, ["resumption.ticket_tls12"] = false,
		["resumption.psk_without_dhe"] = false, ["sni.right"] = true, ["sni.missing"] = true,
		["sni.same_certificate"] = true,
	}
	-- Observation -> { without the policy, with it }.
	local differences = {
		["suites.server_chooses"] = { false, true }, ["suites.dhe"] = { false, true },
		["resumption.session_id"] = { false, true }, ["resumption.tls13"] = { false, true },
		["resumption.unclean_close"] = { false, true },
	}

	for index, with_policy in ipairs { false, true } do
		for _, service in ipairs { "c2s", "s2s", "c2s_direct_tls" } do
			it(("see a server %s policy at its service %s"):format(with_policy and "with" or "without", service), function ()
				local server = start(with_policy)
				local observed, endpoint = probe(server, service)
				for name, seen in pairs(on_both) do
					assert.equal(seen, observed[name].seen, name .. ": " .. (observed[name].evidence or observed[name].reason))
				end
				for name, seen in pairs(differences) do
					-- Prosody 13 has DHE of its own.
					if name ~= "suites.dhe" or with_policy then
						assert.equal(seen[index], observed[name].seen, name)
					end
				end
				assert.is_nil(endpoint:limit_message())
				assert.is_true(endpoint.connections <= 40, endpoint.connections)
				assert.is_true(server:alive())
			end)
		end
	end
end)
