-- Exceptions for one peer, between real servers and against a scripted one.
local core = require "xmpp_tls_policy.core"
local date = require "xmpp_tls_policy.date"
local files = require "support.files"
local pki = require "support.pki"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

local DAY = 86400

-- TLS 1.2 with CBC: allowed at level "must", refused at "should".
local old_tls = { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES128-SHA" }

local function exception(changes)
	local made = { level = "must", expires = date.of(os.time() + 100 * DAY), reason = "being replaced" }
	for key, value in pairs(changes or {}) do
		made[key] = value
	end
	return made
end

describe("an exception", function ()
	local server, authority, own, theirs, old
	local others = prosody.group()

	local function reload(policy, options)
		server:configure { policy = policy, options = options or {} }
		return server:reload()
	end

	setup(function ()
		authority = pki.authority()
		own = authority:issue { names = { "near.test" }, key = "rsa2048" }
		theirs = authority:issue { names = { "old.test", "other.test" }, key = "rsa2048" }
		-- A server without the policy: two domains with old software.
		old = others.start {
			hosts = { ["old.test"] = theirs, ["other.test"] = theirs },
			ca = authority.certificate, routes = {}, options = {
				ssl = { protocol = old_tls.protocol, ciphers = old_tls.ciphers, cafile = authority.certificate },
				dialback_secret = "known to the spec",
			},
		}
		local routes = { s2s = old.ports.s2s }
		server = prosody.start {
			hosts = { ["near.test"] = own }, ca = authority.certificate, modules = { "test_facts", "test_clock" },
			routes = { ["old.test"] = routes, ["other.test"] = routes }, with_policy = true,
		}
		old:configure { routes = { ["near.test"] = { s2s = server.ports.s2s } } }
		old:reload()
	end)

	teardown(function ()
		if server then
			server:stop()
		end
		others.stop()
		pki.remove()
	end)

	local function route_to(far)
		local routes = { s2s = far.ports.s2s }
		server:configure { routes = { ["old.test"] = routes, ["other.test"] = routes } }
	end

	local function ping(domain)
		local mark = server:mark()
		local answer = server:shell(("xmpp:ping(%q, %q, 20)"):format("near.test", domain))
		return answer:lower():find("pong", 1, true) ~= nil, server:log(mark), answer
	end

	-- A peer with old software that claims to be `domain`.
	local function open(domain, service, changes)
		local tls = { certificate = theirs.certificate, key = theirs.key }
		for name, value in pairs(old_tls) do
			tls[name] = value
		end
		for name, value in pairs(changes or {}) do
			tls[name] = value
		end
		return xmpp.open(server:target(service or "s2s", "near.test"), { from = domain, tls = tls })
	end

	local function authenticate(peer)
		peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"
		assert(peer:read_until "<success[^>]*>")
		return assert(peer:open())
	end

	it("lets the server connect to its domain only", function ()
		reload {}
		assert.is_false((ping "old.test"))
		reload { exceptions = { ["old.test"] = exception() } }
		local reached, log = ping "old.test"
		assert.is_true(reached)
		assert.matches("Accepted under the exception for old.test until %d+%-%d+%-%d+ %(\"being replaced\"%)", log)
		assert.matches("Facts of s2sout: client TLSv1.2 draft%-saintandre%-xmpp%-tls%-02, level must, by exception for "
			.. "old.test until [%d-]+ refuse=false", log)
		assert.is_false((ping "other.test"))
	end)

	it("accepts connections from its domain only", function ()
		reload { exceptions = { ["old.test"] = exception() } }
		local mark = server:mark()
		local peer = assert(open "old.test")
		authenticate(peer)
		assert.matches("Accepted under the exception for old.test", server:log(mark))
		server:wait_for_log("Facts of s2sin: server TLSv1.2 [^\n]*by exception for old.test", mark)
		peer:close()
		assert.is_nil((open "other.test"))
		assert.is_nil((open(nil)))
	end)

	-- What the draft's level must permits, and neither the server's own options nor OpenSSL's security
	-- level do.
	for what, tls in pairs {
		["TLS 1.0"] = { protocol = "tlsv1", ciphers = "ECDHE-RSA-AES128-SHA:@SECLEVEL=0" },
		["TLS 1.1"] = { protocol = "tlsv1_1", ciphers = "AES256-SHA:@SECLEVEL=0" },
		["RSA key transport"] = { protocol = "tlsv1_2", ciphers = "AES128-SHA" },
	} do
		it("lets in a peer that has only " .. what .. ", and nobody else", function ()
			reload { exceptions = { ["old.test"] = exception() } }
			for _ = 1, 2 do
				local peer, _, text = open("old.test", "s2s", tls)
				assert.is_truthy(peer, text)
				authenticate(peer)
				peer:close()
				assert.is_nil((open("other.test", "s2s", tls)))
			end
			assert.is_nil((xmpp.open(server:target("c2s", "near.test"), { tls = tls })))
		end)
	end

	for what, tls in pairs {
		["TLS 1.0"] = { protocol = "tlsv1", ciphers = "ALL:@SECLEVEL=0" },
		["TLS 1.1"] = { protocol = "tlsv1_1", ciphers = "ALL:@SECLEVEL=0" },
		["Diffie-Hellman of 1024 bits"] = { protocol = "tlsv1_2", ciphers = "DHE-RSA-AES128-SHA:@SECLEVEL=0",
			dhparam = true },
	} do
		it("lets the server connect to a peer that has only " .. what .. ", and to no other", function ()
			if tls.dhparam then
				tls.dhparam = pki.path "dh1024.pem"
				pki.run { "openssl", "dhparam", "-dsaparam", "-out", tls.dhparam, "1024" }
			end
			tls.cafile = authority.certificate
			local older = prosody.start {
				hosts = { ["old.test"] = theirs, ["other.test"] = theirs }, ca = authority.certificate,
				routes = { ["near.test"] = { s2s = server.ports.s2s } }, options = { ssl = tls },
			}
			finally(function ()
				older:stop()
				route_to(old)
			end)
			route_to(older)
			reload {}
			assert.is_false((ping "old.test"))
			reload { exceptions = { ["old.test"] = exception() } }
			local reached, _, answer = ping "old.test"
			assert.is_true(reached, answer)
			assert.is_false((ping "other.test"))
		end)
	end

	it("does not apply to a stream whose header changes its domain after STARTTLS", function ()
		reload { exceptions = { ["old.test"] = exception() } }
		local peer = xmpp.connect(server:target("s2s", "near.test"), { from = "old.test" })
		assert(peer:open())
		assert(peer:request_tls())
		assert(peer:secure { protocol = "tlsv1_2", ciphers = old_tls.ciphers,
			certificate = theirs.certificate, key = theirs.key })
		peer.from = "other.test"
		local features, _, text = peer:open()
		peer:close()
		assert.is_nil(features)
		assert.matches("<stream:error><improper%-addressing", text) -- Prosody's own
	end)

	-- xep0220.1.2.pair-of-domains: on one stream a server may authenticate several domains.
	-- XEP-0220: on one stream a server may authenticate several domains.
	it("does not apply to another domain that dialback vouches for on the same stream", function ()
		prosody.surface.need("dialback.key", pending)
		local modern = authority:issue { names = { "fresh.test" }, key = "rsa2048" }
		local fresh = prosody.start {
			hosts = { ["fresh.test"] = modern }, ca = authority.certificate, options = { dialback_secret = "known here" },
			routes = { ["near.test"] = { s2s = server.ports.s2s } },
		}
		finally(function () fresh:stop() end)
		server:configure { routes = {
			["old.test"] = { s2s = old.ports.s2s }, ["other.test"] = { s2s = old.ports.s2s },
			["fresh.test"] = { s2s = fresh.ports.s2s },
		} }
		local function claim(policy)
			reload(policy)
			local peer = assert(open "old.test")
			local id = authenticate(peer):match "%sid='([^']+)'"
			local key = fresh:dialback_key("near.test", "fresh.test", id)
			peer:send(("<db:result from='fresh.test' to='near.test'>%s</db:result>"):format(key))
			local text, _, rest = peer:read_until { "<db:result[^>]*>", "</stream:error>" }
			peer:close()
			return text or rest
		end
		local both = { ["old.test"] = exception(), ["fresh.test"] = exception() }
		reload { exceptions = both }
		-- A server may vouch for keys only where it has a stream.
		assert.matches("pong", fresh:shell([[xmpp:ping("fresh.test", "near.test", 20)]]):lower())
		assert.matches("<db:result[^>]*type='valid'", claim { exceptions = both })
		both["fresh.test"] = nil
		assert.matches("<policy%-violation.*section 4.3, cipher.aead", claim { exceptions = both })
	end)

	it("does not apply to incoming direct TLS, whose handshake comes before any name", function ()
		reload { exceptions = { ["old.test"] = exception() } }
		assert.is_nil((open("old.test", "s2s_direct_tls")))
		local peer = assert(open("old.test", "s2s_direct_tls", { ciphers = "ECDHE-RSA-AES128-GCM-SHA256" }))
		peer:close()
	end)

	it("uses the certificate and other options of the server's own configuration", function ()
		reload { exceptions = { ["old.test"] = exception() } }
		local peer = assert(open "old.test")
		local shown = peer.socket:getpeercertificate()
		peer:close()
		assert.equal(core.certificate.from_pem(files.read(own.certificate)):facts().sha256, shown:digest "sha256")
	end)

	it("has no effect after its end, and each load logs that", function ()
		local over = { exceptions = { ["old.test"] = exception { expires = date.of(os.time() - 2 * DAY) } } }
		for _ = 1, 2 do
			assert.matches("warn\tthe exception for old.test %(\"being replaced\"%) ended with [%d-]+ and no longer applies",
				reload(over))
		end
		assert.is_false((ping "old.test"))
		assert.is_nil((open "old.test"))
	end)

	it("is announced in the log two weeks before its end", function ()
		local near = { exceptions = { ["old.test"] = exception { expires = date.of(os.time() + 9 * DAY) } } }
		local log = reload(near)
		assert.matches("warn\tthe exception for old.test %(\"being replaced\"%) ends with [%d-]+, in %d+ days", log)
		assert.equal(1, select(2, log:gsub("the exception for old.test", "")))
	end)

	it("closes its streams when it ends", function ()
		local policy = { exceptions = { ["old.test"] = exception() } }
		reload(policy)
		local peer = assert(open "old.test")
		authenticate(peer)
		assert.is_true((ping "old.test"))
		local log = reload(policy, { test_clock = 200 * DAY })
		assert.matches("policy%-violation.*cipher.aead", (assert(peer:read_all())))
		peer:close()
		assert.matches("s2sout[^\n]*Stream refused by the TLS policy: [^\n]*cipher.aead", log)
		reload(policy)
	end)

	-- rfc7622.3.2.normal-form
	for written, domain in pairs {
		["B\195\156CHER.test"] = "b\195\188cher.test",
		["xn--bcher-kva.test"] = "b\195\188cher.test",
		["b\195\188cher.test"] = "xn--bcher-kva.test",
	} do
		it(("for %s applies to %s"):format(written, domain), function ()
			reload { exceptions = { [written] = exception() } }
			local peer, _, text = open(domain)
			assert.is_truthy(peer, text)
			peer:close()
		end)
	end

	it("with a mistake keeps the previous policy, and the log says how to correct it", function ()
		reload { exceptions = { ["old.test"] = exception() } }
		local log = reload { exceptions = { ["*"] = exception() } }
		assert.matches('error\tconfiguration: xmpp_tls_policy.exceptions%["%*"%] is no domain; an exception is for one peer, '
			.. 'named as in %["old.example"%]', log)
		local peer = assert(open "old.test")
		peer:close()
	end)

	it("may accept dialback although the policy refuses it", function ()
		local stranger = pki.self_signed { names = { "old.test" }, key = "rsa2048" }
		local function policy(exceptions)
			return { unauthenticated_s2s = "refuse", exceptions = exceptions }
		end
		local function try()
			return open("old.test", "s2s", { ciphers = "ECDHE-RSA-AES128-GCM-SHA256",
				certificate = stranger.certificate, key = stranger.key })
		end
		reload(policy())
		local _, _, text = try()
		assert.matches("no valid certificate vouches for old.test", text)
		reload(policy { ["old.test"] = { unauthenticated_s2s = "dialback", expires = exception().expires, reason = "x" } })
		local peer = assert(try())
		peer:close()
	end)
end)
