--- The features after TLS: tls.mechanisms, tls.external, channel_binding.types, channel_binding.unsuited.
local attempt = require "xmpp_tls_policy.audit.attempt"
local core = require "xmpp_tls_policy.core"
local exchange = require "xmpp_tls_policy.audit.exchange"
local features = require "xmpp_tls_policy.audit.features"
local observations = require "xmpp_tls_policy.audit.observations"
local text = require "xmpp_tls_policy.text"
local tls_client = require "xmpp_tls_policy.audit.tls_client"

local sasl = { name = "sasl" }

-- The versions, each on a connection of its own, since the types of channel binding depend on it.
local versions = { "TLSv1.3", "TLSv1.2" }

local settings = {}
for _, version in ipairs(versions) do
	settings[version] = {
		insecure_versions = true, minimum_version = version, maximum_version = version, security_level = 0,
	}
end

-- A Context with our certificate, where servers ask for one and we have it; or nil, and a message if it cannot be
-- loaded.
local function context_with_certificate(endpoint, version)
	if endpoint.service ~= "s2s" or not endpoint.own_certificate then
		return nil
	end
	local context, problem = core.context.new {
		role = "client", verify = "none", certificate = endpoint.own_certificate, key = endpoint.own_key,
	}
	if context then
		assert(context:apply(settings[version]))
	end
	return context, problem
end

-- Makes a handshake, with options of tls_client.handshake, and opens a stream. Returns the stream, with the `facts` of
-- the connection, which is closed; or nil, kind, message.
local function stream_over_tls(endpoint, channel, options)
	local client, kind, message, alert = tls_client.handshake(channel, options)
	if not client then
		return nil, kind, message, alert
	end
	local stream
	stream, kind, message = endpoint:open_stream(client)
	local facts = client:facts()
	client:close()
	if not stream then
		return nil, kind, message
	end
	stream.facts = facts
	return stream
end

-- The features under a version: { mechanisms, bindings, extended_master_secret, with_certificate }; or nil and why
-- there are none.
local function features_under(endpoint, version)
	local context, problem = context_with_certificate(endpoint, version)
	if problem then
		return nil, "our certificate: " .. problem
	end
	local stream, kind, message = attempt.make(endpoint, function (channel)
		return stream_over_tls(endpoint, channel, {
			settings = settings[version], context = context, server_name = endpoint.server_name,
			deadline = endpoint:deadline(),
		})
	end)
	if not stream then
		return nil, exchange.reason(kind, message)
	end
	return {
		mechanisms = features.mechanisms(stream.features), bindings = features.channel_bindings(stream.features),
		extended_master_secret = stream.facts.extended_master_secret, with_certificate = context ~= nil,
	}
end

--- Whether a type of channel binding does not suit a version: tls-unique is not defined for TLS 1.3
-- (rfc9266.3.no-tls-unique), and before it tls-exporter needs the extended master secret
-- (rfc9266.2.needs-extended-master-secret).
function sasl.is_unsuited(binding, version, extended_master_secret)
	return binding == "tls-unique" and version == "TLSv1.3"
		or binding == "tls-exporter" and version ~= "TLSv1.3" and not extended_master_secret
end

-- ---- observations ---------------------------------------------------------------------

local function observe_mechanisms(observed, seen)
	local mechanisms, external, whom = {}, false, "a client without a certificate"
	for _, version in ipairs(versions) do
		whom = seen[version] and seen[version].with_certificate and "a client with our certificate" or whom
		for _, name in ipairs(seen[version] and seen[version].mechanisms or {}) do
			external = external or name == "EXTERNAL"
			if not mechanisms[name] then
				mechanisms[name], mechanisms[#mechanisms + 1] = true, name
			end
		end
	end
	local names = {}
	for index, name in ipairs(mechanisms) do
		names[index] = name
	end
	observed["tls.mechanisms"] = observations.made(#names > 0, "after TLS, SASL mechanisms: " .. text.short_list(names),
		names)
	observed["tls.external"] = observations.made(external, ("after TLS, to %s: %s"):format(whom,
		external and "EXTERNAL" or "no EXTERNAL"))
end

local function observe_bindings(observed, seen)
	local types, unsuited, sentences = {}, {}, {}
	for _, version in ipairs(versions) do
		for _, binding in ipairs(seen[version] and seen[version].bindings or {}) do
			types[version] = types[version] or {}
			table.insert(types[version], binding)
			if sasl.is_unsuited(binding, version, seen[version].extended_master_secret) then
				unsuited[version] = unsuited[version] or {}
				table.insert(unsuited[version], binding)
			end
		end
		if seen[version] then
			sentences[#sentences + 1] = ("%s: %s"):format(version, text.short_list(types[version] or {}))
		end
	end
	local evidence = "announced types of channel binding; " .. table.concat(sentences, "; ")
	observed["channel_binding.types"] = observations.made(next(types) ~= nil, evidence, types)
	observed["channel_binding.unsuited"] = observations.made(next(unsuited) ~= nil, evidence, unsuited)
end

--- Takes of the endpoint, beside the usual: own_certificate, own_key, paths of a certificate of ours for streams
-- between servers, or nil; and `from`, the domain of it.
function sasl.run(endpoint, observed)
	local seen, reasons = {}, {}
	for _, version in ipairs(versions) do
		local reason
		seen[version], reason = features_under(endpoint, version)
		if reason then
			reasons[#reasons + 1] = ("%s: %s"):format(version, reason)
		end
	end
	if next(seen) then
		observe_mechanisms(observed, seen)
		observe_bindings(observed, seen)
	else
		for _, name in ipairs { "tls.mechanisms", "tls.external", "channel_binding.types", "channel_binding.unsuited" } do
			observed[name] = observations.untested(table.concat(reasons, "; "))
		end
	end
end

return sasl
