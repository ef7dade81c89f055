-- A server for specs of the audit as a client: it takes a stream of the audit's, and then connects back as a script
-- says. It runs on the loop of tasks.lua.
local channel = require "xmpp_tls_policy.audit.channel"
local core = require "xmpp_tls_policy.core"
local endpoint = require "xmpp_tls_policy.audit.endpoint"
local process = require "support.process"
local tasks = require "xmpp_tls_policy.audit.tasks"
local tls_client = require "xmpp_tls_policy.audit.tls_client"
local xml_stream = require "xmpp_tls_policy.audit.xml_stream"

local calling_server = {}

local namespaces = xml_stream.namespaces

local function deadline()
	return tasks.now() + process.PATIENCE
end

-- Answers a header with ours and features.
local function answer_header(stream, features)
	if not stream:read_header(deadline()) then
		return false
	end
	stream:open("s2s", { from = "far.test", to = "our.test", id = "far" }, deadline())
	stream:write(("<stream:features>%s</stream:features>"):format(features), deadline())
	return true
end

-- Takes the audit's stream up to <db:result/>. Returns the stream and the key.
local function take_request(connection, context)
	local stream = xml_stream.new(connection)
	if not answer_header(stream, ("<starttls xmlns='%s'><required/></starttls>"):format(namespaces.tls))
		or not stream:read_element(deadline()) then
		return nil
	end
	stream:write(("<proceed xmlns='%s'/>"):format(namespaces.tls), deadline())
	local secured = tls_client.handshake(connection, { context = context, deadline = deadline() })
	if not secured then
		return nil
	end
	stream = xml_stream.new(secured)
	if not answer_header(stream, "<dialback xmlns='urn:xmpp:features:dialback'/>") then
		return nil
	end
	local element = stream:read_element(deadline())
	return element and stream, element and element.text
end

--- A stream to the audit's listener: after its features. `header`: attributes, default those of our domains.
-- Returns the stream and the features.
function calling_server.open(transport, header)
	local stream = xml_stream.new(transport)
	stream:open("s2s", header or { from = "far.test", to = "our.test" }, deadline())
	if not stream:read_header(deadline()) then
		return nil
	end
	return stream, stream:read_element(deadline())
end

--- Asks for TLS on such a stream, and makes the handshake with a Context of a client. Returns a TlsClient.
function calling_server.start_tls(stream, context, server_name)
	stream:write(("<starttls xmlns='%s'/>"):format(namespaces.tls), deadline())
	if not stream:read_element(deadline()) then
		return nil
	end
	return tls_client.handshake(stream.transport, {
		context = context, server_name = server_name, deadline = deadline(),
	})
end

--- Asks about a key on a stream, and returns the type of the answer.
function calling_server.verify(stream, key)
	stream:write(("<db:verify from='far.test' to='our.test' id='far'>%s</db:verify>"):format(key), deadline())
	local element = stream:read_element(deadline())
	return element and element.attributes.type
end

--- Runs `main(point)` as a task, with an endpoint of the server, which shows the certificate of `files`. For each
-- request of the audit's `call(connect, key, stream, number)` runs; connect() returns a new channel to port `port`.
-- Returns what main returns.
function calling_server.run(files, port, call, main)
	local context = assert(core.context.new {
		role = "server", verify = "none", certificate = files.certificate, key = files.key,
	})
	return tasks.run(function ()
		local count = 0
		local bound, stop = channel.listen("127.0.0.1", 0, function (connection)
			local stream, key = take_request(connection, context)
			count = count + 1
			if stream then
				call(function ()
					return assert(channel.connect("127.0.0.1", port, deadline()))
				end, key, stream, count)
			end
			connection:close()
		end)
		local result = main(endpoint.new {
			domain = "far.test", service = "s2s", host = "localhost", address = "127.0.0.1", port = assert(bound, stop),
			from = "our.test", timeout = process.PATIENCE, time_limit = 100 * process.PATIENCE,
		})
		stop()
		return result
	end)
end

return calling_server
