--- The elements that we send ourselves, and our changes to those that the server sends.
local stanza = require "util.stanza"

local elements = {}

local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"
local xmlns_sasl = "urn:ietf:params:xml:ns:xmpp-sasl"

local function send(session, element)
	return (session.sends2s or session.send)(element)
end

--- Asks a remote server for TLS.
function elements.send_starttls(session)
	send(session, stanza.stanza("starttls", { xmlns = xmlns_tls }))
end

--- Answers an attempt at SASL on a stream without TLS (rfc6120.6.5.4.encryption-required).
function elements.send_encryption_required(session)
	send(session, stanza.stanza("failure", { xmlns = xmlns_sasl }):tag "encryption-required":up())
end

--- Whether stream features offer STARTTLS, <required/> or not (support.flag).
function elements.offers_starttls(features)
	return features:get_child("starttls", xmlns_tls) ~= nil
end

--- Takes everything but STARTTLS out of stream features, and makes it mandatory
-- (rfc6120.5.3.1.starttls-alone).
-- The element that mod_tls adds is one for all streams, so it is copied before it is changed.
function elements.offer_only_starttls(features)
	features:maptags(function (feature)
		if feature.name ~= "starttls" or feature.attr.xmlns ~= xmlns_tls then
			return nil
		elseif feature:get_child "required" then
			return feature
		end
		return stanza.clone(feature):tag "required":up()
	end)
end

return elements
