-- A server over memory that resumes sessions, and for each version a session that it has.
-- Seeds have placeholders for the session's ID and secret, which are replaced when a test runs, so
-- that a seed of one process can be resumed in another.
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local pki = require "support.pki"
local tls_policy = require "xmpp_tls_policy"

local live_session = {}

local versions = { "TLSv1.2", "TLSv1.3" }
local placeholders = {}
for _, version in ipairs(versions) do
	placeholders[version] = { id = ("{ID of %s}"):format(version):rep(3):sub(1, 32),
		secret = ("{secret of %s}"):format(version):rep(4):sub(1, 48) }
end

local server, clients, sessions, age

local function make_contexts()
	local authority = pki.authority()
	local files = authority:issue { names = { "a.test", "b.test" }, key = "p256" }
	server = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
	assert(server:apply(assert(tls_policy.policy():settings_for(server:settings()))))
	local store = assert(core.session_store.new { memory = 1, lifetime = 3600 })
	assert(server:observe(1, true))
	assert(server:resume(store, "neither", { ["a.test"] = "a", ["b.test"] = "b" }))
	clients = {}
	for _, version in ipairs(versions) do
		clients[version] = assert(core.context.new { role = "client", verify = "none" })
		assert(clients[version]:apply { maximum_version = version })
	end
	pki.remove()
end

local function replace(text, what, by)
	local from, to = text:find(what, 1, true)
	return from and text:sub(1, from - 1) .. by .. text:sub(to + 1) or text
end

-- OpenSSL's form of a session has the secret as an OCTET STRING of 48 bytes, and the server's session
-- ID as one of 32 bytes (in TLS 1.3: the ticket).
local function make_session(version)
	local client, other = assert(handshake.between(clients[version], server, { server_name = "a.test" }))
	client:read()
	local bytes = assert(client:insecure_session())
	client:close()
	other:close()
	local mark = version == "TLSv1.3" and "\170\34\4\32" or "\4\32"
	local ends = select(2, bytes:find(mark, 1, true))
	local secret = select(2, bytes:find("\4\48", 1, true))
	return { bytes = bytes, id = bytes:sub(ends + 1, ends + 32), secret = bytes:sub(secret + 1, secret + 48) }
end

local function make_sessions()
	if not server then
		make_contexts()
	end
	age, sessions = 0, {}
	for _, version in ipairs(versions) do
		sessions[version] = make_session(version)
	end
end

local function ensure()
	if not sessions then
		make_sessions()
	end
end

-- The server's Context.
function live_session.server()
	ensure()
	return server
end

-- The client's Context of a version, and its session in OpenSSL's form, made with the
-- server name a.test.
function live_session.client(version)
	ensure()
	return clients[version], sessions[version]
end

-- Bytes with the real ID and secret instead of the placeholders. From time to time this makes new
-- sessions, because the store drops the oldest and an alert ends a session.
function live_session.put_in(bytes)
	if not age or age == 1000 then
		make_sessions()
	end
	age = age + 1
	for _, version in ipairs(versions) do
		for part, placeholder in pairs(placeholders[version]) do
			bytes = replace(bytes, placeholder, sessions[version][part])
		end
	end
	return bytes
end

-- Whether the secret of either session is in the bytes.
function live_session.has_secret(bytes)
	for _, session in pairs(sessions) do
		if bytes:find(session.secret, 1, true) then
			return true
		end
	end
	return false
end

-- Bytes with placeholders instead of the real ones, for a seed.
function live_session.take_out(bytes)
	for _, version in ipairs(versions) do
		for part, placeholder in pairs(placeholders[version]) do
			bytes = replace(bytes, sessions[version][part], placeholder)
		end
	end
	return bytes
end

return live_session
