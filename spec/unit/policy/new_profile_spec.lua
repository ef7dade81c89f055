-- A new profile is one entry in the table of profiles: with no other change it is an option's value, is enforced,
-- judged, explained, rendered and audited. The module is loaded anew here, with one profile more.
local NAME = "office-2027-01"

local function forget_modules()
	for name in pairs(package.loaded) do
		if name:find "^xmpp_tls_policy" and not name:find "^xmpp_tls_policy%.core" or name:find "^support%." then
			package.loaded[name] = nil
		end
	end
end

describe("a new profile", function ()
	local tls_policy, policy, pki, before

	setup(function ()
		before = {}
		for name, module in pairs(package.loaded) do
			before[name] = module
		end
		forget_modules()
		local profiles = require "xmpp_tls_policy.policy.profiles"
		profiles.publish {
			name = NAME, title = "The guide of an office", document = "Guide 12", date = "2027-01",
			entries = profiles.entries("Guide 12", {
				{ "version.only-tls13", "1.1", "MUST NOT" },
				{ "version.latest", "1.1", "MUST" },
				{ "group.nist", "2", "MUST NOT" },
				{ "cert.rsa3000", "3", "SHOULD" },
				{ "cert.identity", "4", "MUST" },
				{ "support.required", "5", "SHOULD" },
			}),
			hybrid_groups = {},
		}
		tls_policy, pki = require "xmpp_tls_policy", require "support.pki"
		policy = assert(tls_policy.policy { profile = NAME })
	end)

	teardown(function ()
		pki.remove()
		forget_modules()
		for name, module in pairs(before) do
			package.loaded[name] = module
		end
	end)

	it("is a value of the option, of the command's and of a suggestion", function ()
		local _, errors = tls_policy.policy { profile = "office-2027-02" }
		assert.matches(('did you mean "%s"?'):format(NAME), errors[1].message, nil, true)
		local parser = require "argparse" ()
		require "xmpp_tls_policy.command_line.policy_options".define(parser)
		assert.equal(NAME, parser:parse({ "--profile", NAME }).profile)
		assert.equal(NAME, tls_policy.profile_names[#tls_policy.profile_names])
		assert.equal("Guide 12", tls_policy.profile(NAME).document)
	end)

	it("is enforced on a context of a server, at both levels", function ()
		local core, handshake = require "xmpp_tls_policy.core", require "support.handshake"
		local adopted_contexts, ssl = require "xmpp_tls_policy.contexts.adopted_contexts", require "ssl"
		local files = pki.authority():issue { names = { "example.test" }, key = "p256" }
		for _, level in ipairs { "should", "must" } do
			local of_level = assert(tls_policy.policy { profile = NAME, level = level })
			local luasec = assert(ssl.newcontext { mode = "server", protocol = "any", verify = "none",
				certificate = files.certificate, key = files.key })
			local entry = adopted_contexts.new():enforce(luasec, { policy = of_level, host = "example.test", role = "c2s",
				operator = {} })
			assert.is_nil(entry.failure)
			local server = assert(core.context.adopt(luasec))
			for _, case in ipairs {
				{ { minimum_version = "TLSv1.3", groups = { "secp256r1" } }, true },
				{ { minimum_version = "TLSv1.3", groups = { "x25519" } }, false },
				{ { maximum_version = "TLSv1.2" }, false },
			} do
				local client = assert(core.context.new { role = "client", verify = "none" })
				assert(client:apply(case[1]))
				assert.equal(case[2], handshake.between(client, server, nil, { role = "server" }) ~= nil)
			end
		end
	end)

	it("judges connections, hellos and our own certificates, in sentences with its document's sections", function ()
		local verdict = policy:judge { role = "server", version = "TLSv1.2", authentication = "RSA" }
		assert.is_true(verdict.refuse)
		assert.equal(NAME .. ", section 1.1, version.only-tls13 (MUST NOT): TLS 1.2 was negotiated; TLS 1.3 or newer is "
			.. "needed", policy:sentences(verdict))
		local breaches = policy:judge_client_hello { versions = { 0x0304 }, suites = { 0x1301 }, groups = { 29 } }
		assert.equal("group.nist", breaches[1].clause)
		local own = policy:judge_own_certificate { key_type = "RSA", key_bits = 2048 }
		assert.same({ "cert.rsa3000", "Guide 12", "3" }, { own[1].clause, own[1].document, own[1].section })
	end)

	it("is explained by the shell, and has a table of conformance", function ()
		local command_service = require "support.command_service"
		local service = { server = command_service.server {}, policies = command_service.policies { ["*"] = policy } }
		local text = command_service.run(service, "explain", "group.nist")
		assert.matches(("group.nist, in %s, level should"):format(NAME), text, nil, true)
		assert.matches("\n| group.nist | 2 | MUST NOT | must |", "\n" .. tls_policy.conformance(NAME), nil, true)
	end)

	it("is rendered for each program", function ()
		local render = require "xmpp_tls_policy.render"
		for _, name in ipairs(render.names) do
			local text = render.of(policy, name).text
			assert.matches(NAME .. ", level should, for ", text, nil, true)
			assert.matches("version.only-tls13", text, nil, true)
			assert.is_nil(text:find("ECDHE%-RSA"))
		end
		assert.matches("minimum_version: TLSv1.3", tls_policy.render(policy), nil, true)
	end)

	it("is audited", function ()
		local grade, observed_endpoint = require "xmpp_tls_policy.audit.grade", require "support.observed_endpoint"
		local function audited(changes)
			local results = {}
			for _, result in ipairs(grade.clauses(policy, observed_endpoint.new(changes),
				{ service = "c2s", direct = false })) do
				results[result.id] = result.result
			end
			return results
		end
		assert.same({ "broken", "broken" }, { audited()["version.only-tls13"], audited()["group.nist"] })
		local good = audited { ["version.TLSv1.2"] = false, ["groups.accepted"] = { "secp256r1", "secp384r1" } }
		assert.same({ "holds", "holds" }, { good["version.only-tls13"], good["group.nist"] })
		assert.equal("broken", good["cert.rsa3000"])
	end)
end)
