local client_hello = require "support.client_hello"
local collector_pace = require "support.collector_pace"
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local offers = require "support.offers"
local pki = require "support.pki"
local process = require "support.process"
local socket = require "socket"
local ssl = require "ssl"
local suites = require "support.cipher_suites"
local versions_here = require "support.versions"

local observer = core.observer

local function alert_record(level, description)
	return string.char(21, 3, 3, 0, 2, level, description)
end

-- An offer with other fields.
local function vary(offer, more)
	local varied = {}
	for _, fields in ipairs { offer, more } do
		for name, value in pairs(fields) do
			varied[name] = value
		end
	end
	return varied
end

-- The resident memory of this process, in KiB.
local function resident()
	for line in io.lines "/proc/self/status" do
		local size = line:match "^VmRSS:%s+(%d+) kB"
		if size then
			return tonumber(size)
		end
	end
	error "/proc has no VmRSS"
end

describe("a refused handshake", function ()
	local authority, began, files
	local hellos = {}

	setup(function ()
		authority = pki.authority()
		files = authority:issue { names = { "example.test" }, key = "p256" }
		for name, offer in pairs(offers) do
			hellos[name] = client_hello.build(offer)
		end
	end)

	teardown(function ()
		pki.remove()
	end)

	before_each(function ()
		collectgarbage()
		collectgarbage()
		observer.refusals()
		began = os.time()
	end)

	-- A server's context under the label 7.
	local function server(settings, more)
		local context = assert(core.context.new(vary({
			role = "server", certificate = files.certificate, key = files.key,
		}, more or {})))
		assert(context:apply(settings or { minimum_version = "TLSv1.2" }))
		assert(context:observe(7))
		return context
	end

	local function client(settings, more)
		local context = assert(core.context.new(vary({ role = "client", verify = "none" }, more or {})))
		assert(context:apply(settings or {}))
		assert(context:observe(8))
		return context
	end

	local function luasec(more)
		return assert(ssl.newcontext(vary({
			mode = "server", protocol = "any", certificate = files.certificate, key = files.key, verify = "none",
		}, more or {})))
	end

	-- The records since the last call without their times, which are checked.
	local function recorded()
		local list, lost = observer.refusals()
		for _, record in ipairs(list) do
			assert.equal("number", type(record.time))
			-- The clock of os.time() may be a tick behind, in the second before.
			assert.is_true(record.time >= began and record.time <= os.time() + 2, record.time)
			record.time = nil
		end
		return list, lost
	end

	-- Feeds pieces of bytes to a connection, one at a time. Returns what its last
	-- handshake returned.
	local function feed(connection, ...)
		local done, message, code = connection:handshake()
		for _, bytes in ipairs { ... } do
			assert(connection:feed(bytes))
			done, message, code = connection:handshake()
		end
		return done, message, code
	end

	-- What is recorded of a server that is fed this, and then is closed.
	local function fed(context, ...)
		local connection = assert(core.connection.new(context))
		local _, message = feed(connection, ...)
		connection:close()
		local list = recorded()
		assert.is_true(#list <= 1)
		return list[1], message
	end

	local function offered(name, context)
		return assert(fed(context or server(), type(name) == "table" and client_hello.build(name) or hellos[name])).offer
	end

	local function numbers_of(names)
		local list = {}
		for index, name in ipairs(names) do
			list[index] = suites[name]
		end
		return list
	end

	local schemes = {
		0x0804, 0x0805, 0x0806, 0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0809, 0x080A, 0x080B,
		0x0401, 0x0501, 0x0601, 0x0203, 0x0201,
	}

	-- What client_hello.build makes of an offer, as the core tells it.
	local function expected_offer(name, versions)
		return {
			versions = versions, suites = numbers_of(offers[name].suites), groups = { 29, 23, 256 },
			signature_schemes = schemes,
		}
	end

	describe("is recorded, at a server", function ()
		for name, case in pairs {
			["of an old version"] = { function () return hellos.tls10 end, {
				alert = "protocol_version", alert_sent = true, reason = "unsupported protocol" }, "tls10", { 0x0301 } },
			["without a common suite"] = { function () return hellos.rc4 end, {
				alert = "handshake_failure", alert_sent = true, reason = "no shared cipher" }, "rc4", { 0x0303 } },
			["that begins with an alert"] = { function () return alert_record(2, 40) end, {
				alert = "unexpected_message", alert_sent = true, reason = "unexpected message" } },
			["that is plain HTTP"] = { function () return "GET / HTTP/1.1\r\n\r\n" end, { reason = "http request" } },
			["that is garbage"] = { function () return ("\0\255"):rep(200) end, { reason = "wrong version number" } },
			["that stops within the hello"] = { function () return hellos.tls12:sub(1, 40) end, {} },
			["that stops after one byte"] = { function () return "\22" end, {} },
			["that stops after the hello"] = { function () return hellos.tls12 end, {}, "tls12", { 0x0303 } },
		} do
			it(name, function ()
				local expected = vary({ role = "server", label = 7 }, case[2])
				expected.offer = case[3] and expected_offer(case[3], case[4])
				local record, message = fed(server(), case[1]())
				assert.same(expected, record)
				assert.equal(case[2].reason and ("the handshake failed (%s)"):format(case[2].reason) or "wantread", message)
			end)
		end

		for name, case in pairs {
			["that is fatal"] = { "tls12", 2, 48, "unknown_ca", { 0x0303 }, "tlsv1 alert unknown ca" },
			["that is only a warning in TLS 1.3, too"] =
				{ "tls13", 1, 48, "unknown_ca", { 0x0304 }, "tlsv1 alert unknown ca" },
			["that has no name"] = { "tls12", 2, 200, "alert_200", { 0x0303 } },
			["that says goodbye"] = { "tls13", 1, 0, "close_notify", { 0x0304 } },
		} do
			-- rfc8446.6.alerts-are-fatal, rfc8446.6.alert-numbers
			it("with an alert of the client's " .. name, function ()
				assert.same({
					role = "server", label = 7, alert = case[4], alert_sent = false, reason = case[6],
					offer = expected_offer(case[1], case[5]),
				}, (fed(server(), hellos[case[1]], alert_record(case[2], case[3]))))
			end)
		end

		it("but not with a mere warning in TLS 1.2, which ends nothing", function ()
			local connection = core.connection.new(server())
			feed(connection, hellos.tls12, alert_record(1, 112))
			assert.same({}, recorded())
			connection:close()
			assert.same({ { role = "server", label = 7, offer = expected_offer("tls12", { 0x0303 }) } }, recorded())
		end)

		it("without an offer, where OpenSSL cannot read the hello", function ()
			local broken = client_hello.build(vary(offers.tls12, { extensions = { { 10, "\0\2\0\23" }, { 10, "\0\2\0\23" } } }))
			local record, message = fed(server(), broken)
			assert.is_nil(record.offer)
			assert.is_true(record.alert_sent)
			assert.equal(("the handshake failed (%s)"):format(record.reason), message)
		end)
	end)

	it("is recorded at both ends, if the client does not trust the server's authority", function ()
		for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
			local doubting = client({ maximum_version = version }, { verify = "require" })
			local one, other = core.connection.new(doubting, { server_name = "example.test" }), core.connection.new(server())
			assert.is_nil((handshake.run(one, other)))
			other:handshake()
			local list = recorded()
			assert.equal(2, #list)
			assert.same({
				role = "client", label = 8, alert = "unknown_ca", alert_sent = true, reason = "certificate verify failed",
				server_name = "example.test",
			}, list[1])
			assert.equal("example.test", list[2].offer.server_name)
			assert.same(version == "TLSv1.3" and 0x0304 or 0x0303, list[2].offer.versions[1])
			list[2].offer = nil
			assert.same({
				role = "server", label = 7, alert = "unknown_ca", alert_sent = false, reason = "tlsv1 alert unknown ca",
			}, list[2])
		end
	end)

	describe("is recorded, at a client", function ()
		local function refused_client(...)
			local connection = core.connection.new(client(), { server_name = "example.test" })
			feed(connection, ...)
			connection:close()
			local list = recorded()
			assert.equal(1, #list)
			return list[1]
		end

		it("by the server's alert", function ()
			assert.same({
				role = "client", label = 8, alert = "protocol_version", alert_sent = false, server_name = "example.test",
				reason = "tlsv1 alert protocol version",
			}, refused_client(alert_record(2, 70)))
		end)

		it("if the server says nothing, with the number of bytes that it was sent", function ()
			local connection = core.connection.new(client(), { server_name = "example.test" })
			feed(connection)
			local sent = #connection:take()
			connection:close()
			assert.same({ { role = "client", label = 8, server_name = "example.test", unanswered = sent } }, recorded())
		end)

		it("if the server says one byte, as answered", function ()
			assert.same({ role = "client", label = 8, server_name = "example.test" }, refused_client "\22")
		end)

		it("if the server talks something else", function ()
			assert.same({ role = "client", label = 8, server_name = "example.test", reason = "wrong version number" },
				refused_client "<stream:error/>")
		end)

		it("without a warning that was none of the reasons", function ()
			assert.same({
				role = "client", label = 8, alert = "internal_error", alert_sent = false, server_name = "example.test",
				reason = "tlsv1 alert internal error",
			}, refused_client(alert_record(1, 112), alert_record(2, 80)))
		end)
	end)

	it("is recorded when it fails, and once", function ()
		local connection = core.connection.new(server())
		feed(connection, hellos.rc4)
		assert.equal(1, #recorded())
		connection:handshake()
		feed(connection, hellos.tls12)
		connection:close()
		assert.same({}, recorded())
	end)

	it("is none if no byte was sent", function ()
		local context = server()
		core.connection.new(context):close()
		local waiting = core.connection.new(context)
		assert.equal("wantread", select(3, waiting:handshake()))
		waiting:close()
		local disabled = core.connection.new(context)
		context:disable()
		assert.equal("tls", select(3, disabled:handshake()))
		disabled:close()
		assert.same({}, recorded())
	end)

	it("is none that was finished, whatever comes later", function ()
		for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
			for _, last in ipairs { alert_record(2, 40), "\23\3\3\0\30" .. ("x"):rep(30), "GET / HTTP/1.1\r\n\r\n" } do
				local one, other = assert(handshake.between(client { maximum_version = version }, server()))
				for _, connection in ipairs { one, other } do
					connection:read()
					connection:feed(last)
					assert.equal("tls", select(3, connection:read()))
					connection:close()
				end
			end
			local one, other = assert(handshake.between(client { maximum_version = version }, server()))
			one:close()
			other:close()
		end
		assert.same({}, recorded())
	end)

	it("is none that was finished after the context was released", function ()
		for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
			local near, far = client { maximum_version = version }, server()
			local one, other = core.connection.new(near), core.connection.new(far)
			one:handshake()
			other:feed(one:take())
			other:handshake()
			near:release()
			far:release()
			one:feed(other:take())
			assert.is_true(handshake.run(one, other))
			one:close()
			other:close()
			assert.same({}, recorded())
		end
	end)

	describe("has an offer", function ()
		it("rfc8446.4.2.1.versions-in-extension: with the versions of the extension, in order", function ()
			assert.same({ 0x0304, 0x0303, 0x0301 }, offered(vary(offers.rc4, {
				versions = { "TLSv1.3", "TLSv1.2", "TLSv1" } })).versions)
		end)

		-- rfc8446.4.2.7.supported-groups, rfc8446.4.2.3.signature-schemes, rfc8701.2.grease-ignored,
		-- rfc5746.3.3.signal-is-no-suite, rfc7507.2.signal-is-no-suite
		it("without GREASE and signalling suites", function ()
			assert.same({
				versions = { 0x0304, 0x0303 }, suites = { 0x1301, 0x0005 }, groups = { 0x1A2A, 0x4588 },
				signature_schemes = { 0x0403 }, alpn = { "xmpp-client", "\10\26", "\10\10a", "\10" },
			}, offered {
				versions = { 0x0A0A, 0x0304, 0xFAFA, 0x0303 }, suites = { 0x1A1A, 0x1301, 0x00FF, 0x0005, 0x5600, 0xEAEA },
				groups = { 0x2A2A, 0x1A2A, 0x4588, 0xDADA }, signature_schemes = { 0x3A3A, 0x0403 }, key_shares = "",
				extensions = { { 0x4A4A, "" }, { 16, "\0\24\2\10\10\11xmpp-client\2\10\26\3\10\10a\1\10" } },
			})
		end)

		it("without the lists that the hello does not have", function ()
			local old = server { minimum_version = "TLSv1.2" }
			assert.same({ versions = { 0x0300 }, suites = numbers_of(offers.sslv3.suites) }, offered("sslv3", old))
			assert.same({ versions = { 0x0303 }, suites = { 5 } }, offered {
				suites = { 5 }, extensions = { { 10 }, { 13 } },
			})
		end)

		-- rfc5246.E.2.sslv2-hello
		it("with the TLS suites of a hello in the form of SSLv2", function ()
			-- OpenSSL 4.0 ends the handshake before it has a hello.
			local has_form = tonumber(versions_here.openssl:match "^%d+") < 4
			assert.same(has_form and { versions = { 2 }, suites = {} } or nil, offered "sslv2")
			local body = "\1\3\1\0\9\0\0\0\16" .. "\1\0\128" .. "\0\0\5" .. "\0\0\255" .. ("c"):rep(16)
			assert.same(has_form and { versions = { 0x0301 }, suites = { 5 } } or nil,
				(fed(server(), "\128" .. string.char(#body) .. body)).offer)
		end)

		-- rfc6066.3.one-host-name, rfc7301.3.1.protocol-names
		it("with names as they were sent, NUL or not", function ()
			local offer = offered(vary(offers.rc4, {
				server_name = "a\0b.test", extensions = { { 16, "\0\12\3h\0002\7a\1\255\0'\"\\" } },
			}))
			assert.equal("a\0b.test", offer.server_name)
			assert.same({ "h\0002", "a\1\255\0'\"\\" }, offer.alpn)
		end)

		it("that says so where it is cut", function ()
			local many = {}
			for number = 1, 200 do
				many[number] = 0x7000 + number
			end
			local offer = offered { suites = many }
			assert.equal(128, #offer.suites)
			assert.equal(0x7001, offer.suites[1])
			assert.equal(0x7080, offer.suites[128])
			assert.is_true(offer.cut)
			assert.is_nil(offered("rc4").cut)
			local exactly = offered { suites = { (table.unpack or unpack)(many, 1, 128) } } -- luacheck: std max
			assert.equal(128, #exactly.suites)
			assert.is_nil(exactly.cut)
			for field, most in pairs { versions = 16, groups = 48, signature_schemes = 48 } do
				local cut = offered(vary(offers.rc4, { [field] = { (table.unpack or unpack)(many, 1, most + 1) } }))
				assert.equal(most, #cut[field], field)
				assert.is_true(cut.cut)
				local whole = offered(vary(offers.rc4, { [field] = { (table.unpack or unpack)(many, 1, most) } }))
				assert.equal(most, #whole[field], field)
				assert.is_nil(whole.cut)
			end
			local protocols = ("\9protocol-"):rep(20)
			offer = offered(vary(offers.rc4, { extensions = { { 16, "\0\200" .. protocols } } }))
			assert.equal(16, #offer.alpn)
			assert.is_true(offer.cut)
			offer = offered(vary(offers.rc4, { server_name = ("n"):rep(300) }))
			assert.equal(("n"):rep(255), offer.server_name)
			assert.is_true(offer.cut)
		end)

		it("of the readable part of a broken list", function ()
			for name, case in pairs {
				["an odd length"] = { { 10, "\0\5\0\23\0\24\0" }, "groups", { 23, 24 } },
				["a length beyond the end"] = { { 10, "\0\255\0\23" }, "groups", { 23 } },
				["more than its length"] = { { 10, "\0\2\0\23\0\24" }, "groups", { 23 } },
				["an empty list"] = { { 10, "\0\0" }, "groups", {} },
				["not even a length"] = { { 10, "\0" }, "groups" },
				["empty versions"] = { { 43, "\0" }, "versions", {} },
				["versions without a length"] = { { 43, "" }, "versions", { 0x0303 } },
				["an empty protocol"] = { { 16, "\0\6\0\1a\0\1b" }, "alpn", { "", "a", "", "b" } },
				["a protocol beyond the end"] = { { 16, "\0\4\1a\9b" }, "alpn", { "a" } },
				["no protocols"] = { { 16, "\0\0" }, "alpn", {} },
				["an empty server name"] = { { 0, "\0\3\0\0\0" }, "server_name" },
				["a server name beyond the end"] = { { 0, "\0\5\0\0\9ab" }, "server_name" },
				["a server name of another type"] = { { 0, "\0\5\1\0\2ab" }, "server_name" },
				["an empty extension of server names"] = { { 0, "" }, "server_name" },
				["signature schemes of one byte"] = { { 13, "\0\1\4" }, "signature_schemes", {} },
			} do
				local offer = offered(vary(offers.rc4, { extensions = { case[1] } }))
				assert.same(case[3], offer[case[2]], name)
				assert.is_nil(offer.cut, name)
			end
		end)

		it("of an empty list of suites", function ()
			assert.same({}, offered({ suites = {} }).suites)
		end)

		it("in a hello as large as OpenSSL takes", function ()
			local offer = offered(vary(offers.rc4, { server_name = "example.test", extensions = {
				{ 0x5555, ("x"):rep(16000 - 400) },
			} }))
			assert.equal("example.test", offer.server_name)
		end)

		it("that is the first, if the server asks for another hello", function ()
			local offer = { versions = { "TLSv1.3" }, suites = { "TLS_AES_128_GCM_SHA256", 5 }, groups = { "secp256r1" } }
			local again = vary(offer, {
				suites = { "TLS_AES_128_GCM_SHA256", 4 }, groups = { "secp384r1" }, server_name = "late.test",
			})
			local record = fed(server(), client_hello.build(offer), client_hello.build(again))
			assert.same({
				versions = { 0x0304 }, suites = { 0x1301, 5 }, groups = { 23 }, signature_schemes = schemes,
				server_name = "late.test",
			}, record.offer)
		end)

		it("of a real client that was asked for another hello", function ()
			local near = client({ groups = { "x448", "x25519" } }, { verify = "require" })
			local far = server { groups = { "x25519" } }
			assert.is_nil((handshake.between(near, far)))
			local list = recorded()
			local offer = assert(list[1].offer or list[2].offer)
			assert.same({ 30, 29 }, offer.groups)
			assert.is_nil(offer.cut)
		end)
	end)

	describe("has a label", function ()
		local function label(context)
			local record = fed(context, hellos.rc4)
			return record and record.label
		end

		it("of its context, before and after settings are applied", function ()
			local context = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
			local before = context:settings()
			assert.is_true(context:observe(1))
			assert.same(before, context:settings())
			assert.equal(1, label(context))
			assert(context:apply { minimum_version = "TLSv1.2" })
			assert.equal(1, label(context))
			assert.is_true(context:observe(2147483647))
			assert.equal(2147483647, label(context))
			assert.same("TLSv1.2", context:settings().minimum_version)
			assert.is_nil((context:apply { groups = { "none" } }))
			assert.equal(2147483647, label(context))
		end)

		it("and none, if the context was only put under settings", function ()
			local context = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
			assert(context:apply {})
			local record = fed(context, hellos.rc4)
			assert.is_nil(record.label)
			assert.equal("handshake_failure", record.alert)
		end)

		it("until release, which ends the observation", function ()
			local context = server()
			assert.equal(7, label(context))
			assert(context:release())
			assert.is_nil((fed(context, hellos.rc4)))
			assert(context:apply {})
			assert.is_nil(label(context))
			assert(context:observe(9))
			assert.equal(9, label(context))
		end)

		it("that is still its own when the settings could not be applied at all", function ()
			local context = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
			assert.is_nil((context:apply { groups = { "none" } }))
			assert.is_nil((fed(context, hellos.rc4)))
		end)

		it("whichever of several contexts it is", function ()
			local one, other = server(), server()
			other:observe(70)
			local first, second = core.connection.new(one), core.connection.new(other)
			feed(second, hellos.rc4)
			feed(first, hellos.tls10)
			local list = recorded()
			assert.same({ 70, 7 }, { list[1].label, list[2].label })
		end)

		for _, wrong in ipairs { "0", "-1", "1.5", "2147483648", "1e300", "0/0", "nil", "'1'", "{}" } do
			it("but not " .. wrong, function ()
				local context = server()
				local value = (loadstring or load)("return " .. wrong)() -- luacheck: std max
				local ok, message = pcall(context.observe, context, value)
				assert.is_false(ok)
				assert.matches(type(value) == "number" and "integer from 1 to 2147483647 expected" or "number expected", message)
				assert.equal(7, label(context))
			end)
		end

		it("and keeps offers or not, but not perhaps", function ()
			local ok, message = pcall(server().observe, server(), 1, 1)
			assert.is_false(ok)
			assert.matches("boolean expected", message)
		end)
	end)

	describe("leaves the offer of a finished one", function ()
		local function keeping()
			local context = server()
			assert(context:observe(7, true))
			return context
		end

		it("where the context keeps them", function ()
			for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
				local one, other = assert(handshake.between(client {
					maximum_version = version, ciphers = { "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" },
					ciphersuites = { "TLS_AES_256_GCM_SHA384" }, groups = { "x25519", "secp256r1" },
				}, keeping(), { server_name = "example.test" }))
				local offer = other:offer()
				assert.same({
					versions = version == "TLSv1.2" and { 0x0303 } or { 0x0304, 0x0303 },
					suites = version == "TLSv1.2" and { 0xC02B } or { 0x1302, 0xC02B },
					groups = { 29, 23 }, signature_schemes = offer.signature_schemes, server_name = "example.test",
				}, { versions = { offer.versions[1], offer.versions[2] }, suites = offer.suites, groups = offer.groups,
					signature_schemes = offer.signature_schemes, server_name = offer.server_name })
				assert.is_true(#offer.signature_schemes > 3)
				assert.same(offer, other:offer())
				assert.same({ nil, "no offer was kept", "missing" }, { one:offer() })
			end
			assert.same({}, recorded())
		end)

		it("and nowhere else", function ()
			local _, other = assert(handshake.between(client(), server()))
			assert.same({ nil, "no offer was kept", "missing" }, { other:offer() })
			local context = keeping()
			assert(context:observe(7))
			_, other = assert(handshake.between(client(), context))
			assert.same({ nil, "no offer was kept", "missing" }, { other:offer() })
		end)

		it("but not before it is finished, or if its context is not observed", function ()
			local context = keeping()
			local connection = core.connection.new(context)
			assert.same({ nil, "the connection's context is not observed", "unobserved" }, { connection:offer() })
			feed(connection, hellos.tls12)
			assert.same({ nil, "the handshake is not finished", "handshake" }, { connection:offer() })
			context:release()
			local _, other = assert(handshake.between(client(), context))
			assert.same({ nil, "the connection's context is not observed", "unobserved" }, { other:offer() })
		end)

		it("beside the label of the context that it finished on", function ()
			local context = keeping()
			local _, other = assert(handshake.between(client(), context))
			assert.equal(7, other:label())
			-- The label of another time is not the connection's.
			assert(context:observe(8, true))
			assert.equal(7, other:label())
			local connection = core.connection.new(context)
			feed(connection, hellos.tls12)
			assert.same({ nil, "the handshake is not finished", "handshake" }, { connection:label() })
			context:release()
			assert.equal(7, other:label())
			assert(context:apply {})
			_, other = assert(handshake.between(client(), context))
			assert.same({ nil, "the context has no label", "missing" }, { other:label() })
		end)

		it("that outlives the release", function ()
			local context = keeping()
			local _, other = assert(handshake.between(client(), context))
			context:release()
			assert.is_true(#other:offer().suites > 0)
		end)

		it("beside resumption, which reads the hello, too", function ()
			local context = server { no_stateless_tickets = true }
			assert(context:observe(7, true))
			local store = assert(core.session_store.new { memory = 1, lifetime = 3600 })
			assert(context:resume(store, "host", { ["example.test"] = "other" }))
			local near = client { maximum_version = "TLSv1.2" }
			local session
			for _ = 1, 2 do
				local one, other = assert(handshake.between(near, context, { session = session, server_name = "example.test" }))
				assert.equal(session ~= nil, other:facts().resumed)
				assert.equal("example.test", other:offer().server_name)
				session = assert(one:insecure_session())
				one:shutdown()
			end
			assert.equal(1, store:stats().hits)
			assert(context:resume(nil))
			local _, other = assert(handshake.between(near, context))
			assert.is_true(#other:offer().suites > 0)
			assert.equal("rc4", fed(context, hellos.rc4) and "rc4")
		end)
	end)

	it("makes room for newer ones, and says how many", function ()
		local context = server()
		for index = 1, 1000 do
			local connection = core.connection.new(context)
			feed(connection, client_hello.build { suites = { index } })
			connection:close()
		end
		local list, lost = recorded()
		assert.equal(872, lost)
		assert.equal(128, #list)
		for index, record in ipairs(list) do
			assert.same({ 872 + index }, record.offer.suites)
		end
		list, lost = recorded()
		assert.same({}, list)
		assert.equal(0, lost)
		assert.equal("protocol_version", fed(context, hellos.tls10).alert)
	end)

	describe("is returned once, whatever finalisers do while the list is made:", function ()
		local context, seen, made, found, missed, many

		before_each(function ()
			context, seen, made, found, missed, many = server(), {}, 0, 0, 0, {}
			for index = 3, 128 do
				many[index] = 0x7000
			end
		end)

		local function take()
			local list, lost = observer.refusals()
			for _, record in ipairs(list) do
				local mark = record.offer.suites[2]
				assert.is_nil(seen[mark])
				seen[mark] = true
			end
			found, missed = found + #list, missed + lost
			return #list, lost
		end

		-- Connections whose handshakes are not finished.
		local function open(count)
			local connections = {}
			for index = 1, count do
				made = made + 1
				many[1], many[2] = 0xC02B, 0x7000 + made
				connections[index] = core.connection.new(context)
				feed(connections[index], client_hello.build { suites = many })
			end
			return connections
		end

		local function refuse(count)
			for _, connection in ipairs(open(count)) do
				connection:close()
			end
		end

		-- They choose when the collector runs.
		local function pending_if_eager()
			if package.loaded["support.collector"] then
				pending "the eager collector runs finalisers before the list is made"
			end
		end

		it("they may end connections", function ()
			pending_if_eager()
			collectgarbage "stop"
			refuse(128)
			open(200)
			local pause, multiplier = collector_pace.set(200, 1000000)
			collectgarbage "restart"
			local told, lost = take()
			collector_pace.set(pause, multiplier)
			assert.is_true(told < 128 and lost > 0, "no finaliser ran")
			collectgarbage()
			collectgarbage()
			take()
			assert.equal(made, found + missed)
		end)

		it("they may refuse others", function ()
			pending_if_eager()
			if _VERSION == "Lua 5.1" then
				pending "tables have no finalisers in Lua 5.1"
			end
			local function leave_garbage()
				return #{ setmetatable({}, { __gc = function () refuse(100) end }) }
			end
			refuse(128)
			collectgarbage()
			collectgarbage "stop"
			leave_garbage()
			local pause, multiplier = collector_pace.set(200, 1000000)
			collectgarbage "restart"
			local told, lost = take()
			collector_pace.set(pause, multiplier)
			assert.is_true(told >= 28 and told < 128, "no finaliser ran")
			assert.equal(128, told + lost)
			take()
			assert.equal(made, found + missed)
		end)
	end)

	describe("takes no memory,", function ()
		-- Calls `action` so often, after a warm-up, and looks at the memory.
		local function stays(warm_up, count, action)
			for line in io.lines "/proc/self/maps" do
				if line:find("libasan", 1, true) or line:find("vgpreload", 1, true) then
					pending "AddressSanitizer and Valgrind keep what was freed"
				end
			end
			local function run(times)
				for index = 1, times do
					action()
					if index % 1000 == 0 then
						collectgarbage()
					end
				end
			end
			run(warm_up)
			local before = resident()
			run(count)
			assert.is_true(resident() - before < 2048, ("%d KiB more"):format(resident() - before))
		end

		it("however many there are", function ()
			local context = server()
			stays(5000, 100000, function ()
				local connection = core.connection.new(context)
				connection:feed(hellos.rc4)
				connection:handshake()
				connection:close()
			end)
			local list, lost = observer.refusals()
			assert.equal(105000, #list + lost)
		end)

		it("nor keeps a context", function ()
			stays(1000, 2000, function ()
				local context = assert(core.context.new { role = "server" })
				assert(context:observe(7))
				local connection = core.connection.new(context)
				connection:feed(hellos.rc4)
				connection:handshake()
				connection:close()
				context:close()
			end)
		end)

		it("nor does the offer of a finished one, when its connection is gone", function ()
			local context = server { no_stateless_tickets = true, maximum_version = "TLSv1.2" }
			assert(context:observe(7, true))
			assert(context:resume(assert(core.session_store.new { memory = 1, lifetime = 3600 }), "host"))
			local near = client { maximum_version = "TLSv1.2" }
			local session
			stays(1000, 20000, function ()
				local one, other = assert(handshake.between(near, context, { session = session }))
				session = session or assert(one:insecure_session())
				one:shutdown()
				one:close()
				other:close()
			end)
		end)
	end)

	describe("over a socket", function ()
		local listener, address

		local families = { { "IPv4", "127.0.0.1" }, { "IPv6", "::1" } }

		local function listen(where)
			local reason
			listener, reason = socket.bind(where, 0)
			if not listener then
				pending(("cannot listen on %s: %s"):format(where, reason))
			end
			address = where
			listener:settimeout(process.PATIENCE)
		end

		after_each(function ()
			if listener then
				listener:close()
				listener = nil
			end
		end)

		-- A raw client's socket, its port, and the server's LuaSec connection.
		local function meet(context)
			local near = assert((address:find(":", 1, true) and socket.tcp6 or socket.tcp4 or socket.tcp)())
			near:settimeout(process.PATIENCE)
			assert(near:connect(address, (select(2, listener:getsockname()))))
			local _, port = near:getsockname()
			local far = assert(ssl.wrap(assert(listener:accept()), context))
			far:settimeout(0)
			return near, tonumber(port), far
		end

		-- Waits for what the peer does, and goes on with the handshake.
		local function go_on(far)
			assert.equal(far, socket.select({ far }, nil, process.PATIENCE)[1])
			return far:dohandshake()
		end

		local function observed(more)
			local context = luasec(more)
			assert(core.context.adopt(context):observe(5))
			return context
		end

		for _, family in ipairs(families) do
			it("has the peer's address, " .. family[1], function ()
				listen(family[2])
				local context = observed()
				local ways = {
					function (near) near:send(hellos.rc4) end,
					function (near) near:send "GET / HTTP/1.1\r\n\r\n" end,
				}
				for _, way in ipairs(ways) do
					local near, port, far = meet(context)
					way(near)
					go_on(far)
					near:close()
					far:close()
					local list = recorded()
					assert.equal(1, #list)
					assert.equal(family[2], list[1].address)
					assert.equal(port, list[1].port)
					assert.equal(5, list[1].label)
					assert.equal("server", list[1].role)
				end
			end)

			it("has the server's address at a client, " .. family[1], function ()
				listen(family[2])
				local context = assert(ssl.newcontext { mode = "client", protocol = "any", verify = "none" })
				assert(core.context.adopt(context):observe(6))
				local near = assert((address:find(":", 1, true) and socket.tcp6 or socket.tcp4 or socket.tcp)())
				local _, port = listener:getsockname()
				assert(near:connect(address, port))
				near = assert(ssl.wrap(near, context))
				near:sni "far.test"
				near:settimeout(0)
				near:dohandshake()
				local far = assert(listener:accept())
				far:send(alert_record(2, 112))
				assert.is_false((go_on(near)))
				assert.same({ {
					role = "client", label = 6, address = family[2], port = tonumber(port),
					alert = "unrecognized_name", alert_sent = false, reason = "tlsv1 unrecognized name", server_name = "far.test",
				} }, recorded())
				near:close()
				far:close()
				assert.same({}, recorded())
			end)
		end

		it("has the name of the server that was expected on the socket, once, where there is no SNI", function ()
			listen "127.0.0.1"
			local context = assert(ssl.newcontext { mode = "client", protocol = "any", verify = "none" })
			assert(core.context.adopt(context):observe(6))
			local function fail(expected, name)
				local near = assert(socket.tcp())
				assert(near:connect(address, (select(2, listener:getsockname()))))
				near = assert(ssl.wrap(near, context))
				if name then
					near:sni(name)
				end
				if expected then
					assert.is_true(core.observer.expect_server(near:getfd(), expected))
				end
				near:settimeout(0)
				near:dohandshake()
				local far = assert(listener:accept())
				far:send(alert_record(2, 40))
				assert.is_false((go_on(near)))
				near:close()
				far:close()
				return recorded()[1].server_name
			end
			assert.equal("far.test", fail("far.test"))
			assert.is_nil(fail())
			assert.equal("asked.test", fail("far.test", "asked.test"))
			assert.is_nil(fail())
			for _, wrong in ipairs { -1, 1.5, 2 ^ 40 } do
				assert.has_error(function () core.observer.expect_server(wrong, "far.test") end)
			end
		end)

		it("has the name that the peer of our server claimed, once, whatever the SNI is", function ()
			listen "127.0.0.1"
			local context = observed()
			local function fail(claimed)
				local near, _, far = meet(context)
				if claimed then
					assert.is_true(core.observer.expect_server(far:getfd(), claimed))
				end
				near:send(hellos.rc4)
				go_on(far)
				near:close()
				far:close()
				local list = recorded()
				assert.equal("server", list[1].role)
				return list[1].server_name
			end
			assert.equal("far.test", fail "far.test")
			assert.is_nil(fail())
		end)

		-- rfc4291.2.5.5.2.ipv4-mapped
		it("has an IPv4 address, also where IPv6 carries it", function ()
			local both = assert(socket.tcp6())
			if not (both:setoption("ipv6-v6only", false) and both:bind("::", 0) and both:listen()) then
				pending "no listener for both families"
			end
			listener, address = both, "127.0.0.1"
			listener:settimeout(process.PATIENCE)
			local near, port, far = meet(observed())
			near:send(hellos.rc4)
			go_on(far)
			near:close()
			far:close()
			local record = recorded()[1]
			assert.equal("127.0.0.1", record.address)
			assert.equal(port, record.port)
		end)

		it("is recorded when the peer goes away, in whatever way", function ()
			listen "127.0.0.1"
			local context = observed()
			for name, leave in pairs {
				["closed"] = function (near, far)
					near:shutdown "send"
					assert.is_false((go_on(far)))
				end,
				["reset"] = function (near, far)
					near:setoption("linger", { on = true, timeout = 0 })
					near:close()
					assert.is_false((go_on(far)))
				end,
				["never answered"] = function () end,
			} do
				for _, bytes in ipairs { hellos.tls12, hellos.tls12:sub(1, 30) } do
					local near, port, far = meet(context)
					near:send(bytes)
					assert.equal("wantread", select(2, go_on(far)))
					leave(near, far)
					local list = recorded()
					assert.equal(name == "never answered" and 0 or 1, #list, name)
					far:close()
					near:close()
					list[#list + 1] = recorded()[1]
					assert.equal(1, #list, name)
					assert.equal("127.0.0.1", list[1].address)
					assert.equal(port, list[1].port)
					assert.equal(#bytes > 30, list[1].offer ~= nil, name)
					assert.equal(name == "closed" and "unexpected eof while reading" or nil, list[1].reason)
				end
			end
		end)

		it("is none where a port was only tried", function ()
			listen "127.0.0.1"
			local context = observed()
			local near, _, far = meet(context)
			assert.equal("wantread", select(2, far:dohandshake()))
			near:close()
			assert.is_false((go_on(far)))
			far:close()
			near, _, far = meet(context)
			near:close()
			far:close()
			assert.same({}, recorded())
		end)

		it("leaves OpenSSL's errors to LuaSec", function ()
			listen "127.0.0.1"
			local plain, observed_one = luasec(), observed()
			for name, case in pairs {
				suite = { hellos.rc4 }, version = { hellos.sslv3 }, http = { "GET / HTTP/1.1\r\n\r\n" },
				garbage = { ("\0\255"):rep(50) }, alert = { hellos.tls12, alert_record(2, 48) }, left = { hellos.tls12, false },
				goodbye = { hellos.tls12, alert_record(1, 0) }, half = { hellos.tls12:sub(1, 20), false },
				reset = { hellos.tls12:sub(1, 20), true },
			} do
				local said = {}
				for index, context in ipairs { plain, observed_one } do
					local near, _, far = meet(context)
					local done, message
					for _, step in ipairs(case) do
						if type(step) == "string" then
							near:send(step)
						elseif step then
							near:setoption("linger", { on = true, timeout = 0 })
							near:close()
						else
							near:shutdown "send"
						end
						done, message = go_on(far)
					end
					assert.is_falsy(done)
					said[index] = message
					far:close()
					near:close()
				end
				assert.equal("string", type(said[1]), name)
				assert.equal(said[1], said[2], name)
				assert.equal(1, #recorded(), name)
			end
		end)

		it("has the label of the context that SNI chose, or of the first", function ()
			listen "127.0.0.1"
			local base, labelled, applied, stranger = observed(), luasec(), luasec(), luasec()
			assert(core.context.adopt(labelled):observe(50))
			assert(core.context.adopt(applied):apply { minimum_version = "TLSv1.2" })
			for name, expected in pairs { ["a.test"] = 50, ["b.test"] = 5, ["c.test"] = 5, ["d.test"] = 5 } do
				local near, _, far = meet(base)
				far:sni({ ["a.test"] = labelled, ["b.test"] = applied, ["c.test"] = stranger }, false)
				near:send(client_hello.build(vary(offers.tls12, { server_name = name })))
				assert.equal("wantread", select(2, go_on(far)))
				near:send(alert_record(2, 48))
				assert.is_false((go_on(far)))
				far:close()
				near:close()
				local list = recorded()
				assert.equal(1, #list, name)
				assert.equal(expected, list[1].label, name)
				assert.equal(name, list[1].offer.server_name)
				assert.equal("unknown_ca", list[1].alert)
			end
		end)

		-- Two LuaSec ends that finish a handshake.
		local function finish(near, far)
			local near_done, far_done, reason
			near:settimeout(0)
			repeat
				near_done = near_done or near:dohandshake()
				if not far_done then
					far_done, reason = far:dohandshake()
				end
				if not far_done then
					assert.is_true(reason == "wantread" or reason == "wantwrite", reason)
				end
			until near_done and far_done
		end

		it("is none that was finished on a context that SNI chose and that is not observed", function ()
			listen "127.0.0.1"
			local base, stranger = observed(), luasec()
			for _, protocol in ipairs { "tlsv1_2", "any" } do
				local near, _, far = meet(base)
				far:sni({ ["c.test"] = stranger }, true)
				near = assert(ssl.wrap(near, { mode = "client", protocol = protocol, verify = "none" }))
				near:sni "c.test"
				finish(near, far)
				near:close()
				far:close()
				assert.same({}, recorded())
			end
		end)

		it("leaves the offer of a finished one to be asked by LuaSec's connection", function ()
			listen "127.0.0.1"
			local context = luasec()
			local adopted = core.context.adopt(context)
			assert(adopted:observe(5, true))
			local near, _, far = meet(context)
			near = assert(ssl.wrap(near, {
				mode = "client", protocol = "tlsv1_2", verify = "none", alpn = { "xmpp-client", "h2" },
				ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256", curveslist = "X25519:P-256",
			}))
			near:sni "example.test"
			assert.same({ nil, "the connection's context was not under the policy", "unobserved" }, { observer.offer(far) })
			finish(near, far)
			local offer = observer.offer(far)
			assert.is_true(#offer.signature_schemes > 3)
			offer.signature_schemes = nil
			assert.same({
				versions = { 0x0303 }, suites = { 0xC02B }, groups = { 29, 23 }, server_name = "example.test",
				alpn = { "xmpp-client", "h2" },
			}, offer)
			assert.equal("TLSv1.2", observer.facts(far).version)
			assert(adopted:release())
			assert.same({ 0xC02B }, observer.offer(far).suites)
			near:close()
			far:close()
			assert.same({ nil, "the connection is closed", "closed" }, { observer.offer(far) })
			assert.is_false((pcall(observer.offer, near and {})))
			assert.same({}, recorded())
		end)
	end)
end)
