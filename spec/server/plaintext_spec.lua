-- Streams without TLS, and remote servers without STARTTLS: support.required, support.abort,
-- support.flag.
local configuration = require "support.configuration"
local files_of = require "support.files"
local pki = require "support.pki"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

-- The operator requires nothing, so every refusal comes from the policy.
local lax = {
	c2s_require_encryption = false, s2s_require_encryption = false, allow_unencrypted_plain_auth = true,
	allow_registration = true, registration_throttle_max = 1000, s2s_timeout = 5,
}

describe("without TLS", function ()
	local server, files

	setup(function ()
		files = pki.authority():issue { names = { "example.test", "lenient.test" }, key = "rsa2048" }
		server = prosody.start {
			hosts = {
				["example.test"] = files,
				["lenient.test"] = { certificate = files.certificate, key = files.key,
					options = { xmpp_tls_policy = { level = "must" } } },
				["attempt.test"] = { certificate = files.certificate, key = files.key,
					options = { xmpp_tls_policy = { profile = "rfc7590" } } },
			},
			domain = "example.test",
			modules = { "register", "legacyauth" },
			options = lax,
			users = { ["juliet@example.test"] = "wherefore", ["juliet@lenient.test"] = "wherefore" },
			routes = {},
			with_policy = true,
		}
	end)

	teardown(function ()
		if server then
			server:stop()
		end
		pki.remove()
	end)

	local function open(service, domain)
		local peer = xmpp.connect(server:target(service, domain), { from = service == "s2s" and "remote.test" or nil })
		return peer, assert(peer:open())
	end

	local auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldAB3aGVyZWZvcmU=</auth>"
	local starttls = xmpp.starttls_feature

	for what, element in pairs {
		["SASL"] = auth,
		["legacy authentication"] = "<iq type='set' id='a'><query xmlns='jabber:iq:auth'><username>juliet</username>"
			.. "<password>wherefore</password><resource>x</resource></query></iq>",
		["registration"] = "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>romeo</username>"
			.. "<password>x</password></query></iq>",
		["a message"] = "<message to='juliet@example.test'><body>x</body></message>",
		["stream compression"] = "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>",
	} do
		-- rfc6120.5.3.1.starttls-alone
		it("support.required: a client gets no further with " .. what, function ()
			local peer, features = open "c2s"
			assert.is_nil(features:match "<mechanisms")
			assert.is_nil(features:match "register")
			peer:send(element)
			local text = assert(peer:read_all())
			peer:close()
			assert.matches("<policy%-violation", text)
			assert.matches("support.required %(SHOULD%): nothing but &lt;starttls/&gt; is accepted", text)
			assert.is_nil(text:match "<success")
			assert.is_nil(text:match "type='result'")
			assert.equal(what == "SASL", text:find("<encryption-required", 1, true) ~= nil)
		end)
	end

	it("support.required: a stream from before a reload of the module gets no further either", function ()
		local peer = open "c2s"
		server:shell [[module:reload("xmpp_tls_policy")]]
		peer:send(auth)
		local text = assert(peer:read_all())
		peer:close()
		assert.matches("<policy%-violation", text)
		assert.is_nil(text:match "<success")
	end)

	for what, element in pairs {
		["dialback"] = "<db:result from='remote.test' to='example.test'>key</db:result>",
		["a dialback query"] = "<db:verify from='remote.test' to='example.test' id='1'>key</db:verify>",
		["SASL EXTERNAL"] = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
		["a message"] = "<message from='a@remote.test' to='juliet@example.test'><body>x</body></message>",
	} do
		it("support.required: a server gets no further with " .. what, function ()
			local peer, features = open "s2s"
			assert.is_nil(features:match "dialback'/>")
			peer:send(element)
			local text = assert(peer:read_all())
			peer:close()
			assert.matches("<policy%-violation", text)
			assert.is_nil(text:match "<db:")
		end)
	end

	it("a host at level must follows its own options", function ()
		local peer, features = open("c2s", "lenient.test")
		assert.matches("<mechanisms", features)
		peer:send(auth)
		assert.matches("<success", (assert(peer:read_until("<success[^>]*>"))))
		peer:close()
	end)

	local header = xmpp.stream_header("c2s", "example.test"):gsub("^<%?xml.-%?>", "")

	for what, more in pairs {
		["authentication"] = auth,
		["a stream header without an XML declaration, and authentication"] = header .. auth,
		["a stream header"] = xmpp.stream_header("c2s", "example.test"),
		["another <starttls/>"] = starttls,
		["a stream header and authentication"] = xmpp.stream_header("c2s", "example.test") .. auth,
	} do
		it("support.required: data in one packet with <starttls/> does not count as sent over TLS: " .. what,
			function ()
				local peer = open "c2s"
				peer:send(starttls .. more)
				local text = peer:read_until { "<proceed[^>]*>", "</stream:stream>" } or ""
				if not text:find("</stream:stream>", 1, true) and peer:secure() then
					peer:send(xmpp.stream_header("c2s", "example.test"))
					text = text .. (peer:read_until { "</stream:features>", "</stream:stream>" } or "")
					text = text .. (peer:read_all(1) or peer.buffer)
				end
				peer:close()
				assert.is_nil(text:match "<success")
				assert.is_true(server:alive())
				assert.is_nil(server:log():match "Traceback")
			end)
	end

	it("support.required: a server's stream header in one packet with <starttls/> does not count as encrypted", function ()
		local peer = open "s2s"
		peer:send(starttls .. xmpp.stream_header("s2s", "example.test", "remote.test"):gsub("^<%?xml.-%?>", "")
			.. "<db:result from='remote.test' to='example.test'>key</db:result>")
		local text = peer:read_until "<policy%-violation"
		peer:close()
		assert.truthy(text)
		assert.is_nil(text:match "<db:")
		assert.is_nil(text:match "<stream:features/?>.*<stream:features")
		assert.is_nil(server:log():match "Traceback")
	end)

	-- rfc6120.4.7.5.no-version-no-features
	it("support.required: a server's stream without version 1.0 gets neither STARTTLS nor dialback", function ()
		for _, element in ipairs { starttls, "<db:result from='remote.test' to='example.test'>key</db:result>" } do
			local peer = xmpp.connect(server:target "s2s", { from = "remote.test" })
			peer:send(xmpp.stream_header("s2s", "example.test", "remote.test"):gsub("(<stream:.-) version='1.0'", "%1")
				.. element)
			local text = assert(peer:read_all())
			peer:close()
			assert.matches("<policy%-violation", text)
			assert.is_nil(text:match "<proceed")
			assert.is_nil(text:match "<db:")
		end
	end)

	for what, opening in pairs {
		["names no host, without version 1.0"] = xmpp.stream_header("s2s", nil, "remote.test")
			:gsub("(<stream:.-) version='1.0'", "%1"),
		["names a lenient host"] = xmpp.stream_header("s2s", "lenient.test", "remote.test"),
		["writes the host in capitals"] = xmpp.stream_header("s2s", "EXAMPLE.TEST", "remote.test"),
	} do
		it("support.required: no dialback reaches a host that requires TLS on a stream whose header " .. what, function ()
			local peer = xmpp.connect(server:target("s2s", "example.test"), { from = "remote.test" })
			peer:send(opening .. "<db:result from='remote.test' to='Example.test'>key</db:result>")
			local text = assert(peer:read_all())
			peer:close()
			assert.matches("<policy%-violation", text)
			assert.is_nil(text:match "<db:")
		end)
	end

	for _, service in ipairs { "c2s", "s2s" } do
		it("a stanza of megabytes does not stay in memory, on " .. service, function ()
			prosody.surface.need("stanza.limit", pending)
			if configuration.sanitized then
				pending "AddressSanitizer keeps what was freed"
			end
			local pid = files_of.read(server.directory .. "/prosody.pid"):match "%d+"
			local function resident()
				return tonumber(files_of.read("/proc/" .. pid .. "/status"):match "VmRSS:%s+(%d+)")
			end
			local mark, before = server:mark(), resident()
			local piece = ("x"):rep(65536)
			for _ = 1, 4 do
				local peer = open(service, "example.test")
				peer:send "<message><body>"
				for _ = 1, 128 do
					if not peer:send(piece) then
						break
					end
				end
				peer:close()
			end
			open(service, "example.test"):close()
			assert.is_true(resident() - before < 4096, resident() - before)
			assert.is_nil(server:log(mark):match "Traceback")
		end)
	end

	describe("between us and a remote server", function ()
		-- Makes the server connect to a scripted peer: act(peer). Returns the answer of the ping.
		local function meet(from, act)
			local listener = xmpp.listen "s2s"
			server:configure { routes = { ["far.test"] = { s2s = listener.port } } }
			server:reload()
			local ping = server:begin_shell(("xmpp:ping(%q, %q, 20)"):format(from, "far.test"))
			local peer = assert(listener:accept())
			act(peer)
			peer:close()
			listener:close()
			local answer = ping:close()
			return answer
		end

		local function offer_starttls(peer)
			assert(peer:answer(xmpp.starttls_feature))
			assert(peer:read_until "<starttls[^>]*>")
		end

		it("support.abort: the stream is closed, and nothing more is sent", function ()
			local mark = server:mark()
			local answer = meet("example.test", function (peer)
				assert(peer:answer "<dialback xmlns='urn:xmpp:features:dialback'/>")
				assert.equal("</stream:stream>", (peer:read_all()))
			end)
			assert.matches("no STARTTLS", server:log(mark))
			assert.is_nil(answer:lower():match "pong")
			assert.matches("the remote server offers no STARTTLS", answer)
		end)

		it("support.abort: a server without version 1.0 gets no dialback", function ()
			meet("example.test", function (peer)
				assert(peer:read_until("<stream:stream[^>]*>"))
				peer:send("<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' "
					.. "xmlns:stream='http://etherx.jabber.org/streams' from='far.test' to='example.test' id='1'>")
				assert.equal("</stream:stream>", (peer:read_all()))
			end)
		end)

		it("support.attempt: under rfc7590 TLS is attempted without an offer", function ()
			meet("attempt.test", function (peer)
				assert(peer:answer "<dialback xmlns='urn:xmpp:features:dialback'/>")
				assert.is_true(peer:proceed() ~= nil)
				assert.truthy((peer:secure { mode = "server", certificate = files.certificate, key = files.key,
					options = {} }))
			end)
		end)

		for what, feature in pairs { ["with"] = xmpp.starttls_required_feature, ["without"] = xmpp.starttls_feature } do
			it("support.flag: TLS is negotiated " .. what .. " <required/>", function ()
				meet("example.test", function (peer)
					assert(peer:answer(feature))
					assert.is_true(peer:proceed() ~= nil)
					assert.truthy((peer:secure { mode = "server", certificate = files.certificate, key = files.key,
						options = {} }))
					assert.matches("<stream:stream", (peer:read_until "<stream:stream[^>]*>"))
				end)
			end)
		end

		it("a refusal of STARTTLS ends the stream", function ()
			meet("example.test", function (peer)
				offer_starttls(peer)
				peer:send "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"
				local text = assert(peer:read_all())
				assert.is_nil(text:match "db:")
			end)
		end)

		it("silence after <starttls/> ends the stream within s2s_timeout", function ()
			prosody.surface.need("starttls.timeout", pending)
			meet("example.test", function (peer)
				offer_starttls(peer)
				assert.equal("</stream:stream>", (assert(peer:read_all()):gsub("<stream:error>.*</stream:error>", "")))
			end)
		end)

		it("plain text after <proceed/> ends the stream", function ()
			-- The server closes the socket of the closed stream after its ssl_handshake_timeout.
			local mark = server:mark()
			meet("example.test", function (peer)
				offer_starttls(peer)
				peer:send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
					.. "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>")
				server:wait_for_log("[Oo]utgoing s2s stream example.test%->far.test closed", mark)
			end)
			assert.is_nil(server:log(mark):match "Sending%[s2sout[^\n]*db:")
		end)

		-- rfc6120.5.4.3.3.nothing-before-tls-counts
		it("a stream header in one packet with <proceed/> does not count as encrypted", function ()
			local mark = server:mark()
			meet("example.test", function (peer)
				offer_starttls(peer)
				peer:send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
					.. xmpp.stream_header("s2s", "example.test", "far.test", "1"):gsub("^<%?xml.-%?>", "")
					.. "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>")
				server:wait_for_log("Stream refused by the TLS policy", mark)
			end)
			assert.is_nil(server:log(mark):match "Sending%[s2sout[^\n]*db:")
		end)

		it("a stanza instead of features does not pass", function ()
			local mark = server:mark()
			meet("example.test", function (peer)
				assert(peer:read_until "<stream:stream[^>]*>")
				peer:send(xmpp.stream_header("s2s", "example.test", "far.test", "1")
					.. "<message from='a@far.test' to='juliet@example.test'><body>x</body></message>")
				assert.matches("<policy%-violation", (assert(peer:read_all())))
			end)
			assert.is_nil(server:log(mark):match "Traceback")
		end)
	end)
end)
