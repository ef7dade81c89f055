-- Sessions that go to other processes. Each store with a Sharing is a process here, since a Sharing has a salt of
-- its own; one spec starts a real second process.
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local pki = require "support.pki"
local process = require "support.process"
local trial = core.session_store_trial

local KEY = ("k"):rep(32)
local LIFETIME = 3600

describe("sharing of sessions", function ()
	local files

	setup(function ()
		files = pki.authority():issue { names = { "example.test" }, key = "p256" }
	end)

	teardown(pki.remove)

	-- A process: { store, sharing, clock = function(seconds) }.
	local function new_process(options)
		options = options or {}
		local store = assert(core.session_store.new {
			memory = 1, lifetime = options.lifetime or LIFETIME, share = options.share,
		})
		local made = { store = store }
		made.sharing = assert(core.session_sharing {
			store = store, name = options.name or "cluster", keys = options.keys or { KEY },
			queue_limit = options.queue_limit or 65536,
		})
		function made.clock(seconds)
			trial.set_clock(store, seconds)
		end
		return made
	end

	local function server(owner, name)
		local context = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
		assert(context:apply { no_stateless_tickets = true })
		assert(context:resume(owner.store, name or "a"))
		return context
	end

	local function client(version)
		local context = assert(core.context.new { role = "client", verify = "none" })
		assert(context:apply { maximum_version = version })
		return context
	end

	-- A handshake of a client with a context of a server's. Returns whether it was resumed, the client's session for
	-- the next, and both ends.
	local function meet(version, context, session, server_name)
		local one, other = handshake.between(client(version), context, { session = session, server_name = server_name })
		assert(one, other)
		assert(other:write "x")
		assert(one:feed(other:take()))
		one:read()
		local resumed = one:facts().resumed
		assert.equal(resumed, other:facts().resumed)
		return resumed, one:insecure_session(), one, other
	end

	local function sealed_by(owner)
		local records = {}
		repeat
			local sealed = owner.sharing:seal_next()
			records[#records + 1] = sealed
		until not sealed
		return records
	end

	-- Hands all waiting records of one process to another. Returns how many, and a list of the answers.
	local function pass(from, to)
		local answers = {}
		for index, sealed in ipairs(sealed_by(from)) do
			local taken, reason = to.sharing:insert(sealed)
			answers[index] = taken or reason
		end
		return #answers, answers
	end

	it("rfc5869.2.extract-then-expand: derives the ID of a key as OpenSSL's command does", function ()
		local expected = process.check {
			"openssl", "kdf", "-binary", "-keylen", "8", "-kdfopt", "digest:SHA256", "-kdfopt", "key:" .. KEY, "-kdfopt",
			"info:xmpp-tls-policy: name of a key of shared sessions", "HKDF",
		}
		assert.equal(expected:gsub(".", function (byte) return ("%02x"):format(byte:byte()) end), core.sharing_key_id(KEY))
	end)

	it("rfc5116.2.1.distinct-nonces: never uses a nonce twice with one key", function ()
		local seen, count = {}, 0
		for _ = 1, 3 do
			local owner = new_process()
			for _ = 1, 4 do
				-- The salt, of which the key is made, and the counter, which is the nonce.
				local nonce = trial.seal(owner.sharing, ("\0"):rep(152), 1000):sub(14, 37)
				assert.is_nil(seen[nonce])
				seen[nonce], count = true, count + 1
			end
		end
		assert.equal(12, count)
	end)

	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		it("resumes a session of another process under " .. version .. ", in both directions", function ()
			local here, there = new_process(), new_process()
			for _, pair in ipairs { { here, there }, { there, here } } do
				local from, to = pair[1], pair[2]
				local _, session = meet(version, server(from))
				assert.is_false((meet(version, server(to), session)), "not yet shared")
				sealed_by(to)
				sealed_by(from)
				_, session = meet(version, server(from))
				assert.same({ 1, { "session" } }, { pass(from, to) })
				assert.is_true((meet(version, server(to), session)))
			end
		end)
	end
end)
