-- The bound on handshakes with DHE (observer.limit_dhe).
local client_hello = require "support.client_hello"
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local pki = require "support.pki"
local process = require "support.process"
local socket = require "socket"
local ssl = require "ssl"
local tls_policy = require "xmpp_tls_policy"

local observer = core.observer

describe("the limit of DHE", function ()
	local files

	setup(function ()
		files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
	end)

	before_each(function ()
		collectgarbage()
		observer.refusals()
	end)

	after_each(function ()
		observer.limit_dhe(0, 0)
	end)

	teardown(function ()
		pki.remove()
	end)

	-- So many now, and no more in the time that a spec takes.
	local function allow(count)
		observer.limit_dhe(1e-9, count)
	end

	local function server(more)
		local context = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
		local settings = tls_policy.policy():settings()
		for name, value in pairs(more or {}) do
			settings[name] = value
		end
		assert(context:apply(settings))
		assert(context:observe(7))
		return context
	end

	local function client(settings)
		local context = assert(core.context.new { role = "client", verify = "none" })
		assert(context:apply(settings))
		return context
	end

	local dhe_client = { maximum_version = "TLSv1.2", ciphers = { "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384" } }

	-- Returns the server's answer to a hello, and the record if the handshake failed.
	local function answer(context, offer)
		local connection = assert(core.connection.new(context, { role = "server" }))
		assert(connection:feed(client_hello.build(offer)))
		connection:handshake()
		local bytes, records = connection:take(), observer.refusals()
		connection:close()
		observer.refusals()
		return bytes, records[1]
	end

	local ecdhe, dhe = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"
	local no_groups = { { 10 } }
	local alert = "\21\3\3\0\2\2\40" -- handshake_failure

	-- Hellos that lead to DHE.
	for name, offer in pairs {
		["with suites for DHE alone"] = { suites = { dhe } },
		["with suites for DHE alone, and no list of groups"] = { suites = { dhe }, extensions = no_groups },
		["with finite fields as its only groups"] = { suites = { ecdhe, dhe }, groups = { "ffdhe2048", "ffdhe3072" } },
		-- OpenSSL chooses no curve then.
		["with ECDHE and DHE, and no list of groups"] = { suites = { ecdhe, dhe }, extensions = no_groups },
		["with anonymous DHE beside"] = { suites = { "TLS_DH_anon_WITH_AES_128_GCM_SHA256", dhe } },
		["with unknown suites beside"] = { suites = { 0xABCD, dhe, 0x1301 } },
		["with a session ID that nobody knows"] = { suites = { dhe }, session_id = ("s"):rep(32) },
		["with ECDHE for another key"] = { suites = { "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", dhe } },
		["with ECDHE that is not allowed"] = { suites = { "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", dhe } },
		["with a group that nobody knows"] = { suites = { ecdhe, dhe }, groups = { 0x9999 } },
		["with a group that is not allowed"] = { suites = { ecdhe, dhe }, groups = { 0x0016 } },
	} do
		it("refuses a hello " .. name, function ()
			local context = server()
			allow(1)
			local bytes, record = answer(context, offer)
			assert.is_nil(record)
			assert.equal("\22\3\3", bytes:sub(1, 3))
			local before = observer.dhe_refusals()
			for count = 1, 3 do
				bytes, record = answer(context, offer)
				assert.equal(alert, bytes)
				assert.same({ "dhe", "handshake_failure", true }, { record.limit, record.alert, record.alert_sent })
				assert.is_table(record.offer)
				assert.equal(before + count, observer.dhe_refusals())
			end
		end)
	end

	it("refuses finite fields of TLS 1.3 where they are allowed", function ()
		allow(0)
		local bytes, record = answer(server { groups = { "ffdhe2048" } },
			{ suites = { "TLS_AES_128_GCM_SHA256", dhe }, versions = { "TLSv1.3", "TLSv1.2" }, groups = { "ffdhe2048" } })
		assert.equal(alert, bytes)
		assert.equal("dhe", record.limit)
	end)

	it("takes ECDHE with 128 bits in the place of DHE with 256, and not RSA", function ()
		local context = server { ciphers = {
			"TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_256_GCM_SHA384",
		} }
		allow(0)
		local function suite_for(ciphers)
			local one = handshake.between(client { maximum_version = "TLSv1.2", ciphers = ciphers }, context)
			return one and one:facts().cipher_suite
		end
		assert.equal(ecdhe, suite_for { "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", ecdhe })
		assert.equal("TLS_RSA_WITH_AES_256_GCM_SHA384", suite_for { "TLS_RSA_WITH_AES_256_GCM_SHA384" })
		observer.refusals()
		assert.is_nil(suite_for { "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384" })
		assert.equal("dhe", observer.refusals()[1].limit)
	end)

	for name, offer in pairs {
		["with ECDHE beside DHE"] = { suites = { dhe, ecdhe } },
		["of TLS 1.3"] = { suites = { "TLS_AES_128_GCM_SHA256" }, versions = { "TLSv1.3" } },
		["of TLS 1.2 and 1.3, with suites for DHE"] =
			{ suites = { "TLS_AES_128_GCM_SHA256", dhe }, versions = { "TLSv1.3", "TLSv1.2" } },
	} do
		it("lets pass a hello " .. name, function ()
			local context = server()
			allow(0)
			local bytes, record = answer(context, offer)
			assert.is_nil(record)
			assert.equal("\22\3\3", bytes:sub(1, 3))
		end)
	end

	it("leaves the reason of hellos that have nothing in common with the server", function ()
		allow(0)
		local _, record = answer(server(), { suites = { "TLS_RSA_WITH_AES_128_CBC_SHA" } })
		assert.same({ nil, "no shared cipher" }, { record.limit, record.reason })
	end)

	it("lets so many handshakes pass, however many others there are, and more as time goes by", function ()
		local context, ours = server(), client(dhe_client)
		allow(2)
		for _ = 1, 2 do
			assert.equal("DHE", assert(handshake.between(ours, context)):facts().key_exchange)
			assert(handshake.between(client { maximum_version = "TLSv1.2" }, context))
			assert(handshake.between(client {}, context))
		end
		assert.is_nil((handshake.between(ours, context)))
		-- One at once, and one more in the time that twenty take on this machine, under Valgrind too. The machine may
		-- pause in some of those that are measured.
		observer.limit_dhe(0, 0)
		local start, seconds = socket.gettime(), math.huge
		for _ = 1, 5 do
			assert(handshake.between(ours, context))
			seconds, start = math.min(seconds, socket.gettime() - start), socket.gettime()
		end
		local rate = 1 / (20 * seconds)
		local passed, refused = 0, 0
		start = socket.gettime()
		observer.limit_dhe(rate, 1)
		assert(handshake.between(ours, context))
		-- The machine may pause between two handshakes. Then more pass, but never more than the time allows.
		assert.is_true(process.poll(process.PATIENCE, function ()
			local passes = handshake.between(ours, context) ~= nil
			passed, refused = passed + (passes and 1 or 0), refused + (passes and 0 or 1)
			return passes and refused > 0
		end))
		assert.is_true(passed <= 1 + rate * (socket.gettime() - start), passed)
	end)

	it("goes on where it was, if the same numbers are set again", function ()
		local context, ours = server(), client(dhe_client)
		allow(1)
		assert(handshake.between(ours, context))
		allow(1)
		assert.is_nil((handshake.between(ours, context)))
	end)

	it("counts finite fields of TLS 1.3, and leaves the other groups", function ()
		local context = server { groups = { "ffdhe2048", "x25519" } }
		local ours, both = client { groups = { "ffdhe2048" } }, client { groups = { "ffdhe2048", "x25519" } }
		allow(2)
		assert.equal("ffdhe2048", assert(handshake.between(ours, context)):facts().group)
		assert.equal("ffdhe2048", assert(handshake.between(both, context)):facts().group)
		assert.is_nil((handshake.between(ours, context)))
		assert.equal("dhe", observer.refusals()[1].limit)
		local facts = assert(handshake.between(both, context)):facts()
		assert.same({ "TLSv1.3", "x25519" }, { facts.version, facts.group })
	end)

	it("is none for a session that is resumed", function ()
		local store = assert(core.session_store.new { memory = 1, lifetime = 3600 })
		local context, ours = server(), client(dhe_client)
		assert(context:resume(store, "name"))
		allow(1)
		local session = assert(handshake.between(ours, context)):insecure_session()
		local one = assert(handshake.between(ours, context, { session = session }))
		assert.is_true(one:facts().resumed)
		assert.is_nil((handshake.between(ours, context)))
		store:close()
	end)

	-- A server of LuaSec's with DHE alone, and a Context for it, which changes nothing.
	local function foreign_server()
		local context = assert(ssl.newcontext {
			mode = "server", protocol = "any", certificate = files.certificate, key = files.key, verify = "none",
			ciphers = "DHE-RSA-AES256-GCM-SHA384", dhparam = function ()
				return process.check { "openssl", "dhparam", "-dsaparam", "2048" }
			end,
		})
		return assert(core.context.adopt(context))
	end

	local function shake_hands(ours, adopted)
		return handshake.between(ours, adopted, nil, { role = "server" })
	end

	it("is none for connections to other servers", function ()
		local ours = client(dhe_client)
		assert(ours:observe(8))
		allow(0)
		assert.equal("DHE", assert(shake_hands(ours, foreign_server())):facts().key_exchange)
	end)

	it("is none for contexts that are only observed, before and after they were under settings", function ()
		local adopted, ours = foreign_server(), client(dhe_client)
		allow(0)
		assert(adopted:observe(7))
		assert(shake_hands(ours, adopted))
		assert(adopted:apply(tls_policy.policy():settings()))
		assert.is_nil((shake_hands(ours, adopted)))
		assert(adopted:release())
		assert(adopted:observe(7))
		assert(shake_hands(ours, adopted))
	end)

	for name, arguments in pairs {
		["a negative rate"] = { -1, 1 }, ["a negative number"] = { 1, -1 }, ["no number"] = { "many", 1 },
		["not a number"] = { 0 / 0, 1 }, ["infinity"] = { 1, math.huge },
	} do
		it("raises an error for " .. name, function ()
			assert.has_error(function () observer.limit_dhe(arguments[1], arguments[2]) end)
		end)
	end
end)
