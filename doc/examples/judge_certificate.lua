-- Judges the certificate of an XMPP host as the module judges those of its own hosts. Exit status 1 if
-- it has a fault that somebody has to repair.
--
--     lua5.4 judge_certificate.lua CERTIFICATE.pem DOMAIN [PROFILE]
local core = require "xmpp_tls_policy.core"
local own_certificate = require "xmpp_tls_policy.certificates.own_certificate"
local tls_policy = require "xmpp_tls_policy"

local path, domain, profile = arg[1], arg[2], arg[3]
local policy = assert(tls_policy.policy { profile = profile }, "there is no such profile")
local file = assert(io.open(path))
local certificate = assert(core.certificate.from_pem(file:read "*a"))
file:close()

local facts = certificate:facts()
print(("%s, key: %s of %d bits, until %s"):format(
	facts.subject, facts.key_type, facts.key_bits, os.date("!%Y-%m-%d", facts.not_after)))

local faults = own_certificate.check(facts, {
	domain = domain,
	matches_c2s = certificate:matches(domain, "xmpp-client"),
	matches_s2s = certificate:matches(domain, "xmpp-server"),
	now = os.time(),
	breaches = policy:judge_own_certificate(facts),
})
local status = 0
for _, fault in ipairs(faults) do
	print(("%s: %s"):format(fault.severity, fault.message))
	if fault.severity ~= "info" then
		status = 1
	end
end
os.exit(status, true)
