-- The ClientHello of an unknown peer (RFC 8446 4.1.2), without its header. It reaches the look-ups of
-- sessions and server names, is captured as an offer, and is reported if it is refused.
--
-- The input is a zero and the whole message; or a one and extensions, whose lengths are corrected: the
-- type (two bytes), the length (two bytes, at most the rest), and the content.
local client_hello = require "xmpp_tls_policy.policy.client_hello"
local core = require "xmpp_tls_policy.core"
local explain_failure = require "xmpp_tls_policy.handshakes.explain_failure"
local live_session = require "support.live_session"
local offers = require "support.offers"
local own = require "support.client_hello"
local process = require "support.process"
local socket = require "socket"
local tls_policy = require "xmpp_tls_policy"

local target = {}

local function number(text, position)
	local high, low = text:byte(position, position + 1)
	return (high or 0) * 256 + (low or 0)
end

local function prefixed(text, size)
	local bytes, length = "", #text
	for _ = 1, size do
		bytes, length = string.char(length % 256) .. bytes, math.floor(length / 256)
	end
	return bytes .. text
end

local header = "\3\3" .. ("r"):rep(32) .. prefixed("{ID of TLSv1.2}{ID of TLSv1.2}{I", 1)
	.. prefixed("\19\2\19\3\19\1\192\44\192\48\204\169\192\43", 2) .. "\1\0"

local function with_extensions(bytes)
	local list, position = {}, 1
	while position + 3 <= #bytes do
		local length = math.min(number(bytes, position + 2), #bytes - position - 3)
		list[#list + 1] = bytes:sub(position, position + 1)
			.. prefixed(bytes:sub(position + 4, position + 3 + length), 2)
		position = position + 4 + length
	end
	return header .. prefixed(table.concat(list), 2)
end

-- A handshake message in as many records as it needs.
local function records(body)
	local message, list = "\1" .. prefixed(body, 3), {}
	for position = 1, #message, 16384 do
		list[#list + 1] = "\22\3\1" .. prefixed(message:sub(position, position + 16383), 2)
	end
	return table.concat(list)
end

-- A captured offer contains only values that were sent.
local function check_offer(raw, sent)
	for field, most in pairs { versions = 16, suites = 128, groups = 48, signature_schemes = 48 } do
		local numbers = raw[field] or {}
		assert(#numbers <= most, field)
		for _, value in ipairs(numbers) do
			assert(sent:find(string.char(math.floor(value / 256), value % 256), 1, true), field)
		end
	end
	assert(#(raw.server_name or "") <= 255)
	assert(sent:find(raw.server_name or "", 1, true), "server_name")
	for _, name in ipairs(raw.alpn or {}) do
		assert(sent:find(prefixed(name, 1), 1, true), "alpn")
	end
	for name, value in pairs(client_hello.named(raw)) do
		for _, text in ipairs(type(value) == "table" and value or {}) do
			assert(not text:find "[%c\128-\255]", name)
		end
	end
end

local policies = { assert(tls_policy.policy { mode = "report" }) }
for _, profile in ipairs(tls_policy.profile_names) do
	for _, level in ipairs { "should", "must" } do
		policies[#policies + 1] = assert(tls_policy.policy { profile = profile, level = level })
	end
end

local function check_refusals(sent)
	for _, record in ipairs(core.observer.refusals()) do
		if record.offer then
			check_offer(record.offer, sent)
		end
		for _, policy in ipairs(policies) do
			local sentence = explain_failure(record, { policy = policy, role = "c2s", settings = policy:settings() })
			assert(#sentence > 0 and not sentence:find "[%c\128-\255]", sentence)
		end
	end
end

function target.test(bytes)
	local body = bytes:sub(2)
	if bytes:byte(1) == 1 then
		body = with_extensions(body)
	end
	local connection = assert(core.connection.new(live_session.server()))
	local sent = live_session.put_in(body):sub(1, 65000)
	assert(connection:feed(records(sent)))
	local done, _, code = connection:handshake()
	assert(not done and (code == "wantread" or code == "tls"), code)
	assert(code == "wantread" or #connection:take() > 0, "no alert")
	assert(connection:facts() == nil)
	connection:close()
	check_refusals(sent)
end

-- The ClientHello that a command sends to 127.0.0.1 and the port it is given.
local function capture(command)
	local listening = assert(socket.bind("127.0.0.1", 0))
	local _, port = listening:getsockname()
	listening:settimeout(30)
	for index, word in ipairs(command) do
		command[index] = word:gsub("PORT", tostring(port):match "%d+")
	end
	local child = process.spawn(command)
	local connection = assert(listening:accept())
	connection:settimeout(30)
	local head = assert(connection:receive(5))
	local message = assert(connection:receive(number(head, 4)))
	connection:close()
	listening:close()
	child:close()
	return message:sub(5)
end

local function of_core(version)
	local context, session = live_session.client(version)
	local client = assert(core.connection.new(context, { session = session.bytes, server_name = "a.test" }))
	client:handshake()
	local bytes = client:take()
	client:close()
	return live_session.take_out(bytes:sub(10))
end

-- Its extensions, as with_extensions takes them.
local function extensions_of(body)
	local position = 35 + body:byte(35) + 1
	position = position + 2 + number(body, position)
	position = position + 1 + body:byte(position)
	return body:sub(position + 2)
end

function target.seeds()
	local bodies = {
		capture { "openssl", "s_client", "-connect", "127.0.0.1:PORT" },
		capture { "openssl", "s_client", "-connect", "127.0.0.1:PORT", "-tls1_2", "-servername", "a.test" },
		capture { "openssl", "s_client", "-connect", "127.0.0.1:PORT", "-alpn", "xmpp-client", "-servername", "b.test" },
		capture { "gnutls-cli", "--insecure", "--port=PORT", "--sni-hostname=a.test", "127.0.0.1" },
		capture { "gnutls-cli", "--insecure", "--port=PORT", "--priority=NORMAL:-VERS-TLS1.3", "127.0.0.1" },
		of_core "TLSv1.2", of_core "TLSv1.3",
	}
	for name, server_name in pairs {
		tls13 = "A.test", tls12 = "b.test", dhe = ("a"):rep(255), static_rsa = ("a"):rep(256), deflate = "",
	} do
		local fields = { server_name = server_name }
		for field, value in pairs(offers[name]) do
			fields[field] = value
		end
		bodies[#bodies + 1] = own.build(fields):sub(10)
	end
	local seeds = {}
	for _, body in ipairs(bodies) do
		seeds[#seeds + 1] = "\0" .. body
		seeds[#seeds + 1] = "\1" .. extensions_of(body)
	end
	return seeds
end

return target
