-- The server as a client: real servers, and made ones for what no real one does.
local callback = require "xmpp_tls_policy.audit.callback"
local callback_certificates = require "xmpp_tls_policy.audit.callback_certificates"
local calling_server = require "support.calling_server"
local client_hello = require "xmpp_tls_policy.audit.client_hello"
local core = require "xmpp_tls_policy.core"
local ejabberd = require "support.ejabberd"
local endpoint = require "xmpp_tls_policy.audit.endpoint"
local free_ports = require "support.free_ports"
local lfs = require "lfs"
local observations = require "xmpp_tls_policy.audit.observations"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local skipped_time = require "support.skipped_time"
local tasks = require "xmpp_tls_policy.audit.tasks"

-- The end of a wait that begins now.
local function soon()
	return tasks.now() + process.PATIENCE
end

local VERSIONS = { "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" }

-- "true", "false", or "untested", without "client.".
local function seen(observed, ...)
	local found = {}
	for _, name in ipairs { ... } do
		local observation = assert(observed["client." .. name], name)
		assert.is_string(observation.seen == nil and observation.reason or observation.evidence)
		found[name] = observation.seen == nil and "untested" or tostring(observation.seen)
	end
	return found
end

-- All of `names` -> value.
local function all(value, names)
	local expected = {}
	for _, name in ipairs(names) do
		expected[name] = value
	end
	return expected
end

local certificates = { "accepts_self_signed", "accepts_expired", "accepts_wrong_name" }
local without_starttls = { "aborts_without_starttls", "attempts_without_starttls" }

local function shown(observed, list)
	return seen(observed, (table.unpack or unpack)(list))
end

describe("a real server as a client", function ()
	local authority, certificate, own

	setup(function ()
		authority = pki.authority()
		certificate = authority:issue { names = { "far.test" }, key = "rsa2048" }
		own = authority:issue { names = { "our.test" }, key = "rsa2048" }
	end)

	teardown(pki.remove)

	-- The observations at a server that was started.
	local function examine(server, port, options)
		local given = { address = "127.0.0.1", port = port, patience = 20 }
		for name, value in pairs(options or {}) do
			given[name] = value
		end
		local observed = tasks.run(function ()
			return callback.examine(endpoint.new {
				domain = "far.test", service = "s2s", host = "localhost", address = "127.0.0.1", port = server.ports.s2s,
				from = "our.test", timeout = 20,
			}, given)
		end)
		server:stop()
		return observed
	end

	-- The observations at a Prosody with this specification.
	local function observed_of(spec, options)
		local port = free_ports(1)[1]
		spec.hosts, spec.ca = { ["far.test"] = certificate }, authority.certificate
		spec.routes = { ["our.test"] = { s2s = port } }
		return examine(prosody.start(spec), port, options)
	end

	-- The draft forbids that a stream without STARTTLS goes on; RFC 7590 wants an attempt.
	local levels = {
		["without the policy"] = { {}, aborts = "false", attempts = "true" },
		["under the draft, level should"] = { { with_policy = true }, aborts = "true", attempts = "false" },
		["under the draft, level must"] = { { with_policy = true, policy = { level = "must" } },
			aborts = "true", attempts = "false" },
		["under RFC 9325"] = { { with_policy = true, policy = { profile = "rfc9325" } },
			aborts = "false", attempts = "true" },
		["without encryption"] = { { options = { s2s_require_encryption = false } }, aborts = "false", attempts = "false" },
	}
	for words, case in pairs(levels) do
		it(("support.abort, support.flag, unauth.encrypt: is seen %s"):format(words), function ()
			local observed = observed_of(case[1])
			assert.same({ calls_back = "true", ignores_required = "true", hello = "true" },
				seen(observed, "calls_back", "ignores_required", "hello"))
			assert.same({ aborts_without_starttls = case.aborts, attempts_without_starttls = case.attempts },
				shown(observed, without_starttls))
			assert.same(all("true", certificates), shown(observed, certificates))
			assert.same({ ["version.TLSv1.1"] = "false", ["version.TLSv1.2"] = "true", ["version.TLSv1.3"] = "true" },
				seen(observed, "version.TLSv1.1", "version.TLSv1.2", "version.TLSv1.3"))
			local hello = observed["client.hello"].value
			assert.same({ "TLSv1.3", "TLSv1.2" }, hello.versions)
			assert.is_true(#hello.suites > 3 and #hello.groups > 1 and #hello.key_shares > 0)
			assert.is_nil(observed["client.accepts_valid"].seen)
		end)
	end

	it("is seen as ejabberd, with our domain as server name", function ()
		local installed, reason = ejabberd.version()
		if not installed then
			return pending(reason)
		end
		for starttls, aborts in pairs { required = "true", optional = "false" } do
			local port = free_ports(1)[1]
			local observed = examine(ejabberd.start {
				hosts = { ["far.test"] = certificate }, ca = authority.certificate, peers = { "our.test" }, peer_port = port,
				options = { s2s_use_starttls = starttls, s2s_protocol_options = { "no_tlsv1_3" } },
			}, port)
			assert.same({
				aborts_without_starttls = aborts, attempts_without_starttls = "false", ignores_required = "true",
				sni = "true", ["version.TLSv1.3"] = "false", ["version.TLSv1.2"] = "true", ["version.TLSv1.1"] = "untested",
			}, seen(observed, "aborts_without_starttls", "attempts_without_starttls", "ignores_required", "sni",
				"version.TLSv1.3", "version.TLSv1.2", "version.TLSv1.1"))
		end
	end)

	it("version.tls11: is seen to offer old versions", function ()
		local observed = observed_of { options = { ssl = { protocol = "tlsv1+", ciphers = "DEFAULT@SECLEVEL=0" } } }
		assert.same({ ["version.SSLv3"] = "false", ["version.TLSv1"] = "true", ["version.TLSv1.1"] = "true" },
			seen(observed, "version.SSLv3", "version.TLSv1", "version.TLSv1.1"))
	end)

	it("version.tls11: is seen where it has nothing else", function ()
		local observed = observed_of { options = { ssl = { protocol = "tlsv1_1", ciphers = "DEFAULT@SECLEVEL=0" } } }
		assert.same(all("true", certificates), shown(observed, certificates))
		assert.same({ ["version.TLSv1"] = "untested", ["version.TLSv1.1"] = "true", ["version.TLSv1.2"] = "false" },
			seen(observed, "version.TLSv1", "version.TLSv1.1", "version.TLSv1.2"))
	end)

	it("cert.identity: is seen to refuse certificates that are not valid, and to take a valid one", function ()
		local contexts = {}
		for kind, options in pairs {
			self_signed = false, expired = { names = { "our.test" }, expired = true }, wrong_name = { names = { "x.test" } },
		} do
			local files = options and authority:issue(options) or pki.self_signed { names = { "our.test" } }
			contexts[kind] = assert(core.context.new {
				role = "server", verify = "none", certificate = files.certificate, key = files.key,
			})
		end
		for _, given in ipairs { { contexts = contexts }, {} } do
			given.certificate, given.key = own.certificate, own.key
			local observed = observed_of({ options = { s2s_secure_auth = true } }, given)
			assert.same(all("false", certificates), shown(observed, certificates))
			assert.same({ accepts_valid = "true", calls_back = "true" }, seen(observed, "accepts_valid", "calls_back"))
			assert.matches("certificate", observed["client.accepts_expired"].evidence)
		end
	end)

	it("tests nothing where the server refuses dialback, and says why", function ()
		local refusals = {
			["not%-authorized"] = { options = { s2s_secure_auth = true } },
			["policy%-violation"] = { with_policy = true, policy = { unauthenticated_s2s = "refuse" } },
		}
		for reason, spec in pairs(refusals) do
			local observed = observed_of(spec)
			for name, observation in pairs(observed) do
				local is_refusal = name == "client.calls_back"
				assert.equal(is_refusal and "false" or "nil", tostring(observation.seen), name)
				assert.matches(reason, is_refusal and observation.evidence or observation.reason)
			end
		end
	end)
end)

describe("a made server as a client", function ()
	local files, contexts, client_contexts, port, time

	setup(function ()
		files = pki.self_signed { names = { "far.test" }, key = "rsa2048" }
		contexts = {}
		for kind in pairs(callback_certificates.kinds) do
			local shown_files = pki.self_signed { names = { "our.test" }, key = "rsa2048" }
			contexts[kind] = assert(core.context.new {
				role = "server", verify = "none", certificate = shown_files.certificate, key = shown_files.key,
			})
		end
		client_contexts = {
			trusting = assert(core.context.new { role = "client", verify = "none" }),
			verifying = assert(core.context.new { role = "client" }),
			tls12 = assert(core.context.new { role = "client", verify = "none" }),
		}
		assert(client_contexts.tls12:apply { minimum_version = "TLSv1.1", maximum_version = "TLSv1.2" })
	end)

	before_each(function ()
		port = free_ports(1)[1]
		time = skipped_time.start()
	end)

	after_each(function ()
		time.stop()
	end)

	teardown(pki.remove)

	local function examine(call, options)
		local given = { address = "127.0.0.1", port = port, patience = process.PATIENCE, contexts = contexts }
		for name, value in pairs(options or {}) do
			given[name] = value
		end
		return calling_server.run(files, port, call, function (point)
			return callback.examine(point, given)
		end)
	end

	-- Where nothing comes at all.
	local short = { patience = 3 }

	-- Waits until the other side closes.
	local function drain(connection)
		repeat
			local bytes = connection:read(soon())
		until not bytes
	end

	-- The server says nothing more. The audit waits for half of its patience.
	local function fall_silent(connection)
		time.skip(process.PATIENCE / 2 + 1)
		drain(connection)
	end

	local function has_starttls(features)
		return features.children[1].name == "starttls"
	end

	local untested = { "calls_back", "hello", "sni", "ignores_required", "accepts_valid" }
	for _, list in ipairs { certificates, without_starttls } do
		for _, name in ipairs(list) do
			untested[#untested + 1] = name
		end
	end
	for _, version in ipairs(VERSIONS) do
		untested[#untested + 1] = "version." .. version
	end

	-- What is no connection of the audited server's to our domain tells nothing.
	local silences = {
		["that never calls"] = { "no answer in time", function (_, _, stream) drain(stream.transport) end },
		["that cannot reach us"] = { "remote%-connection%-failed", function (_, _, stream)
			stream:write("<db:result xmlns:db='jabber:server:dialback' type='error' from='far.test' to='our.test'>"
				.. "<error type='cancel'><remote-connection-failed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
				.. "</db:result>", soon())
			drain(stream.transport)
		end },
		["that says that we are not ourselves"] = { "invalid", function (_, _, stream)
			stream:write("<db:result xmlns:db='jabber:server:dialback' type='invalid' from='far.test' to='our.test'/>",
				soon())
			drain(stream.transport)
		end },
		["that closes"] = { "closed", function () end },
		["beside a stranger, who calls"] = { "no answer in time", function (connect, _, stream)
			for _, header in ipairs { { from = "x.test", to = "our.test" }, { from = "far.test", to = "x.test" }, {} } do
				local connection = connect()
				assert.is_nil(calling_server.open(connection, header))
				connection:close()
			end
			drain(stream.transport)
		end },
		["that calls with direct TLS"] = { "no answer in time", function (connect, _, stream)
			local connection = connect()
			connection:write(client_hello.build { versions = { "TLSv1.2" }, suites = { "TLS_RSA_WITH_AES_128_CBC_SHA" } },
				soon())
			drain(connection)
			connection:close()
			drain(stream.transport)
		end },
	}
	for words, case in pairs(silences) do
		it(("%s: nothing is tested"):format(words), function ()
			local observed = examine(case[2], case[1] == "no answer in time" and short or nil)
			assert.same(all("untested", untested), shown(observed, untested))
			assert.matches(case[1], observed["client.hello"].reason)
		end)
	end

	it("is vouched for its own key alone", function ()
		local answers = {}
		examine(function (connect, key, _, number)
			local connection = connect()
			local stream, features = calling_server.open(connection)
			if has_starttls(features) then
				local secured = calling_server.start_tls(stream, client_contexts.trusting)
				stream = calling_server.open(secured)
				answers[number] = calling_server.verify(stream, number == 1 and key or "another")
			end
			connection:close()
		end)
		assert.same({ "valid", "invalid", "invalid" }, answers)
	end)

	it("support.flag: depends on <required/>", function ()
		local observed = examine(function (connect)
			local connection = connect()
			local stream = calling_server.open(connection)
			stream:write("</stream:stream>", soon())
			connection:close()
		end)
		assert.same({ ignores_required = "false", calls_back = "true", hello = "untested" },
			seen(observed, "ignores_required", "calls_back", "hello"))
		assert.same(all("untested", certificates), shown(observed, certificates))
		assert.same({ aborts_without_starttls = "true", attempts_without_starttls = "false" },
			shown(observed, without_starttls))
	end)

	it("is not tested where it does nothing, or breaks off", function ()
		local observed = examine(function (connect)
			local connection = connect()
			local stream, features = calling_server.open(connection)
			if has_starttls(features) then
				stream:write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", soon())
				stream:read_element(soon())
			end
			fall_silent(connection)
			connection:close()
		end)
		assert.same({ ignores_required = "true", hello = "untested" }, seen(observed, "ignores_required", "hello"))
		assert.same(all("untested", certificates), shown(observed, certificates))
		assert.same(all("untested", without_starttls), shown(observed, without_starttls))
	end)

	-- After <starttls/>: each is given the stream to our listener, and says nothing more.
	local silences_under_tls = {
		["in the handshake"] = function (stream)
			stream:write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", soon())
			stream:read_element(soon())
			stream:write(client_hello.build {
				versions = { "TLSv1.2" }, suites = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" }, groups = { "x25519" },
			}, soon())
			assert(stream.transport:read(soon()))
		end,
		["before its header"] = function (stream)
			calling_server.start_tls(stream, client_contexts.trusting)
		end,
		["after its header"] = function (stream)
			calling_server.open(calling_server.start_tls(stream, client_contexts.trusting))
		end,
	}
	for words, act in pairs(silences_under_tls) do
		it(("is not tested where it falls silent %s"):format(words), function ()
			local observed = examine(function (connect)
				local connection = connect()
				local stream, features = calling_server.open(connection)
				if has_starttls(features) then
					act(stream)
				end
				fall_silent(connection)
				connection:close()
			end)
			assert.same({ ignores_required = "true", hello = "true" }, seen(observed, "ignores_required", "hello"))
			assert.same(all("untested", certificates), shown(observed, certificates))
		end)
	end

	it("refuses certificates in the handshake", function ()
		local observed = examine(function (connect)
			local connection = connect()
			local stream, features = calling_server.open(connection)
			if has_starttls(features) then
				calling_server.start_tls(stream, client_contexts.verifying)
			end
			connection:close()
		end)
		assert.same(all("false", certificates), shown(observed, certificates))
		assert.matches("alert unknown_ca", observed["client.accepts_self_signed"].evidence)
		assert.equal("unknown_ca", observed["client.accepts_self_signed"].value.ended)
	end)

	it("names our domain, and tells only its newest version", function ()
		for name, sni in pairs { ["our.test"] = "true", ["OUR.test"] = "true", ["x.test"] = "false" } do
			local observed = examine(function (connect)
				local connection = connect()
				local stream, features = calling_server.open(connection)
				if has_starttls(features) then
					calling_server.start_tls(stream, client_contexts.tls12, name)
				end
				connection:close()
			end)
			assert.same({
				sni = sni, ["version.SSLv3"] = "untested", ["version.TLSv1"] = "untested", ["version.TLSv1.1"] = "untested",
				["version.TLSv1.2"] = "true", ["version.TLSv1.3"] = "false",
			}, seen(observed, "sni", "version.SSLv3", "version.TLSv1", "version.TLSv1.1", "version.TLSv1.2", "version.TLSv1.3"))
			assert.equal(name, observed["client.hello"].value.server_name)
		end
	end)

	it("cannot print control characters, or make lists long", function ()
		local suites = {}
		for number = 1, 5000 do
			suites[number] = number
		end
		local observed = examine(function (connect)
			local connection = connect()
			local stream, features = calling_server.open(connection)
			if has_starttls(features) then
				stream:write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", soon())
				stream:read_element(soon())
				connection:write(client_hello.build {
					versions = { "TLSv1.2" }, suites = suites, server_name = "\27[31m", groups = { "x25519" },
				}, soon())
				assert(connection:read(soon()))
				fall_silent(connection)
			end
			connection:close()
		end)
		local hello = observed["client.hello"].value
		assert.equal("\\027[31m", hello.server_name)
		assert.equal(200, #hello.suites)
		assert.is_false(observed["client.sni"].seen)
	end)

	it("has no more than a few connections of strangers beside it", function ()
		local open, closed = {}, 0
		local observed = examine(function (connect, _, _, number)
			for _ = 1, number == 1 and 20 or 0 do
				local connection = connect()
				open[#open + 1] = connection
			end
			for index = 9, #open do
				closed = closed + (select(2, open[index]:read(tasks.now() + 20)) == "closed" and 1 or 0)
			end
			for _, connection in ipairs(open) do
				connection:close()
			end
		end)
		assert.equal(12, closed)
		assert.same({ calls_back = "untested" }, seen(observed, "calls_back"))
	end)

	it("is not tested if we cannot listen, or have no domain", function ()
		local observed = examine(function () end, { address = "192.0.2.1" })
		assert.matches("cannot listen", observed["client.calls_back"].reason)
		observed = calling_server.run(files, port, function () end, function (point)
			point.from = nil
			return callback.examine(point, { address = "127.0.0.1", port = port, contexts = contexts })
		end)
		assert.matches("no domain name", observed["client.calls_back"].reason)
	end)
end)

describe("the certificates of a callback", function ()
	it("are what they say, and leave no file", function ()
		-- Of others there may be any, at any time.
		local folder, getenv = process.scratch "tmp", os.getenv
		assert(lfs.mkdir(folder))
		finally(function ()
			rawset(os, "getenv", getenv)
		end)
		local asked = 0
		rawset(os, "getenv", function (name)
			asked = asked + (name == "TMPDIR" and 1 or 0)
			return name == "TMPDIR" and folder or getenv(name)
		end)
		local contexts = tasks.run(function ()
			return assert(callback_certificates.make "our.test")
		end)
		assert.equal(1, asked)
		for name in lfs.dir(folder) do
			assert.matches("^%.%.?$", name)
		end
		local now = os.time()
		for kind in pairs(callback_certificates.kinds) do
			local certificate = contexts[kind]:inspect().certificate
			local facts = certificate:facts()
			assert.equal(kind ~= "wrong_name", certificate:matches("our.test", "xmpp-server"))
			assert.equal(kind == "expired", facts.not_after < now)
			assert.is_true(facts.not_before < now and facts.self_issued)
			assert.is_true(certificate:is_issued_by(certificate))
		end
	end)

	it("are not made without the command, or for a file that is none", function ()
		local path = pki.write "nothing"
		for _, case in ipairs {
			{ function () return callback_certificates.make("x\n[bad") end, "openssl" },
			{ function () return callback_certificates.load("server", path, path) end, "no certificate" },
		} do
			local contexts, message = tasks.run(case[1])
			assert.is_falsy(contexts)
			assert.matches(case[2], message)
		end
		pki.remove()
	end)

	it("every observation has a statement", function ()
		for name in pairs(callback.untested "x") do
			assert.is_string(observations.statements[name] or observations.statements[name:gsub("[^.]+$", "*")]
				or name:find "^client%.version%." and observations.statements["client.version.*"], name)
		end
	end)
end)
