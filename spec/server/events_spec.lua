-- What modules of the operator's own can do with the policy's events.
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

describe("a module of the operator's own", function ()
	local servers = prosody.group()
	local authority, certificate, plugins

	setup(function ()
		authority = pki.authority()
		certificate = authority:issue { names = { "example.test", "strict.test" }, key = "rsa2048" }
		plugins = process.scratch "plugins"
		assert(lfs.mkdir(plugins))
		-- The README's example, as it stands there.
		local example = files.read "README.md":match "\n    %-%- mod_tls_256.lua\n(.-\n)\n%S"
		files.write(plugins .. "/mod_tls_256.lua", (example:gsub("\n    ", "\n"):gsub("^    ", "")))
		files.write(plugins .. "/mod_meddler.lua", meddler)
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

	it("can refuse what the policy accepts, and sees what was refused", function ()
		local server = start { "tls_256" }
		local mark = server:mark()
		local peer, reason, text = xmpp.open(server:target "s2s", { from = "remote.test", tls = short })
		assert.same({ nil, "error" }, { peer, reason })
		assert.matches("<policy%-violation.*>128 bits were negotiated; this server wants 256</text>", text)
		server:wait_for_log("tls_256\twarn\trefused: 128 bits were negotiated; this server wants 256", mark)
		peer = assert(xmpp.open(server:target "s2s", { from = "remote.test" }))
		peer:close()
		-- For clients it does not ask.
		local alice = assert(xmpp.open(server:target "c2s", { tls = short }))
		assert(alice:login("alice", "secret"))
		alice:close()
	end)

	it("cannot make a verdict milder", function ()
		local server = start({ "meddler", "tls_256" }, { profile = "rfc9325" })
		local mark = server:mark()
		local target = server:target "c2s_direct_tls"
		target.domain = "strict.test"
		-- Direct TLS without SNI: negotiated under the milder policy for all hosts.
		local peer, _, text = xmpp.open(target, {
			tls = { protocol = "tlsv1_2", ciphers = "DHE-RSA-AES256-GCM-SHA384", server_name = false },
		})
		assert.is_nil(peer)
		assert.matches("<policy%-violation.*rfc9325, section 4.1, key.dhe", text)
		server:wait_for_log("strict.test:tls_256\twarn\trefused: rfc9325, section 4.1, key.dhe", mark)
	end)
end)
