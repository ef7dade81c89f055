-- The weekly digest of a real server: the command at any time, and the message when the week is over.
local date = require "xmpp_tls_policy.date"
local json = require "dkjson"
local pki = require "support.pki"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

-- Allowed at level "must", refused at "should".
local old_tls = { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES128-SHA" }

describe("the weekly digest of a server", function ()
	local server
	local servers = prosody.group()

	setup(function ()
		local authority = pki.authority()
		local theirs = authority:issue { names = { "far.test", "old.test" }, key = "rsa2048" }
		local options = { digest = true, exceptions = {
			["old.test"] = { level = "must", expires = date.of(os.time() + 20 * date.DAY), reason = "old server" },
		} }
		server = servers.start {
			hosts = { ["near.test"] = authority:issue { names = { "near.test" }, key = "rsa2048", days = 20 } },
			ca = authority.certificate, with_policy = true, routes = {}, modules = { "test_clock" }, policy = options,
			users = { ["admin@near.test"] = "secret" }, options = { admins = { "admin@near.test" } },
		}
		local host = {
			certificate = theirs.certificate, key = theirs.key,
			options = { ssl = { protocol = "tlsv1_2", ciphers = old_tls.ciphers } },
		}
		local far = servers.start {
			hosts = { ["far.test"] = host, ["old.test"] = host }, ca = authority.certificate,
			routes = { ["near.test"] = { s2s = server.ports.s2s } },
		}
		server:configure { routes = { ["far.test"] = { s2s = far.ports.s2s }, ["old.test"] = { s2s = far.ports.s2s } } }
		server:reload()
	end)

	teardown(function ()
		servers.stop()
		pki.remove()
	end)

	local function digest()
		local output, status = server:shell [[tlspolicy:digest("near.test", "json")]]
		assert.equal(0, status, output)
		return assert(json.decode((output:gsub("OK: %d+ lines of JSON%s*$", "")))).digest[1]
	end

	local function refused_of(found)
		local by_domain = {}
		for _, peer in ipairs(found.refused.peers) do
			by_domain[peer.domain] = peer.role
		end
		return by_domain
	end

	it("has who was refused and excepted, also after a reload of the module, and is sent to administrators", function ()
		local mark = server:mark()
		-- The log has a line a minute for each address.
		assert.is_nil((xmpp.open(server:target "c2s", { tls = old_tls, address = "127.0.0.9" })))
		server:wait_for_log("TLS handshake failed: c2s", mark)
		mark = server:mark()
		server:shell [[xmpp:ping("near.test", "far.test", 20)]]
		server:wait_for_log("TLS handshake failed: s2sout, near.test, [^\n]*far.test", mark)
		assert.matches("pong", server:shell([[xmpp:ping("near.test", "old.test", 20)]]):lower())

		local before = digest()
		assert.is_true(before.refused.clients >= 1)
		assert.same({ ["far.test"] = "s2sout" }, refused_of(before))
		assert.same({ "old.test", "in force" }, { before.exceptions[1].domain, before.exceptions[1].state })
		assert.is_true(before.exceptions[1].used >= 1)
		assert.same({ "c2s", 1 }, { before.certificates[1].services[1], #before.certificates })
		local _, status = server:shell [[module:reload("xmpp_tls_policy")]]
		assert.equal(0, status)
		local after = digest()
		assert.same({ before.from, before.refused, before.exceptions }, { after.from, after.refused, after.exceptions })

		local admin = assert(xmpp.open(server:target "c2s"))
		assert(admin:login("admin", "secret"))
		admin:send "<presence/>"
		assert(admin:read_until "<presence[^>]*/?>")
		server:configure { options = { admins = { "admin@near.test" }, test_clock = 7 * date.DAY } }
		server:reload()
		local message = assert(admin:read_until "</message>")
		assert.matches("from='near.test'", message)
		assert.matches("<subject>The TLS policy of the last week</subject>", message)
		for _, part in ipairs {
			"\n    far%.test: %d+, outgoing\n", "\n    old%.test: used by %d+ connections?, ends soon, with [%d-]+\n",
			"\n    c2s, [^\n]*s2s[^\n]*: ends on [^\n]*, in 1[23] days\n", "\n  Clients: 1 login; at best TLS 1%.3: 100%.0 %%",
		} do
			assert.matches(part, message)
		end
		assert.is_nil(message:find "127%.0%.0%.1")
		assert.same({}, refused_of(digest()))
		admin:close()
	end)
end)
