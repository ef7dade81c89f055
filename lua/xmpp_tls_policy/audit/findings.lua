--- What an operator has to hear of an endpoint, although no clause of a profile says it. An alarm counts as
-- much as a broken clause for the exit status of the audit; a note does not.
local text = require "xmpp_tls_policy.text"

local findings = {}

-- { observation, seen, kind, sentence }
local rules = {
	{ "certificate.expected", false, "alarm",
		"the certificate is none of those that were expected; someone may stand between you and the server" },
	{ "certificate.tlsa", false, "alarm", "the certificate matches no TLSA record of the domain" },
	{ "certificate.days_left", false, "alarm", "the certificate is not valid now" },
	{ "starttls.offered", false, "alarm", "STARTTLS is not offered: everything is sent in plaintext" },
	{ "plaintext.pipelined", true, "alarm", "data that came with <starttls/> is taken for data after TLS" },
	{ "plaintext.mechanisms", true, "alarm", "SASL is offered before TLS" },
	{ "certificate.caa_issuer", false, "note", "the CAA records of the domain do not permit the certificate's issuer" },
	{ "certificate.same", false, "note", "the endpoints of the domain show different certificates" },
	{ "certificate.complete", false, "note", "the server does not send the whole chain of its certificate" },
	{ "certificate.ordered", false, "note", "the chain is not sent in order" },
	{ "certificate.usages", false, "note", "the certificate may not be used for a server" },
	{ "channel_binding.unsuited", true, "note", "a type of channel binding is announced under a TLS version without it" },
	{ "renegotiation.client", true, "note", "a renegotiation that the client begins is accepted" },
	{ "groups.hybrid", false, "note", "no hybrid group is accepted: a later quantum computer can read recorded traffic" },
}

-- A certificate with less of its life left should have been renewed.
local LEAST_SHARE = 0.15

--- The table of findings, for the manual.
function findings.documentation()
	local lines = { "| kind | finding |", "| --- | --- |" }
	for _, rule in ipairs(rules) do
		lines[#lines + 1] = ("| %s | %s |"):format(rule[3], (rule[4]:gsub("<[^>]*>", "`%0`")))
	end
	lines[#lines + 1] = ("| note | the certificate expires soon: less than %.0f %% of its life is left |"):format(
		LEAST_SHARE * 100)
	return table.concat(lines, "\n") .. "\n"
end

local function expires_soon(observed)
	local observation = observed["certificate.days_left"]
	local value = observation and observation.seen and type(observation.value) == "table" and observation.value or {}
	local days, share = tonumber(value.days), tonumber(value.share)
	if days and share and share < LEAST_SHARE then
		return ("the certificate expires in %s, %.0f %% of its life"):format(text.counted(math.floor(days), "day"),
			share * 100)
	end
end

--- The findings of some observations: a list of { kind = "alarm" | "note", observation, sentence }, alarms first.
function findings.of(observed)
	local list = {}
	for _, rule in ipairs(rules) do
		local observation = observed[rule[1]]
		if observation and observation.seen == rule[2] then
			list[#list + 1] = { kind = rule[3], observation = rule[1], sentence = rule[4] }
		end
	end
	local soon = expires_soon(observed)
	list[#list + 1] = soon and { kind = "note", observation = "certificate.days_left", sentence = soon } or nil
	return list
end

return findings
