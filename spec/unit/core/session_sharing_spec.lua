-- Sessions that go to other processes. Each store with a Sharing is a process here, since a Sharing has a salt of
-- its own; one spec starts a real second process.
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local lfs = require "lfs"
local pki = require "support.pki"
local process = require "support.process"
local shared_record = require "support.shared_record"
local trial = core.session_store_trial
local unpack = table.unpack or unpack

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
			store = store, name = options.name or "cluster", keys = trial.sharing_keys(options.keys or { KEY }),
			queue_limit = options.queue_limit or 65536, address_limit = options.address_limit,
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
		local digits = expected:gsub(".", function (byte) return ("%02x"):format(byte:byte()) end)
		assert.equal(digits, trial.sharing_keys({ KEY }):ids()[1])
	end)

	it("rfc5116.2.1.distinct-nonces: never uses a nonce twice with one key", function ()
		local seen, count = {}, 0
		for _ = 1, 3 do
			local owner = new_process()
			for _ = 1, 4 do
				-- The salt, of which the key is made, and the counter, which is the nonce.
				local sealed = trial.seal(owner.sharing, ("\0"):rep(152), 1000)
				local nonce, key_stream = sealed:sub(14, 37), sealed:sub(38, -17)
				assert.is_nil(seen[nonce])
				assert.is_nil(seen[key_stream])
				seen[nonce], seen[key_stream], count = true, true, count + 1
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

	---- records that are made up, with the key

	-- A record as another process with the same key seals it, at this time.
	local function sealed_at(time, values)
		return trial.seal(new_process().sharing, shared_record.plain(values), time)
	end

	local function taken(owner, sealed)
		local answer, reason = owner.sharing:insert(sealed)
		return answer or reason
	end

	local function id(text)
		return (text .. ("."):rep(32)):sub(1, 32)
	end

	local function found(owner, session_id)
		local age, reason = trial.find(owner.store, session_id)
		return age or reason
	end

	it("is damaged at any byte, cut or longer: never opened", function ()
		local here = new_process()
		here.clock(1000)
		local sealed = sealed_at(1000)
		for position = 1, #sealed do
			for _, change in ipairs { 1, 128, 255 } do
				local damaged = sealed:sub(1, position - 1) .. string.char((sealed:byte(position) + change) % 256)
					.. sealed:sub(position + 1)
				-- The time is the one field whose changes have reasons of their own.
				local reason = taken(here, damaged)
				local expected = position == 1 and "malformed" or "not_opened"
				if position >= 10 and position <= 13 then
					assert.is_truthy(({ not_opened = true, from_the_future = true, expired = true })[reason], reason)
				else
					assert.equal(expected, reason, position)
				end
			end
		end
		for _, text in ipairs { "", sealed:sub(1, -2), sealed .. "\0", sealed:rep(2), sealed:sub(2), ("x"):rep(1000000) } do
			assert.equal("malformed", taken(here, text))
		end
		assert.equal(0, here.store:stats().sessions)
		assert.equal("session", taken(here, sealed))
	end)

	it("resume.sealed: shows nothing of a session outside of its seal", function ()
		local values = {
			id = id "the session's ID", earlier_id = id "the earlier ID", id_context = ("context"):rep(3):sub(1, 16),
			secret = ("the secret"):rep(5):sub(1, 48), network = "NETW\0\0",
		}
		local owner = new_process()
		local one, other = trial.seal(owner.sharing, shared_record.plain(values), 1000),
			trial.seal(owner.sharing, shared_record.plain(values), 1000)
		for _, value in pairs(values) do
			for start = 1, #value - 3 do
				assert.is_nil(one:find(value:sub(start, start + 3), 1, true))
			end
		end
		assert.not_equal(one:sub(38, -17), other:sub(38, -17), "equal sessions look alike")
		local removal = trial.seal(owner.sharing, shared_record.plain { type = 2 }, 1000)
		assert.equal(#one, #removal, "the size tells what it is")
	end)

	it("is taken in by the same name and either key, and sealed with the first", function ()
		local old, new, third = ("k"):rep(32), ("n"):rep(64), ("t"):rep(33)
		for _, case in ipairs {
			-- keys of the writer, of the reader, the reader's name
			{ { old }, { old }, "cluster", "session" }, { { old }, { old, new }, "cluster", "session" },
			{ { old }, { new, old }, "cluster", "session" }, { { new, old }, { old, new }, "cluster", "session" },
			{ { new, old }, { new }, "cluster", "session" }, { { new, old }, { old }, "cluster", "not_opened" },
			{ { old }, { new }, "cluster", "not_opened" }, { { third }, { old, new }, "cluster", "not_opened" },
			{ { old }, { old }, "Cluster", "not_opened" }, { { old }, { old }, "cluster\0", "not_opened" },
			{ { old }, { old }, "cluste", "not_opened" },
		} do
			local from, to = new_process { keys = case[1] }, new_process { keys = case[2], name = case[3] }
			from.clock(1000)
			to.clock(1000)
			assert.equal(case[4], taken(to, trial.seal(from.sharing, shared_record.plain(), 1000)))
		end
	end)

	it("is refused a second time, in any order, and also after its session has gone", function ()
		local from, to = new_process(), new_process()
		to.clock(1000)
		local records = {}
		for number = 1, 40 do
			records[number] = trial.seal(from.sharing, shared_record.plain { id = id(("%d "):format(number)) }, 1000)
		end
		for number = 40, 1, -2 do -- backwards, and one of two
			assert.equal("session", taken(to, records[number]))
		end
		for number = 1, 40 do
			assert.equal(number % 2 == 0 and "replayed" or "session", taken(to, records[number]))
		end
		to.store:flush()
		for number = 1, 40 do
			assert.equal("replayed", taken(to, records[number]))
		end
		assert.equal(0, to.store:stats().sessions)
		-- The latest moment at which its time alone does not refuse it.
		to.clock(1000 + LIFETIME - 1)
		assert.equal("replayed", taken(to, records[1]))
		to.clock(1000 + LIFETIME)
		assert.equal("expired", taken(to, records[1]))
	end)

	it("of its own process is left out", function ()
		local here = new_process()
		here.clock(1000)
		assert.equal("own", taken(here, trial.seal(here.sharing, shared_record.plain(), 1000)))
		assert.equal(0, here.store:stats().sessions)
	end)

	it("cannot crowd out writers: a stranger's salts are forgotten at once", function ()
		local to, from = new_process(), new_process()
		to.clock(1000)
		assert.equal("session", taken(to, trial.seal(from.sharing, shared_record.plain(), 1000)))
		local sealed = sealed_at(1000)
		for number = 1, 1000 do
			assert.equal("not_opened", taken(to, sealed:sub(1, 13) .. ("%016d"):format(number) .. sealed:sub(30)))
		end
		assert.equal("session", taken(to, trial.seal(from.sharing, shared_record.plain { id = id "next" }, 1000)))
	end)

	it("needs a place for its writer, which becomes free when the writer's records are too old", function ()
		local to = new_process()
		to.clock(1000)
		for number = 1, 256 do
			assert.equal("session", taken(to, sealed_at(1000, { id = id(("%d "):format(number)) })), number)
		end
		assert.equal("writers", taken(to, sealed_at(1000, { id = id "one more" })))
		to.clock(1000 + LIFETIME)
		assert.equal("session", taken(to, sealed_at(1000 + LIFETIME, { id = id "later", created = 1000 + LIFETIME })))
	end)

	---- time

	it("resume.lifetime: lives until its lifetime after its first handshake is over", function ()
		for _, case in ipairs {
			-- sealed at, made at, lifetime of the writer, now, answer, seconds that are left
			{ 1000, 1000, 3600, 1000, "session", 3600 }, { 4000, 1000, 3600, 4000, "session", 600 },
			{ 4500, 1000, 3600, 4599, "session", 1 }, { 4500, 1000, 3600, 4600, "expired" },
			{ 1000, 1000, 3600, 4599, "session", 1 }, { 1000, 1000, 3600, 4600, "expired" },
			-- clocks that differ
			{ 1060, 1060, 3600, 1000, "session", 3600 }, { 1061, 1000, 3600, 1000, "from_the_future" },
			{ 1060, 1061, 3600, 1000, "from_the_future" }, { 1060, 1030, 3600, 1040, "session", 3590 },
			{ 4294967295, 1000, 3600, 1000, "from_the_future" }, { 0, 1000, 3600, 1000, "session", 3600 },
			{ 0, 1000, 3600, 3600, "expired" }, { 1000, 0, 3600, 1000, "session", 2600 },
			-- the shorter of two lifetimes holds
			{ 1000, 1000, 600, 1000, "session", 600 }, { 1500, 1000, 600, 1599, "session", 1 },
			{ 1500, 1000, 600, 1600, "expired" }, { 1000, 1000, 86400, 1000, "session", 3600 },
			{ 1000, 1000, 4294967295, 1000, "session", 3600 },
		} do
			local what, start = table.concat(case, " "), 1e6
			local here = new_process()
			here.clock(start + case[4])
			assert.equal(case[5], taken(here, sealed_at(math.min(start + case[1], 2 ^ 32 - 1), {
				created = start + case[2], lifetime = case[3],
			})), what)
			assert.equal(case[6] and LIFETIME - case[6] or "unknown", found(here, id(("i"):rep(32))), what)
			if case[6] then
				here.clock(start + case[4] + case[6] - 1)
				assert.is_number(found(here, ("i"):rep(32)), what)
				here.clock(start + case[4] + case[6])
				assert.equal("expired", found(here, ("i"):rep(32)), what)
			end
		end
	end)

	it("waits no longer than it lives", function ()
		local from = new_process()
		from.clock(1000)
		meet("TLSv1.3", server(from))
		from.clock(1000 + LIFETIME)
		meet("TLSv1.3", server(from))
		assert.equal(2, from.sharing:queued())
		assert.equal(1, #sealed_by(from))
		assert.equal(0, from.sharing:queued())
	end)

	---- ends of sessions

	it("of a session that has ended is not taken in, whichever record comes first", function ()
		for _, backwards in ipairs { false, true } do
			local from, to = new_process(), new_process()
			to.clock(1000)
			local session = trial.seal(from.sharing, shared_record.plain { id = id "a" }, 1000)
			local removal = trial.seal(from.sharing, shared_record.plain { id = id "a", type = 2 }, 1000)
			if backwards then
				assert.equal("removal", taken(to, removal))
				assert.equal("unknown", found(to, id "a"))
				assert.equal(0, to.store:stats().sessions)
				assert.equal("removed", taken(to, session))
			else
				assert.equal("session", taken(to, session))
				assert.equal("removal", taken(to, removal))
				assert.equal(1, to.store:stats().removals)
			end
			assert.equal("unknown", found(to, id "a"))
			assert.equal(0, to.store:stats().sessions)
		end
	end)

	it("of a session that has ended is not taken in by another sharing of the store, or from another process", function ()
		local from, third, to = new_process(), new_process(), new_process()
		to.clock(1000)
		local session = trial.seal(from.sharing, shared_record.plain { id = id "a" }, 1000)
		assert.equal("session", taken(to, session))
		assert.equal("removal", taken(to, trial.seal(from.sharing, shared_record.plain { id = id "a", type = 2 }, 1000)))
		assert.equal("removed", taken(to, trial.seal(third.sharing, shared_record.plain { id = id "a" }, 1000)))
		to.sharing:close()
		to.sharing = assert(core.session_sharing {
			store = to.store, name = "cluster", keys = trial.sharing_keys { KEY }, queue_limit = 65536,
		})
		assert.equal("removed", taken(to, session))
		assert.equal("unknown", found(to, id "a"))
	end)

	it("of the end of a session takes a place of its client's network only", function ()
		local to, from = new_process { share = 1024 }, new_process()
		local capacity = to.store:stats().capacity
		local most = math.floor(capacity / 1024)
		to.clock(1000)
		trial.fill(to.store, capacity)
		for number = 1, 3 * most do
			assert.equal("removal", taken(to, trial.seal(from.sharing, shared_record.plain {
				id = id(("%d "):format(number)), type = 2,
			}, 1000)))
		end
		assert.equal(most, to.store:stats().evictions)
		for number = 1, 3 * most do
			assert.equal(number <= most and "removed" or "over_share", taken(to, trial.seal(from.sharing,
				shared_record.plain { id = id(("%d "):format(number)) }, 1000)))
		end
	end)

	it("of the end of a session makes no room for ever", function ()
		local to, from = new_process(), new_process()
		to.clock(1000)
		for number = 1, 10 do
			taken(to, trial.seal(from.sharing, shared_record.plain { id = id(("%d "):format(number)), type = 2 }, 1000))
		end
		to.clock(1000 + LIFETIME)
		to.store:sweep()
		assert.equal(0, to.store:stats().sessions)
		-- Its place is free again: the ID is not known any more.
		assert.equal("session", taken(to, trial.seal(from.sharing,
			shared_record.plain { id = id "1 ", created = 1000 + LIFETIME }, 1000 + LIFETIME)))
	end)

	---- room

	it("makes room for younger sessions, never the other way", function ()
		local to, from = new_process(), new_process()
		local capacity = to.store:stats().capacity
		to.clock(2000)
		trial.fill(to.store, capacity)
		local function answer(name, created)
			return taken(to, trial.seal(from.sharing, shared_record.plain { id = id(name), created = created }, 2000))
		end
		assert.equal("full", answer("older", 1999))
		assert.equal(0, to.store:stats().evictions)
		assert.equal("session", answer("as old", 2000))
		assert.equal(1, to.store:stats().evictions)
		assert.equal(capacity, to.store:stats().sessions)
	end)

	it("counts to the share of its client's network", function ()
		local to, from = new_process { share = 1024 }, new_process()
		to.clock(1000)
		local most = math.floor(to.store:stats().capacity / 1024)
		for number = 1, most + 1 do
			assert.equal(number <= most and "session" or "over_share", taken(to, trial.seal(from.sharing, shared_record.plain {
				id = id(("%d "):format(number)), network = "\192\0\2\1\0\0",
			}, 1000)))
		end
		-- The client itself has no more room here, either.
		assert.is_false(trial.insert(to.store, id "its own", "192.0.2.1"))
		assert.equal("session", taken(to, trial.seal(from.sharing, shared_record.plain {
			id = id "other", family = 6, network = "\32\1\13\184\0\1",
		}, 1000)))
	end)

	---- renewals

	-- Records of a session and its renewals, oldest first: sealed, and the IDs.
	local function chain(count)
		local from, sealed, ids = new_process(), {}, {}
		for number = 1, count do
			ids[number] = id(("%08x "):format(number * 2654435761 % 4294967296))
			sealed[number] = trial.seal(from.sharing, shared_record.plain {
				id = ids[number], renewal = number > 1 and 1 or 0, earlier_id = ids[number - 1],
			}, 1000)
		end
		return sealed, ids
	end

	it("of a session that was renewed leaves older tickets out, when it is read backwards", function ()
		for count = 1, 6 do
			local to, sealed, ids = new_process(), chain(count)
			to.clock(1000)
			for number = count, 1, -1 do
				assert.equal(number > count - 2 and "session" or "superseded", taken(to, sealed[number]), number)
			end
			assert.equal(math.min(count, 2), to.store:stats().sessions)
			for number = math.max(1, count - 1), count do
				assert.equal(0, found(to, ids[number]))
			end
		end
	end)

	-- All orders of the numbers up to `count`.
	local function orders(count)
		if count == 0 then
			return { {} }
		end
		local list = {}
		for _, shorter in ipairs(orders(count - 1)) do
			for place = 1, count do
				local order = { unpack(shorter) }
				table.insert(order, place, count)
				list[#list + 1] = order
			end
		end
		return list
	end

	it("of a session that was renewed is kept in any order, if its ticket is one of the last two", function ()
		local all = orders(4)
		assert.equal(24, #all)
		for _, order in ipairs(all) do
			local to, sealed, ids = new_process(), chain(4)
			to.clock(1000)
			for _, number in ipairs(order) do
				taken(to, sealed[number])
			end
			assert.equal(0, found(to, ids[3]), table.concat(order, " "))
			assert.equal(0, found(to, ids[4]), table.concat(order, " "))
		end
	end)

	it("of a session that was renewed says nothing of others", function ()
		local to, from = new_process(), new_process()
		to.clock(1000)
		for number = 1, 2000 do
			assert.equal("session", taken(to, trial.seal(from.sharing, shared_record.plain {
				id = id(("%08x b"):format(number)), renewal = 1, earlier_id = id(("%08x a"):format(number)),
			}, 1000)))
		end
		assert.equal(2000, to.store:stats().sessions)
	end)

	---- the share of an address in the stream

	local ONE, OTHER = "\192\0\2\1\0\0", "\192\0\2\2\0\0"

	-- Queues so many records with these values. Returns how many of them wait.
	local function queued(owner, count, values)
		local before = owner.sharing:queued()
		for _ = 1, count do
			trial.queue(owner.store, shared_record.plain(values))
		end
		return owner.sharing:queued() - before
	end

	local PERIOD = 10 * LIFETIME

	it("is bounded for an address, and the ends of sessions apart from sessions", function ()
		local here = new_process { address_limit = 3 }
		here.clock(PERIOD + 100)
		assert.equal(3, queued(here, 5, { network = ONE }))
		assert.equal(0, queued(here, 1, { network = ONE, renewal = 1 }))
		assert.equal(3, queued(here, 4, { network = ONE, type = 2 }))
		assert.equal(4, select(5, here.sharing:queued()))
		assert.equal(0, select(3, here.sharing:queued()), "dropped for lack of room")
		assert.equal(3, queued(here, 4, { network = OTHER }))
		-- A /48 of IPv6 is one.
		assert.equal(3, queued(here, 4, { family = 6, network = "\32\1\13\184\0\1" }))
		assert.equal(3, queued(here, 4, { family = 6, network = "\32\1\13\184\0\2" }))
		-- Where no address is known, and where the operator wants no bound.
		assert.equal(5, queued(here, 5, { family = 0, network = ("\0"):rep(6) }))
		assert.equal(5, queued(new_process(), 5, { network = ONE }))
	end)

	it("is bounded anew in each period", function ()
		local here = new_process { address_limit = 3 }
		for _, case in ipairs { { PERIOD - 1, 3 }, { PERIOD, 3 }, { PERIOD + LIFETIME - 1, 0 }, { PERIOD + LIFETIME, 3 },
			{ PERIOD + 3 * LIFETIME, 3 }, { PERIOD, 3 } } do -- the clock is set back
			here.clock(case[1])
			assert.equal(case[2], queued(here, 4, { network = ONE }), case[1])
		end
	end)

	it("is bounded over all processes, as far as their records have come", function ()
		local here, there = new_process { address_limit = 3 }, new_process()
		here.clock(PERIOD + 100)
		local number = 0
		local function come(count, sealed, values)
			for _ = 1, count do
				number = number + 1
				values.id, values.created = id(("%d "):format(number)), PERIOD - 10
				taken(here, trial.seal(there.sharing, shared_record.plain(values), sealed))
			end
		end
		come(3, PERIOD - 1, { network = ONE }) -- of the period before
		come(2, PERIOD + 1, { network = ONE })
		come(3, PERIOD + 1, { network = OTHER, type = 2 })
		assert.equal(1, queued(here, 3, { network = ONE }))
		assert.equal(3, queued(here, 4, { network = ONE, type = 2 }))
		assert.equal(0, queued(here, 1, { network = OTHER, type = 2 }))
		assert.equal(3, queued(here, 4, { network = OTHER }))
	end)

	for limit, message in pairs { [0] = "1 to", [-1] = "1 to", [2 ^ 31] = "1 to", x = "1 to" } do
		it("refuses " .. tostring(limit) .. " as the bound of an address", function ()
			assert.error_matches(function ()
				new_process { address_limit = limit }
			end, message)
		end)
	end

	---- fields

	for what, values in pairs {
		["no type"] = { type = 0 }, ["another type"] = { type = 3 }, ["SSL 3.0"] = { version = 0x0300 },
		["a version that there is not"] = { version = 0x0305 }, ["DTLS"] = { version = 0xFEFD },
		["a suite of TLS 1.2 under TLS 1.3"] = { suite = 0xC030 }, ["a suite that there is not"] = { suite = 0xFFFF },
		["a suite of TLS 1.3 under TLS 1.2"] = { version = 0x0303 },
		["a suite with a PSK"] = { version = 0x0303, suite = 0x00A9 },
		["no secret"] = { secret_length = 0 }, ["a secret that is too long"] = { secret_length = 49 },
		["a length for the end of a session"] = { secret_length = 255 }, ["no lifetime"] = { lifetime = 0 },
		["another family"] = { family = 5 }, ["half a renewal"] = { renewal = 2 },
	} do
		it("with " .. what .. " is malformed", function ()
			local here = new_process()
			here.clock(1000)
			assert.equal("malformed", taken(here, sealed_at(1000, values)))
			assert.equal(0, here.store:stats().sessions)
			assert.same({}, trial.models(here.store))
		end)
	end

	it("brings its kind along, which is the kind of own sessions, too", function ()
		local from, to = new_process(), new_process()
		for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
			meet(version, server(from))
		end
		assert.same({ 2, { "session", "session" } }, { pass(from, to) })
		assert.same(trial.models(from.store), trial.models(to.store))
		for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
			meet(version, server(to))
		end
		assert.equal(2, #trial.models(to.store))
	end)

	it("cannot use up the kinds of this process", function ()
		local to, from = new_process(), new_process()
		to.clock(1000)
		local answers = {}
		for group = 1, 300 do
			local answer = taken(to, trial.seal(from.sharing, shared_record.plain {
				id = id(("%d "):format(group)), group = group,
			}, 1000))
			answers[answer] = (answers[answer] or 0) + 1
		end
		assert.same({ session = 125, malformed = 175 }, answers)
		local before = to.store:stats().sessions
		meet("TLSv1.2", server(to))
		assert.equal(before + 1, to.store:stats().sessions)
	end)

	---- sessions of clients

	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		-- Host, role, policy and certificate are in the name; adopted_contexts_spec.lua tests that.
		it("resumes under " .. version .. " only where name and server name are the same", function ()
			local names = { "a", "b" }
			local server_names = { false, "a.test", "b.test" }
			for _, made_with in ipairs(names) do
				for _, made_for in ipairs(server_names) do
					local from, to = new_process(), new_process()
					local _, session = meet(version, server(from, made_with), nil, made_for or nil)
					assert.equal(1, pass(from, to))
					for _, name in ipairs(names) do
						for _, server_name in ipairs(server_names) do
							local resumed = meet(version, server(to, name), session, server_name or nil)
							assert.equal(name == made_with and server_name == made_for, resumed,
								("%s %s under %s %s"):format(made_with, tostring(made_for), name, tostring(server_name)))
							sealed_by(to)
						end
					end
				end
			end
		end)

		it("rfc5246.7.2.2.fatal-alert-ends-session: under " .. version .. " in other processes, too", function ()
			local from, to = new_process(), new_process()
			local _, session, one, other = meet(version, server(from))
			assert.equal(1, pass(from, to))
			assert(one:write "garbled")
			local record = one:take()
			assert(other:feed(record:sub(1, -2) .. string.char((record:byte(-1) + 1) % 256)))
			assert.equal("tls", select(3, other:read()))
			assert.same({ 1, { "removal" } }, { pass(from, to) })
			assert.equal(0, to.store:stats().sessions)
			assert.is_false((meet(version, server(to), session)))
		end)

		it("keeps under " .. version .. " the facts of the handshake in another process", function ()
			local from, to = new_process(), new_process()
			local _, session, _, made = meet(version, server(from))
			pass(from, to)
			local _, _, _, resumed = meet(version, server(to), session)
			local before, after = made:facts(), resumed:facts()
			assert.is_true(after.resumed)
			for _, field in ipairs { "version", "cipher_suite", "bits", "key_exchange", "forward_secrecy",
				"extended_master_secret", "group" } do
				assert.equal(before[field], after[field], field)
			end
		end)

		-- rfc8446.4.6.1.lifetime-from-the-first
		it("ends under " .. version .. " at the lifetime after its first handshake, whoever resumed it", function ()
			local processes = { new_process(), new_process(), new_process() }
			local function set_clocks(seconds)
				for index, one in ipairs(processes) do
					one.clock(seconds + 20 * (index - 1)) -- clocks differ
				end
			end
			local function spread(from)
				for _, sealed in ipairs(sealed_by(from)) do
					for _, to in ipairs(processes) do
						if to ~= from then
							assert.equal("session", taken(to, sealed))
						end
					end
				end
			end
			set_clocks(100000)
			local _, session = meet(version, server(processes[1]))
			spread(processes[1])
			for number, seconds in ipairs { 10, 500, 1000, 2000, 3000, 3500, 3559 } do
				set_clocks(100000 + seconds)
				local owner, resumed = processes[number % 3 + 1]
				resumed, session = meet(version, server(owner), session)
				assert.is_true(resumed, seconds)
				spread(owner)
			end
			for _, owner in ipairs(processes) do
				assert.is_true(owner.store:stats().sessions <= 2)
				owner.clock(100000 + LIFETIME)
				assert.is_false((meet(version, server(owner), session)))
			end
		end)
	end

	it("renews a session of TLS 1.3 in other processes, where it has two places at most", function ()
		local from, to = new_process(), new_process()
		local _, first = meet("TLSv1.3", server(from))
		pass(from, to)
		local tickets = { first }
		for number = 2, 10 do
			local resumed
			resumed, tickets[number] = meet("TLSv1.3", server(from), tickets[number - 1])
			assert.is_true(resumed)
			assert.same({ 1, { "session" } }, { pass(from, to) })
			assert.equal(2, to.store:stats().sessions)
		end
		-- The ticket that was used last, and the one that was given last.
		assert.is_true((meet("TLSv1.3", server(to), tickets[10])))
		assert.is_false((meet("TLSv1.3", server(to), tickets[8])))
	end)

	it("resumes with the last two tickets if the records come backwards, and with no other", function ()
		for ticket = 1, 5 do
			local from, to = new_process(), new_process()
			local sessions = {}
			for number = 1, 5 do
				sessions[number] = select(2, meet("TLSv1.3", server(from), sessions[number - 1]))
			end
			local records = sealed_by(from)
			for number = #records, 1, -1 do
				assert.equal(number >= 4 and "session" or "superseded", taken(to, records[number]))
			end
			assert.equal(ticket >= 4, (meet("TLSv1.3", server(to), sessions[ticket])))
		end
	end)

	it("shares nothing of a client whose sessions are not kept", function ()
		local from = new_process { share = 1024 }
		local authority = pki.authority()
		local certificate = authority:issue { names = { "client.test" }, key = "p256", key_name = "client" }
		local asking = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key,
			verify = "require", ca_file = authority.certificate })
		assert(asking:apply { no_stateless_tickets = true })
		assert(asking:resume(from.store, "a"))
		local one = assert(core.context.new { role = "client", verify = "none", certificate = certificate.certificate,
			key = certificate.key })
		local near, far = assert(handshake.between(one, asking))
		assert.equal(0, (from.sharing:queued()))
		-- Not even their ends.
		assert(near:write "garbled")
		local record = near:take()
		assert(far:feed(record:sub(1, -2) .. string.char((record:byte(-1) + 1) % 256)))
		assert.equal("tls", select(3, far:read()))
		assert.equal(0, (from.sharing:queued()))
	end)

	---- the queue and the object

	it("drops and counts what its queue has no room for", function ()
		local from, to = new_process { queue_limit = 4096 }, new_process()
		local count = 0
		repeat
			meet("TLSv1.2", server(from))
			count = count + 1
			local records, bytes, dropped = from.sharing:queued()
			assert.equal(count, records + dropped)
			assert.is_true(bytes <= 4096)
		until dropped == 3
		assert.equal(count - 3, (pass(from, to)))
		assert.equal(count - 3, to.store:stats().sessions)
		local records, bytes, dropped, locked = from.sharing:queued()
		assert.same({ 0, 0, 3 }, { records, bytes, dropped })
		assert.is_boolean(locked)
		-- There is room again.
		meet("TLSv1.2", server(from))
		assert.same({ 1, { "session" } }, { pass(from, to) })
	end)

	it("hands its records out in their order", function ()
		local from, to = new_process { queue_limit = 4096 }, new_process()
		local sessions = {}
		for number = 1, 40 do -- around the end of the queue's memory
			sessions[number] = select(2, meet("TLSv1.2", server(from)))
			if number > 10 then
				assert.equal("session", taken(to, from.sharing:seal_next()))
			end
		end
		for number = 1, 40 do
			assert.equal(number <= 30, (meet("TLSv1.2", server(to), sessions[number])), number)
		end
	end)

	it("ends when it is closed; then the store can be shared anew", function ()
		local from, to = new_process(), new_process()
		meet("TLSv1.2", server(from))
		local options = { store = from.store, name = "cluster", keys = trial.sharing_keys { KEY }, queue_limit = 4096 }
		assert.same({ nil, "the sessions of this store are shared already", "exists" }, { core.session_sharing(options) })
		from.sharing:close()
		from.sharing:close()
		meet("TLSv1.2", server(from))
		for _, method in ipairs { "seal_next", "queued", "insert" } do
			assert.error_matches(function () from.sharing[method](from.sharing, "") end, "sharing is closed")
		end
		from.sharing = assert(core.session_sharing(options))
		assert.equal(0, (from.sharing:queued()))
		meet("TLSv1.2", server(from))
		assert.same({ 1, { "session" } }, { pass(from, to) })
	end)

	it("outlives the last reference to its store in Lua", function ()
		local from = new_process()
		local sharing = from.sharing
		local context = server(from)
		from.store:close()
		meet("TLSv1.2", context)
		assert.equal(1, (sharing:queued()))
		collectgarbage()
		assert.is_string(sharing:seal_next())
	end)

	it("raises an error for wrong options", function ()
		local store, closed = new_process().store, trial.sharing_keys { KEY }
		closed:close()
		for what, case in pairs {
			["name is no string"] = { name = 1 }, ["name has not 1 to 255 bytes"] = { name = "" },
			["name has not 1 to 255 bytes."] = { name = ("n"):rep(256) },
			["keys has not one or two keys"] = { keys = trial.sharing_keys {} },
			["keys has not one or two keys."] = { keys = trial.sharing_keys { KEY, KEY, KEY } },
			["SharingKeys"] = { keys = KEY }, ["keys are closed"] = { keys = closed },
			["queue_limit is no number from 4096"] = { queue_limit = 4095 },
			["queue_limit is no number from 4096."] = { queue_limit = 2 ^ 31 },
			["queue_limit is no number from 4096.."] = { queue_limit = 0 / 0 }, ["Store"] = { store = 1 },
		} do
			local options = { store = assert(core.session_store.new { memory = 1, lifetime = 3600 }), name = "n",
				keys = trial.sharing_keys { KEY }, queue_limit = 4096 }
			for field, value in pairs(case) do
				options[field] = value
			end
			assert.error_matches(function () core.session_sharing(options) end, (what:gsub("%.+$", "")))
		end
		for _, time in ipairs { -1, 2 ^ 32, 0 / 0 } do
			local sharing = new_process().sharing
			assert.error_matches(function () sharing:insert("", time) end, "no time")
		end
		for _, key in ipairs { ("k"):rep(31), ("k"):rep(65) } do
			assert.error_matches(function () trial.sharing_keys { key } end, "32 to 64 bytes")
		end
		assert.is_table(store:stats())
	end)

	---- a real second process

	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		it("carries a session of " .. version .. " to a process that runs beside", function ()
			local from = new_process()
			local _, session = meet(version, server(from))
			local function quoted(bytes)
				return '"' .. bytes:gsub(".", function (byte) return ("\\%03d"):format(byte:byte()) end) .. '"'
			end
			local code = ([[
				local core = require "xmpp_tls_policy.core"
				local handshake = require "support.handshake"
				local store = core.session_store.new { memory = 1, lifetime = 3600 }
				local sharing = assert(core.session_sharing { store = store, name = "cluster",
					keys = core.session_store_trial.sharing_keys { %s }, queue_limit = 4096 })
				io.write(tostring(sharing:insert(%s)), " ", tostring(select(2, sharing:insert(%s))), " ")
				local server = assert(core.context.new { role = "server", certificate = %q, key = %q })
				assert(server:apply { no_stateless_tickets = true })
				assert(server:resume(store, "a"))
				local client = assert(core.context.new { role = "client", verify = "none" })
				assert(client:apply { maximum_version = %q })
				local one = assert(handshake.between(client, server, { session = %s }))
				io.write(tostring(one:facts().resumed))
			]]):format(quoted(KEY), quoted(from.sharing:seal_next()), quoted(("x"):rep(205)), files.certificate, files.key,
				version, quoted(session))
			local path = pki.write(code, ".lua")
			assert.equal("session malformed true", process.check {
				"env", "LUA_PATH=./lua/?.lua;./lua/?/init.lua;./spec/?.lua;;", "LUA_CPATH=" .. package.cpath,
				lfs.symlinkattributes("/proc/self/exe").target, path,
			})
		end)
	end

	-- rfc8446.4.6.1.lifetime-from-the-first
	it("has the age of the older one after a renewal, whichever record says it", function ()
		for _, case in ipairs { { 100000, 100500 }, { 100500, 100000 } } do
			local to, from = new_process(), new_process()
			to.clock(101000)
			assert.equal("session", taken(to, trial.seal(from.sharing, shared_record.plain {
				id = id "first", created = case[1],
			}, 101000)))
			assert.equal("session", taken(to, trial.seal(from.sharing, shared_record.plain {
				id = id "second", earlier_id = id "first", renewal = 1, created = case[2],
			}, 101000)))
			assert.equal(1000, found(to, id "second"))
		end
	end)

	it("rfc8446.6.2.fatal-alert-discards-tickets: ends in other processes the session that was resumed, too", function ()
		local from, to = new_process(), new_process()
		local _, session = meet("TLSv1.3", server(from))
		local resumed, _, one, other = meet("TLSv1.3", server(from), session)
		assert.is_true(resumed)
		assert.equal(2, pass(from, to))
		assert.equal(2, to.store:stats().sessions)
		assert(one:write "garbled")
		local record = one:take()
		assert(other:feed(record:sub(1, -2) .. string.char((record:byte(-1) + 1) % 256)))
		assert.equal("tls", select(3, other:read()))
		assert.same({ 2, { "removal", "removal" } }, { pass(from, to) })
		assert.equal(0, to.store:stats().sessions)
	end)

	it("has another salt in the child of a fork", function ()
		-- A process that os.execute gives another ID.
		local library = pki.path ".so"
		process.check { "cc", "-shared", "-fPIC", "-o", library, pki.write([[
			static int process = 100;
			int getpid(void) { return process; }
			int system(const char *command) { return process++, command == 0; }
		]], ".c") }
		local code = [[
			local core, shared_record = require "xmpp_tls_policy.core", require "support.shared_record"
			local store = core.session_store.new { memory = 1, lifetime = 3600 }
			local sharing = assert(core.session_sharing {
				store = store, name = "n", keys = core.session_store_trial.sharing_keys { ("k"):rep(32) },
				queue_limit = 4096,
			})
			local function salt()
				return core.session_store_trial.seal(sharing, shared_record.plain(), 1000):sub(14, 29)
			end
			local first, second = salt(), salt()
			os.execute "none"
			io.write(tostring(first == second), " ", tostring(second == salt()))
		]]
		assert.equal("true false", process.check {
			"env", "LD_PRELOAD=" .. library, "LUA_PATH=./lua/?.lua;./lua/?/init.lua;./spec/?.lua;;",
			"LUA_CPATH=" .. package.cpath, lfs.symlinkattributes("/proc/self/exe").target, "-e", code,
		})
	end)
end)
