-- The shapes of hosts: what is taken in of a connection, and stored.
local adapter = require "support.adapter"
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local core = require "xmpp_tls_policy.core"
local fleets = require "xmpp_tls_policy.fleet.fleets"
local observed_connection = require "support.observed_connection"
local pki = require "support.pki"
local shape = require "xmpp_tls_policy.fleet.shape"
local ssl = require "ssl"
local work_queue = require "xmpp_tls_policy.work_queue"

local SHAPES, CLIENTS, SERVERS = "tls_policy_fleet", "tls_policy_fleet_clients", "tls_policy_fleet_servers"

describe("the fleets of hosts", function ()
	local files, server, seen, now, adopted, closing

	local function new(kept)
		return fleets.new {
			server = server, adopted = adopted, queue = work_queue.new { server = server }, kept = kept,
			now = function () return now end,
		}
	end

	setup(function ()
		files = pki.authority():issue { names = { "a.test" }, key = "rsa2048" }
	end)

	teardown(pki.remove)

	before_each(function ()
		now, closing = 1800000000, {}
		adopted = adopted_contexts.new()
		server = adapter.new {
			client_bare_jid = function (session) return session.jid end,
			is_anonymous = function (host) return host == "anonymous.test" end,
			connection = function (session) return session.connection end,
			is_secure = function (session) return session.connection ~= nil end,
			own_context = function ()
				return ssl.newcontext { mode = "server", protocol = "any", certificate = files.certificate, key = files.key,
					ciphers = "ALL:@SECLEVEL=1" }
			end,
		}
		seen = new()
		seen:open "a.test"
		server.run_timers()
	end)

	after_each(function ()
		for _, close in ipairs(closing) do
			close()
		end
	end)

	local function connect(client)
		local connection, close = observed_connection.open({
			certificate = files.certificate, key = files.key, ciphers = "ALL:@SECLEVEL=1",
		}, client)
		closing[#closing + 1] = close
		return connection
	end

	local old = { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES128-GCM-SHA256" }

	local function see(jid, client, host)
		seen:see_client({ role = "c2s", session = { jid = jid, connection = client and connect(client) } }, host or "a.test")
	end

	local function ids(host)
		local found = {}
		for _, entry in ipairs(seen:get(host or "a.test"):list()) do
			found[#found + 1] = entry.shape
		end
		return found
	end

	it("take in a client once for a connection", function ()
		local stream = { role = "c2s", session = { jid = "user@a.test", connection = connect {} } }
		for _ = 1, 3 do
			seen:see_client(stream, "a.test")
		end
		local list = seen:get "a.test":list()
		assert.same({ 1, { c2s = 1 } }, { list[1].logins, list[1].roles })
		assert.equal("TLSv1.3", shape.best(list[1].shape).version)
		assert.is_nil(list[2])
	end)

	it("take in clients without TLS", function ()
		local stream = { role = "c2s", session = { jid = "user@a.test" } }
		for _ = 1, 3 do
			seen:see_client(stream, "a.test")
		end
		assert.same({ shape.WITHOUT_TLS, 1 }, { ids()[1], seen:get "a.test":list()[1].logins })
	end)

	it("name only the peers whose shape some profile would cut off, for which they need no report mode", function ()
		see("new@a.test", {})
		see("old@a.test", old)
		see("plain@a.test")
		server.run_timers()
		local named = {}
		for _, entry in ipairs(seen:get "a.test":list()) do
			local version = shape.best(entry.shape).version or "none"
			named[version] = { entry.is_cut_off, seen:get "a.test":peers(entry.shape) }
		end
		assert.same({ ["TLSv1.3"] = { false, {} }, ["TLSv1.2"] = { true, { "old@a.test" } },
			none = { true, { "plain@a.test" } } }, named)
		assert.same({}, server.failures)
	end)

	it("take in servers, each pair once for a connection", function ()
		local facts = { role = "client", version = "TLSv1.2", cipher_suite = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" }
		local incoming = { role = "s2sin", session = { connection = connect(old) } }
		local outgoing = { role = "s2sout", session = { connection = {} }, facts = facts }
		local plain = { role = "s2sin", session = {}, is_encrypted = function () return false end }
		for _ = 1, 2 do
			seen:see_server(incoming, "a.test", "far.test")
			seen:see_server(incoming, "a.test", "other.test")
			seen:see_server(outgoing, "a.test", "far.test")
			seen:see_server(plain, "a.test", "plain.test")
		end
		server.run_timers()
		assert.same({}, server.failures)
		local found = {}
		for _, entry in ipairs(seen:get "a.test":list()) do
			found[entry.shape] = { entry.roles, seen:get "a.test":peers(entry.shape) }
		end
		assert.same({ { s2sout = 1 }, { "far.test" } }, found[shape.of_answer(facts)])
		assert.same({ { s2sin = 1 }, { "plain.test" } }, found[shape.WITHOUT_TLS])
		found[shape.of_answer(facts)], found[shape.WITHOUT_TLS] = nil, nil
		local _, offer = next(found)
		assert.same({ { s2sin = 2 }, { "far.test", "other.test" } }, offer)
	end)

	it("do not read the certificate of a server anew", function ()
		local certificate = { facts = function () error "the certificate is read anew" end }
		local facts, known = { role = "client", version = "TLSv1.3", certificate = certificate }, {}
		function known.of(shown)
			return shown == certificate and { key_type = "EC", key_bits = 256 } or nil
		end
		seen = fleets.new {
			server = server, adopted = adopted, queue = work_queue.new { server = server }, facts_of = known.of,
		}
		seen:open "a.test"
		server.run_timers()
		seen:see_server({ role = "s2sout", session = { connection = {} }, facts = facts }, "a.test", "far.test")
		server.run_timers()
		assert.same({}, server.failures)
		local shapes = seen:get "a.test":list()
		assert.equal(1, #shapes)
		assert.same({ key_type = "EC", key_bits = 256 }, shape.answer(shapes[1].shape).certificate.facts())
	end)

	it("know the kind of our certificate", function ()
		local luasec = assert(server.own_context())
		local entry = adopted:enforce(luasec, {
			policy = require "xmpp_tls_policy".policy(), host = "a.test", role = "c2s", operator = {},
		})
		local original = core.observer.label
		core.observer.label = function () return entry.label end
		see("user@a.test", {})
		core.observer.label = original
		assert.same({ RSA = 1 }, seen:get "a.test":list()[1].keys)
	end)

	it("are stored hourly, at the end, and over a reload", function ()
		see("old@a.test", old)
		server.run_timers()
		seen:store_hourly()
		assert.equal(0, server.run_timers())
		now = now + 3600
		seen:store_hourly()
		server.run_timers()
		local shape_key = "shape " .. shape.id(ids()[1])
		assert.is_table(server.stores[SHAPES][shape_key])
		assert.is_table(server.stores[SHAPES]["state of the host"])
		assert.is_table(server.stores[CLIENTS].old)
		-- A reload goes on with all.
		local known = ids()
		seen = new(seen)
		seen:open "a.test"
		assert.same(known, ids())
		-- A restart reads it.
		see("old@a.test", old)
		seen:store_all()
		seen = new()
		seen:open "a.test"
		server.run_timers()
		assert.same(known, ids())
		assert.same({ 2, { "old@a.test" } }, { seen:get "a.test":list()[1].logins, seen:get "a.test":peers(known[1]) })
		assert.same({}, server.failures)
	end)

	it("replace no stored record that is not read yet", function ()
		see("old@a.test", old)
		server.run_timers()
		seen:store_all()
		seen = new()
		seen:open "a.test"
		assert.is_true(seen:is_reading "a.test")
		see("old@a.test", old)
		seen:store_all()
		now = now + 3600
		seen:store_hourly()
		-- The module is loaded again before all is read: its work is gone.
		server.timers = {}
		seen = new(seen)
		seen:open "a.test"
		see("old@a.test", old)
		server.run_timers()
		assert.is_false(seen:is_reading "a.test")
		assert.equal(2, seen:get "a.test":list()[1].logins)
		seen:store_all()
		seen = new()
		seen:open "a.test"
		server.run_timers()
		assert.equal(2, seen:get "a.test":list()[1].logins)
	end)

	it("forget a host that is closed, but not its records", function ()
		see("old@a.test", old)
		server.run_timers()
		seen:store "a.test"
		seen:close "a.test"
		assert.same({ {}, nil }, { seen:hosts(), seen:get "a.test" })
		seen:judge_again()
		seen:store_all()
		seen:open "a.test"
		server.run_timers()
		assert.same({ { "a.test" }, 1 }, { seen:hosts(), seen:get "a.test":list()[1].logins })
	end)

	it("forget after a long break what came more than 30 days ago", function ()
		see("left@a.test", old)
		see("old@a.test", old)
		server.run_timers()
		now = now + 20 * 86400
		see("old@a.test", old)
		seen:store "a.test"
		now = now + 20 * 86400
		seen = new()
		seen:open "a.test"
		server.run_timers()
		assert.same({ "old@a.test" }, seen:get "a.test":peers(ids()[1]))
		seen:store "a.test"
		assert.is_nil(server.stores[CLIENTS].left)
	end)

	it("forget an account", function ()
		see("old@a.test", old)
		see("other@a.test", old)
		server.run_timers()
		seen:store "a.test"
		assert.is_table(server.stores[CLIENTS].old)
		seen:forget_account("a.test", "old@a.test")
		assert.is_nil(server.stores[CLIENTS].old)
		assert.same({ "other@a.test" }, seen:get "a.test":peers(ids()[1]))
		assert.is_nil(next(server.stores[SERVERS] or {}))
	end)

	it("forget an account whose record is not read yet", function ()
		see("old@a.test", old)
		see("other@a.test", old)
		server.run_timers()
		seen:store_all()
		seen = new()
		seen:open "a.test"
		assert.is_true(seen:is_reading "a.test")
		seen:forget_account("a.test", "old@a.test")
		assert.is_nil(server.stores[CLIENTS].old)
		server.run_timers()
		assert.same({ "other@a.test" }, seen:get "a.test":peers(ids()[1]))
		seen:store_all()
		assert.is_nil(server.stores[CLIENTS].old)
		assert.is_table(server.stores[CLIENTS].other)
	end)

	it("remove damaged records, and say so", function ()
		server.stores[SHAPES] = { ["shape 000000000000"] = { shape = "01" }, ["state of the host"] = { since = "x" } }
		server.stores[CLIENTS] = { user = { first = 1 } }
		seen = new()
		seen:open "a.test"
		server.run_timers()
		assert.same({ {}, {} }, { server.stores[SHAPES], server.stores[CLIENTS] })
		assert.equal(3, #server.take_lines())
	end)

	it("count anonymous clients under one name", function ()
		for index = 1, 2 do
			see(("x%d@anonymous.test"):format(index), old, "anonymous.test")
		end
		server.run_timers()
		local of_host = seen:get "anonymous.test"
		assert.same({ "anonymous clients" }, of_host:peers(of_host:list()[1].shape))
		seen:store "anonymous.test"
		seen = new()
		seen:open "anonymous.test"
		server.run_timers()
		of_host = seen:get "anonymous.test"
		assert.same({ "anonymous clients" }, of_host:peers(of_host:list()[1].shape))
	end)

	it("close no stream when they fail", function ()
		server.is_anonymous = function () error "a fault" end
		see("user@a.test", {})
		assert.matches("a fault", server.failures[1][2])
	end)

	it("are judged also if the module is loaded again meanwhile", function ()
		see("old@a.test", old)
		see("new@a.test", {})
		-- The work has begun, and is gone.
		seen:get "a.test":unjudged()
		server.timers = {}
		seen = new(seen)
		seen:open "a.test"
		server.run_timers()
		local named = {}
		for _, entry in ipairs(seen:get "a.test":list()) do
			named[tostring(entry.is_cut_off)] = seen:get "a.test":peers(entry.shape)
		end
		assert.same({ ["true"] = { "old@a.test" }, ["false"] = {} }, named)
	end)

	it("are judged each on its own: one whose judgement fails counts as cut off", function ()
		local judgement = require "xmpp_tls_policy.fleet.judgement"
		see("new@a.test", {})
		local bad = ids()[1]
		see("old@a.test", old)
		see("plain@a.test")
		local original = judgement.new
		judgement.new = function (given)
			local made = original(given)
			return { of = function (_, packed, role)
				if packed == bad then
					error "a fault"
				end
				return made:of(packed, role)
			end }
		end
		finally(function () judgement.new = original end)
		server.run_timers()
		local list, all = seen:get "a.test":list(), 0
		for _, entry in ipairs(list) do
			assert.is_true(entry.is_cut_off)
			all = all + #seen:get "a.test":peers(entry.shape)
		end
		assert.same({ 3, 3 }, { #list, all })
		assert.matches("a fault", server.failures[1][2])
		-- Further shapes are judged.
		judgement.new = original
		see("other@a.test", { protocol = "tlsv1_3" })
		server.run_timers()
		assert.is_false(seen:get "a.test":has_unjudged())
	end)

	it("judge all anew when the configuration was loaded", function ()
		see("new@a.test", {})
		server.run_timers()
		assert.is_false(seen:get "a.test":list()[1].is_cut_off)
		-- From now on the server has TLS 1.2 alone.
		server.own_context = function ()
			return ssl.newcontext { mode = "server", protocol = "tlsv1_2", certificate = files.certificate, key = files.key }
		end
		seen:judge_again()
		server.run_timers()
		assert.is_true(seen:get "a.test":list()[1].is_cut_off)
	end)
end)
