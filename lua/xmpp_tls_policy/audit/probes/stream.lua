--- The features that a server offers before TLS: starttls.*, plaintext.features, plaintext.mechanisms.
local features = require "xmpp_tls_policy.audit.features"
local observations = require "xmpp_tls_policy.audit.observations"
local text = require "xmpp_tls_policy.text"
local xml_stream = require "xmpp_tls_policy.audit.xml_stream"

local stream = { name = "stream" }

local namespaces = xml_stream.namespaces

local function all_untested(observed, reason)
	for _, name in ipairs { "starttls.offered", "starttls.required", "plaintext.features", "plaintext.mechanisms" } do
		observed[name] = observations.untested(reason)
	end
end

-- What a list of names shows; `what`: "features besides STARTTLS".
local function listed(names, what)
	local evidence = #names == 0 and "no " .. what or ("%s: %s"):format(what, text.short_list(names))
	return observations.made(#names > 0, "before TLS, " .. evidence, names)
end

--- Makes the observations of the stream before TLS.
function stream.run(endpoint, observed)
	if endpoint.direct then
		return all_untested(observed, "with direct TLS there is no stream before TLS")
	end
	local opened, kind, message = endpoint:open_plaintext()
	if not opened then
		return all_untested(observed, ("%s: %s"):format(kind, message))
	end
	opened.transport:close()
	local starttls = xml_stream.child(opened.features, "starttls", namespaces.tls)
	observed["starttls.offered"] = observations.made(starttls ~= nil, opened.header.version
		and (starttls and "the features offer STARTTLS" or "the features have no <starttls/>")
		or "the header of the stream has no version, so there are no features")
	if starttls then
		local required = xml_stream.child(starttls, "required", namespaces.tls) ~= nil
		observed["starttls.required"] = observations.made(required,
			"<starttls/> has " .. (required and "<required/>" or "no <required/>"))
	else
		observed["starttls.required"] = observations.untested "STARTTLS is not offered"
	end
	observed["plaintext.features"] = listed(features.others(opened.features), "features besides STARTTLS")
	observed["plaintext.mechanisms"] = listed(features.mechanisms(opened.features), "SASL mechanisms")
end

return stream
