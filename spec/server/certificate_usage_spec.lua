-- The extended key usages of another server's certificate, where the policy has cert.server-auth: serverAuth is
-- needed, and clientAuth is not (xep0178.1.server-auth-is-enough).
local pki = require "support.pki"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

describe("a server that authenticates itself by a certificate", function ()
	local authority, server
	local servers = prosody.group()

	setup(function ()
		authority = pki.authority()
		server = servers.start {
			hosts = { ["near.test"] = authority:issue { names = { "near.test" }, key = "p256" } }, domain = "near.test",
			ca = authority.certificate, with_policy = true, policy = { profile = "xmpp-2026-07" },
		}
	end)

	teardown(function ()
		servers.stop()
		pki.remove()
	end)

	-- The stream of the peer after TLS, or nil.
	local function open(usages)
		local files = authority:issue { names = { "far.test" }, key = "p256", extended_key_usages = usages }
		return xmpp.open(server:target("s2s", "near.test"), {
			from = "far.test", tls = { certificate = files.certificate, key = files.key },
		})
	end

	for words, usages in pairs {
		["serverAuth alone"] = { "serverAuth" }, ["both usages"] = { "serverAuth", "clientAuth" },
		["no list of usages"] = false,
	} do
		it("is let in with " .. words, function ()
			local peer = assert(open(usages or nil))
			peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"
			assert.matches("<success", (peer:read_until { "<success[^>]*>", "</stream:stream>" }))
			peer:close()
		end)
	end

	-- Some servers look at the usages themselves; then no EXTERNAL is offered.
	it("is not authenticated with clientAuth alone", function ()
		local peer = open { "clientAuth" }
		if peer then
			peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"
			assert.is_nil(peer:read_all():match "<success")
			peer:close()
		end
	end)
end)
