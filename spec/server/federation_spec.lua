-- Outgoing server-to-server connections: what we offer, what we accept, and how certificates
-- authenticate the peer.
local client_hello = require "support.client_hello"
local federation = require "support.federation"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local versions = require "support.versions"
local xmpp = require "support.xmpp"

describe("an outgoing s2s connection", function ()
	local server, authority, own
	local others = prosody.group()

	local function routed(routes)
		server:configure { routes = routes }
		server:reload()
	end

	setup(function ()
		authority = pki.authority()
		own = authority:issue { names = { "near.test" }, key = "rsa2048" }
		server = prosody.start {
			hosts = { ["near.test"] = own },
			ca = authority.certificate,
			routes = {},
			modules = { "test_facts" },
			with_policy = true,
		}
	end)

	after_each(others.stop)

	teardown(function ()
		if server then
			server:stop()
		end
		pki.remove()
	end)

	-- Makes the server connect to a scripted peer, up to the start of TLS.
	local function meet(domain, service)
		local listener = xmpp.listen "s2s"
		routed { [domain] = { [service] = listener.port } }
		local ping = server:begin_shell(("xmpp:ping(%q, %q)"):format("near.test", domain))
		local peer = assert(listener:accept())
		if service == "s2s" then
			assert(peer:answer(xmpp.starttls_required_feature))
			assert(peer:proceed())
		end
		return peer, function ()
			peer:close()
			listener:close()
			ping:close()
		end
	end

	local function read_hello(peer)
		peer.timeout = process.PATIENCE
		local bytes = ""
		repeat
			local more = assert(peer:receive(require "socket".gettime() + process.PATIENCE))
			bytes = bytes .. more
		until #bytes >= 5 and #bytes >= 5 + bytes:byte(4) * 256 + bytes:byte(5)
		return client_hello.parse(bytes)
	end

	for _, service in ipairs { "s2s", "s2s_direct_tls" } do
		it("offers only what the policy allows, on " .. service, function ()
			-- A server may go on for a while with a connection to this domain.
			local domain = service == "s2s" and "far.test" or "direct.test"
			local peer, finish = meet(domain, service)
			local hello = read_hello(peer)
			finish()
			assert.same({ "TLSv1.3", "TLSv1.2" }, hello.versions)
			assert.same({ "null" }, hello.compressions)
			local offered = {}
			for _, suite in ipairs(hello.suites) do
				offered[suite] = true
				assert.is_nil(suite:match "^TLS_RSA_", suite)
				assert.is_nil(suite:match "_CBC_", suite)
			end
			for _, suite in ipairs {
				"TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
				"TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
			} do
				assert.is_true(offered[suite], suite)
			end
			assert.equal("TLS_AES_256_GCM_SHA384", hello.suites[1])
			local names_it = service == "s2s_direct_tls" and not prosody.surface.reason "sni.outgoing"
			assert.equal(names_it and domain or nil, hello.server_name)
			assert.equal(prosody.key_groups[1], hello.groups[1])
			-- A peer without the hybrid group needs no HelloRetryRequest.
			assert.same(prosody.key_groups, hello.key_shares)
		end)
	end

	it("key.dh2048: refuses a peer's Diffie-Hellman of 1024 bits", function ()
		local weak = pki.run { "openssl", "dhparam", "-dsaparam", "1024" }
		local far = authority:issue { names = { "far.test" }, key = "rsa2048" }
		local peer, finish = meet("far.test", "s2s")
		local done, reason = peer:secure {
			mode = "server", protocol = "tlsv1_2", certificate = far.certificate, key = far.key,
			ciphers = "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0", dhparam = function () return weak end, options = {},
		}
		finish()
		assert.is_falsy(done)
		assert.matches("alert handshake failure", reason)
		server:wait_for_log "dh key too small"
	end)

	it("version.tls10: refuses a peer that has no newer version", function ()
		local far = authority:issue { names = { "far.test" }, key = "rsa2048" }
		local peer, finish = meet("far.test", "s2s")
		local done = peer:secure {
			mode = "server", protocol = "tlsv1", certificate = far.certificate, key = far.key,
			ciphers = "ALL:@SECLEVEL=0", options = {},
		}
		finish()
		assert.is_falsy(done)
	end)

	-- Fields of the row of our stream to far.test.
	local function outgoing(...)
		local wanted = {}
		for _, name in ipairs { ... } do
			wanted[name] = true
		end
		return federation.fields(federation.streams(server, "near.test", "far.test").s2sout, wanted)
	end

	-- Starts a second real server, also under the policy.
	local function federate(files, policy)
		local far = others.start {
			hosts = { ["far.test"] = files }, ca = authority.certificate, with_policy = true,
			modules = { "test_facts" },
			routes = { ["near.test"] = { s2s = server.ports.s2s } },
		}
		server:configure { routes = { ["far.test"] = { s2s = far.ports.s2s } }, policy = policy or {} }
		server:reload()
		local mark = server:mark()
		local answer = server:shell [[xmpp:ping("near.test", "far.test", 20)]]
		return answer, mark, far
	end

	it("is authenticated by a certificate that names the domain", function ()
		local files = authority:issue { names = { "far.test" }, srv = { "_xmpp-server.far.test" }, key = "p256" }
		local answer, mark, far = federate(files)
		assert.matches("pong", answer:lower())
		assert.matches("s2s connection near.test%->far.test complete", server:log(mark))
		assert.is_nil(server:log(mark):match "does not name it")
		-- Other plugins find facts and verdict.
		local facts = "TLSv1.3 draft-saintandre-xmpp-tls-02, level should refuse=false group="
			.. prosody.key_groups[1] .. "\n"
		assert.matches("Facts of s2sout: client " .. facts, server:log(mark), nil, true)
		assert.matches("Facts of s2sin: server " .. facts, far:log(), nil, true)
		assert.matches("TLSv1.3", far:log())
	end)

	for what, make in pairs {
		["its own signature"] = function () return pki.self_signed { names = { "far.test" }, key = "p256" } end,
		["a certificate of another domain"] = function () return authority:issue { names = { "other.test" } } end,
	} do
		it("unauth.encrypt: is accepted by dialback if the peer has only " .. what, function ()
			local answer, mark = federate(make())
			assert.matches("pong", answer:lower())
			assert.same({ version = "TLSv1.3", authenticated = false }, outgoing("version", "authenticated"))
			assert.matches("<db:result", server:log(mark))
		end)

		it("unauth.encrypt: is refused with unauthenticated_s2s = refuse if the peer has only " .. what, function ()
			local answer, mark = federate(make(), { unauthenticated_s2s = "refuse" })
			assert.is_nil(answer:lower():match "pong")
			assert.matches("unauth.encrypt %(allowed%): no valid certificate vouches for far.test", answer)
			assert.is_nil(server:log(mark):match "Sending[^\n]*<db:")
		end)
	end

	it("unauth.encrypt: incoming peers without a certificate are refused with unauthenticated_s2s = refuse", function ()
		server:configure { policy = { unauthenticated_s2s = "refuse" } }
		server:reload()
		local peer, reason, text = xmpp.open(server:target("s2s", "near.test"), { from = "far.test" })
		assert.is_nil(peer)
		assert.equal("error", reason)
		assert.matches("no valid certificate vouches for far.test", text)
		server:configure { policy = {} }
		server:reload()
		peer = assert(xmpp.open(server:target("s2s", "near.test"), { from = "far.test" }))
		peer:close()
	end)

	it("is authenticated with unauthenticated_s2s = refuse by valid certificates at both ends", function ()
		local files = authority:issue { names = { "far.test" }, key = "p256" }
		assert.matches("pong", federate(files, { unauthenticated_s2s = "refuse" }):lower())
	end)

	it("incoming: is judged again for a host with a stricter policy than the one that it was opened to", function ()
		local other = authority:issue { names = { "lax.test", "strict.test" }, key = "rsa2048" }
		local theirs = authority:issue { names = { "far.test" }, key = "rsa2048" }
		local target = others.start {
			hosts = {
				["lax.test"] = other,
				["strict.test"] = { certificate = other.certificate, key = other.key,
					options = { xmpp_tls_policy = { profile = "rfc9325" } } },
			},
			domain = "lax.test", ca = authority.certificate, with_policy = true,
		}
		for ciphers, delivered in pairs {
			["DHE-RSA-AES256-GCM-SHA384"] = false, ["ECDHE-RSA-AES256-GCM-SHA384"] = true,
		} do
			local to = delivered and "strict.test" or "STRICT.test" -- the same host
			local mark = target:mark()
			local peer = assert(xmpp.open(target:target("s2s", "lax.test"), {
				from = "far.test",
				tls = { protocol = "tlsv1_2", ciphers = ciphers, certificate = theirs.certificate, key = theirs.key },
			}))
			peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"
			assert(peer:read_until "<success[^>]*>")
			assert(peer:open())
			peer:send("<iq type='get' id='p' from='far.test' to='" .. to .. "'><ping xmlns='urn:xmpp:ping'/></iq>")
			if delivered then
				target:wait_for_log("Received%[s2sin%]: <iq[^\n]*to='strict.test'", mark)
				peer:send "</stream:stream>"
			else
				assert.matches("<policy%-violation.*rfc9325, section 4.1, key.dhe", (assert(peer:read_all())))
				assert.is_nil(target:log(mark):match "Received%[s2sin%]: <iq[^\n]*to='STRICT.test'")
			end
			peer:close()
		end
	end)

	-- rfc6125.6.4.4.no-common-name
	it("cert.identity: is not authenticated by a Common Name alone", function ()
		local files = authority:issue { common_name = "far.test", names = {}, key = "p256" }
		local _, mark = federate(files)
		-- Prosody 0.12 itself accepts the Common Name.
		assert.matches(versions.prosody_from(13) and "certificate identity validation result: invalid"
			or "The certificate of far.test does not name it as RFC 6125 requires", server:log(mark))
	end)

	it("cert.identity: is refused with a Common Name alone and unauthenticated_s2s = refuse", function ()
		local files = authority:issue { common_name = "far.test", names = {}, key = "p256" }
		local answer = federate(files, { unauthenticated_s2s = "refuse" })
		assert.matches("no valid certificate vouches for far.test", answer)
	end)

	it("cert.identity: is not authenticated by a certificate of another domain", function ()
		local files = authority:issue { names = { "other.test", "*.far.test" }, key = "p256" }
		federate(files)
		assert.same({ encrypted = true, authenticated = false }, outgoing("encrypted", "authenticated"))
	end)
end)
