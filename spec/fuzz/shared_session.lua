-- Records of shared sessions. The first byte chooses: the bytes are a sealed record, or a plain one that is sealed with
-- the right key (as nobody without the key can do) and then resumed by a client that knows the secret.
local core = require "xmpp_tls_policy.core"
local live_session = require "support.live_session"
local handshake = require "support.handshake"
local pki = require "support.pki"
local shared_record = require "support.shared_record"
local trial = core.session_store_trial

local target = {}

local KEY, NOW, SIZE = ("k"):rep(32), 1000000, 205
local ID, SECRET, ID_CONTEXT = ("I"):rep(32), ("S"):rep(48), core.digest("SHA256", "fuzz"):sub(1, 16)

local reasons = {
	own = true, malformed = true, not_opened = true, expired = true, from_the_future = true, replayed = true,
	removed = true, full = true, over_share = true, writers = true, superseded = true,
}

local store, other, server_context

local function new_sharing(owner, name)
	return assert(core.session_sharing {
		store = owner, name = name or "fuzz", keys = trial.sharing_keys { KEY }, queue_limit = 4096,
	})
end

local function start()
	if not store then
		store = assert(core.session_store.new { memory = 1, lifetime = 3600 })
		other = assert(core.session_store.new { memory = 1, lifetime = 3600 })
		trial.set_clock(store, NOW)
		local authority = pki.authority()
		local files = authority:issue { names = { "a.test" }, key = "p256" }
		server_context = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
		assert(server_context:apply { no_stateless_tickets = true })
		assert(server_context:resume(store, "fuzz"))
		pki.remove()
	end
	store:flush()
end

local function check(sharing, sealed, may_be_taken)
	local before = store:stats().sessions
	local taken, reason = sharing:insert(sealed)
	local after = store:stats().sessions
	if taken then
		assert(may_be_taken, "a record without a seal was taken in")
		assert(taken == "removal" or taken == "session" and after == before + 1, taken)
	else
		assert(reasons[reason], reason)
		assert(after == before)
	end
	return taken
end

-- A client's session in OpenSSL's form, with our ID and secret.
local function session_of(version)
	local context, session = live_session.client(version)
	local bytes = session.bytes
	for from, to in pairs { [session.id] = ID, [session.secret] = SECRET } do
		local first, last = bytes:find(from, 1, true)
		bytes = bytes:sub(1, first - 1) .. to .. bytes:sub(last + 1)
	end
	return context, bytes
end

-- A client that knows the ID and the secret resumes with both ends agreeing, and only if the record has that secret.
local function check_handshake(plain)
	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		local context, bytes = session_of(version)
		local client = assert(core.connection.new(context, { session = bytes }))
		local server = assert(core.connection.new(server_context))
		if handshake.run(client, server) then
			assert(client:facts().resumed == server:facts().resumed, "only one end has resumed")
			if server:facts().resumed then
				assert(plain:sub(-48) == SECRET and plain:sub(25, 56) == ID, "resumed without the secret")
			end
		end
		client:close()
		server:close()
	end
end

function target.test(bytes)
	start()
	local choice, rest = (bytes:byte(1) or 0) % 2, bytes:sub(2)
	local sharing, writer = new_sharing(store), new_sharing(other)
	if choice == 0 then
		check(sharing, rest, false)
	else
		local plain = (rest .. shared_record.plain { created = NOW }:sub(#rest + 1)):sub(1, shared_record.SIZE)
		local sealed = assert(trial.seal(writer, plain, NOW))
		assert(#sealed == SIZE)
		if check(sharing, sealed, true) == "session" then
			check_handshake(plain)
			local age = trial.find(store, plain:sub(25, 56))
			assert(age == nil or age >= 0 and age < 3600, "a session of a wrong age")
		end
		assert(select(2, sharing:insert(sealed)) == "replayed")
		assert(#trial.models(store) <= 125)
	end
	sharing:close()
	writer:close()
end

function target.seeds()
	start()
	-- The right key under another name: nothing that the mutations make of these can be opened.
	local writer = new_sharing(other, "other")
	local seeds = {}
	for _, values in ipairs {
		{}, { version = 0x0303, suite = 0xC030 }, { version = 0x0303, suite = 0xC02F, group = 23 },
		{ version = 0x0303, suite = 0xC02C }, { version = 0x0301, suite = 0xC014, group = 0 }, { type = 2 }, { family = 6 },
		{ family = 0 }, { renewal = 1, earlier_id = ID }, { created = NOW - 3599 }, { created = NOW + 60 },
		{ lifetime = 60 },
	} do
		values.created = values.created or NOW
		values.id, values.secret, values.id_context = ID, SECRET, ID_CONTEXT
		local plain = shared_record.plain(values)
		seeds[#seeds + 1] = "\1" .. plain
		seeds[#seeds + 1] = "\0" .. assert(trial.seal(writer, plain, NOW))
	end
	writer:close()
	return seeds
end

return target
