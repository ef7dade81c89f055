-- What a session store keeps of a session besides its secret: nothing that came from one client.
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local pki = require "support.pki"
local trial = core.session_store_trial

---- DER ------------------------------------------------------------------------

local element = pki.der

-- The elements of a SEQUENCE: { { tag, whole } }.
local function elements(bytes)
	local function header(position)
		local tag, length = bytes:byte(position, position + 1)
		position = position + 2
		if length >= 128 then
			local size = length - 128
			length = 0
			for _ = 1, size do
				length, position = length * 256 + bytes:byte(position), position + 1
			end
		end
		return tag, position, position + length
	end
	local list = {}
	local _, position, ends = header(1)
	while position < ends do
		local tag, _, next_position = header(position)
		list[#list + 1] = { tag = tag, whole = bytes:sub(position, next_position - 1) }
		position = next_position
	end
	return list
end

-- The optional elements of OpenSSL's form of a session by their numbers (SSL_SESSION_ASN1).
local OPTIONAL = 0xA0

local function integer(value)
	return element(2, string.char(value))
end

local function octets(text)
	return element(4, text)
end

-- A session with an optional element more, or with another one.
local function with(session, number, content)
	local list, position = elements(session), nil
	for index, found in ipairs(list) do
		if found.tag == OPTIONAL + number then
			list[index] = { whole = "" }
		end
		position = position or found.tag > OPTIONAL + number and found.tag >= OPTIONAL and index
	end
	table.insert(list, position or #list + 1, { whole = element(OPTIONAL + number, content) })
	local parts = {}
	for index, found in ipairs(list) do
		parts[index] = found.whole
	end
	return element(0x30, table.concat(parts))
end

-- The numbers of the optional elements.
local function numbers(session)
	local found = {}
	for _, part in ipairs(elements(session)) do
		if part.tag >= OPTIONAL then
			found[#found + 1] = part.tag - OPTIONAL
		end
	end
	return found
end

-- The same without the time (1) and the timeout (2), which OpenSSL writes of its own, and which are set
-- for each session.
local function timeless(model)
	local parts = {}
	for _, part in ipairs(elements(model)) do
		if part.tag ~= OPTIONAL + 1 and part.tag ~= OPTIONAL + 2 then
			parts[#parts + 1] = part.whole
		end
	end
	return table.concat(parts)
end

---- Specs ----------------------------------------------------------------------

describe("a kind of sessions", function ()
	local authority, files, certificate

	setup(function ()
		authority = pki.authority()
		files = authority:issue { names = { "example.test" }, key = "p256" }
		certificate = pki.to_der(files.pem)
	end)

	teardown(function ()
		pki.remove()
	end)

	local function new_store()
		return assert(core.session_store.new { memory = 1, lifetime = 3600 })
	end

	-- A client's session in OpenSSL's form; that of the server has the same elements.
	local function session_of(version)
		local one = assert(core.context.new { role = "client", verify = "none" })
		assert(one:apply { maximum_version = version, groups = { "secp384r1", "secp256r1" } })
		local other = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
		assert(other:apply { no_stateless_tickets = true })
		assert(other:resume(new_store(), "a"))
		local client, server = assert(handshake.between(one, other))
		client:read()
		local bytes = assert(client:insecure_session())
		client:close()
		server:close()
		-- Only a client's session has the peer's certificate (3), the result of verifying it (5), and in
		-- TLS 1.3 the ticket (10).
		local of_client, parts = { [3] = true, [5] = true, [10] = true }, {}
		for _, found in ipairs(elements(bytes)) do
			if not of_client[found.tag - OPTIONAL] then
				parts[#parts + 1] = found.whole
			end
		end
		return element(0x30, table.concat(parts))
	end

	-- Element -> its content, and whether a session with it is kept.
	local function extensions()
		return {
			["the peer's certificate"] = { 3, certificate, kept = false },
			["the result of a failed verification"] = { 5, integer(18), kept = false },
			["the hint of a PSK identity"] = { 7, octets "hint", kept = false },
			["a PSK identity"] = { 8, octets "identity", kept = false },
			["a ticket"] = { 10, octets(("t"):rep(200)), kept = false },
			["a compression method"] = { 11, octets "\1", kept = false },
			["early data"] = { 15, integer(100), kept = false },
			["max_fragment_length 512"] = { 17, integer(1), kept = false },
			["max_fragment_length 4096"] = { 17, integer(4), kept = false },
			["data of an application in its ticket"] = { 18, octets "data", kept = false },
			["a session ID context"] = { 4, octets "context", kept = true },
			["a server name"] = { 6, octets "stranger.test", kept = true },
			["a lifetime of its ticket"] = { 9, integer(100), kept = true },
			["a user of SRP"] = { 12, octets "user", kept = true },
			["an age that its ticket adds"] = { 14, integer(77), kept = true },
			-- rfc7301.3.1.alpn-is-no-part-of-a-session
			["a protocol of ALPN"] = { 16, octets "xmpp-client", kept = true },
		}
	end

	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		it("is the same under " .. version .. ", whichever session it was made from", function ()
			local session = session_of(version)
			local clean = new_store()
			assert.equal(1, trial.kind(clean, session))
			local model = timeless(trial.models(clean)[1])
			local count = 0
			for what, extension in pairs(extensions()) do
				local store = new_store()
				local kind, message = trial.kind(store, with(session, extension[1], extension[2]))
				assert.is_nil(message, what)
				assert.equal(extension.kept and 1 or nil, kind, what)
				assert.equal(extension.kept and 1 or 0, #trial.models(store), what)
				-- The next client, without the extension.
				assert.equal(1, trial.kind(store, session), what)
				assert.equal(1, #trial.models(store), what)
				assert.equal(model, timeless(trial.models(store)[1]), what)
				count = count + 1
			end
			assert.equal(16, count)
		end)

		it("has under " .. version .. " only named fields", function ()
			local store = new_store()
			assert.equal(1, trial.kind(store, session_of(version)))
			local found, allowed = {}, { [13] = version == "TLSv1.2", [19] = true }
			for _, number in ipairs(numbers(trial.models(store)[1])) do
				if number > 2 and number ~= 4 then
					assert.is_true(allowed[number] or false, number)
					found[#found + 1] = number
				end
			end
			assert.same(version == "TLSv1.2" and { 13, 19 } or { 19 }, found)
		end)
	end

	-- A newer OpenSSL may put more into a session: then session_kinds.c has to look at it.
	it("knows every element that OpenSSL writes", function ()
		for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
			for _, number in ipairs(numbers(session_of(version))) do
				assert.is_true(number <= 19, ("%s: element %d is new"):format(version, number))
			end
		end
	end)

	it("is not made of bytes that are no session", function ()
		assert.equal("parse", select(3, trial.kind(new_store(), "nonsense")))
	end)
end)
