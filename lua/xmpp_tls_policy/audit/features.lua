--- The features of a stream (an element of xml_stream.lua), as lists of harmless names.
local text = require "xmpp_tls_policy.text"
local xml_stream = require "xmpp_tls_policy.audit.xml_stream"

local features = {}

local namespaces = xml_stream.namespaces

-- Names of a list that are kept, and bytes of each.
local MOST_NAMES, LONGEST = 32, 60

-- Foreign names as a list of harmless ones, each once.
local function kept(names)
	local result, seen = {}, {}
	for _, name in ipairs(names) do
		local shown = text.shown(name:sub(1, LONGEST))
		if not seen[shown] and #result < MOST_NAMES then
			result[#result + 1], seen[shown] = shown, true
		end
	end
	return result
end

--- Where features announce SASL mechanisms: RFC 6120, and XEP-0388.
local announcements = {
	{ "mechanisms", namespaces.sasl }, { "authentication", namespaces.sasl2 },
}

--- The SASL mechanisms.
function features.mechanisms(element)
	local names = {}
	for _, announcement in ipairs(announcements) do
		local offered = xml_stream.child(element, announcement[1], announcement[2])
		for _, mechanism in ipairs(offered and offered.children or {}) do
			if mechanism.name == "mechanism" and mechanism.namespace == announcement[2] then
				names[#names + 1] = mechanism.text
			end
		end
	end
	return kept(names)
end

--- The types of channel binding (XEP-0440).
function features.channel_bindings(element)
	local names = {}
	local announced = xml_stream.child(element, "sasl-channel-binding", namespaces.channel_binding)
	for _, binding in ipairs(announced and announced.children or {}) do
		if binding.name == "channel-binding" then
			names[#names + 1] = binding.attributes.type
		end
	end
	return kept(names)
end

--- The names of all features but STARTTLS.
function features.others(element)
	local names = {}
	for _, feature in ipairs(element.children) do
		if not (feature.name == "starttls" and feature.namespace == namespaces.tls) then
			names[#names + 1] = feature.name
		end
	end
	return kept(names)
end

return features
