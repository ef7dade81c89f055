-- The reasons of failed handshakes in the log, in the shell and in other modules.
local client_hello = require "support.client_hello"
local json = require "dkjson"
local offers = require "support.offers"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local socket = require "socket"
local xmpp = require "support.xmpp"

describe("a handshake that fails", function ()
	local authority, files, server

	setup(function ()
		authority = pki.authority()
		files = authority:issue { names = { "example.test", "strict.test" }, key = "rsa2048" }
		server = prosody.start {
			hosts = {
				["example.test"] = files,
				["strict.test"] = { certificate = files.certificate, key = files.key,
					options = { xmpp_tls_policy = { profile = "rfc9325" } } },
			},
			domain = "example.test", ca = authority.certificate, with_policy = true, routes = {},
			modules = { "test_refused" },
			-- So that every refusal comes from the policy.
			options = { ssl = { protocol = "sslv3+", ciphers = "ALL:COMPLEMENTOFALL:@SECLEVEL=0" } },
		}
	end)

	teardown(function ()
		if server then
			server:stop()
		end
		pki.remove()
	end)

	local function refused()
		local total = tonumber((server:shell "tlspolicy:refused()"):match "of (%d+) since")
		local output, status = server:shell [[tlspolicy:refused("json")]]
		assert.equal(0, status, output)
		local list = {}
		for line in output:gmatch "{[^\n]*}" do
			list[#list + 1] = json.decode(line)
		end
		return { refused = list, total = total }
	end

	-- Waits for a new entry, and returns it.
	local function after(action)
		local before = refused().total
		action()
		local found
		process.poll(process.PATIENCE, function ()
			found = refused()
			return found.total > before
		end)
		assert.equal(before + 1, found.total)
		return found.refused[1]
	end

	local function send(offer, service, options)
		return after(function ()
			client_hello.send(server:target(service or "c2s", "example.test"), offer, options)
		end)
	end

	local expected = {
		sslv3 = { "handshake_failure", "version.sslv3 version.tls10 version.tls12 cipher.aead",
			"offers nothing newer than SSL 3.0; needs TLS 1.2 with a cipher suite such as " },
		tls10 = { "protocol_version", "version.tls10 version.tls12 cipher.aead",
			"offers nothing newer than TLS 1.0; needs TLS 1.2 with a cipher suite such as "
				.. 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 or level = "must"' },
		null = { "handshake_failure", "cipher.null cipher.bits128 cipher.aead", "offers no cipher suite that is allowed" },
		rc4 = { "handshake_failure", "cipher.rc4 cipher.aead", "offers no cipher suite that is allowed" },
		anonymous = { "handshake_failure", "cert.identity", "offers no cipher suite that is allowed" },
		static_rsa = { "handshake_failure", "cipher.fs", 'or level = "must"' },
		cbc = { "handshake_failure", "cipher.aead", 'or level = "must"' },
	}
	for name, want in pairs(expected) do
		it("names the broken clauses and a remedy for an offer of " .. name, function ()
			local began = os.time()
			local entry = send(offers[name])
			assert.same({ "handshake", "c2s", "example.test", "127.0.0.1", want[1], true, want[2] }, {
				entry.what, entry.role, entry.host, entry.address, entry.alert, entry.alert_sent,
				table.concat(entry.clauses, " "),
			})
			assert.truthy(entry.text:find(want[3], 1, true), entry.text)
			assert.equal("draft-saintandre-xmpp-tls-02, level should", entry.policy)
			assert.is_true(entry.time >= began and entry.time <= os.time() + 2, entry.time)
		end)
	end

	it("is listed with the offer", function ()
		local entry = send {
			versions = { "TLSv1.2" }, suites = { "TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_AES_256_CBC_SHA" },
			groups = { "x25519", "secp256r1" }, server_name = "example.test",
		}
		assert.same({ "TLSv1.2" }, entry.offer.versions)
		assert.same({ "TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_AES_256_CBC_SHA" }, entry.offer.suites)
		assert.same({ "x25519", "secp256r1" }, entry.offer.groups)
		assert.equal("example.test", entry.offer.server_name)
		assert.is_true(#entry.offer.signature_schemes > 0)
	end)

	it("is listed for direct TLS and for servers, too", function ()
		assert.equal("c2s", send(offers.tls10, "c2s_direct_tls").role)
		local entry = send(offers.tls10, "s2s", { from = "old.test" })
		assert.same({ "s2sin", "offers nothing newer than TLS 1.0; needs TLS 1.2 with a cipher suite such as "
			.. "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 or an exception" }, { entry.role, entry.text })
		assert.equal("s2sin", send(offers.tls10, "s2s_direct_tls").role)
	end)

	it("is listed if the peer does not speak TLS", function ()
		for text, bytes in pairs {
			["speaks HTTP"] = "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n",
			["sent something that is no TLS"] = ("\1\2\3\4"):rep(100),
		} do
			assert.equal(text, send(bytes, "c2s_direct_tls").text)
		end
	end)

	it("is listed if the client does not trust us", function ()
		local entry = after(function ()
			assert.is_nil((xmpp.open(server:target("c2s", "example.test"), { tls = {
				verify = { "peer", "fail_if_no_peer_cert" }, cafile = pki.authority().certificate,
			} })))
		end)
		assert.same({ "unknown_ca", false }, { entry.alert, entry.alert_sent })
		assert.matches("^does not know who issued the server's certificate", entry.text)
		assert.same({}, entry.clauses)
	end)

	it("is listed if the client disconnects in the middle", function ()
		local entry = after(function ()
			client_hello.abandon(server:target("c2s", "example.test"), client_hello.build(offers.tls13):sub(1, 50))
		end)
		assert.is_truthy(entry.text)
	end)

	it("is not listed for a connection that ends before TLS or after the handshake", function ()
		local before = refused().total
		local scan = xmpp.connect(server:target("c2s_direct_tls", "example.test"))
		scan:close()
		local peer = assert(xmpp.open(server:target("c2s", "example.test")))
		peer:close()
		-- A later failure is listed after it.
		local entry = send(offers.tls10)
		assert.equal(before + 1, refused().total)
		assert.matches("^offers nothing newer", entry.text)
	end)

	it("is explained by the policy of the host that it was for", function ()
		local entry = after(function ()
			client_hello.send(server:target("c2s", "strict.test"), offers.dhe)
		end)
		assert.same({ "strict.test", "rfc9325, level should", "key.dhe" },
			{ entry.host, entry.policy, table.concat(entry.clauses, " ") })
	end)

	it("is listed with the name of the server that we connect to", function ()
		local weak = pki.run { "openssl", "dhparam", "-dsaparam", "1024" }
		local far = authority:issue { names = { "far.test" }, key = "rsa2048" }
		local listener = xmpp.listen "s2s"
		server:configure { routes = { ["far.test"] = { s2s = listener.port } } }
		server:reload()
		local entry = after(function ()
			local ping = server:begin_shell [[xmpp:ping("example.test", "far.test")]]
			local peer = assert(listener:accept())
			assert(peer:answer(xmpp.starttls_required_feature))
			assert(peer:proceed())
			peer:secure {
				mode = "server", protocol = "tlsv1_2", certificate = far.certificate, key = far.key, options = {},
				ciphers = "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0", dhparam = function () return weak end,
			}
			peer:close()
			listener:close()
			ping:close()
		end)
		assert.same({ "s2sout", "example.test", "far.test",
			"showed an ephemeral DH key of less than 2048 bits; needs 2048 bits or an exception (for 1024 bits and more)" },
			{ entry.role, entry.host, entry.domain, entry.text })
		assert.equal("key.dh2048", table.concat(entry.clauses, " "))
	end)

	it("reaches other modules and the log", function ()
		local mark = server:mark()
		local connection = assert(socket.tcp())
		assert(connection:bind("127.0.0.99", 0)) -- no other connection of this minute has this address
		assert(connection:connect("127.0.0.1", server.ports.c2s_direct_tls))
		local hello = { server_name = "example.test" }
		for name, value in pairs(offers.tls10) do
			hello[name] = value
		end
		connection:send(client_hello.build(hello))
		connection:close()
		server:wait_for_log("TLS handshake failed: c2s, example.test, 127.0.0.99: offers nothing newer than TLS 1.0; "
			.. 'needs TLS 1.2 with .* or level = "must" %(version.tls10, version.tls12, cipher.aead%)', mark)
		server:wait_for_log("example.test:test_refused\tinfo\tRefused: c2s offers nothing newer than TLS 1.0", mark)
	end)

	it("is listed together with refused streams", function ()
		local entry = after(function ()
			local peer = xmpp.connect(server:target("c2s", "example.test"))
			assert(peer:open())
			peer:send "<message><body>x</body></message>"
			peer:read_all()
			peer:close()
		end)
		assert.same({ "stream", "c2s", "example.test", "support.required" },
			{ entry.what, entry.role, entry.host, table.concat(entry.clauses, " ") })
	end)

	it("is counted for its peer, and found by what it has", function ()
		for _ = 1, 3 do
			after(function ()
				client_hello.send(server:target("s2s", "example.test"), offers.tls10, { from = "claims.test" })
			end)
		end
		local function found(filter)
			local output = server:shell(([[tlspolicy:refused(%q, "json")]]):format(filter))
			local list = {}
			for line in output:gmatch "{[^\n]*}" do
				list[#list + 1] = json.decode(line)
			end
			return list
		end
		for _, filter in ipairs { "claims.test", "s2sin", "version.tls10", "127.0.0.1" } do
			local list = found(filter)
			assert.is_true(#list >= 4, filter)
			local entry = list[1]
			assert.same({ "claims.test", "s2sin", "127.0.0.1" }, { entry.domain, entry.role, entry.address }, filter)
		end
		local list = found "claims.test"
		assert.equal(3, list[#list].count)
		assert.matches("3 +s2sin +example.test +127.0.0.1, claims claims.test", (server:shell "tlspolicy:refused()"))
		assert.same({}, found "cipher.null.test")
	end)

	it("is shown as a table", function ()
		send(offers.tls10)
		local output, status = server:shell "tlspolicy:refused()"
		assert.equal(0, status)
		assert.matches("Time +Role +Host +From +Why +Clauses\n%d+%-%d+%-%d+ %d+:%d+:%d+ +c2s +example.test +127.0.0.1 +"
			.. "offers nothing", output)
	end)

	it("has an empty list of clauses in JSON if it broke none", function ()
		local entry = after(function ()
			local peer = xmpp.connect(server:target("c2s_direct_tls", "example.test"))
			peer:send "GET / HTTP/1.1\r\n\r\n"
			peer:read_all()
			peer:close()
		end)
		assert.same({ "speaks HTTP", {} }, { entry.text, entry.clauses })
		assert.matches('"clauses":[]', (server:shell [[tlspolicy:refused("json")]]), nil, true)
	end)

	it("has help in the shell", function ()
		assert.matches("tlspolicy[: ]refused.-Show the latest", (server:shell "help tlspolicy"))
		assert.matches("\ntlspol[^\n]*|", (server:shell "help"))
		assert.matches("c2s[: ]show", (server:shell "help c2s"))
	end)

	-- From one address, and from many (Linux has all of 127.0.0.0/8).
	it("does not fill log or memory", function ()
		local mark = server:mark()
		local target = server:target("c2s_direct_tls", "example.test")
		local bytes = client_hello.build(offers.tls10)
		local function hello(address)
			local connection = assert(socket.tcp())
			assert(connection:bind(address, 0))
			assert(connection:connect("127.0.0.1", target.port))
			connection:send(bytes)
			connection:settimeout(process.PATIENCE)
			connection:receive(7)
			connection:close()
		end
		local before, began = refused().total, os.time()
		for number = 1, 300 do
			hello("127.0.0.77")
			hello(("127.0.%d.%d"):format(1 + math.floor(number / 200), 1 + number % 200))
		end
		local found
		process.poll(process.PATIENCE, function ()
			found = refused()
			return found.total >= before + 600
		end)
		assert.equal(before + 600, found.total)
		local handshakes = 0
		for _, entry in ipairs(found.refused) do
			handshakes = handshakes + (entry.what == "handshake" and 1 or 0)
		end
		assert.equal(100, handshakes)
		local lines, of_one = 0, 0
		for line in server:log(mark):gmatch "[^\n]+" do
			if line:find("TLS handshake failed", 1, true) then
				lines = lines + 1
				of_one = of_one + (line:find("127.0.0.77", 1, true) and 1 or 0)
			end
		end
		-- So many minutes it took, of which the first had begun before.
		local minutes = math.floor((os.time() - began) / 60) + 2
		assert.is_true(lines <= 60 * minutes, lines)
		assert.is_true(of_one >= 1 and of_one <= minutes, of_one)
	end)
end)
