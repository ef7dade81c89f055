--- Whether data that a client sends in one packet with <starttls/>, so not protected, counts as if it came after
-- TLS: plaintext.pipelined. The data is the header of a stream to a domain that no server has.
local exchange = require "xmpp_tls_policy.audit.exchange"
local observations = require "xmpp_tls_policy.audit.observations"
local tls_client = require "xmpp_tls_policy.audit.tls_client"
local xml_stream = require "xmpp_tls_policy.audit.xml_stream"

local pipelined = { name = "pipelined" }

local NOBODY = "pipelined.invalid"

-- Errors of a server that was asked for that domain.
local about_nobody = {
	["host-unknown"] = true, ["host-gone"] = true, ["improper-addressing"] = true, ["remote-connection-failed"] = true,
}

-- What a server shows that has got the data: an observation.
local function judge(endpoint, client)
	local stream, kind, message = endpoint:open_stream(client)
	if stream and stream.header.from ~= NOBODY then
		return observations.made(false, "under TLS, the server answered the stream that began after the handshake")
	elseif stream or kind == "stream_error" and about_nobody[message] then
		return observations.made(true, ("under TLS, the server answered the stream that began before: %s"):format(
			message or "it opened a stream to " .. NOBODY))
	end
	return observations.untested("under TLS, " .. exchange.reason(kind, message))
end

local function observe(endpoint)
	if endpoint.direct then
		return observations.untested "with direct TLS there is no stream before TLS"
	end
	local channel, kind, message = endpoint:open(xml_stream.header(endpoint.service, { to = NOBODY }))
	if kind == "early_error" then
		return observations.made(false, "the server answered <starttls/> with the stream error " .. message)
	elseif kind == "early_answer" then
		return observations.made(false, "the server answered the data before TLS")
	elseif not channel then
		return observations.untested(exchange.reason(kind, message))
	end
	local client, alert
	client, kind, message, alert = tls_client.handshake(channel, {
		server_name = endpoint.server_name, deadline = endpoint:deadline(),
	})
	if not client then
		return kind == "alert"
			and observations.made(false, ("the server took the data for TLS, and sent the alert %s"):format(alert or message))
			or observations.untested(exchange.reason(kind, message))
	end
	local observation = judge(endpoint, client)
	client:close()
	return observation
end

--- Makes the observation "plaintext.pipelined".
function pipelined.run(endpoint, observed)
	observed["plaintext.pipelined"] = observe(endpoint)
end

return pipelined
