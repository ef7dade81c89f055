-- One connection of each kind to a server, and streams to other servers.
local core = require "xmpp_tls_policy.core"
local date = require "xmpp_tls_policy.date"
local mime = require "mime"
local prosody = require "support.prosody"
local socket = require "socket"
local ssl = require "ssl"
local xmpp = require "support.xmpp"

local population = {}

local DAY = 86400

local old_tls = { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES128-SHA" }

-- Servers without the policy: valid.test with a certificate of the authority, self.test with a
-- self-signed one, old.test with old software.
local function start_others(authority, own_signature)
	local files = authority:issue {
		names = { "valid.test", "old.test" }, key = "rsa2048", extended_key_usages = { "serverAuth", "clientAuth" },
		not_after = os.time() + 30 * DAY + 3600,
	}
	return prosody.start {
		hosts = {
			["valid.test"] = files,
			["self.test"] = own_signature,
			["old.test"] = { certificate = files.certificate, key = files.key, options = { ssl = {
				protocol = old_tls.protocol, ciphers = old_tls.ciphers, cafile = authority.certificate } } },
		},
		domain = "valid.test", ca = authority.certificate, routes = {}, options = { dialback_secret = "known here" },
	}
end

-- The server, with the hosts example.test, which has an exception for old.test, and report.test,
-- which is in report mode.
local function start_server(authority, others, options)
	local files = authority:intermediate { common_name = "Test Intermediate" }:issue {
		names = { "example.test", "report.test" }, srv = { "_xmpp-client.example.test", "_xmpp-server.example.test" },
		key = "rsa2048",
	}
	local routes, of_others = {}, { s2s = others.ports.s2s }
	for domain in pairs(others.spec.hosts) do
		routes[domain] = of_others
	end
	return prosody.start {
		hosts = {
			["example.test"] = files,
			["report.test"] = { certificate = files.certificate, key = files.key, options = {
				xmpp_tls_policy = { mode = "report" },
				c2s_require_encryption = false, allow_unencrypted_plain_auth = true,
				ssl = { ciphers = "ALL:@SECLEVEL=1", cafile = authority.certificate },
			} },
		},
		domain = "example.test", ca = authority.certificate, routes = routes, http = true, options = options,
		modules = { "bosh", "websocket", "smacks" },
		users = { ["juliet@example.test"] = "secret", ["romeo@report.test"] = "secret" },
		with_policy = true, policy = { exceptions = {
			["old.test"] = { level = "must", expires = date.of(os.time() + 100 * DAY), reason = "being replaced" },
		} },
	}
end

--- Starts both. Returns the server and the others; `own_signature`: the files of self.test.
function population.start(authority, own_signature, options)
	local others = start_others(authority, own_signature)
	local started, server = pcall(start_server, authority, others, options)
	if not started then
		others:stop()
		error(server, 0)
	end
	others:configure { routes = {
		["example.test"] = { s2s = server.ports.s2s }, ["report.test"] = { s2s = server.ports.s2s },
	} }
	others:reload()
	return server, others
end

local function log_in(server, service, domain, user, tls)
	local peer, reason, text = xmpp.open(server:target(service, domain), { tls = tls })
	assert(peer, ("%s %s"):format(tostring(reason), tostring(text)))
	peer.address = assert(peer:login(user, "secret"))
	return peer
end

local function resumed(server)
	local context = assert(core.context.new { role = "client", verify = "none" })
	assert(context:apply { maximum_version = "TLSv1.2" })
	local first = assert(xmpp.open(server:target("c2s", "example.test"), { tls = { context = context } }))
	local session = first.socket:session()
	first:close()
	return log_in(server, "c2s", "example.test", "juliet", { context = context, session = session })
end

local function plaintext(server)
	local peer = xmpp.connect(server:target("c2s", "report.test"))
	assert(peer:open())
	peer.address = assert(peer:login("romeo", "secret"))
	return peer
end

local function bosh(server)
	local connection = assert(socket.tcp())
	assert(connection:connect("127.0.0.1", server.ports.https))
	connection = assert(ssl.wrap(connection, { mode = "client", protocol = "any", verify = "none" }))
	connection:sni "example.test"
	assert(connection:dohandshake())
	local body = "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='example.test' wait='60' hold='1' "
		.. "ver='1.6' xml:lang='en'/>"
	connection:send(("POST /http-bind HTTP/1.1\r\nHost: example.test\r\nContent-Length: %d\r\n\r\n%s"):format(#body, body))
	assert(connection:receive "*l")
	return connection
end

local function websocket(server)
	local connection = assert(socket.tcp())
	assert(connection:connect("127.0.0.1", server.ports.http))
	connection:send(("GET /xmpp-websocket HTTP/1.1\r\nHost: report.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		.. "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n"):format(
		(mime.b64(("k"):rep(16)))))
	assert(connection:receive "*l":find "101")
	repeat
		local line = assert(connection:receive "*l")
	until line == ""
	local open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='report.test' version='1.0'/>"
	-- RFC 6455 5.2: text, final, masked with zeros.
	connection:send(string.char(0x81, 0x80 + #open, 0, 0, 0, 0) .. open)
	assert(connection:receive(2))
	return connection
end

local function ping(from, near, far)
	local answer = from:shell(("xmpp:ping(%q, %q, 20)"):format(near, far))
	assert(answer:lower():find("pong", 1, true), answer)
end

--- Connects one of each kind. Returns them by name: sockets, and peers with `address` (the JID, if
-- they are logged in).
function population.connect(server, others)
	local made = {
		tls13 = log_in(server, "c2s", "example.test", "juliet", { protocol = "tlsv1_3" }),
		direct = log_in(server, "c2s_direct_tls", "example.test", "juliet",
			{ protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES256-GCM-SHA384" }),
		resumed = resumed(server),
		plaintext = plaintext(server),
		secured = assert(xmpp.open(server:target("c2s", "example.test"))),
		bosh = bosh(server),
		websocket = websocket(server),
	}
	made.unsecured = xmpp.connect(server:target("c2s", "example.test"))
	assert(made.unsecured:open())
	for _, domain in ipairs { "valid.test", "self.test", "old.test" } do
		ping(server, "example.test", domain)
		ping(others, domain, "example.test")
	end
	ping(others, "old.test", "report.test")
	return made
end

return population
