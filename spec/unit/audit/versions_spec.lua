--- The audit's probes of versions, and of curves of less than 224 bits: TLS 1.2 × TLS 1.3, accepted, refused or without
-- an answer. Only a version that was refused counts as one that is not there.
local question = require "xmpp_tls_policy.audit.question"
local short_curves = require "xmpp_tls_policy.audit.probes.short_curves"
local tasks = require "xmpp_tls_policy.audit.tasks"
local versions = require "xmpp_tls_policy.audit.probes.versions"

local accepted = {
	["TLSv1.2"] = {
		kind = "server_hello", version = "TLSv1.2", suite = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", group = "x25519",
		compression = "null", extensions = {},
	},
	["TLSv1.3"] = {
		kind = "hello_retry_request", version = "TLSv1.3", suite = "TLS_AES_128_GCM_SHA256", group = "x25519",
		compression = "null", extensions = {},
	},
}
local REFUSED = { kind = "alert", level = "fatal", description = "protocol_version" }
local outcomes = { "accepted", "refused", "unanswered" }

-- Runs both probes against a server with these outcomes: version -> outcome; others are refused.
local function observe(outcome)
	local ask = question.ask
	finally(function ()
		question.ask = ask
	end)
	question.ask = function (_, offer)
		local version = offer.versions and offer.versions[1] or offer.version
		if outcome[version] == "unanswered" then
			return nil, "the server did not answer in time"
		end
		return outcome[version] == "accepted" and accepted[version] or REFUSED
	end
	local observed = {}
	tasks.run(function ()
		versions.run({}, observed)
		short_curves.run({}, observed)
	end)
	return observed
end

describe("what TLS 1.3 alone would settle", function ()
	for _, newest in ipairs(outcomes) do
		for _, older in ipairs(outcomes) do
			it(("TLS 1.3 %s, TLS 1.2 %s"):format(newest, older), function ()
				local observed = observe { ["TLSv1.3"] = newest, ["TLSv1.2"] = older }
				local is_alone = newest == "accepted" and older == "refused"
				-- The answer has neither extension, no compression, and a group of 255 bits.
				for name, with_older in pairs {
					["renegotiation.secure"] = false, extended_master_secret = false, compression = false,
				} do
					local expected
					if older == "accepted" then
						expected = with_older
					elseif is_alone then
						expected = name ~= "compression"
					end
					assert.equal(expected, observed[name].seen, name)
				end
				if older ~= "accepted" then
					local expected
					if is_alone then
						expected = false
					end
					assert.equal(expected, observed["groups.short"].seen)
				end
			end)
		end
	end
end)
