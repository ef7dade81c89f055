--- The curves of under 256 bits that an endpoint accepts. TLS 1.3 has none of them, so that they are asked for in
-- TLS 1.2, or an older version.
local hello_lists = require "xmpp_tls_policy.audit.hello_lists"
local observations = require "xmpp_tls_policy.audit.observations"
local question = require "xmpp_tls_policy.audit.question"
local versions = require "xmpp_tls_policy.audit.probes.versions"

local short_curves = { name = "short_curves", after = { "versions" } }

-- IANA's names and numbers.
local numbers = {
	sect163k1 = 1, sect163r1 = 2, sect163r2 = 3, sect193r1 = 4, sect193r2 = 5, sect233k1 = 6, sect233r1 = 7,
	sect239k1 = 8, secp160k1 = 15, secp160r1 = 16, secp160r2 = 17, secp192k1 = 18, secp192r1 = 19, secp224k1 = 20,
	secp224r1 = 21,
}

-- Answers name a group by its number if only this list has it.
local names = {}
for name, number in pairs(numbers) do
	names[name], names[("0x%04X"):format(number)] = name, name
end

local function newest_old_version(observed)
	for _, version in ipairs { "TLSv1.2", "TLSv1.1", "TLSv1" } do
		if observed["version." .. version].seen then
			return version
		end
	end
end

local function offer_of(version, open)
	local groups = {}
	for name in pairs(open) do
		groups[#groups + 1] = numbers[name]
	end
	table.sort(groups)
	return {
		version = version, groups = groups,
		suites = hello_lists.filter(version == "TLSv1.2" and hello_lists.tls12 or hello_lists.before_tls12,
			function (name)
				return name:find "^TLS_ECDHE_[RE]" ~= nil
			end),
	}
end

-- So many are enough to tell.
local MOST_ACCEPTED = 3

-- Offers the curves that were not accepted yet until the server refuses the rest, or has accepted enough.
local function ask(endpoint, version)
	local open, accepted, evidence = {}, {}, nil
	for name in pairs(numbers) do
		open[name] = true
	end
	while #accepted < MOST_ACCEPTED do
		local answer, reason = question.ask(endpoint, offer_of(version, open))
		local name = answer and names[answer.group or ""]
		if not answer then
			return observations.untested(reason)
		elseif not question.is_accepted(answer) then
			return observations.made(accepted[1] ~= nil, evidence
				or "to a hello that offers no other curves, " .. question.evidence(answer), accepted)
		elseif not name or not open[name] then
			return observations.untested "the server chooses something that was not offered"
		end
		open[name], accepted[#accepted + 1] = nil, name
		evidence = ("%s accepts the curves %s"):format(version, table.concat(accepted, ", "))
	end
	return observations.made(true, evidence, accepted)
end

--- Makes the observation "groups.short".
function short_curves.run(endpoint, observed)
	local version = newest_old_version(observed)
	if version then
		observed["groups.short"] = ask(endpoint, version)
	elseif versions.is_tls13_alone(observed) then
		observed["groups.short"] = observations.made(false, "TLS 1.3 alone is accepted, which has no such curves", {})
	else
		observed["groups.short"] = observations.untested(versions.why_untested(observed))
	end
end

return short_curves
