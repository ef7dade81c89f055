-- ClientHello messages made by hand, sent to a real server.
local client_hello = require "xmpp_tls_policy.audit.client_hello"
local process = require "support.process"
local server_answer = require "xmpp_tls_policy.audit.server_answer"
local socket = require "socket"
local xmpp = require "support.xmpp"

local hellos = { build = client_hello.build, parse = client_hello.parse }

-- A connection to a target (see prosody.lua), after STARTTLS and before the first byte of TLS.
function hellos.connect(target, options)
	local peer = xmpp.connect(target, options)
	if not target.direct_tls then
		local features, reason, text = peer:open()
		local ready
		if features then
			ready, reason, text = peer:request_tls()
		end
		if not ready then
			peer:close()
			error(("no STARTTLS: %s: %s"):format(tostring(reason), tostring(text)), 2)
		end
	end
	return peer
end

-- The fields of an answer that specs compare.
local function summary(answer)
	return {
		kind = answer.kind, level = answer.level, description = answer.description,
		version = answer.version, suite = answer.suite, compression = answer.compression,
	}
end

-- The first answer of a parser (server_answer.lua), and all bytes; or nil, "timeout" or why the
-- connection is closed, and the bytes.
local function read_answer(peer, parser, deadline)
	local bytes = ""
	while true do
		local data, reason = peer:receive(deadline)
		if not data then
			return nil, reason, bytes
		end
		bytes = bytes .. data
		local answer = parser:feed(data) or parser:partial()
		if answer then
			return answer, nil, bytes
		end
	end
end

-- Sends an offer, or any bytes, and returns the answer:
--   { kind = "alert", level = "fatal", description = "handshake_failure" }
--   { kind = "server_hello" or "hello_retry_request", version, suite, compression }
--   { kind = "closed", reason }    { kind = "timeout" }    { kind = "other", bytes }
-- An alert also has closed = true if the server then closed the connection.
-- options: timeout in seconds (30), from (s2s).
function hellos.send(target, offer, options)
	local timeout = options and options.timeout or process.PATIENCE
	local peer = hellos.connect(target, options)
	peer:send(type(offer) == "string" and offer or client_hello.build(offer))
	local found, reason, bytes = read_answer(peer, server_answer.new(), socket.gettime() + timeout)
	local answer
	if found and found.kind ~= "malformed" then
		answer = summary(found)
		if answer.kind == "alert" then
			answer.closed = peer:read_all(timeout) ~= nil
		end
	elseif reason == "timeout" then
		answer = { kind = "timeout", bytes = bytes }
	elseif bytes ~= "" then
		answer = { kind = "other", bytes = bytes }
	else
		answer = { kind = "closed", reason = reason }
	end
	peer:close()
	return answer
end

-- Sends bytes and closes the connection without waiting for an answer.
function hellos.abandon(target, bytes, options)
	local peer = hellos.connect(target, options)
	peer:send(bytes)
	peer:close()
end

return hellos
