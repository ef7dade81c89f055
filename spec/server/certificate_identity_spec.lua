-- Streams that end because the module does not take a name in a certificate that the server itself
-- takes: they are listed, counted and published like all that the module refuses.
local json = require "dkjson"
local pki = require "support.pki"
local prosody = require "support.prosody"
local versions = require "support.versions"
local xmpp = require "support.xmpp"

describe("a certificate with a name that only the server takes", function ()
	local authority, own, server
	local others = prosody.group()

	setup(function ()
		authority = pki.authority()
		own = authority:issue { names = { "near.test" }, key = "rsa2048" }
	end)

	after_each(others.stop)
	teardown(pki.remove)

	-- The server reads s2s_secure_auth once.
	local function start(secure_auth)
		server = others.start {
			hosts = { ["near.test"] = own }, domain = "near.test", ca = authority.certificate, with_policy = true,
			routes = {}, modules = { "test_refused" }, options = { s2s_secure_auth = secure_auth },
		}
		return server:mark()
	end

	local function start_far(options)
		local far = others.start {
			hosts = { ["far.test"] = authority:issue(options) }, ca = authority.certificate,
			routes = { ["near.test"] = { s2s = server.ports.s2s } },
		}
		server:configure { routes = { ["far.test"] = { s2s = far.ports.s2s } } }
		server:reload()
		return far
	end

	-- rfc6125.6.4.3.wildcard-one-label, rfc6125.6.4.4.no-common-name. Prosody 13 does not take the Common
	-- Name either.
	local certificates = { ["a wildcard for a top-level domain"] = { names = { "*.test" }, key = "p256" } }
	if not versions.prosody_from(13) then
		certificates["a Common Name alone"] = { common_name = "far.test", names = {}, key = "p256" }
	end

	local function lines_of(command)
		local output, status = server:shell(command)
		assert.equal(0, status, output)
		local list = {}
		for line in output:gmatch "{[^\n]*}" do
			list[#list + 1] = json.decode(line)
		end
		return list
	end

	-- The latest refusal, and how many there ever were.
	local function refused()
		local total = tonumber((server:shell "tlspolicy:refused()"):match "of (%d+) since")
		return lines_of [[tlspolicy:refused("json")]][1], total
	end

	local function counted(role)
		for _, one in ipairs(lines_of [[tlspolicy:stats("json")]]) do
			local labels = one.labels
			if one.metric == "refusals_total" and labels.role == role and labels.stage == "stream"
				and labels.clause == "cert.identity" then
				return one.value
			end
		end
		return 0
	end

	local function assert_refused(role, mark)
		local entry, total
		for _ = 1, 100 do
			entry, total = refused()
			if total > 0 then
				break
			end
		end
		assert.equal(1, total)
		assert.same({ "stream", role, "near.test", "far.test", { "cert.identity" } },
			{ entry.what, entry.role, entry.host, entry.domain, entry.clauses })
		assert.matches("the certificate shown for far.test does not name it as RFC 6125 requires", entry.text)
		assert.equal(1, counted(role))
		server:wait_for_log("near.test:test_refused\tinfo\tRefused: s2s[^\n]*does not name it as RFC 6125 requires", mark)
	end

	for what, options in pairs(certificates) do
		it("is listed, counted and published: an outgoing stream, with " .. what, function ()
			prosody.surface.need("option.s2s_secure_auth", pending)
			local mark = start(true)
			start_far(options)
			assert.is_nil(server:shell([[xmpp:ping("near.test", "far.test", 20)]]):lower():match "pong")
			assert_refused("s2sout", mark)
		end)

		for secure_auth, meaning in pairs { [true] = "that the server closes", [false] = "without SASL EXTERNAL" } do
			it(("is listed, counted and published: an incoming stream %s, with %s"):format(meaning, what), function ()
				if secure_auth then
					prosody.surface.need("option.s2s_secure_auth", pending)
				end
				local mark, files = start(secure_auth), authority:issue(options)
				local peer = xmpp.open(server:target("s2s", "near.test"), {
					from = "far.test", tls = { certificate = files.certificate, key = files.key },
				})
				assert.equal(secure_auth, peer == nil)
				if peer then
					assert.is_nil(server:log(mark):match "Offering SASL EXTERNAL")
					peer:close()
				end
				assert_refused("s2sin", mark)
			end)
		end

		it("is not listed if the peer authenticates otherwise, with " .. what, function ()
			local mark = start(false)
			local far = start_far(options)
			assert.matches("pong", server:shell([[xmpp:ping("near.test", "far.test", 20)]]):lower())
			assert.matches("does not name it as RFC 6125 requires", server:log(mark))
			far:stop()
			server:wait_for_log("Destroying %w+ session near.test%->far.test", mark)
			assert.equal(0, select(2, refused()))
		end)
	end

	-- A further domain is held to the rule of the server's own check.
	for kind, expected in pairs {
		["a DNS-ID"] = { prosody.further_names.dns, { names = { "far.test", "other.test" } } },
		["an XmppAddr"] = { prosody.further_names.xmpp_address, { names = { "far.test" }, xmpp = { "other.test" } } },
		["a Common Name"] = { false, { names = { "far.test" }, common_name = "other.test" } },
	} do
		it(("vouches for a further domain on a stream or not, as in its header: %s"):format(kind), function ()
			local mark = start(false)
			server:configure { policy = { unauthenticated_s2s = "refuse" } }
			server:reload()
			local files = authority:issue(expected[2])
			local peer = assert(xmpp.open(server:target("s2s", "near.test"), {
				from = "far.test", tls = { certificate = files.certificate, key = files.key },
			}))
			peer:send "<db:result xmlns:db='jabber:server:dialback' from='other.test' to='near.test'>key</db:result>"
			if expected[1] and prosody.dialback.by_certificate then
				assert.is_truthy(peer:read_until "<db:result[^>]*type=.valid.")
			elseif expected[1] then
				server:wait_for_log("asking other.test if key", mark)
			else
				assert.matches("no valid certificate vouches for other.test", (assert(peer:read_all())))
			end
			peer:close()
			assert.is_nil(server:log(mark):match "Traceback")
		end)
	end
end)
