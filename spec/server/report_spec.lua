-- mode = "report": nothing is refused or tightened, and connections that the policy would cut off
-- are recorded.
local client_hello = require "support.client_hello"
local json = require "dkjson"
local lfs = require "lfs"
local mime = require "mime"
local offers = require "support.offers"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local versions = require "support.versions"
local xmpp = require "support.xmpp"

-- The operator allows everything that OpenSSL can do, and clients choose.
local all = { protocol = "sslv3+", ciphers = "ALL:COMPLEMENTOFALL:@SECLEVEL=0", options = { no_ticket = true } }
local cbc = { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES128-SHA" }

describe("mode = \"report\"", function ()
	local authority, files, server, day_of_start
	local servers = prosody.group()

	local function policy(changes)
		local made = { mode = "report" }
		for name, value in pairs(changes or {}) do
			made[name] = value
		end
		return made
	end

	local function start(fields)
		local spec = {
			hosts = { ["example.test"] = files }, ca = authority.certificate, with_policy = true, policy = policy(),
			users = { ["alice@example.test"] = "secret", ["bob@example.test"] = "secret" }, routes = {},
			options = {
				ssl = all, c2s_require_encryption = false, s2s_require_encryption = false,
				allow_unencrypted_plain_auth = true,
			},
		}
		for name, value in pairs(fields or {}) do
			spec[name] = value
		end
		day_of_start = os.date "!%Y-%m-%d"
		server = servers.start(spec)
		return server
	end

	setup(function ()
		authority = pki.authority()
		files = authority:issue { names = { "example.test" }, key = "rsa2048" }
	end)

	after_each(servers.stop)

	teardown(pki.remove)

	local function login(user, tls)
		local peer = assert(xmpp.open(server:target "c2s", { tls = tls }))
		local jid = assert(peer:login(user, "secret"))
		peer:close()
		return jid
	end

	local function login_without_tls(user)
		local peer = xmpp.connect(server:target "c2s")
		assert(peer:open())
		assert(peer:login(user, "secret"))
		peer:close()
	end

	local function report()
		local output, status = server:shell [[tlspolicy:would_refuse("example.test", "json")]]
		assert.equal(0, status, output)
		local found
		for line in output:gmatch "{[^\n]*}" do
			local item = json.decode(line)
			if item.estimate then
				found = item
				found.peers = {}
			else
				table.insert(found.peers, item)
			end
		end
		return found
	end

	local function clauses_of(peer)
		local ids = {}
		for index, breach in ipairs(peer.clauses) do
			ids[index] = breach.clause
		end
		return table.concat(ids, " ")
	end

	it("does not change what the server negotiates", function ()
		start()
		for _, service in ipairs { "c2s", "c2s_direct_tls", "s2s" } do
			local target = server:target(service)
			local function answer(offer)
				local got = client_hello.send(target, offer, { from = target.kind == "s2s" and "far.test" or nil })
				return got.version, got.suite
			end
			assert.equal("TLSv1", (answer(offers.tls10)))
			assert.matches("_NULL_", select(2, answer(offers.null)))
			assert.matches("^TLS_RSA_", select(2, answer(offers.static_rsa)))
			-- Neither our preference nor our DHE.
			assert.equal("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
				select(2, answer { suites = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" } }))
			-- Prosody 13 has DHE itself.
			assert.equal(versions.prosody_from(13), answer(offers.dhe) ~= nil)
		end
		assert.matches("all hosts: draft%-saintandre%-xmpp%-tls%-02, level should, in report mode", server:log())
		assert.is_nil(server:log():match "is under draft")
	end)

	it("does not change streams", function ()
		start()
		local peer = xmpp.connect(server:target "c2s")
		local features = assert(peer:open())
		peer:close()
		assert.matches("<mechanisms", features)
		assert.is_nil(features:match "<required")
		login_without_tls "alice"
		login("bob", cbc)
	end)

	it("reports the clients that the policy would cut off, and no others", function ()
		start()
		assert.equal(0, select(2, server:log():gsub("Would be refused", "")))
		login("alice", cbc)
		-- Prefers CBC, but also offers an allowed suite.
		login("bob", { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256" })
		local found = report()
		assert.equal(1, #found.peers)
		assert.same({ "alice@example.test", "cipher.aead", true, false },
			{ found.peers[1].name, clauses_of(found.peers[1]), found.peers[1].kept_by_level,
				found.peers[1].kept_by_exception })
		local day = assert(found.estimate[1]:match(
			"^2 clients and 0 servers were seen since (%S+)%. Of all in the last 30 days, 1 would be cut off%.$"))
		-- Midnight may have come meanwhile.
		assert.is_true(day >= day_of_start and day <= os.date "!%Y-%m-%d", day)
		assert.equal('level = "must" would keep 1 of them: alice@example.test.', found.estimate[2])
		server:wait_for_log("Would be refused under the TLS policy: alice@example.test: draft%-saintandre%-xmpp%-tls%-02, "
			.. "section 4.3, cipher.aead")
		login_without_tls "bob"
		found = report()
		assert.same({ "alice@example.test cipher.aead", "bob@example.test support.required" },
			{ found.peers[1].name .. " " .. clauses_of(found.peers[1]),
				found.peers[2].name .. " " .. clauses_of(found.peers[2]) })
	end)

	it("logs a peer once a day, however often it connects", function ()
		start()
		for _ = 1, 3 do
			login("alice", cbc)
		end
		report()
		assert.equal(1, select(2, server:log():gsub("Would be refused", "")))
		server:configure { modules = { "test_clock" }, options = { ssl = all, test_clock = 86400 } }
		server:reload()
		server:shell [[module:load("test_clock")]]
		login("alice", cbc)
		report()
		assert.equal(2, select(2, server:log():gsub("Would be refused", "")))
	end)

	it("does not count clients that did not authenticate", function ()
		start()
		local peer = assert(xmpp.open(server:target "c2s", { tls = cbc }))
		peer:close()
		local seen = report().seen
		assert.same({ 0, 0 }, { seen.clients, seen.servers })
		local output, status = server:shell [[tlspolicy:would_refuse("none.test")]]
		assert.equal(1, status)
		assert.matches('"none.test" is no host of this server', output)
	end)

	it("reports the servers that the policy would cut off, and the options that would keep them", function ()
		start { policy = policy { unauthenticated_s2s = "refuse" } }
		local theirs = pki.self_signed { names = { "far.test" }, key = "rsa2048" }
		local far = servers.start {
			hosts = { ["far.test"] = theirs }, ca = authority.certificate,
			routes = { ["example.test"] = { s2s = server.ports.s2s } },
		}
		server:configure { routes = { ["far.test"] = { s2s = far.ports.s2s } } }
		server:reload()
		assert.matches("pong", server:shell([[xmpp:ping("example.test", "far.test", 20)]]):lower())
		local peer = report().peers[1]
		assert.same({ "server", "far.test", "unauth.encrypt", false, true },
			{ peer.kind, peer.name, clauses_of(peer), peer.kept_by_level, peer.kept_by_exception })
		assert.matches("no valid certificate vouches for far.test", peer.clauses[1].text)
		assert.equal("An exception for each would keep 1: far.test.", report().estimate[2])
	end)

	it("judges against the operator's own lists, and says at load where no TLS would be left", function ()
		-- AES-128-GCM is the policy's, but not the operator's.
		start { options = { ssl = { ciphers = "ECDHE-RSA-AES256-GCM-SHA384:AES128-SHA" } } }
		login("alice", { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA" })
		login("bob", { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES256-GCM-SHA384:AES128-SHA" })
		local found = report()
		assert.same({ "alice@example.test", "cipher.aead cipher.fs" }, { found.peers[1].name, clauses_of(found.peers[1]) })
		assert.is_nil(found.peers[2])
		assert.is_nil(server:log():match "were enforced")
		server:configure { options = { ssl = { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES256-SHA384:AES256-SHA" } } }
		server:reload()
		for _, peers in ipairs { "clients", "servers" } do
			server:wait_for_log("error.*example.test: if draft.- were enforced, no " .. peers .. " could connect with TLS")
		end
		if not prosody.surface.reason "certificates.reload" then
			server:wait_for_log("any host, c2s .c2s_direct_tls, port %d+.[^\n]*: if draft.- were enforced, "
				.. "nobody could connect with TLS")
		end
		assert.matches("all TLS of 1 host, and beside that 1 peer would be cut off",
			(server:shell [[tlspolicy:would_refuse()]]))
	end)

	it("does not report a server with a Common Name alone, unless the server demands a certificate", function ()
		-- Prosody 0.12 takes the name, and enforcing does not: dialback is left. Prosody 13 does not take it
		-- either, and lets in nobody where it demands a certificate.
		local theirs = authority:issue { common_name = "far.test", key = "rsa2048" }
		local demands = not versions.prosody_from(13) and not prosody.surface.reason "option.s2s_secure_auth"
		for _, demanded in ipairs(demands and { false, true } or { false }) do
			start { options = { ssl = all, s2s_secure_auth = demanded } }
			local far = servers.start {
				hosts = { ["far.test"] = theirs }, ca = authority.certificate,
				routes = { ["example.test"] = { s2s = server.ports.s2s } },
			}
			server:configure { routes = { ["far.test"] = { s2s = far.ports.s2s } } }
			server:reload()
			assert.matches("pong", server:shell([[xmpp:ping("example.test", "far.test", 20)]]):lower())
			local found = report()
			assert.equal(1, found.seen.servers)
			assert.equal(demanded and "cert.identity" or nil, found.peers[1] and clauses_of(found.peers[1]))
			servers.stop()
		end
	end)

	it("keeps the report over a restart", function ()
		local data = process.scratch "data"
		assert(lfs.mkdir(data))
		local options = { ssl = all, data_path = data }
		start { options = options }
		login("alice", cbc)
		local before = report()
		servers.stop()
		start { options = options, users = {} }
		local peer = assert(xmpp.open(server:target "c2s"))
		assert(peer:login("bob", "secret"))
		peer:close()
		local after = report()
		assert.same(before.peers, after.peers)
		-- Nothing is stored of those that would stay.
		assert.equal(1, after.seen.clients)
		local bob = ("%s/example%%2etest/tls_policy_report/bob.dat"):format(data)
		assert.is_nil(lfs.attributes(bob))
		assert.truthy(lfs.attributes((bob:gsub("bob", "alice"))))
		-- The entry of an account goes with it.
		server:shell [[user:delete("alice@example.test")]]
		assert.same({}, report().peers)
		assert.is_nil(lfs.attributes((bob:gsub("bob", "alice"))))
	end)

	it("reports clients that go on with an old session", function ()
		start { modules = { "smacks" } }
		local good = assert(xmpp.open(server:target "c2s"))
		assert(good:login("alice", "secret"))
		good:send "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
		local id = assert(good:read_until("<enabled[^>]*>")):match "id=['\"]([^'\"]+)"
		good:close()
		assert.same({}, report().peers)
		-- xep0198.5.resumption: it binds no resource.
		local weak = assert(xmpp.open(server:target "c2s", { tls = cbc }))
		weak:send(("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>"):format(
			(mime.b64 "\0alice\0secret")))
		assert(weak:read_until "<success[^>]*>")
		assert(weak:open())
		weak:send(("<resume xmlns='urn:xmpp:sm:3' h='0' previd='%s'/>"):format(id))
		assert(weak:read_until "<resumed[^>]*>")
		local found = report()
		assert.same({ "alice@example.test", "cipher.aead" }, { found.peers[1].name, clauses_of(found.peers[1]) })
		assert.matches("alice@example.test.-TLSv1.2 +TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
			(server:shell [[tlspolicy:show("alice@example.test", "width=300")]]))
		weak:close()
	end)

	it("counts anonymous clients under one name for each host", function ()
		start {
			hosts = {
				["example.test"] = files,
				["anonymous.test"] = { certificate = files.certificate, key = files.key,
					options = { authentication = "anonymous", xmpp_tls_policy = { mode = "report" } } },
			},
		}
		for _ = 1, 2 do
			local peer = assert(xmpp.open(server:target("c2s", "anonymous.test"), { tls = cbc }))
			peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>"
			assert(peer:read_until "<success[^>]*>")
			peer:close()
		end
		local output = server:shell [[tlspolicy:would_refuse("anonymous.test")]]
		assert.matches("\nanonymous clients +cipher.aead ", output)
		assert.matches("OK: 1 peer would be cut off, on 1 host", output)
	end)

	it("changes to enforcement at a reload, and back, and its report ends with it", function ()
		local data = process.scratch "data"
		assert(lfs.mkdir(data))
		local options = { ssl = all, data_path = data }
		local function refuses(service)
			local got = client_hello.send(server:target(service), offers.cbc)
			return got.description == "handshake_failure"
		end
		local function change(mode)
			server:configure { policy = { mode = mode }, options = options }
			server:reload()
			return { refuses "c2s", refuses "c2s_direct_tls" }
		end
		start { policy = { mode = "enforce" }, options = options }
		assert.same({ true, true }, change "enforce")
		assert.matches("example.test has no report", (server:shell [[tlspolicy:would_refuse("example.test")]]))
		for _ = 1, 2 do
			assert.same({ false, false }, change "report")
			assert.same({}, report().peers)
			login("alice", cbc)
			assert.equal("alice@example.test", report().peers[1].name)
			assert.same({ true, true }, change "enforce")
			assert.matches("example.test has no report", (server:shell [[tlspolicy:would_refuse("example.test")]]))
			assert.is_nil(lfs.attributes(data .. "/example%2etest/tls_policy_report/alice.dat"))
		end
	end)

	it("forgets its report on demand", function ()
		start()
		login("alice", cbc)
		assert.matches("OK: 1 peer forgotten, on 1 host", (server:shell [[tlspolicy:forget_report()]]))
		assert.same({}, report().peers)
		login("bob", cbc)
		assert.equal("bob@example.test", report().peers[1].name)
	end)

	it("may be set for a single host", function ()
		start {
			policy = {},
			hosts = {
				["example.test"] = { certificate = files.certificate, key = files.key,
					options = { xmpp_tls_policy = { mode = "report" } } },
				["strict.test"] = files,
			},
			domain = "strict.test",
		}
		assert.matches("_CBC_", client_hello.send(server:target("c2s", "example.test"), offers.cbc).suite)
		assert.equal("handshake_failure", client_hello.send(server:target("c2s", "strict.test"), offers.cbc).description)
	end)

	it("shows the report as a table", function ()
		start()
		login("alice", cbc)
		local output, status = server:shell [[tlspolicy:would_refuse()]]
		assert.equal(0, status)
		assert.matches("\nexample.test\nPeer +Clause +Last +Why\nalice@example.test  cipher.aead  %d+%-%d+%-%d+ %d+:%d+:%d+  "
			.. "none of the cipher suites offered complies: TLS_ECDHE_RSA_WITH_AES_128_CBC_[^\n]+\n"
			.. "1 client and 0 servers were seen since",
			"\n" .. output)
		assert.matches("OK: 1 peer would be cut off, on 1 host", output)
	end)
end)
