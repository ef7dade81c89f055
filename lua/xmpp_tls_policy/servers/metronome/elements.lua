--- The elements that we send ourselves; see prosody_style/elements.lua.
local common = require "xmpp_tls_policy.servers.prosody_style.elements"
local stanza = require "util.stanza"

local elements = {}

for name, method in pairs(common) do
	elements[name] = method
end

local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"

--- Takes everything but STARTTLS out of stream features, and makes it mandatory (rfc6120.5.3.1.starttls-alone).
-- Metronome's maptags leaves the last child out. Its element for STARTTLS is one for all streams, so it is copied
-- before it is changed.
function elements.offer_only_starttls(features)
	local offer = stanza.clone(features:get_child("starttls", xmlns_tls))
	if not offer:get_child "required" then
		offer:tag "required":up()
	end
	for index = #features, 1, -1 do
		features[index] = nil
	end
	for index = #features.tags, 1, -1 do
		features.tags[index] = nil
	end
	features:reset()
	features:add_child(offer)
end

return elements
