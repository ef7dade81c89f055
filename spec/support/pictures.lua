-- What the commands print, for the documents: the real code over invented connections and servers.
local audit_reports = require "support.audit_reports"
local command_service = require "support.command_service"
local report_text = require "xmpp_tls_policy.audit.report_text"
local tls_policy = require "xmpp_tls_policy"

local pictures = {}

local WIDTH = 110

local function session(fields, known, facts)
	fields.connection, fields.secure, fields.host = {}, true, "example.org"
	known.connection, known.policy_name, known.verdict = fields.connection, "the policy", known.verdict or
		{ refuse = false, broken = {} }
	known.facts = {
		version = "TLSv1.3", cipher_suite = "TLS_AES_256_GCM_SHA384", bits = 256, group = "X25519MLKEM768",
		forward_secrecy = true, resumed = false,
	}
	for name, value in pairs(facts or {}) do
		known.facts[name] = value
	end
	function known.vouched()
		return fields.vouched_by ~= nil
	end
	fields.stream = known
	return fields
end

--- The output of `tlspolicy:show()` in a terminal of 110 columns.
function pictures.shell()
	local policy = tls_policy.policy()
	local text, done, message = command_service.run({
		server = command_service.server { sessions = {
			session({ role = "c2s", jid = "juliet@example.org/phone", address = "192.0.2.1" },
				{ mechanism = "SCRAM-SHA-256-PLUS", binding = "tls-exporter" }, { resumed = true }),
			session({ role = "c2s", jid = "nurse@example.org/desk", address = "192.0.2.2" }, { mechanism = "SCRAM-SHA-1" },
				{ version = "TLSv1.2", cipher_suite = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", group = "x25519" }),
			session({ role = "s2sin", peer = "verona.example", domains = { "verona.example" }, vouched_by = "PKIX",
				address = "198.51.100.7" }, { mechanism = "EXTERNAL" }, { group = "x25519" }),
			session({ role = "s2sout", peer = "old.example", domains = { "old.example" }, address = "203.0.113.9" },
				{ mechanism = "dialback", exception = { domain = "old.example", expires = "2027-03-01" } },
				{ version = "TLSv1.2", cipher_suite = "TLS_RSA_WITH_AES_128_CBC_SHA", bits = 128, group = false,
					forward_secrecy = false }),
		} },
		policies = command_service.policies { ["*"] = policy, ["example.org"] = policy },
	}, "show", ("width=%d"):format(WIDTH))
	assert(done, message)
	return ("%sOK: %s\n"):format(text, message)
end

--- A report of `xmpp-tls-policy audit`.
function pictures.audit()
	return report_text.of(audit_reports.of {
		audit_reports.domain("example.org", {
			audit_reports.endpoint { ["version.TLSv1"] = true, ["suites.rc4"] = { "TLS_RSA_WITH_RC4_128_SHA" } },
			audit_reports.endpoint({ ["groups.hybrid"] = false }, { direct = true, port = 5223 }),
		}),
	}, { width = WIDTH })
end

return pictures
