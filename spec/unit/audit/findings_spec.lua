local findings = require "xmpp_tls_policy.audit.findings"
local observed_endpoint = require "support.observed_endpoint"

local function found(changes)
	local words = {}
	for _, finding in ipairs(findings.of(observed_endpoint.new(changes))) do
		words[#words + 1] = ("%s %s: %s"):format(finding.kind, finding.observation, finding.sentence)
	end
	return words
end

describe("findings", function ()
	it("are none at a good server", function ()
		assert.same({}, found())
	end)

	for _, case in ipairs {
		{ "certificate.expected", false, "alarm" }, { "certificate.tlsa", false, "alarm" },
		{ "certificate.days_left", false, "alarm" }, { "plaintext.pipelined", true, "alarm" },
		{ "plaintext.mechanisms", true, "alarm" },
		{ "starttls.offered", false, "alarm" }, { "certificate.caa_issuer", false, "note" },
		{ "certificate.same", false, "note" }, { "certificate.complete", false, "note" },
		{ "certificate.ordered", false, "note" }, { "certificate.usages", false, "note" },
		{ "channel_binding.unsuited", true, "note" }, { "renegotiation.client", true, "note" },
		{ "groups.hybrid", false, "note" },
	} do
		local name, bad, kind = case[1], case[2], case[3]
		it(("have a%s %s when %s is %s, and none otherwise"):format(kind == "alarm" and "n" or "", kind, name, tostring(bad)),
			function ()
				local words = found { [name] = bad }
				assert.equal(1, #words)
				assert.matches(("^%s %s: "):format(kind, name), words[1])
				assert.same({}, found { [name] = not bad })
				assert.same({}, found { [name] = "timed out" })
			end)
	end

	it("have a note when little of a certificate's life is left", function ()
		local function left(share)
			return found { ["certificate.days_left"] = { days = 90 * share, life = 90, share = share } }
		end
		assert.same({}, left(0.15))
		assert.same({ "note certificate.days_left: the certificate expires in 12 days, 14 % of its life" }, left(0.14))
	end)
end)
