-- The probes of TLS on real servers of OpenSSL and GnuTLS, and on peers made by hand for what no real one does.
local available = require "xmpp_tls_policy.policy.available"
local clauses = require "xmpp_tls_policy.policy.clauses"
local core = require "xmpp_tls_policy.core"
local free_ports = require "support.free_ports"
local hello_answers = require "support.hello_answers"
local observations = require "xmpp_tls_policy.audit.observations"
local pki = require "support.pki"
local probe_run = require "support.probe_run"
local process = require "support.process"
local question = require "xmpp_tls_policy.audit.question"
local socket = require "socket"
local tasks = require "xmpp_tls_policy.audit.tasks"
local tls_peer = require "support.tls_peer"
local tls_servers = require "support.tls_servers"

-- The end of a wait that begins now.
local function soon()
	return tasks.now() + process.PATIENCE
end

describe("the probes of TLS", function ()
	local authority, files, other
	local running = {}

	setup(function ()
		authority = pki.authority()
		files = authority:issue { names = { "a.test" }, key = "rsa2048" }
		other = authority:issue { names = { "b.test" }, key = "rsa2048" }
	end)

	after_each(function ()
		for _, server in ipairs(running) do
			server.close()
		end
		running = {}
	end)

	teardown(pki.remove)

	local function openssl(arguments, own)
		local server = tls_servers.openssl(own or files, arguments)
		running[#running + 1] = server
		return server
	end

	local function gnutls(priority, arguments)
		local server = tls_servers.gnutls(files, priority, arguments)
		running[#running + 1] = server
		return server
	end

	-- What was seen, by name; "untested" for nil.
	local function seen_of(observed)
		local seen = {}
		for name, observation in pairs(observed) do
			if observation.seen == nil then
				assert.is_string(observation.reason, name)
				seen[name] = "untested"
			else
				assert.is_string(observation.evidence, name)
				seen[name] = observation.seen
			end
		end
		return seen
	end

	local function assert_seen(expected, observed)
		local seen, all = seen_of(observed), {}
		for name in pairs(expected) do
			all[name] = seen[name]
		end
		assert.same(expected, all)
	end

	-- Every observation of these probes.
	local function all_names()
		local names = {}
		for name in pairs(observations.statements) do
			if name:find "^suites" or name:find "^groups" or name:find "^resumption" or name:find "^sni" then
				names[#names + 1] = name
			end
		end
		for _, name in ipairs { "version.SSLv2", "version.SSLv3", "version.TLSv1", "version.TLSv1.1", "version.TLSv1.2",
			"version.TLSv1.3", "version.newest", "dhe.bits", "compression", "renegotiation.secure", "renegotiation.client",
			"extended_master_secret", "early_data", "alpn" } do
			names[#names + 1] = name
		end
		return names
	end

	describe("on OpenSSL with strict settings", function ()
		local observed, endpoint

		before_each(function ()
			observed, endpoint = probe_run.on {
				port = openssl({ "-min_protocol", "TLSv1.2", "-cipher", "ECDHE+AESGCM", "-serverpref", "-no_ticket", "-no_cache",
					"-num_tickets", "0", "-groups", "P-256:X25519" }).port,
			}
		end)

		it("see what it accepts and what it refuses", function ()
			assert_seen({
				["version.SSLv2"] = false, ["version.SSLv3"] = false, ["version.TLSv1"] = false, ["version.TLSv1.1"] = false,
				["version.TLSv1.2"] = true, ["version.TLSv1.3"] = true, ["version.newest"] = true,
				["suites.null"] = false, ["suites.rc4"] = false, ["suites.export"] = false, ["suites.under_112_bits"] = false,
				["suites.under_128_bits"] = false, ["suites.anonymous"] = false, ["suites.cbc"] = false,
				["suites.rsa_key_transport"] = false, ["suites.static_dh"] = false, ["suites.dhe"] = false,
				["suites.aead"] = true, ["suites.forward_secret"] = true, ["suites.accepted"] = true,
				["suites.server_chooses"] = true, ["dhe.bits"] = false,
				["groups.accepted"] = true, ["groups.hybrid"] = false, ["groups.server_chooses"] = true,
				["suites.complete"] = true, ["groups.complete"] = true, ["groups.short"] = false,
				["signature.sha1"] = false,
				compression = false, ["renegotiation.secure"] = true, ["renegotiation.client"] = false,
				extended_master_secret = true,
				["resumption.session_id"] = false, ["resumption.ticket_tls12"] = false, ["resumption.tls13"] = false,
				["resumption.stateless_tls13"] = false, ["resumption.psk_without_dhe"] = false, early_data = false,
				["resumption.unclean_close"] = false,
				["sni.right"] = true, ["sni.missing"] = true, ["sni.wrong"] = true, ["sni.same_certificate"] = true,
				alpn = false,
			}, observed)
		end)

		it("list its suites and groups in its order", function ()
			assert.same({
				["TLSv1.2"] = { "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" },
				["TLSv1.3"] = { "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256" },
			}, observed["suites.accepted"].value)
			assert.same({ "secp256r1", "x25519" }, observed["groups.accepted"].value)
		end)

		it("make every observation, with few connections", function ()
			for _, name in ipairs(all_names()) do
				assert.is_table(observed[name], name)
			end
			assert.is_true(endpoint.connections <= 30, endpoint.connections)
		end)
	end)

	it("see all that OpenSSL can do", function ()
		local observed, endpoint = probe_run.on {
			port = openssl({ "-min_protocol", "TLSv1", "-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0", "-client_renegotiation",
				"-allow_no_dhe_kex", "-alpn", "xmpp-client" }).port,
		}
		assert_seen({
			["version.TLSv1"] = true, ["version.TLSv1.1"] = true, ["version.SSLv3"] = false,
			["suites.null"] = true, ["suites.under_112_bits"] = true, ["suites.under_128_bits"] = true,
			["suites.anonymous"] = true, ["suites.cbc"] = true, ["suites.rsa_key_transport"] = true, ["suites.dhe"] = true,
			["dhe.bits"] = true, ["suites.server_chooses"] = false, ["suites.rc4"] = false,
			["renegotiation.client"] = true, ["resumption.session_id"] = true, ["resumption.ticket_tls12"] = true,
			["resumption.tls13"] = true, ["resumption.stateless_tls13"] = true, ["resumption.psk_without_dhe"] = true,
			["resumption.unclean_close"] = false, alpn = true,
		}, observed)
		assert.equal("xmpp-client", observed.alpn.value)
		assert.equal(7200, observed["resumption.ticket_tls12"].value.lifetime)
		assert.is_true(observed["resumption.tls13"].value.length > 100)
		-- The lists end before the audit makes too many connections.
		assert.is_true(endpoint.connections <= 40, endpoint.connections)
		assert.matches("more may be", observed["suites.accepted"].evidence)
		assert_seen({ ["suites.complete"] = false }, observed)
		assert.matches("^more suites may be accepted: ", observed["suites.complete"].evidence)
	end)

	it("see what else GnuTLS can do", function ()
		local observed, endpoint = probe_run.on {
			port = gnutls("NORMAL:+VERS-TLS1.0:+VERS-TLS1.1:+RSA:+NULL:+ANON-DH:+ANON-ECDH:+ARCFOUR-128:+3DES-CBC:+DHE-RSA"
				.. ":+MD5:%NO_SESSION_HASH:%DISABLE_SAFE_RENEGOTIATION:-GROUP-ALL:+GROUP-SECP384R1").port,
			timeout = process.PATIENCE,
		}
		assert_seen({
			["suites.rc4"] = true, ["suites.null"] = true, ["suites.under_128_bits"] = true, ["suites.anonymous"] = true,
			["suites.export"] = false, ["suites.static_dh"] = false, ["renegotiation.secure"] = false,
			extended_master_secret = false, ["resumption.unclean_close"] = true, ["groups.hybrid"] = false,
			-- GnuTLS without groups of DH fails on suites with DHE.
			["suites.dhe"] = "untested", ["dhe.bits"] = "untested",
		}, observed)
		-- rfc5746.4.1.client-may-accept-old-servers: its handshakes succeed all the same.
		assert_seen({ ["sni.right"] = true, ["resumption.session_id"] = true }, observed)
		assert.same({ "secp384r1" }, observed["groups.accepted"].value)
		assert.is_true(endpoint.connections <= 40, endpoint.connections)
		-- Nothing waited for a timeout.
		assert.is_true(endpoint.seconds < 60, endpoint.seconds)
	end)

	it("see short curves, which TLS 1.3 does not have", function ()
		if not available.only({ groups = { "secp192r1" } }).groups[1] then
			return pending "OpenSSL is built without short curves here, so it cannot be a server that has them"
		end
		local server = openssl { "-groups", "P-256:P-224:P-192", "-cipher", "DEFAULT:@SECLEVEL=0" }
		local observed = probe_run.on({ port = server.port }, { "versions", "short_curves" })
		assert_seen({ ["version.TLSv1.3"] = true, ["groups.short"] = true }, observed)
		assert.same({ "secp192r1", "secp224r1" }, observed["groups.short"].value)
		assert.equal("TLSv1.2 accepts the curves secp192r1, secp224r1", observed["groups.short"].evidence)

		observed = probe_run.on({ port = openssl({ "-tls1_3" }).port }, { "versions", "short_curves" })
		assert_seen({ ["groups.short"] = false }, observed)
		-- No suite of ECDHE, no curve.
		observed = probe_run.on({ port = openssl({ "-tls1_2", "-cipher", "AES128-GCM-SHA256" }).port },
			{ "versions", "short_curves" })
		assert_seen({ ["groups.short"] = false }, observed)
	end)

	it("see signatures with SHA-1", function ()
		local function on(arguments)
			local observed = probe_run.on({ port = openssl(arguments).port }, { "versions", "old_signatures" })
			return observed["signature.sha1"]
		end
		local old = on { "-cipher", "DEFAULT:@SECLEVEL=0", "-sigalgs", "RSA+SHA1:RSA+SHA256:RSA-PSS+SHA256" }
		assert.same({ true, { "rsa_pkcs1_sha1" }, "signed the handshake with rsa_pkcs1_sha1" },
			{ old.seen, old.value, old.evidence })
		assert.same({ false, "TLS 1.2 is refused; TLS 1.3 has no such signatures" },
			{ on({ "-tls1_3" }).seen, on({ "-tls1_3" }).evidence })
		local refused = on { "-cipher", "DEFAULT:@SECLEVEL=0", "-sigalgs", "RSA+SHA256:RSA-PSS+SHA256" }
		assert.is_false(refused.seen)
		assert.matches("^answered .*with the alert %l[%l_]+ a hello that offers only SHA%-1 and MD5", refused.evidence)
	end)

	it("see signatures with PKCS #1 v1.5", function ()
		local function on(arguments)
			local observed = probe_run.on({ port = openssl(arguments).port }, { "versions", "pkcs1_signatures" })
			return observed["signature.pkcs1"]
		end
		local stock = on {}
		assert.same({ true, { "rsa_pkcs1_sha256" }, "signed the handshake with rsa_pkcs1_sha256" },
			{ stock.seen, stock.value, stock.evidence })
		assert.is_false(on({ "-tls1_3" }).seen)
		local refused = on { "-sigalgs", "RSA-PSS+SHA256:ECDSA+SHA256" }
		assert.is_false(refused.seen)
		assert.matches("^answered .*with the alert %l[%l_]+ a hello that offers only PKCS #1 v1%.5 with SHA%-2",
			refused.evidence)
	end)

	it("say of short curves that they were not tested when nobody answers", function ()
		local observed = {}
		for _, version in ipairs { "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" } do
			observed["version." .. version] = observations.untested "timed out"
		end
		require "xmpp_tls_policy.audit.probes.short_curves".run({}, observed)
		assert.same({ reason = "no version of TLS was accepted" }, observed["groups.short"])
	end)

	it("see whose order of groups decides", function ()
		local observed = probe_run.on({ port = gnutls("NORMAL").port }, { "versions", "classes", "preferences" })
		assert_seen({ ["groups.server_chooses"] = false, ["suites.server_chooses"] = false }, observed)
		observed = probe_run.on({ port = gnutls("NORMAL:%SERVER_PRECEDENCE").port }, { "versions", "classes", "preferences" })
		assert_seen({ ["groups.server_chooses"] = true, ["suites.server_chooses"] = true }, observed)
	end)

	-- The clauses on whole lists and on preferences, on a server with more suites than the audit has connections.
	for prefers, expected in pairs {
		["-serverpref"] = {
			["cipher.bits256"] = "holds", ["cipher.aead"] = "holds", ["cipher.fs"] = "holds",
			["cipher.recommended"] = "holds", ["group.recommended"] = "holds",
			["cipher.gcm-chacha20"] = "broken",
		},
		[""] = {
			["cipher.bits256"] = "broken", ["cipher.aead"] = "broken", ["cipher.fs"] = "broken",
			["cipher.recommended"] = "holds", ["group.recommended"] = "holds",
			["cipher.gcm-chacha20"] = "broken",
		},
	} do
		it("tell enough for the clauses of a server with all suites " .. prefers, function ()
			local arguments = { "-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0" }
			arguments[3] = prefers ~= "" and prefers or nil
			local observed, endpoint = probe_run.on { port = openssl(arguments).port }
			assert.is_true(endpoint.connections <= 40, endpoint.connections)
			assert.is_false(observed["suites.complete"].seen)
			assert.matches("the audit makes no more connections", observed["suites.accepted"].evidence)
			local results = {}
			for id in pairs(expected) do
				results[id] = clauses[id].probe(observed, { service = "c2s", direct = true }, false).result
			end
			assert.same(expected, results)
		end)
	end

	-- The server has a certificate for half of them, and the others come last in its order.
	it("ask a server with all suites for each suite that a document recommends", function ()
		local observed, endpoint = probe_run.on {
			port = openssl({ "-tls1_2", "-serverpref", "-cipher", "ALL:COMPLEMENTOFALL:+CHACHA20:@SECLEVEL=0" }).port,
		}
		assert.is_true(endpoint.connections <= 40, endpoint.connections)
		assert_seen({ ["suites.complete"] = false, ["suites.recommended"] = true }, observed)
		local accepted = table.concat(observed["suites.accepted"].value["TLSv1.2"], " ")
		assert.matches("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", accepted, 1, true)
		assert.equal("holds", clauses["cipher.six"].probe(observed, { service = "c2s", direct = true }, false).result)
	end)

	it("say of no suite of TLS 1.3 that it is refused when the server has not answered", function ()
		local stock = question.ask
		finally(function ()
			question.ask = stock
		end)
		function question.ask(endpoint, offer, ...)
			local rest = " " .. table.concat(offer.suites or {}, " ")
			if rest:find("TLS_CHACHA20", 1, true) and not rest:find("TLS_AES_256_GCM", 1, true) then
				return nil, "timed out"
			end
			return stock(endpoint, offer, ...)
		end
		local observed = probe_run.on({ port = openssl({ "-serverpref" }).port }, { "versions", "classes", "preferences" })
		assert_seen({ ["suites.complete"] = false, ["suites.recommended"] = false }, observed)
		assert.matches("TLSv1.3: [^;]*timed out", observed["suites.accepted"].evidence)
	end)

	describe("tell whose order of suites decides", function ()
		local ECDHE = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305"

		-- Cipher list -> whether all suites are listed.
		for _, case in ipairs {
			{ ECDHE, true, "one suite beside ChaCha20" },
			{ ECDHE .. ":ECDHE-RSA-AES128-GCM-SHA256", true, "ChaCha20 amid others" },
			{ "ALL:@SECLEVEL=0", false, "more suites than connections" },
		} do
			for _, prefers in ipairs { {}, { "-serverpref" }, { "-serverpref", "-prioritize_chacha" } } do
				it(case[3] .. " " .. table.concat(prefers, " "), function ()
					local arguments = { "-tls1_2", "-cipher", case[1] }
					for _, argument in ipairs(prefers) do
						table.insert(arguments, argument)
					end
					local observed, endpoint = probe_run.on { port = openssl(arguments).port }
					assert_seen({ ["suites.server_chooses"] = #prefers > 0, ["suites.complete"] = case[2],
						["suites.chacha20_first"] = #prefers ~= 1 }, observed)
					assert.is_true(endpoint.connections <= 40, endpoint.connections)
				end)
			end
		end

		it("one suite alone", function ()
			local observed = probe_run.on({ port = openssl({ "-tls1_2", "-cipher", "AES128-GCM-SHA256" }).port },
				{ "versions", "classes", "preferences" })
			assert_seen({ ["suites.server_chooses"] = true, ["groups.server_chooses"] = "untested" }, observed)
			assert.equal("TLSv1.2: one suite alone is accepted", observed["suites.server_chooses"].evidence)
		end)
	end)

	it("know a ticket of TLS 1.3 that is no more than an ID", function ()
		local observed = probe_run.on({ port = openssl({ "-no_ticket" }).port }, { "resumption" })
		assert_seen({
			["resumption.tls13"] = true, ["resumption.stateless_tls13"] = false, ["resumption.psk_without_dhe"] = false,
			["resumption.ticket_tls12"] = false, early_data = false,
		}, observed)
		assert.equal(32, observed["resumption.tls13"].value.length)
	end)

	it("see that a ticket allows early data", function ()
		local server = tls_servers.silent_openssl(files, { "-early_data", "-max_early_data", "4096", "-num_tickets", "4" })
		running[#running + 1] = server
		local observed, endpoint = probe_run.on({ port = server.port, timeout = process.PATIENCE }, { "resumption" })
		assert_seen({ early_data = true, ["resumption.tls13"] = true }, observed)
		-- The server says nothing after the handshake; the ticket is enough.
		assert.is_true(endpoint.seconds < 60, endpoint.seconds)
		assert.matches("4096 bytes", observed.early_data.evidence)
	end)

	it("see a server of TLS 1.3 alone", function ()
		local observed = probe_run.on { port = openssl({ "-tls1_3" }).port }
		assert_seen({
			["version.TLSv1.2"] = false, ["version.TLSv1.3"] = true, ["suites.aead"] = true, ["suites.cbc"] = false,
			compression = false, ["renegotiation.secure"] = true, ["renegotiation.client"] = false,
			extended_master_secret = true, ["resumption.session_id"] = false, ["resumption.tls13"] = true,
			["resumption.unclean_close"] = true, ["groups.accepted"] = true,
		}, observed)
	end)

	it("see a server of TLS 1.2 alone, and its curves", function ()
		local observed = probe_run.on {
			port = openssl({ "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256", "-groups", "P-384:P-256" }).port,
		}
		assert_seen({
			["version.TLSv1.3"] = false, ["version.newest"] = true, ["groups.accepted"] = true, ["groups.hybrid"] = false,
			["suites.server_chooses"] = true, ["resumption.tls13"] = false, early_data = false,
		}, observed)
		assert.same({ "secp256r1", "secp384r1" }, (function (list)
			table.sort(list)
			return list
		end)(observed["groups.accepted"].value))
	end)

	it("see that a server of TLS 1.0 alone answers a hello of TLS 1.2, but not with TLS 1.2", function ()
		local observed = probe_run.on { port = openssl({ "-tls1", "-cipher", "ALL:@SECLEVEL=0" }).port }
		assert_seen({
			["version.TLSv1"] = true, ["version.TLSv1.1"] = false, ["version.TLSv1.2"] = false, ["version.TLSv1.3"] = false,
			["version.newest"] = true, ["suites.aead"] = false, ["suites.cbc"] = true, compression = false,
		}, observed)
		assert.matches("^chose TLSv1 with", observed["version.TLSv1.2"].evidence)
	end)

	it("see what a server does with names", function ()
		local port = openssl({ "-servername", "b.test", "-cert2", other.certificate, "-key2", other.key,
			"-servername_fatal" }).port
		local function names(server_name)
			return (probe_run.on({ port = port, server_name = server_name }, { "versions", "names" }))
		end
		assert_seen({ ["sni.right"] = true, ["sni.missing"] = true, ["sni.wrong"] = false,
			["sni.same_certificate"] = false }, names "b.test")
		assert_seen({ ["sni.right"] = false, ["sni.wrong"] = false, ["sni.same_certificate"] = "untested" }, names "c.test")
	end)

	-- ---- peers made by hand ----------------------------------------------------------

	-- Probes by name on a peer; `fields` of the endpoint.
	local function on_peer(accept, names, fields)
		local observed, endpoint
		tls_peer.run(accept, function (connect)
			local all = { port = connect.port, timeout = process.PATIENCE }
			for name, value in pairs(fields or {}) do
				all[name] = value
			end
			observed, endpoint = probe_run.within(all, names)
		end)
		return observed, endpoint
	end

	-- A peer that chooses the first of these suites that is offered, in TLS 1.2.
	local function chooser(suites, choice)
		return hello_answers.peer(function (hello)
			local all = { suite = hello and hello_answers.first(suites, hello.suites) }
			for name, value in pairs(choice or {}) do
				all[name] = value
			end
			return all.suite and hello_answers.flight(all)
		end)
	end

	it("do not take a scheme that was not offered for SHA-1, nor a choice without a signature", function ()
		local function on(choice)
			return on_peer(chooser({ "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" }, choice), { "versions", "old_signatures" })
		end
		local signed = on { dhe_bits = 2048 }["signature.sha1"]
		assert.is_false(signed.seen)
		assert.equal("signed the handshake with scheme 0x0401, which was not offered", signed.evidence)
		assert.same({ reason = "the server sent no signature with its choice" }, on({})["signature.sha1"])
	end)

	it("see SSLv2", function ()
		local observed = on_peer(hello_answers.peer(function (hello)
			return not hello and hello_answers.sslv2 or nil
		end), { "versions" })
		assert_seen({ ["version.SSLv2"] = true, ["version.SSLv3"] = false, ["version.TLSv1.2"] = false }, observed)
	end)

	it("see SSLv3", function ()
		local observed = on_peer(hello_answers.peer(function (hello)
			return hello and hello.version == "SSLv3"
				and hello_answers.flight { version = "SSLv3", suite = "TLS_RSA_WITH_AES_128_CBC_SHA" } or nil
		end), { "versions", "classes", "preferences" })
		assert_seen({ ["version.SSLv3"] = true, ["version.TLSv1"] = false, ["suites.cbc"] = true,
			extended_master_secret = false, compression = false, ["suites.server_chooses"] = true }, observed)
	end)

	for name, suite in pairs {
		["suites.export"] = "TLS_RSA_EXPORT_WITH_RC4_40_MD5", ["suites.rc4"] = "TLS_RSA_WITH_RC4_128_MD5",
		["suites.static_dh"] = "TLS_ECDH_RSA_WITH_AES_128_GCM_SHA256",
		["suites.under_112_bits"] = "TLS_DHE_RSA_WITH_DES_CBC_SHA",
		["suites.under_128_bits"] = "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
	} do
		it(("see %s where %s is all that a server has"):format(name, suite), function ()
			local observed = on_peer(chooser { suite }, { "versions", "classes" })
			assert_seen({ [name] = true, ["suites.null"] = false, ["suites.anonymous"] = false }, observed)
			assert.same({ suite }, observed[name].value)
		end)
	end

	it("see DHE of 1024 bits", function ()
		local observed = on_peer(chooser({ "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" }, { dhe_bits = 1024 }),
			{ "versions", "classes" })
		assert_seen({ ["suites.dhe"] = true, ["dhe.bits"] = true, ["suites.aead"] = true }, observed)
		assert.equal(1024, observed["dhe.bits"].value)
	end)

	it("see compression", function ()
		local observed = on_peer(hello_answers.peer(function (hello)
			local suite = hello and hello_answers.first({ "TLS_RSA_WITH_AES_128_GCM_SHA256" }, hello.suites)
			return suite and hello_answers.flight {
				suite = suite, compression = hello.compressions[1] == "deflate" and 1 or 0,
			}
		end), { "versions", "classes" })
		assert_seen({ compression = true, ["suites.rsa_key_transport"] = true }, observed)
	end)

	it("see hybrid groups, and suites of TLS 1.3 without encryption", function ()
		local observed = on_peer(hello_answers.peer(function (hello)
			local suite = hello and hello.versions
				and hello_answers.first({ "TLS_AES_128_GCM_SHA256", "TLS_SHA256_SHA256" }, hello.suites)
			local group = suite and hello_answers.first({ "x25519", "X25519MLKEM768" }, hello.groups)
			return group and hello_answers.retry(suite, group)
		end), { "versions", "classes", "preferences" })
		assert_seen({ ["version.TLSv1.3"] = true, ["groups.hybrid"] = true, ["suites.null"] = true }, observed)
		assert.same({ "x25519", "X25519MLKEM768" }, observed["groups.accepted"].value)
	end)

	it("see a server that does not choose the newest version", function ()
		local function context(maximum)
			local made = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
			assert(made:apply { maximum_version = maximum })
			return made
		end
		local old, new = context "TLSv1.2", context "TLSv1.3"
		local count = 0
		local observed = on_peer(function (peer)
			count = count + 1
			-- The six hellos of `versions` come first.
			return tls_peer.server(count > 6 and old or new, tls_peer.echo)(peer)
		end, { "versions", "names" })
		assert_seen({ ["version.TLSv1.3"] = true, ["version.newest"] = false }, observed)
	end)

	for what, answer in pairs {
		["refuses others with an alert"] = hello_answers.alert(112), ["closes for others"] = "",
	} do
		it("see a server that needs a name, and " .. what, function ()
			local context = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
			assert(context:apply {})
			local observed = on_peer(function (peer)
				local bytes = peer:read(soon())
				if bytes:find("a.test", 1, true) then
					local connection = assert(core.connection.new(context))
					assert(connection:feed(bytes))
					tls_peer.advance(peer, connection, "handshake")
					tls_peer.echo(peer, connection)
					return connection:close()
				end
				peer:write(answer, soon())
				peer:close()
			end, { "versions", "names" })
			assert_seen({ ["sni.right"] = true, ["sni.missing"] = false, ["sni.wrong"] = false,
				["version.TLSv1.3"] = true, ["version.TLSv1.2"] = true }, observed)
		end)
	end

	it("read an answer that comes one byte at a time", function ()
		local observed = on_peer(hello_answers.peer(function (hello)
			local suite = hello and hello_answers.first({ "TLS_RSA_WITH_RC4_128_SHA" }, hello.suites)
			return suite and hello_answers.flight { suite = suite }
		end, function (peer, bytes)
			for position = 1, #bytes do
				if not peer:write(bytes:sub(position, position), soon()) then
					return
				end
			end
		end), { "versions", "classes" })
		assert_seen({ ["version.TLSv1.2"] = true, ["suites.rc4"] = true, ["suites.null"] = false }, observed)
	end)

	it("take an end without an answer for a refusal if the next hello is answered, and internal_error twice", function ()
		local observed = on_peer(hello_answers.peer(function (hello)
			if not hello then
				return ""
			elseif hello.version == "TLSv1" then
				return hello_answers.alert(80)
			elseif hello.version == "TLSv1.1" then
				return hello_answers.alert(50)
			elseif hello.version == "SSLv3" then
				return ""
			end
		end, function (peer, bytes)
			peer:write(bytes, soon())
			peer:close()
		end), { "versions" })
		assert_seen({ ["version.SSLv2"] = false, ["version.TLSv1"] = false, ["version.TLSv1.1"] = "untested",
			["version.SSLv3"] = false, ["version.TLSv1.2"] = false }, observed)
		assert.equal("answered twice with the alert internal_error", observed["version.TLSv1"].evidence)
		assert.equal("closed the connection, but answered the next hello", observed["version.SSLv3"].evidence)
		assert.matches("decode_error", observed["version.TLSv1.1"].reason)
	end)

	local bad_peers = {
		["is silent"] = function (peer)
			repeat until not peer:read(soon())
		end,
		["closes at once"] = function () end,
		["closes after the hello"] = function (peer)
			peer:read(soon())
		end,
		["answers with garbage"] = hello_answers.peer(function ()
			return "\22\22garbage \27[31m"
		end),
		["chooses what was not offered"] = hello_answers.peer(function ()
			return hello_answers.flight { suite = "TLS_FALLBACK_SCSV" }
		end),
		["says only close_notify"] = hello_answers.peer(function ()
			return "\21\3\3\0\2\1\0"
		end),
		["sends records without end"] = function (peer)
			repeat until not peer:write("\21\3\3\0\2\1\90", soon())
		end,
	}
	for what, accept in pairs(bad_peers) do
		it("test nothing on a peer that " .. what, function ()
			local began = socket.gettime()
			local observed, endpoint = on_peer(accept, nil, { timeout = 0.2 })
			for _, name in ipairs(all_names()) do
				assert.is_nil(assert(observed[name], name).seen, name)
				assert.is_string(observed[name].reason, name)
				assert.is_nil(observed[name].reason:find "%c", name)
			end
			assert.is_true(endpoint.connections <= 40, endpoint.connections)
			assert.is_true(socket.gettime() - began < 60)
		end)
	end

	it("ask no more when the endpoint has made many connections, and say so", function ()
		local observed = on_peer(chooser { "TLS_RSA_WITH_AES_128_CBC_SHA" }, { "versions", "classes", "preferences" },
			{ connections = 36 })
		local asked, left = 0, 0
		for _, observation in pairs(observed) do
			asked = asked + (observation.seen ~= nil and 1 or 0)
			left = left + (observation.reason == "the audit makes no more connections" and 1 or 0)
		end
		-- The six hellos of `versions` begin together.
		assert.is_true(asked > 0 and left > 5, ("%d asked, %d left"):format(asked, left))
	end)

	it("test nothing where nobody listens", function ()
		local observed = probe_run.on { port = free_ports(1)[1] }
		for _, name in ipairs(all_names()) do
			assert.is_nil(assert(observed[name], name).seen, name)
			assert.is_string(observed[name].reason)
		end
	end)
end)
