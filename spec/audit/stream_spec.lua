-- The features before TLS, at a Prosody that allows everything without TLS, and at one with the policy.
local audited = require "support.audited"
local pki = require "support.pki"
local prosody = require "support.prosody"
local stream = require "xmpp_tls_policy.audit.probes.stream"
local versions = require "support.versions"

describe("the probe of streams before TLS", function ()
	local servers = prosody.group()
	local lax, strict, deaf

	setup(function ()
		local files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
		local hosts = { ["example.test"] = files }
		lax = servers.start { hosts = hosts, modules = { "register" }, options = {
			c2s_require_encryption = false, s2s_require_encryption = false, allow_unencrypted_plain_auth = true,
			allow_registration = true,
		} }
		deaf = servers.start { hosts = hosts, only_modules = { "saslauth" }, options = {
			c2s_require_encryption = false, allow_unencrypted_plain_auth = true,
		} }
		strict = servers.start { hosts = hosts, with_policy = true, options = { c2s_require_encryption = false } }
	end)

	teardown(function ()
		servers.stop()
		pki.remove()
	end)

	-- Prosody 13 also tells its limits (XEP-0478), which harms nothing.
	local has_limits = versions.prosody_from(13)

	-- Name -> seen, or the reason.
	local function seen(...)
		local result = {}
		for name, observation in pairs((audited.observed(stream, ...))) do
			result[name] = observation.reason or observation.seen
		end
		return result
	end

	it("sees STARTTLS and other features beside it", function ()
		assert.same({ ["starttls.offered"] = true, ["starttls.required"] = false, ["plaintext.features"] = true,
			["plaintext.mechanisms"] = true }, seen(lax, "c2s"))
		local observed, point = audited.observed(stream, lax, "c2s")
		-- Prosody loads its modules in no fixed order.
		table.sort(observed["plaintext.features"].value)
		assert.same(has_limits and { "limits", "mechanisms", "register" } or { "mechanisms", "register" },
			observed["plaintext.features"].value)
		local mechanisms = table.concat(observed["plaintext.mechanisms"].value, " ")
		assert.truthy(mechanisms:find "PLAIN" and mechanisms:find "SCRAM%-SHA%-1", mechanisms)
		assert.matches("^before TLS, features besides STARTTLS: [%l, ]+$", observed["plaintext.features"].evidence)
		assert.equal(1, point.connections)
	end)

	for _, service in ipairs { "c2s", "s2s" } do
		it("sees nothing but STARTTLS with <required/> under the policy, " .. service, function ()
			assert.same({ ["starttls.offered"] = true, ["starttls.required"] = true,
				["plaintext.features"] = has_limits, ["plaintext.mechanisms"] = false }, seen(strict, service))
		end)
	end

	it("sees that STARTTLS is missing", function ()
		assert.same({ ["starttls.offered"] = false, ["starttls.required"] = "STARTTLS is not offered",
			["plaintext.features"] = true, ["plaintext.mechanisms"] = true }, seen(deaf, "c2s"))
	end)

	it("tests nothing with direct TLS, or for a host that there is not", function ()
		local reason = "with direct TLS there is no stream before TLS"
		assert.same({ ["starttls.offered"] = reason, ["starttls.required"] = reason, ["plaintext.features"] = reason,
			["plaintext.mechanisms"] = reason }, seen(lax, "c2s_direct_tls"))
		reason = "stream_error: host-unknown"
		assert.same({ ["starttls.offered"] = reason, ["starttls.required"] = reason, ["plaintext.features"] = reason,
			["plaintext.mechanisms"] = reason }, seen(lax, "c2s", "other.test"))
	end)
end)
