--- A server for specs of the audit, in the same process and on the same event loop, that does what a
-- script says.
local channel = require "xmpp_tls_policy.audit.channel"
local process = require "support.process"
local tasks = require "xmpp_tls_policy.audit.tasks"
local xml_stream = require "xmpp_tls_policy.audit.xml_stream"

local scripted_server = {}

local namespaces = xml_stream.namespaces

scripted_server.starttls = ("<starttls xmlns='%s'/>"):format(namespaces.tls)
scripted_server.required = ("<starttls xmlns='%s'><required/></starttls>"):format(namespaces.tls)
scripted_server.proceed = ("<proceed xmlns='%s'/>"):format(namespaces.tls)

--- The mechanisms as a feature.
function scripted_server.mechanisms(...)
	return ("<mechanisms xmlns='%s'><mechanism>%s</mechanism></mechanisms>"):format(namespaces.sasl,
		table.concat({ ... }, "</mechanism><mechanism>"))
end

--- The header of a server's stream, with features (XML, or nil for a header alone).
function scripted_server.header(features)
	return ("<?xml version='1.0'?><stream:stream from='example.test' id='1' version='1.0' xmlns='%s' xmlns:stream='%s'>%s")
		:format(namespaces.c2s, namespaces.streams,
			features and ("<stream:features>%s</stream:features>"):format(features) or "")
end

--- A stream error.
function scripted_server.error(condition)
	return ("<stream:error><%s xmlns='%s'/></stream:error></stream:stream>"):format(condition, namespaces.errors)
end

--- Calls `main(port, server)` as a task, while `serve(channel, number)` serves each connection in a task
-- of its own; `number`: 1 for the first connection. Returns what main returns. `server`: { accepted, open = the
-- number of connections, most_open }. A connection is closed when `serve` returns.
function scripted_server.run(serve, main)
	local function when_done(stop, ...)
		stop()
		return ...
	end
	return tasks.run(function ()
		local server = { accepted = 0, open = 0, most_open = 0 }
		local port, stop = channel.listen("127.0.0.1", 0, function (connection)
			server.accepted, server.open = server.accepted + 1, server.open + 1
			server.most_open = math.max(server.most_open, server.open)
			serve(connection, server.accepted)
			connection:close()
			server.open = server.open - 1
		end)
		assert(port, stop)
		return when_done(stop, main(port, server))
	end)
end

--- Serves a connection as an XMPP server does that offers `features`, and agrees to STARTTLS. Returns
-- true when TLS may begin, and what came in one packet with <starttls/> is not read.
function scripted_server.agree(connection, features)
	local stream, deadline = xml_stream.new(connection), tasks.now() + process.PATIENCE
	if not stream:read_header(deadline) then
		return false
	end
	connection:write(scripted_server.header(features), deadline)
	local element = stream:read_element(deadline)
	if not element or element.name ~= "starttls" then
		return false
	end
	connection:write(scripted_server.proceed, deadline)
	return true
end

--- Waits until the client has closed the connection.
function scripted_server.drain(connection)
	repeat
		local bytes = connection:read(tasks.now() + process.PATIENCE)
	until not bytes
end

return scripted_server
