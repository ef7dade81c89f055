-- Resumption on a live server: resume.session-id, resume.sealed.
local client = require "support.client"
local configuration = require "support.configuration"
local client_contexts = require "support.client_contexts"
local core = require "xmpp_tls_policy.core"
local lfs = require "lfs"
local memlock = require "support.memlock"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

describe("a session", function ()
	local servers = prosody.group()
	local authority, files
	local contexts

	setup(function ()
		authority = pki.authority()
		files = authority:issue { names = { "example.test", "other.test" }, key = "rsa2048" }
		contexts = client_contexts.by_version()
	end)

	after_each(servers.stop)

	teardown(function ()
		pki.remove()
	end)

	local function start(spec)
		spec.hosts = spec.hosts or {
			["example.test"] = files,
			["other.test"] = { certificate = files.certificate, key = files.key, options = spec.other },
		}
		spec.domain = "example.test"
		spec.users = { ["juliet@example.test"] = "wherefore" }
		spec.with_policy = true
		return servers.start(spec)
	end

	-- Opens a stream up to its features. Returns whether the session was resumed, the session for the
	-- next connection, and the peer if `options.keep`.
	local function meet(server, version, session, options)
		options = options or {}
		local target = server:target(options.service or "c2s", options.domain or "example.test")
		local peer, features, text = xmpp.open(target, {
			from = options.from,
			tls = { context = options.context or contexts[version], session = session, server_name = options.server_name },
		})
		assert(peer, ("%s %s"):format(tostring(features), tostring(text)))
		local facts = peer:tls_info()
		assert.equal(version, facts.version)
		local next_session = peer.socket:session()
		if options.keep then
			return facts.resumed, next_session, peer
		end
		if options.goodbye then
			peer.socket:shutdown()
		end
		peer:close()
		return facts.resumed, next_session
	end

	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		describe("of " .. version, function ()
			it("resume.session-id: is resumed by STARTTLS and direct TLS, after close_notify and without", function ()
				local server = start {}
				for _, service in ipairs { "c2s", "c2s_direct_tls", "s2s", "s2s_direct_tls" } do
					for _, goodbye in ipairs { true, false } do
						local from = service:find "s2s" and "remote.test" or nil
						local options = { service = service, goodbye = goodbye, from = from }
						local resumed, session = meet(server, version, nil, options)
						assert.is_false(resumed)
						for _ = 1, 3 do
							resumed, session = meet(server, version, session, options)
							assert.is_true(resumed, service)
						end
					end
				end
			end)

			it("resume.session-id: accepts a login", function ()
				local server = start {}
				local _, session = meet(server, version)
				local resumed, _, peer = meet(server, version, session, { keep = true })
				assert.is_true(resumed)
				assert.matches("^juliet@example.test/", (peer:login("juliet", "wherefore")))
				peer:close()
			end)

			-- rfc6066.3.no-resumption-under-another-name
			it("is resumed on direct TLS with its own server name only", function ()
				local server = start {}
				local function direct(session, name, domain)
					return meet(server, version, session, {
						service = "c2s_direct_tls", server_name = name, domain = domain,
					})
				end
				local _, session = direct(nil, "other.test", "other.test")
				assert.is_true((direct(session, "other.test", "other.test")))
				assert.is_false((direct(session, "example.test")))
				assert.is_false((direct(session, false)))
			end)

			-- rfc6066.3.no-resumption-under-another-name
			it("is resumed with an unknown server name only under that name", function ()
				local server = start {}
				for _, service in ipairs { "c2s", "c2s_direct_tls" } do
					local function with_name(session, name)
						return meet(server, version, session, { service = service, server_name = name })
					end
					local _, session = with_name(nil, "unknown.test")
					assert.is_false((with_name(session, "stranger.test")))
					assert.is_false((with_name(session, false)))
					assert.is_false((with_name(session, "example.test")))
					assert.is_true((with_name(session, "unknown.test")))
				end
			end)

			it("is not resumed on another VirtualHost", function ()
				local server = start {}
				local _, session = meet(server, version)
				assert.is_false((meet(server, version, session, { domain = "other.test" })))
				assert.is_true((meet(server, version, session)))
			end)

			it("is not resumed in another role", function ()
				local server = start {}
				local _, session = meet(server, version)
				assert.is_false((meet(server, version, session, { service = "s2s", from = "remote.test" })))
			end)

			it("outlives a reload of the configuration and of mod_tls", function ()
				local server = start {}
				local _, session = meet(server, version)
				server:reload()
				local resumed
				resumed, session = meet(server, version, session)
				assert.is_true(resumed)
				server:shell [[module:reload("tls")]]
				assert.is_true((meet(server, version, session)))
			end)

			it("does not outlive a change of the policy", function ()
				local server = start {}
				local _, session = meet(server, version)
				server:configure { policy = { profile = "rfc9325" } }
				server:reload()
				assert.is_false((meet(server, version, session)))
				server:configure { policy = {} }
				server:reload()
				assert.is_true((meet(server, version, session)))
			end)

			it("does not outlive a change of the certificate", function ()
				local server = start {}
				local sessions = {}
				local direct = not prosody.surface.reason "certificates.reload" and "c2s_direct_tls" or nil
				for _, service in ipairs { "c2s", direct } do
					sessions[service] = select(2, meet(server, version, nil, { service = service }))
				end
				server:renew("example.test", authority:issue { names = { "example.test" }, key = "p256" })
				server:reload()
				for service, session in pairs(sessions) do
					assert.is_false((meet(server, version, session, { service = service })))
				end
			end)

			it("resume.sealed: is not resumed with a changed ID", function ()
				local server = start {}
				local _, session = meet(server, version)
				local mark = version == "TLSv1.3" and "\170\34\4\32" or "\4\32"
				local position = select(2, session:find(mark, 1, true)) + 7
				local tampered = session:sub(1, position - 1) .. string.char((session:byte(position) + 1) % 256)
					.. session:sub(position + 1)
				assert.is_false((meet(server, version, tampered)))
				assert.is_true((meet(server, version, session)))
			end)

			it("is not kept for a client with a certificate", function ()
				local own = authority:issue { names = { "remote.test" }, key = "p256" }
				local server = start {}
				local context = assert(core.context.new { role = "client", verify = "none",
					certificate = own.certificate, key = own.key })
				assert(context:apply { maximum_version = version })
				local options = { service = "s2s", from = "remote.test", context = context }
				local _, session = meet(server, version, nil, options)
				if session then
					assert.is_false((meet(server, version, session, options)))
				end
			end)

			it("is not kept if resumption is off", function ()
				local server = start { policy = { resumption = { enabled = false } } }
				local _, session = meet(server, version)
				assert.is_nil(session)
				server:configure { policy = {} }
				server:reload()
				_, session = meet(server, version)
				assert.is_true((meet(server, version, session)))
				server:configure { policy = { resumption = { enabled = false } } }
				server:reload()
				assert.is_false((meet(server, version, session)))
			end)

			it("ends after its lifetime", function ()
				local server = start { policy = { resumption = { lifetime = 1 } } }
				local _, session = meet(server, version)
				assert.is_true(process.poll(process.PATIENCE, function ()
					return not meet(server, version, session)
				end))
			end)
		end)
	end

	-- The limit of a service of systemd.
	it("is in memory that is locked by default, and the log says once where it is not", function ()
		if configuration.sanitized then
			pending "AddressSanitizer makes mlock(2) do nothing, and say that it did"
		end
		local lua, reason = memlock.limited(8388608, { lfs.symlinkattributes("/proc/self/exe").target })
		if not lua then
			return pending(reason)
		end
		local server = start { lua = lua }
		assert.matches("memory 4 MiB.*of at most 33825, locked in memory\n", (server:shell "tlspolicy:status()"))
		assert.not_matches("is not locked", server:log())
		server:configure { policy = { resumption = { memory = 16 } } }
		server:reload()
		server:reload()
		assert.equal(1, select(2, server:log():gsub("warn\t[^\n]*resumable sessions %(16 MiB%) is not locked", "")))
		assert.matches("memory 16 MiB.*, not locked in memory\n", (server:shell "tlspolicy:status()"))
		local _, session = meet(server, "TLSv1.3")
		assert.is_true((meet(server, "TLSv1.3", session)))
	end)

	it("is kept up to the share of its address, as the option says", function ()
		local server = start { policy = { resumption = { memory = 1, address_share = 1024 } } }
		local _, first = meet(server, "TLSv1.2")
		for _ = 1, 7 do
			meet(server, "TLSv1.2")
		end
		local _, session = meet(server, "TLSv1.2")
		assert.is_false((meet(server, "TLSv1.2", session)))
		assert.is_true((meet(server, "TLSv1.2", first)))
		server:configure { policy = { resumption = { memory = 1, address_share = 1 } } }
		server:reload()
		_, session = meet(server, "TLSv1.2")
		assert.is_true((meet(server, "TLSv1.2", session)))
	end)

	it("resume.session-id: sends no ticket in TLS 1.2 to a client that asks for one", function ()
		local server = start {}
		local answer = client.openssl(server:target "c2s", { arguments = { "-tls1_2" } })
		assert.equal(0, answer.tickets)
		assert.matches("Session%-ID: %x+", answer.raw)
	end)

	for _, flag in ipairs { "-tls1_2", "-tls1_3" } do
		it("resume.session-id: is resumed by OpenSSL's client with " .. flag, function ()
			local server = start {}
			local path = pki.path ".session"
			local first = client.openssl(server:target "c2s", { arguments = { flag, "-sess_out", path } })
			assert.is_false(first.resumed)
			for _ = 1, 2 do
				local again = client.openssl(server:target "c2s", { arguments = { flag, "-sess_in", path } })
				assert.is_true(again.ok, again.raw)
				assert.is_true(again.resumed, again.raw)
			end
		end)
	end

	-- rfc6066.4.max-fragment-length-stays-with-its-session, rfc5246.7.4.1.4.only-offered-extensions,
	-- rfc7301.3.1.alpn-is-no-part-of-a-session
	for what, arguments in pairs {
		["max_fragment_length"] = { "-maxfraglen", "512" },
		["an unknown server name"] = { "-servername", "stranger.test" },
		["ALPN"] = { "-alpn", "xmpp-client" },
		["all of these"] = { "-maxfraglen", "512", "-servername", "stranger.test", "-alpn", "xmpp-client" },
	} do
		for _, service in ipairs { "c2s", "c2s_direct_tls" } do
			it(("is resumed after a stranger has come with %s: %s"):format(what, service), function ()
				local server = start {}
				local target = server:target(service, "example.test")
				for _, flag in ipairs { "-tls1_2", "-tls1_3" } do
					local stranger = { flag }
					for _, argument in ipairs(arguments) do
						stranger[#stranger + 1] = argument
					end
					assert.is_true(client.openssl(target, { arguments = stranger }).ok)
					local path = pki.path ".session"
					local first = client.openssl(target, { arguments = { flag, "-sess_out", path } })
					assert.is_false(first.resumed)
					local again = client.openssl(target, { arguments = { flag, "-sess_in", path } })
					assert.is_true(again.ok, again.raw)
					assert.is_true(again.resumed, again.raw)
				end
			end)
		end
	end

	for version, priority in pairs {
		["TLSv1.2"] = "NORMAL:-VERS-ALL:+VERS-TLS1.2", ["TLSv1.3"] = "NORMAL:-VERS-ALL:+VERS-TLS1.3",
	} do
		it("resume.session-id: is resumed by GnuTLS's client with " .. version, function ()
			local server = start {}
			-- With --resume it connects twice, but uses STARTTLS only on the first connection.
			local output = process.run({
				"gnutls-cli", "--resume", "--waitresumption", "--insecure", "--port=" .. server.ports.c2s_direct_tls,
				"--sni-hostname=example.test", "--priority=" .. priority, "127.0.0.1",
			}, { input = xmpp.stream_header("c2s", "example.test") .. "\n" })
			assert.matches("This is a resumed session", output)
		end)
	end

	it("is configured for the whole server, and an option under a host is refused", function ()
		local server = start { other = { xmpp_tls_policy = { resumption = { enabled = false } } } }
		server:wait_for_log("error\t[^\n]*other.test: xmpp_tls_policy.resumption is for the whole server; "
			.. "it belongs above the hosts")
		local _, session = meet(server, "TLSv1.3", nil, { domain = "other.test" })
		assert.is_true((meet(server, "TLSv1.3", session, { domain = "other.test" })))
	end)
end)
