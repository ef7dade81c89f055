-- The events of the policy, as an operator's own modules use them.
local files = require "support.files"
local lfs = require "lfs"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

local short = { protocol = "tlsv1_3", ciphersuites = "TLS_AES_128_GCM_SHA256" }

-- Tries to make every verdict milder.
local meddler = [[
module:hook("tls-policy/verdict", function (event)
	event.verdict.refuse, event.verdict.broken, event.policy = false, {}, "none"
	for fact in pairs(event.facts) do
		event.facts[fact] = nil
	end
	event.facts.version = "TLSv1.3"
	return false
end, 10)
]]

-- Fails on every event.
local broken = [[
for _, event in ipairs { "tls-policy/verdict", "tls-policy/refused" } do
	module:hook(event, function () error "oops" end, 20)
end
]]

-- Repeats the server name that the peer sent.
local parrot = [[
module:hook("tls-policy/verdict", function (event)
	return event.facts.server_name and "not for " .. event.facts.server_name or nil
end)
]]

describe("a module of the operator's own", function ()
	local servers = prosody.group()
	local authority, certificate, plugins

	setup(function ()
		authority = pki.authority()
		certificate = authority:issue { names = { "example.test", "strict.test" }, key = "rsa2048" }
		plugins = process.scratch "plugins"
		assert(lfs.mkdir(plugins))
		files.write(plugins .. "/mod_tls_256.lua", assert(files.read "doc/examples/mod_tls_256.lua"))
		files.write(plugins .. "/mod_meddler.lua", meddler)
		files.write(plugins .. "/mod_broken.lua", broken)
		files.write(plugins .. "/mod_parrot.lua", parrot)
	end)

	after_each(servers.stop)

	teardown(pki.remove)

	local function start(modules, policy)
		return servers.start {
			hosts = {
				["example.test"] = certificate,
				["strict.test"] = {
					certificate = certificate.certificate, key = certificate.key, options = { xmpp_tls_policy = policy },
				},
			},
			domain = "example.test", with_policy = true, modules = modules,
			users = { ["alice@example.test"] = "secret" }, options = { plugin_paths = { plugins } },
		}
	end

	it("can refuse streams that the policy accepts, and hears of refused streams", function ()
		local server = start { "tls_256" }
		local mark = server:mark()
		local peer, reason, text = xmpp.open(server:target "s2s", { from = "remote.test", tls = short })
		assert.same({ nil, "error" }, { peer, reason })
		assert.matches("<policy%-violation.*>128 bits were negotiated; this server wants 256</text>", text)
		server:wait_for_log("tls_256\twarn\trefused: 128 bits were negotiated; this server wants 256", mark)
		peer = assert(xmpp.open(server:target "s2s", { from = "remote.test" }))
		peer:close()
		-- The example ignores clients.
		local alice = assert(xmpp.open(server:target "c2s", { tls = short }))
		assert(alice:login("alice", "secret"))
		alice:close()
	end)

	-- Direct TLS without SNI: negotiated under the milder policy for all hosts.
	local function open_strict(server)
		local target = server:target "c2s_direct_tls"
		target.domain = "strict.test"
		return xmpp.open(target, {
			tls = { protocol = "tlsv1_2", ciphers = "DHE-RSA-AES256-GCM-SHA384", server_name = false },
		})
	end

	it("that fails causes every stream to be refused", function ()
		local server = start({ "broken" }, { profile = "rfc9325" })
		local mark = server:mark()
		local peer, _, text = open_strict(server)
		assert.is_nil(peer)
		assert.matches("<policy%-violation.*rfc9325, section 4.1, key.dhe", text)
		peer, _, text = xmpp.open(server:target "c2s")
		assert.is_nil(peer)
		assert.matches("<policy%-violation.*a module of this server could not judge the connection", text)
		-- Peers can cause any number of failures, so the log has one line a minute.
		local _, lines = server:log(mark):gsub("error\tA handler of tls%-policy/verdict failed: [^\n]*oops", "")
		assert.equal(1, lines)
		assert.is_nil(server:log(mark):match "Traceback")
		-- Failed handshakes are still recorded.
		for _ = 1, 2 do
			local before = tonumber((server:shell "tlspolicy:refused()"):match "of (%d+) since")
			assert.is_nil((xmpp.open(server:target "c2s", { tls = { protocol = "tlsv1_2", ciphers = "AES128-SHA" } })))
			local after
			for _ = 1, 100 do
				after = tonumber((server:shell "tlspolicy:refused()"):match "of (%d+) since")
				if after > before then
					break
				end
			end
			assert.equal(before + 1, after)
		end
	end)

	it("may repeat text from the peer in a refusal", function ()
		local server = start { "parrot" }
		for name, shown in pairs { ["evil.test"] = "evil.test", ["x\1\255"] = "x\\001\\255" } do
			local peer, _, text = xmpp.open(server:target "c2s", { tls = { server_name = name } })
			assert.is_nil(peer)
			assert.truthy(text:find("not for " .. shown, 1, true), text)
		end
		local output, status = server:shell "tlspolicy:refused()"
		assert.equal(0, status, output)
	end)

	it("is asked for each host that a stream reaches", function ()
		local theirs = authority:issue { names = { "far.test" }, key = "rsa2048" }
		local server = servers.start {
			hosts = {
				["example.test"] = certificate,
				["strict.test"] = { certificate = certificate.certificate, key = certificate.key,
					options = { modules_enabled = { "tls_256" } } },
			},
			domain = "example.test", with_policy = true, ca = authority.certificate,
			options = { plugin_paths = { plugins } },
		}
		local peer = assert(xmpp.open(server:target("s2s", "example.test"), { from = "far.test", tls = {
			protocol = "tlsv1_3", ciphersuites = "TLS_AES_128_GCM_SHA256",
			certificate = theirs.certificate, key = theirs.key,
		} }))
		peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"
		assert(peer:read_until "<success[^>]*>")
		assert(peer:open())
		peer:send "<iq type='get' id='p' from='far.test' to='strict.test'><ping xmlns='urn:xmpp:ping'/></iq>"
		assert.matches("<policy%-violation.*128 bits were negotiated; this server wants 256", (assert(peer:read_all())))
		peer:close()
	end)

	it("hears of every refused stream", function ()
		local server = start { "tls_256" }
		local mark = server:mark()
		local peer = xmpp.connect(server:target("c2s"))
		assert(peer:open())
		peer:send "<message/>"
		peer:read_all()
		peer:close()
		server:wait_for_log("tls_256\twarn\trefused: [^\n]*support.required", mark)
	end)

	it("that returns false does not stop other modules from refusing", function ()
		local server = start { "meddler", "tls_256" }
		local peer, _, text = xmpp.open(server:target "s2s", { from = "remote.test", tls = short })
		assert.is_nil(peer)
		assert.matches("this server wants 256", text)
	end)

	it("cannot make a verdict milder", function ()
		local server = start({ "meddler", "tls_256" }, { profile = "rfc9325" })
		local mark = server:mark()
		local peer, _, text = open_strict(server)
		assert.is_nil(peer)
		assert.matches("<policy%-violation.*rfc9325, section 4.1, key.dhe", text)
		server:wait_for_log("strict.test:tls_256\twarn\trefused: rfc9325, section 4.1, key.dhe", mark)
	end)
end)
