-- Answers to hellos that no server of today gives, made by hand.
local client_hello = require "xmpp_tls_policy.audit.client_hello"
local iana = require "xmpp_tls_policy.audit.iana"
local process = require "support.process"
local tasks = require "xmpp_tls_policy.audit.tasks"
local wire = require "xmpp_tls_policy.audit.wire"

local hello_answers = {}

-- The end of a wait that begins now.
local function soon()
	return tasks.now() + process.PATIENCE
end

local vector = wire.vector

local function record(kind, body)
	return string.char(kind) .. "\3\3" .. vector(body, 2)
end

function hello_answers.alert(number)
	return record(21, "\2" .. string.char(number))
end

local function message(kind, body)
	return string.char(kind) .. vector(body, 3)
end

-- A flight of TLS 1.2 or older. `choice`: { version, suite, compression (number), extensions (bytes), dhe_bits }.
function hello_answers.flight(choice)
	local body = wire.integer(iana.versions[choice.version or "TLSv1.2"], 2) .. ("r"):rep(32) .. "\0"
		.. wire.integer(iana.suites[choice.suite], 2) .. string.char(choice.compression or 0)
		.. vector(choice.extensions or "", 2)
	local messages = message(2, body) .. message(11, vector(vector("certificate", 3), 3))
	if choice.dhe_bits then
		messages = messages .. message(12, vector("\255" .. ("p"):rep(choice.dhe_bits / 8 - 1), 2) .. vector("\2", 2)
			.. vector("y", 2) .. "\4\1" .. vector("signature", 2))
	end
	return record(22, messages .. message(14, ""))
end

-- A HelloRetryRequest for a suite and a group of TLS 1.3.
function hello_answers.retry(suite, group)
	local random = "\207\33\173\116\229\154\97\17\190\29\140\2\30\101\184\145"
		.. "\194\162\17\22\122\187\140\94\7\158\9\226\200\168\51\156"
	local extensions = "\0\43\0\2\3\4\0\51\0\2" .. wire.integer(iana.groups[group], 2)
	return record(22, message(2, "\3\3" .. random .. vector(("s"):rep(32), 1) .. wire.integer(iana.suites[suite], 2)
		.. "\0" .. vector(extensions, 2)))
end

-- SSLv2's SERVER-HELLO.
hello_answers.sslv2 = "\128\11\4\0\1\0\2\0\0\0\0\0\0"

-- For `accept` of tls_peer: reads a hello and sends what `choose(hello)` returns, or handshake_failure for
-- nil. The hello is nil if it has the form of SSLv2. `send(peer, bytes)`: how, if not at once.
function hello_answers.peer(choose, send)
	return function (peer)
		local bytes = ""
		repeat
			local more = peer:read(soon())
			bytes = bytes .. (more or "")
			local length = wire.reader(bytes:sub(4, 5)):integer(2)
		until not more or bytes:byte() ~= 22 or length and #bytes >= length + 5
		local answer = choose(client_hello.parse(bytes)) or hello_answers.alert(40)
		if send then
			send(peer, answer)
		else
			peer:write(answer, soon())
		end
		peer:read(soon())
	end
end

-- The first of the names that is in a list, or nil.
function hello_answers.first(names, list)
	for _, name in ipairs(names) do
		for _, other in ipairs(list or {}) do
			if name == other then
				return name
			end
		end
	end
end

return hello_answers
