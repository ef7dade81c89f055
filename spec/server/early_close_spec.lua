-- Clients and servers that finish their handshake, send their header and are gone: a phone that lost its
-- network, a scanner. Nothing of them breaks the policy.
local client_contexts = require "support.client_contexts"
local mixed_pair = require "support.mixed_pair"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local tls_socket = require "support.tls_socket"
local xmpp = require "support.xmpp"

describe("a peer that goes away after its header", function ()
	local servers = prosody.group()
	local files, contexts

	setup(function ()
		files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
		contexts = client_contexts.by_version()
	end)

	after_each(servers.stop)

	teardown(function ()
		pki.remove()
	end)

	local function go_away(server, service, version, finish)
		local peer = xmpp.connect(server:target(service), { from = service:find "s2s" and "remote.test" or nil })
		if not service:find "direct_tls" then
			assert(peer:open())
			assert(peer:request_tls())
		end
		peer.socket = tls_socket.wrap(peer.socket, contexts[version], { server_name = "example.test" })
		peer.socket:settimeout(process.PATIENCE)
		assert(peer.socket:dohandshake())
		assert(peer:send(xmpp.stream_header(peer.kind, peer.domain, peer.from)))
		finish(peer.socket)
	end

	-- The number of accepted handshakes, and of others.
	local function handshakes(server)
		local counts = { accepted = 0, other = 0 }
		for line in server:shell([[tlspolicy:stats("json")]]):gmatch "[^\n]+" do
			local outcome, value = line:match '"outcome":"([%w_]+)"', line:match '"value":(%d+)'
			if outcome and line:find "handshakes_total" then
				local kind = outcome == "accepted" and outcome or "other"
				counts[kind] = counts[kind] + tonumber(value)
			end
		end
		return counts
	end

	for _, profile in ipairs { "draft-saintandre-xmpp-tls-02", "rfc9325" } do
		it("is accepted, and called refused nowhere: " .. profile, function ()
			prosody.surface.need("peers.gone", pending)
			local server = servers.start {
				hosts = { ["example.test"] = files }, with_policy = true, policy = { profile = profile }, routes = {},
			}
			local count = 0
			for _, service in ipairs { "c2s", "c2s_direct_tls", "s2s", "s2s_direct_tls" } do
				for _, finish in pairs(mixed_pair.endings) do
					for version in pairs(contexts) do
						for _ = 1, 3 do
							go_away(server, service, version, finish)
							count = count + 1
						end
					end
				end
			end
			assert.is_true(process.poll(process.PATIENCE, function ()
				local counts = handshakes(server)
				return counts.accepted + counts.other >= count
			end), server:shell "tlspolicy:stats()")
			assert.same({ accepted = count, other = 0 }, handshakes(server))
			assert.matches("OK: 0 refusals shown, of 0 since", (server:shell "tlspolicy:refused()"))
			assert.is_nil(server:log():match "[^\n]*No stream features to offer on secure[^\n]*")
			assert.is_nil(server:log():match "[^\n]*refused by the TLS policy[^\n]*")
			assert.is_nil(server:log():match "[^\n]*\terror\t[^\n]*")
		end)
	end
end)
