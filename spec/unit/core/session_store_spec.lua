local configuration = require "support.configuration"
local core = require "xmpp_tls_policy.core"
local files_of = require "support.files"
local handshake = require "support.handshake"
local lfs = require "lfs"
local memlock = require "support.memlock"
local pki = require "support.pki"
local process = require "support.process"
local socket = require "socket"
local ssl = require "ssl"
local tls_socket = require "support.tls_socket"
local trial = core.session_store_trial

describe("a session store", function ()
	local authority, files, other_files, client_files

	setup(function ()
		authority = pki.authority()
		files = authority:issue { names = { "example.test" }, key = "p256" }
		other_files = authority:issue { names = { "other.test" }, key = "p256", key_name = "other" }
		client_files = authority:issue { names = { "client.test" }, key = "p256", key_name = "client" }
	end)

	teardown(function ()
		pki.remove()
	end)

	local function new(options)
		return assert(core.session_store.new { memory = options and options.memory or 1, lifetime = 3600 })
	end

	local function server(store, name, more)
		local options = { role = "server", certificate = files.certificate, key = files.key }
		for field, value in pairs(more or {}) do
			options[field] = value
		end
		local context = assert(core.context.new(options))
		assert(context:apply { no_stateless_tickets = true })
		assert(context:resume(store, name or "a"))
		return context
	end

	local function client(version, options)
		local context = assert(core.context.new(options or { role = "client", verify = "none" }))
		assert(context:apply { maximum_version = version })
		return context
	end

	-- A handshake; returns whether it was resumed (both ends agree) and the session for the next.
	local function meet(client_context, server_context, session, options)
		options = options or {}
		local one, other = handshake.between(client_context, server_context,
			{ session = session, server_name = options.server_name }, options.role and { role = options.role })
		assert(one, other)
		assert(other:write "x")
		assert(one:feed(other:take()))
		assert.equal("x", one:read())
		local resumed = one:facts().resumed
		assert.equal(resumed, other:facts().resumed)
		local next_session = one:insecure_session()
		if options.goodbye then
			assert(one:shutdown())
			assert(other:feed(one:take()))
			other:read()
		end
		one:close()
		other:close()
		return resumed, next_session
	end

	-- A handshake with a context of LuaSec's over a socket, which the client closes without a goodbye.
	-- Returns the same.
	local function meet_over_socket(client_context, listener, luasec_context, session)
		local address, port = listener:getsockname()
		local near = assert(socket.connect(address, port))
		local far = assert(ssl.wrap(assert(listener:accept()), luasec_context))
		local one = tls_socket.wrap(near, client_context, { session = session })
		near:settimeout(0)
		far:settimeout(0)
		local deadline = socket.gettime() + process.PATIENCE
		while not (one:dohandshake() and far:dohandshake()) do
			far:dohandshake()
			assert.is_true(socket.gettime() < deadline, "the handshake comes to no end")
			socket.select({ near }, nil, 0.01)
		end
		near:settimeout(process.PATIENCE)
		far:settimeout(process.PATIENCE)
		assert(far:send "x")
		assert.equal("x", one:receive(1))
		local resumed, next_session = one:info().resumed, one:session()
		one:close()
		assert.is_nil((far:receive(1)))
		far:close()
		return resumed, next_session
	end

	-- From the server, which gets a record that was changed on its way.
	local function provoke_fatal_alert(one, other)
		assert(one:write "garbled")
		local record = one:take()
		assert(other:feed(record:sub(1, -2) .. string.char((record:byte(-1) + 1) % 256)))
		assert.equal("tls", select(3, other:read()))
	end

	local function misses(store)
		return store:stats().misses
	end

	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		describe("under " .. version, function ()
			-- rfc5246.8.1.secret-of-48-bytes, rfc7627.5.2.ems-answered
			it("resume.session-id: resumes a session, again and again", function ()
				local store = new()
				local one, other = client(version), server(store)
				local resumed, session = meet(one, other)
				assert.is_false(resumed)
				for _ = 1, 3 do
					resumed, session = meet(one, other, session)
					assert.is_true(resumed)
				end
				assert.equal(3, store:stats().hits)
			end)

			it("keeps the facts of the handshake", function ()
				local one, other = client(version), server(new())
				local first, first_other = handshake.between(one, other)
				assert(first_other:write "x")
				assert(first:feed(first_other:take()))
				first:read()
				local again, again_other = handshake.between(one, other, { session = first:insecure_session() })
				assert.truthy(again)
				local before, after = first_other:facts(), again_other:facts()
				assert.is_true(after.resumed)
				for _, field in ipairs { "version", "cipher_suite", "bits", "key_exchange", "forward_secrecy",
					"extended_master_secret", "group" } do
					assert.equal(before[field], after[field], field)
				end
				assert.is_nil(after.signature_scheme)
			end)

			it("rfc5246.7.2.1.missing-close-notify-keeps-session: where the socket is only closed", function ()
				local theirs = assert(ssl.newcontext {
					mode = "server", protocol = "any", certificate = files.certificate, key = files.key,
				})
				local other = core.context.adopt(theirs)
				assert(other:apply { no_stateless_tickets = true })
				assert(other:resume(new(), "a"))
				local listener = assert(socket.bind("127.0.0.1", 0))
				finally(function () listener:close() end)
				local session
				for count = 1, 3 do
					local resumed
					resumed, session = meet_over_socket(client(version), listener, theirs, session)
					assert.equal(count > 1, resumed)
				end
			end)

			it("rfc5246.7.2.1.missing-close-notify-keeps-session: with a goodbye and without", function ()
				local one, other = client(version), server(new())
				for _, goodbye in ipairs { true, false } do
					local _, session = meet(one, other, nil, { goodbye = goodbye })
					assert.is_true((meet(one, other, session)))
				end
			end)

			it("rfc5246.7.2.2.fatal-alert-ends-session: in the store", function ()
				local store = new()
				local one_context, other_context = client(version), server(store)
				local one, other = handshake.between(one_context, other_context)
				assert(other:write "x")
				assert(one:feed(other:take()))
				one:read()
				local session = one:insecure_session()
				provoke_fatal_alert(one, other)
				assert.equal(1, store:stats().removals)
				assert.is_false((meet(one_context, other_context, session)))
			end)

			it("does not let another client end it with the ID alone", function ()
				local store = new()
				local one, other = client(version), server(store)
				local _, session = meet(one, other)
				local stranger = assert(core.connection.new(one, { session = session }))
				local victim = assert(core.connection.new(other))
				stranger:handshake()
				assert(victim:feed(stranger:take()))
				victim:handshake()
				assert(victim:feed "\21\3\3\0\2\2\40") -- an alert in plain text
				victim:handshake()
				stranger:close()
				victim:close()
				assert.equal(0, store:stats().removals)
				assert.is_true((meet(one, other, session)))
			end)

			it("resumes no session under another name, and under no other certificate", function ()
				local store = new()
				local one = client(version)
				local _, session = meet(one, server(store, "a"))
				assert.is_true((meet(one, server(store, "a"), session)))
				assert.is_false((meet(one, server(store, "b"), session)))
				assert.equal(1, misses(store).context)
				assert.is_true((meet(one, server(store, "a"), session)))
			end)

			-- rfc6066.3.no-resumption-under-another-name
			it("tells server names apart before the server chooses their context", function ()
				local store = new()
				local one, other = client(version), server(store, "base")
				assert(other:resume(store, "base", { ["a.test"] = "a", ["b.test"] = "b" }))
				local _, of_a = meet(one, other, nil, { server_name = "a.test" })
				local _, of_none = meet(one, other)
				assert.is_true((meet(one, other, of_a, { server_name = "a.test" })))
				assert.is_true((meet(one, other, of_none)))
				assert.is_false((meet(one, other, of_none, { server_name = "c.test" })))
				assert.is_false((meet(one, other, of_a, { server_name = "b.test" })))
				assert.is_false((meet(one, other, of_a)))
				assert.is_false((meet(one, other, of_none, { server_name = "a.test" })))
				assert(other:resume(store, "base", { ["a.test"] = "renewed" }))
				assert.is_false((meet(one, other, of_a, { server_name = "a.test" })))
			end)

			-- rfc6066.3.no-resumption-under-another-name
			it("belongs to the name that the client sent, whether it is known or not", function ()
				local names = { false, "a.test", "b.test", "also-a.test", "unknown.test", "UNKNOWN.other.test", "192.0.2.1",
					("x"):rep(63) .. (".x"):rep(95) }
				for _, known in ipairs { false, true } do
					local store = new()
					local one, other = client(version), server(store, "base")
					if known then
						assert(other:resume(store, "base", { ["a.test"] = "a", ["also-a.test"] = "a", ["b.test"] = "b" }))
					end
					for _, made_with in ipairs(names) do
						local _, session = meet(one, other, nil, { server_name = made_with or nil })
						for _, name in ipairs(names) do
							local resumed = meet(one, other, session, { server_name = name or nil })
							assert.equal(name == made_with, resumed, ("%s under %s"):format(tostring(made_with), tostring(name)))
						end
					end
				end
			end)

			it("rfc6066.3.name-without-case: does not look at the case of server names", function ()
				local store = new()
				local one, other = client(version), server(store, "base")
				assert(other:resume(store, "base", { ["A.test"] = "a" }))
				local _, session = meet(one, other, nil, { server_name = "a.TEST" })
				assert.is_true((meet(one, other, session, { server_name = "A.test" })))
				assert.is_true((meet(one, other, session, { server_name = "a.test" })))
				assert.is_false((meet(one, other, session)))
				_, session = meet(one, other, nil, { server_name = "Unknown.test" })
				assert.is_true((meet(one, other, session, { server_name = "unknown.TEST" })))
			end)

			it("does not save a client from showing the certificate that is required", function ()
				local store = new()
				local one = client(version, { role = "client", verify = "none", certificate = client_files.certificate,
					key = client_files.key })
				local asking = server(store, "a", { verify = "require", ca_file = authority.certificate })
				local _, session = meet(one, server(store, "a"))
				assert.is_true((meet(one, server(store, "a"), session)))
				assert.is_false((meet(one, asking, session)))
			end)

			it("resume.lifetime: resumes no session that is too old", function ()
				local store = new()
				local one, other = client(version), server(store)
				trial.set_clock(store, 1000)
				local _, session = meet(one, other)
				trial.set_clock(store, 1000 + 3599)
				assert.is_true((meet(one, other, session)))
				trial.set_clock(store, 1000 + 3600)
				assert.is_false((meet(one, other, session)))
				assert.equal(1, misses(store).expired)
				assert.is_false((meet(one, other, session)))
				assert.equal(1, misses(store).unknown)
			end)

			it("takes a clock that was set back for the end of sessions", function ()
				local store = new()
				local one, other = client(version), server(store)
				trial.set_clock(store, 5000)
				local _, session = meet(one, other)
				trial.set_clock(store, 4999)
				assert.is_false((meet(one, other, session)))
			end)

			-- rfc8446.4.6.1.ticket-is-a-name
			it("resume.sealed: gives a full handshake for an ID that was tampered with or made up", function ()
				local store = new()
				local one, other = client(version), server(store)
				local _, session = meet(one, other)
				-- The ID is in the client's session as an octet string of 32 bytes.
				local start = assert(session:find("\4\32", 1, true)) + 2
				if version == "TLSv1.3" then -- there the ticket is what the server gave
					start = assert(session:find("\170\34\4\32", 1, true)) + 4
				end
				for _, position in ipairs { start, start + 31 } do
					local tampered = session:sub(1, position - 1)
						.. string.char((session:byte(position) + 1) % 256) .. session:sub(position + 1)
					assert.is_false((meet(one, other, tampered)))
				end
				assert.equal(2, misses(store).unknown)
				assert.is_true((meet(one, other, session)))
			end)

			it("keeps no session of a client that showed a certificate", function ()
				local store = new()
				local other = server(store, "a", { verify = "require", ca_file = authority.certificate })
				local one = client(version, { role = "client", verify = "none", certificate = client_files.certificate,
					key = client_files.key })
				local _, session = meet(one, other)
				assert.equal(0, store:stats().insertions)
				assert.is_false((meet(one, other, session)))
			end)

			it("keeps nothing once resumption is off", function ()
				local store = new()
				local one, other = client(version), server(store)
				local _, session = meet(one, other)
				assert(other:resume(nil))
				assert.is_false((meet(one, other, session)))
				assert.equal(1, store:stats().insertions)
			end)

			it("forgets all sessions when it is flushed", function ()
				local store = new()
				local one, other = client(version), server(store)
				local _, session = meet(one, other)
				store:flush()
				assert.equal(0, store:stats().sessions)
				assert.is_false((meet(one, other, session)))
				_, session = meet(one, other)
				assert.is_true((meet(one, other, session)))
			end)
		end)
	end

	it("leads to no verdict on a Diffie-Hellman key that a resumed handshake does not have", function ()
		local policy = require "xmpp_tls_policy".policy()
		local rsa = authority:issue { names = { "example.test" }, key = "rsa2048" }
		local other = server(new(), "a", { certificate = rsa.certificate, key = rsa.key })
		assert(other:apply { dh_bits = 2048 })
		local one = client "TLSv1.2"
		assert(one:apply { ciphers = { "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384" } })
		local first = assert(handshake.between(one, other))
		local again, at_server = handshake.between(one, other, { session = first:insecure_session() })
		for _, facts in ipairs { again:facts(), at_server:facts() } do
			assert.is_true(facts.resumed)
			assert.equal("DHE", facts.key_exchange)
			assert.same({ refuse = false, broken = {} }, policy:judge(facts))
		end
	end)

	---- renewed sessions: each resumption of TLS 1.3 gives another ID

	-- rfc8446.4.6.1.lifetime-from-the-first, resume.lifetime
	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		it("ends at its lifetime, however often it is resumed under " .. version, function ()
			local store = new()
			local one, other = client(version), server(store)
			trial.set_clock(store, 1000)
			local _, session = meet(one, other)
			local resumed
			for seconds = 100, 3500, 100 do
				trial.set_clock(store, 1000 + seconds)
				resumed, session = meet(one, other, session)
				assert.is_true(resumed, seconds)
			end
			trial.set_clock(store, 1000 + 3599)
			resumed, session = meet(one, other, session)
			assert.is_true(resumed)
			trial.set_clock(store, 1000 + 3600)
			resumed, session = meet(one, other, session)
			assert.is_false(resumed)
			-- It is a new one now.
			trial.set_clock(store, 1000 + 3600 + 3599)
			assert.is_true((meet(one, other, session)))
		end)
	end

	it("tells the client in the ticket how long its session still lasts", function ()
		local store = new()
		local one, other = client "TLSv1.3", server(store)
		local function lifetime_in(session) -- element 9 of OpenSSL's form
			local high, low = session:match "\169\4\2\2(.)(.)"
			return high:byte() * 256 + low:byte()
		end
		trial.set_clock(store, 1000)
		local _, session = meet(one, other)
		assert.equal(3600, lifetime_in(session))
		for _, seconds in ipairs { 600, 2600, 3300 } do
			trial.set_clock(store, 1000 + seconds)
			session = select(2, meet(one, other, session))
			assert.equal(3600 - seconds, lifetime_in(session))
		end
	end)

	it("has two places at most, however often one ticket is used", function ()
		local store = new()
		local one, other = client "TLSv1.3", server(store)
		local _, victim = meet(one, other)
		local _, ticket = meet(one, other)
		trial.fill(store, store:stats().capacity - 3)
		for _ = 1, 30 do
			assert.is_true((meet(one, other, ticket)))
		end
		assert.equal(0, store:stats().evictions)
		assert.equal(store:stats().capacity, store:stats().sessions)
		assert.is_true((meet(one, other, victim)))
	end)

	-- A client that lost the new ticket may come with the old one.
	it("goes by the ticket that was used last and by the one that was given last", function ()
		local store = new()
		local one, other = client "TLSv1.3", server(store)
		local _, first = meet(one, other)
		local _, lost = meet(one, other, first)
		local _, second = meet(one, other, first)
		assert.is_false((meet(one, other, lost)))
		local resumed, third = meet(one, other, second)
		assert.is_true(resumed)
		assert.is_false((meet(one, other, first)))
		assert.is_true((meet(one, other, second)))
		assert.is_false((meet(one, other, third)))
	end)

	it("is kept once, if connections that resume it at the same time renew it", function ()
		local store = new()
		local one, other = client "TLSv1.3", server(store)
		local _, ticket = meet(one, other)
		local sessions = store:stats().sessions
		local connections = {}
		for index = 1, 5 do
			local near = assert(core.connection.new(one, { session = ticket }))
			local far = assert(core.connection.new(other))
			near:handshake()
			assert(far:feed(near:take()))
			far:handshake()
			connections[index] = { near, far }
		end
		for _, ends in ipairs(connections) do
			assert(handshake.run(ends[1], ends[2]))
			assert.is_true(ends[2]:facts().resumed)
		end
		assert.equal(sessions + 1, store:stats().sessions)
	end)

	---- shares of addresses

	local function id_of(number)
		return ("%032d"):format(number)
	end

	-- Inserts sessions of an address until one is not kept, at most `most`. Returns the number of those
	-- that were.
	local inserted = 0
	local function fill_from(store, address, most)
		for count = 1, most do
			inserted = inserted + 1
			if not trial.insert(store, id_of(inserted), address) then
				return count - 1
			end
		end
		return most
	end

	local function new_shared(share)
		local store = assert(core.session_store.new { memory = 1, lifetime = 3600, share = share })
		return store, math.floor(store:stats().capacity / share)
	end

	it("is kept only if its address has not more than its share", function ()
		local store, most = new_shared(16)
		local one, other = client "TLSv1.2", server(store)
		local _, victim = meet(one, other)
		assert.equal(most, fill_from(store, "192.0.2.1", 1e6))
		assert.equal(1, store:stats().not_kept.address)
		for _ = 1, 3 * store:stats().capacity do
			assert.is_false(trial.insert(store, id_of(0), "192.0.2.1"))
		end
		assert.equal(0, store:stats().evictions)
		assert.is_true((meet(one, other, victim)))
		assert.is_true(trial.insert(store, id_of(0), "198.51.100.1"))
	end)

	-- rfc6177.2.sites-get-48-to-64
	it("counts a /48 of IPv6 as one address", function ()
		local store, most = new_shared(16)
		assert.equal(most, fill_from(store, "2001:db8:1::1", 1e6))
		for _, address in ipairs { "2001:db8:1::2", "2001:db8:1:ffff:ffff:ffff:ffff:ffff" } do
			assert.equal(0, fill_from(store, address, 1), address)
		end
		-- Addresses are counted by a keyed hash, so that one of them may share its count with the full one.
		local kept = 0
		for _, address in ipairs { "2001:db8:2::1", "2001:db9:1::1", "::1", "192.0.2.1", "2001:db8:3::1" } do
			kept = kept + fill_from(store, address, 10)
		end
		assert.is_true(kept >= 40, kept)
	end)

	it("makes room for others of its address when it ends", function ()
		local ends = {
			function (store)
				trial.set_clock(store, os.time() + 7200)
				store:sweep()
			end,
			function (store) store:flush() end,
			function (store) trial.fill(store, store:stats().capacity) end,
		}
		for _, end_it in ipairs(ends) do
			local store = new_shared(1024)
			fill_from(store, "192.0.2.1", 1e6)
			inserted = inserted - 1
			end_it(store)
			assert.is_true(trial.insert(store, id_of(-1), "192.0.2.1"))
		end
	end)

	it("is driven out by no address that ends its sessions again and again", function ()
		local store, most = new_shared(16)
		local one, other = client "TLSv1.2", server(store)
		local _, victim = meet(one, other)
		for _ = 1, 2 * store:stats().capacity do
			inserted = inserted + 1
			if trial.insert(store, id_of(inserted), "192.0.2.1") then
				trial.remove(store, id_of(inserted))
			end
		end
		assert.equal(most, store:stats().removals)
		assert.equal(0, store:stats().evictions)
		assert.equal(1, store:stats().sessions)
		assert.is_true((meet(one, other, victim)))
		trial.set_clock(store, os.time() + 7200)
		store:sweep()
		assert.equal(most, fill_from(store, "192.0.2.1", 1e6))
	end)

	it("is renewed in its own place, if its address has its share", function ()
		local store, most = new_shared(1024)
		assert.equal(most, fill_from(store, "192.0.2.1", 1e6))
		local last = inserted - 1
		assert.is_true(trial.renew(store, id_of(last), id_of(-1)))
		assert.equal(most, store:stats().sessions)
		assert.same({ nil, "unknown" }, { trial.find(store, id_of(last)) })
		assert.is_truthy(trial.find(store, id_of(-1)))
	end)

	it("has no bound by address if the share is one", function ()
		local store, most = new_shared(1)
		assert.equal(most + 5, fill_from(store, "192.0.2.1", most + 5))
		assert.equal(5, store:stats().evictions)
		store:set_share(2)
		assert.equal(0, fill_from(store, "192.0.2.1", 1))
	end)

	it("counts to the address of its connection", function ()
		local store, most = new_shared(1024)
		local theirs = assert(ssl.newcontext {
			mode = "server", protocol = "any", certificate = files.certificate, key = files.key,
		})
		local other = core.context.adopt(theirs)
		assert(other:apply { no_stateless_tickets = true })
		assert(other:resume(store, "a"))
		local listener = assert(socket.bind("127.0.0.1", 0))
		finally(function () listener:close() end)
		for _ = 1, most do
			assert.is_true((meet_over_socket(client "TLSv1.3", listener, theirs,
				select(2, meet_over_socket(client "TLSv1.3", listener, theirs)))))
			if store:stats().sessions == most then
				break
			end
		end
		assert.equal(most, store:stats().sessions)
		local _, session = meet_over_socket(client "TLSv1.3", listener, theirs)
		assert.equal(1, store:stats().not_kept.address)
		assert.is_false((meet_over_socket(client "TLSv1.3", listener, theirs, session)))
	end)

	it("counts a look-up once, though the client was asked for another key share", function ()
		local store = new()
		local one, other = client "TLSv1.3", server(store)
		local _, session = meet(one, other)
		assert(one:apply { maximum_version = "TLSv1.3", groups = { "X25519", "secp384r1" } })
		assert(other:apply { no_stateless_tickets = true, groups = { "secp384r1" } })
		assert.is_true((meet(one, other, session)))
		assert.equal(1, store:stats().hits)
	end)

	it("counts a session that it has and OpenSSL refuses, as its suite is no longer offered", function ()
		local store = new()
		local one, other = client "TLSv1.3", server(store)
		local _, session = meet(one, other)
		assert(one:apply { maximum_version = "TLSv1.3", ciphersuites = { "TLS_AES_128_GCM_SHA256" } })
		assert.is_false((meet(one, other, session)))
		assert.equal(1, misses(store).refused)
		assert.equal(0, store:stats().hits)
	end)

	it("rfc8446.6.2.fatal-alert-discards-tickets: ends the TLS 1.3 session that came back, too", function ()
		local store = new()
		local one_context, other_context = client "TLSv1.3", server(store)
		local _, session = meet(one_context, other_context)
		local one, other = assert(handshake.between(one_context, other_context, { session = session }))
		assert(other:write "x")
		assert(one:feed(other:take()))
		one:read()
		provoke_fatal_alert(one, other)
		assert.is_false((meet(one_context, other_context, session)))
	end)

	it("rfc7627.5.3.no-resumption-without-ems: keeps no such TLS 1.2 session", function ()
		local store = new()
		local plain = core.context.adopt(assert(ssl.newcontext {
			mode = "client", protocol = "tlsv1_2", options = { "no_extended_master_secret" },
		}))
		local other = server(store)
		local one, at_server = handshake.between(plain, other, { role = "client" })
		assert.is_false(at_server:facts().extended_master_secret)
		assert.equal(0, store:stats().insertions)
		one:close()
	end)

	it("rfc8446.4.2.9.psk-with-key-exchange: resumes no TLS 1.3 session without a new key exchange", function ()
		local function permissive(mode, options)
			options.mode, options.protocol, options.options = mode, "tlsv1_3", { "allow_no_dhe_kex" }
			return assert(core.context.adopt(assert(ssl.newcontext(options))))
		end
		local one = permissive("client", {})
		local other = permissive("server", { certificate = files.certificate, key = files.key })
		assert(other:apply { no_stateless_tickets = true })
		assert(other:resume(new(), "a"))
		local first, first_other = assert(handshake.between(one, other, { role = "client" }, { role = "server" }))
		assert(first_other:write "x")
		assert(first:feed(first_other:take()))
		assert.equal("x", first:read())
		local options = { role = "client", session = first:insecure_session() }
		assert.is_true(handshake.between(one, other, options, { role = "server" }):facts().resumed)
		-- Both ends have a suite and a session, but no group in common.
		assert(one:apply { groups = { "x448" } })
		assert(other:apply { groups = { "secp384r1" } })
		assert.is_nil((handshake.between(one, other, options, { role = "server" })))
	end)

	it("makes room by dropping the oldest", function ()
		local store = new()
		local one, other = client "TLSv1.3", server(store)
		local _, oldest = meet(one, other)
		local _, second = meet(one, other)
		trial.fill(store, store:stats().capacity - 2)
		assert.equal(0, store:stats().evictions)
		assert.is_true((meet(one, other, second))) -- inserts one more
		assert.equal(1, store:stats().evictions)
		assert.is_false((meet(one, other, oldest)))
		assert.equal(store:stats().capacity, store:stats().sessions)
	end)

	it("counts no more sessions than it has, and at least 8,000 to the MiB", function ()
		for _, memory in ipairs { 1, 3 } do
			local store = new { memory = memory }
			local stats = store:stats()
			assert.equal(memory * 2 ^ 20, stats.bytes)
			assert.is_true(stats.capacity >= 8000 * memory)
			trial.fill(store, stats.capacity + 1000)
			stats = store:stats()
			assert.equal(stats.capacity, stats.sessions)
			assert.equal(1000, stats.evictions)
		end
	end)

	it("wipes expired sessions as new ones come, without being asked for them", function ()
		local store = new()
		trial.set_clock(store, 1000)
		trial.fill(store, 100)
		trial.set_clock(store, 1000 + 3600)
		trial.fill(store, 60)
		assert.equal(60, store:stats().sessions)
	end)

	-- Mappings that are left out of core dumps: where they are, and their flags.
	local function mappings()
		collectgarbage()
		collectgarbage()
		local list, found = {}, nil
		for line in io.lines "/proc/self/smaps" do
			local from, to = line:match "^(%x+)%-(%x+) "
			if from then
				found = { from = tonumber(from, 16), to = tonumber(to, 16) }
			end
			local flags = line:match "^VmFlags:(.*)"
			if found then
				found.resident = tonumber(line:match "^Rss:%s+(%d+) kB") or found.resident
			end
			if flags and flags:find " dd" then
				found.flags = flags .. " "
				list[#list + 1] = found
			end
		end
		return list
	end

	local function memory_of(map)
		local memory = assert(io.open("/proc/self/mem", "rb"))
		assert(memory:seek("set", map.from))
		local bytes = assert(memory:read(map.size))
		memory:close()
		return bytes
	end

	-- A store of 3 MiB, and its mapping: it has the store's only session. Those that lie
	-- side by side are one: so it is what was not there before.
	local function mapped()
		local before = mappings()
		local store = new { memory = 3 }
		local id = ("mapped"):rep(6):sub(1, 32)
		trial.insert(store, id)
		for _, map in ipairs(mappings()) do
			local from, to = map.from, map.to
			for _, other in ipairs(before) do
				if other.from <= from and other.to > from and other.to < to then
					from = other.to
				elseif other.to >= to and other.from > from and other.from < to then
					to = other.from
				end
			end
			local found = { from = from, size = to - from, flags = map.flags, resident = map.resident }
			if found.size == 3 * 2 ^ 20 and memory_of(found):find(id, 1, true) then
				store:flush()
				return store, found
			end
		end
		error "no mapping has it"
	end

	it("resume.sealed: keeps secrets out of core dumps", function ()
		local store, map = mapped()
		assert.matches(" dd ", map.flags)
		store:close()
		for _, other in ipairs(mappings()) do
			assert.is_false(other.from <= map.from and other.to > map.from)
		end
	end)

	it("resume.sealed: keeps secrets out of swap, where it may", function ()
		if configuration.sanitized then
			pending "AddressSanitizer makes mlock(2) do nothing, and say that it did"
		end
		local store, map = mapped()
		assert.equal(store:stats().locked, map.flags:find(" lo ", 1, true) ~= nil)
		-- Pages are locked when they are first written.
		assert.equal(store:stats().locked, map.flags:find(" lf ", 1, true) ~= nil)
		store:close()
	end)

	-- In KiB.
	local function resident_memory()
		return tonumber(files_of.read "/proc/self/status":match "VmRSS:%s+(%d+)")
	end

	it("takes memory only for the sessions that it has, also when it is wiped", function ()
		local before = resident_memory()
		local store = assert(core.session_store.new { memory = 256, lifetime = 60 })
		trial.fill(store, 10)
		assert.is_true(resident_memory() - before < 8 * 1024)
		store:flush()
		store:sweep()
		assert.is_true(resident_memory() - before < 8 * 1024)
		assert.equal(0, store:stats().sessions)
		store:close()
	end)

	it("says whether its memory is locked, and how much the process may lock", function ()
		local script = ([[
			local core = require "xmpp_tls_policy.core"
			for _, memory in ipairs { 1, 3 } do
				local stats = core.session_store.new({ memory = memory, lifetime = 60 }):stats()
				io.write(tostring(stats.locked), " ", stats.lock_limit, "\n")
			end
		]])
		local command, reason = memlock.limited(2097152, {
			"env", "LUA_CPATH=" .. package.cpath, lfs.symlinkattributes("/proc/self/exe").target, "-e", script,
		})
		if not command then
			return pending(reason)
		end
		local output = process.check(command)
		if configuration.sanitized then
			pending "AddressSanitizer makes mlock(2) do nothing, and say that it did"
		end
		assert.equal("true 2097152\nfalse 2097152\n", output)
	end)

	for what, act in pairs {
		["it is flushed"] = function (store) store:flush() end,
		["the session is dropped for lack of room"] = function (store) trial.fill(store, store:stats().capacity) end,
		["the session is found expired"] = function (store, again)
			trial.set_clock(store, os.time() + 7200)
			again()
		end,
		["expired sessions are swept out"] = function (store)
			trial.set_clock(store, os.time() + 7200)
			store:sweep()
		end,
		["others come after it has expired"] = function (store)
			trial.set_clock(store, os.time() + 7200)
			trial.fill(store, 2)
		end,
	} do
		it("resume.sealed: wipes the secret when " .. what, function ()
			local store, map = mapped()
			finally(function () store:close() end)
			local one, other = client "TLSv1.2", server(store)
			local _, session = meet(one, other)
			-- OCTET STRINGs of session ID and master secret.
			local secret = assert(session:match("\4\32" .. ("."):rep(32) .. "\4\48(" .. ("."):rep(48) .. ")"))
			assert.truthy(memory_of(map):find(secret, 1, true))
			act(store, function () meet(one, other, session) end)
			assert.is_nil(memory_of(map):find(secret, 1, true))
			other:close()
			store:close()
			collectgarbage()
		end)
	end

	it("outlives its object in the contexts that use it", function ()
		local store = new()
		local one, other = client "TLSv1.3", server(store)
		local _, session = meet(one, other)
		store:close()
		collectgarbage()
		assert.is_true((meet(one, other, session)))
		assert.has_error(function () store:stats() end)
	end)

	-- rfc8446.4.6.1.number-of-tickets
	it("leaves a context as it was when it is released", function ()
		local context = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
		local before = context:settings()
		assert(context:apply { no_stateless_tickets = true })
		assert(context:resume(new(), "a", { ["a.test"] = "a" }))
		assert.equal(1, context:settings().tickets)
		assert(context:release())
		assert.same(before, context:settings())
		local resumed, session = meet(client "TLSv1.2", context)
		assert.is_false(resumed)
		assert.truthy(session)
	end)

	for _, case in ipairs {
		{ {}, "session_store.new: memory is no integer from 1 to 4096" },
		{ { memory = 0, lifetime = 1 }, "session_store.new: memory is no integer from 1 to 4096" },
		{ { memory = 1.5, lifetime = 1 }, "session_store.new: memory is no integer from 1 to 4096" },
		-- rfc8446.4.6.1.lifetime-seven-days
		{ { memory = 1, lifetime = 604801 }, "session_store.new: lifetime is no integer from 1 to 604800" },
		{ { memory = 1, lifetime = 1, share = 0 }, "session_store.new: share is no integer from 1 to 1024" },
		{ { memory = 1, lifetime = 1, share = 1025 }, "session_store.new: share is no integer from 1 to 1024" },
		{ { memory = 1, lifetime = "1" }, "session_store.new: lifetime is no integer from 1 to 604800" },
	} do
		it("raises an error for misuse: " .. case[2], function ()
			local ok, message = pcall(core.session_store.new, case[1])
			assert.is_false(ok)
			assert.matches(case[2], message)
		end)
	end

	it("raises an error for names that are none", function ()
		local context, store = server(new()), new()
		for _, names in ipairs { { 1 }, { a = 1 }, "a" } do
			assert.is_false((pcall(context.resume, context, store, "a", names)))
		end
		assert.is_false((pcall(context.resume, context, {}, "a")))
	end)

	it("is of no use to a context of another certificate, if the name says so", function ()
		local store = new()
		local one = client "TLSv1.3"
		local _, session = meet(one, server(store, "example.test, first certificate"))
		local other = server(store, "example.test, second certificate",
			{ certificate = other_files.certificate, key = other_files.key })
		assert.is_false((meet(one, other, session)))
	end)
end)
