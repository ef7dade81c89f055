--- Reads the first flight of a server after a hello that was made by hand (client_hello.lua). The bytes
-- may come in any pieces, and from a hostile server: what is kept is bounded.
--
-- An answer is a table:
--   kind           "server_hello", "hello_retry_request", "sslv2", "alert" or "malformed"
--   message        of a malformed one, why
--   level, description   of an alert: "fatal" or "warning", and its name; after an alert nothing counts
--                        that came before it
--   version, suite, compression, group   the server's choices, by name; "0x…" without one
--   session_id     bytes
--   extensions     { [number] = bytes }
-- and of a flight before TLS 1.3, as far as it came:
--   certificates   list of DER, as sent
--   key_exchange   "DHE" or "ECDHE"
--   dhe_bits       length of the prime
--   signature_scheme   the number of the scheme that the parameters are signed with, in TLS 1.2
--   resumed        true: the server takes up a session
--   complete       true: the flight is over
-- TLS 1.3 encrypts all that follows the ServerHello, so that its flight is over there.
local core = require "xmpp_tls_policy.core"
local iana = require "xmpp_tls_policy.audit.iana"
local wire = require "xmpp_tls_policy.audit.wire"

local server_answer = {}

local methods = {}
local metatable = { __index = methods }

-- Bytes of a whole flight, and of a record without encryption (rfc8446.5.1.record-size).
local MOST_BYTES, MOST_RECORD = 262144, 16384

-- rfc5246.7.4.1.2.longest-session-id
local LONGEST_ID = 32

local CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE = 20, 21, 22
local SERVER_HELLO, CERTIFICATE, SERVER_KEY_EXCHANGE, SERVER_HELLO_DONE = 2, 11, 12, 14

-- rfc8446.4.1.3.hello-retry-random
local HELLO_RETRY_REQUEST = "\207\33\173\116\229\154\97\17\190\29\140\2\30\101\184\145"
	.. "\194\162\17\22\122\187\140\94\7\158\9\226\200\168\51\156"

--- A parser for one flight. `sslv2`: the hello had the form of SSLv2, so the answer may have it.
function server_answer.new(sslv2)
	return setmetatable({ _bytes = "", _messages = "", _size = 0, _sslv2 = sslv2 }, metatable)
end

local function malformed(self, message)
	self._answer = { kind = "malformed", message = message }
	self._done = true
end

-- ---- messages --------------------------------------------------------------------

-- The group of a ServerHello's key share, or of a HelloRetryRequest's.
local function group_of(found)
	local number = found[51] and wire.reader(found[51]):integer(2)
	return number and iana.name(iana.group_names, number)
end

local function read_server_hello(body)
	local reader = wire.reader(body)
	local version, random, session_id = reader:integer(2), reader:bytes(32), reader:vector(1)
	local suite, compression = reader:integer(2), reader:integer(1)
	local extensions = reader:left() == 0 and "" or reader:vector(2)
	local found = extensions and wire.extensions(extensions)
	if not (version and random and session_id and suite and compression and found) or #session_id > LONGEST_ID then
		return nil
	end
	if found[43] then
		version = wire.reader(found[43]):integer(2)
	end
	return version and {
		kind = random == HELLO_RETRY_REQUEST and "hello_retry_request" or "server_hello",
		version = iana.name(iana.version_names, version),
		suite = iana.name(iana.suite_names, suite),
		compression = iana.name(iana.compression_names, compression),
		session_id = session_id,
		extensions = found,
		group = group_of(found),
	}
end

local function read_certificates(body)
	local list, reader = {}, wire.reader(wire.reader(body):vector(3) or "\0")
	while reader:left() > 0 do
		local der = reader:vector(3)
		if not der then
			return nil
		end
		list[#list + 1] = der
	end
	return list
end

local function bits_of(number)
	number = number:gsub("^%z+", "")
	local first, bits = number:byte() or 0, math.max(0, #number - 1) * 8
	while first > 0 do
		first, bits = math.floor(first / 2), bits + 1
	end
	return bits
end

-- The scheme follows the server's key (nil or false: there is none). Older versions have no choice, and none follows
-- without a certificate.
local function read_scheme(answer, reader, key)
	if key and answer.version == "TLSv1.2" and not answer.suite:find "_anon_" then
		answer.signature_scheme = reader:integer(2)
	end
end

-- rfc5246.7.4.3.dh-parameters, rfc8422.5.4.curve-parameters. The suite tells which form it has. False if
-- it is malformed.
local function read_key_exchange(answer, body)
	local reader = wire.reader(body)
	if answer.suite:find "^TLS_DHE?_" then
		local prime = reader:vector(2)
		answer.key_exchange, answer.dhe_bits = "DHE", prime and bits_of(prime)
		read_scheme(answer, reader, reader:vector(2) and reader:vector(2))
		return prime ~= nil
	elseif answer.suite:find "^TLS_ECDHE?_" then
		local kind, group = reader:integer(1), reader:integer(2)
		answer.key_exchange = "ECDHE"
		answer.group = kind == 3 and group and iana.name(iana.group_names, group) or nil
		read_scheme(answer, reader, kind == 3 and reader:vector(1))
		return group ~= nil
	end
	return true
end

local function is_over(answer)
	return answer.kind == "hello_retry_request" or answer.version == "TLSv1.3"
end

local function take_message(self, kind, body)
	local answer = self._answer
	if not answer then
		self._answer = kind == SERVER_HELLO and read_server_hello(body)
		if not self._answer then
			return malformed(self, "the first message is no ServerHello")
		end
		self._done = is_over(self._answer)
	elseif kind == CERTIFICATE then
		answer.certificates = read_certificates(body)
		if not answer.certificates then
			malformed(self, "the Certificate is malformed")
		end
	elseif kind == SERVER_KEY_EXCHANGE then
		if not read_key_exchange(answer, body) then
			malformed(self, "the ServerKeyExchange is malformed")
		end
	elseif kind == SERVER_HELLO_DONE then
		self._done = true
	end
end

-- Messages may share a record, or be spread over several.
local function take_messages(self, bytes)
	self._messages = self._messages .. bytes
	while not self._done do
		local reader = wire.reader(self._messages)
		local kind, body = reader:integer(1), reader:vector(3)
		if not body then
			return
		end
		self._messages = reader:bytes(reader:left())
		take_message(self, kind, body)
	end
end

-- ---- records ---------------------------------------------------------------------

-- A warning ends nothing (rfc6066.3.unrecognized-name-may-be-a-warning), but for close_notify.
local function take_alert(self, body)
	if #body ~= 2 then
		return malformed(self, "the alert is malformed")
	end
	local level, number = body:byte(1, 2)
	if level == 2 or number == 0 then
		self._answer = { kind = "alert", level = level == 2 and "fatal" or "warning", description = core.alert_name(number) }
		self._done = true
	end
end

local function take_record(self, kind, body)
	if kind == HANDSHAKE and #body > 0 then
		take_messages(self, body)
	elseif kind == ALERT then
		take_alert(self, body)
	elseif kind == CHANGE_CIPHER_SPEC and self._answer then
		self._answer.resumed = true
		self._done = true
	else
		malformed(self, "a record has a type that does not belong here, or is empty")
	end
end

-- SERVER-HELLO: its type, whether the session is known, the certificate's kind, the version. ERROR: its
-- type and a number.
local function take_sslv2(self, body)
	local reader = wire.reader(body)
	local kind = reader:integer(1)
	local number = kind == 0 and reader:integer(2)
	local version = kind == 4 and reader:bytes(2) and reader:integer(2)
	if number then
		self._answer = { kind = "alert", level = "fatal", description = ("sslv2_error_%d"):format(number) }
	elseif version then
		self._answer = { kind = "sslv2", version = iana.name(iana.version_names, version) }
	else
		return malformed(self, "the answer is neither TLS nor SSLv2")
	end
	self._done = true
end

-- A record of SSLv2 has its length in two bytes, or in two with a third for padding.
local function next_sslv2(self, reader)
	local length = reader:integer(2)
	local short = length and length >= 0x8000
	local padding = length and (short and 0 or reader:integer(1))
	local body = padding and reader:bytes(short and length - 0x8000 or length % 0x4000)
	if body then
		take_sslv2(self, body)
	end
	return body
end

-- Takes one record out of the bytes. False if none is complete.
local function next_record(self)
	local reader = wire.reader(self._bytes)
	local kind = reader:integer(1)
	if self._sslv2 and kind and not self._answer and (kind < CHANGE_CIPHER_SPEC or kind > 23) then
		return next_sslv2(self, wire.reader(self._bytes)) ~= nil
	end
	local major, _, length = reader:integer(1), reader:integer(1), reader:integer(2)
	-- rfc8446.5.1.record-version-is-ignored: GnuTLS 3.7 refuses a version with an alert in a record of 254.253.
	local is_other = major and major ~= 3 and kind ~= ALERT
	if kind and (kind < CHANGE_CIPHER_SPEC or kind > 23) or is_other or length and length > MOST_RECORD then
		malformed(self, "the answer is no TLS")
		return false
	end
	local body = length and reader:bytes(length)
	if not body then
		return false
	end
	self._bytes = reader:bytes(reader:left())
	take_record(self, kind, body)
	return true
end

--- Takes bytes of the server's. Returns the answer when the flight is over, or nil: more is needed.
function methods:feed(bytes)
	if self._done then
		return self._answer
	end
	self._size = self._size + #bytes
	self._bytes = self._bytes .. bytes
	repeat
		local found = not self._done and next_record(self)
	until not found
	if not self._done and self._size > MOST_BYTES then
		malformed(self, ("the answer is longer than %d bytes"):format(MOST_BYTES))
	end
	if self._done and self._answer.kind ~= "malformed" then
		self._answer.complete = true
	end
	return self._done and self._answer or nil
end

--- What was read so far: an answer without `complete`, or nil.
function methods:partial()
	return self._answer
end

return server_answer
