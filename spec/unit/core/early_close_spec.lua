-- Clients that finish their handshake, send something and are gone. A server reads all that at once.
local client_contexts = require "support.client_contexts"
local core = require "xmpp_tls_policy.core"
local mixed_pair = require "support.mixed_pair"
local pki = require "support.pki"
local process = require "support.process"
local socket = require "socket"
local ssl = require "ssl"

describe("a connection that ends early", function ()
	local files, clients

	setup(function ()
		files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
		clients = client_contexts.by_version()
	end)

	teardown(function ()
		pki.remove()
	end)

	-- Returns all that came, when the server's end has found the end.
	local function read_all(server)
		local bytes, deadline = {}, socket.gettime() + process.PATIENCE
		repeat
			local received, reason, partial = server:receive(65536)
			bytes[#bytes + 1] = received or partial
			if not received and reason ~= "wantread" then
				return table.concat(bytes), reason
			end
			socket.select({ server }, nil, 0.01)
		until socket.gettime() > deadline
		error "the connection comes to no end"
	end

	for name, finish in pairs(mixed_pair.endings) do
		for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
			it(("%s has its facts and its offer, and no failed handshake: %s"):format(name, version), function ()
				local context = assert(ssl.newcontext {
					mode = "server", protocol = "any", certificate = files.certificate, key = files.key, verify = "none",
				})
				assert(assert(core.context.adopt(context)):observe(1, true))
				core.observer.refusals()
				local client, server = mixed_pair.connect(clients[version], context)
				local facts, offer = assert(core.observer.facts(server)), assert(core.observer.offer(server))
				local unique = core.observer.channel_binding(server, "tls-unique")
				assert.equal(version, facts.version)
				client:send "<stream:stream>"
				finish(client)
				assert.equal("<stream:stream>", (read_all(server)))
				assert.same(facts, core.observer.facts(server))
				assert.same(offer, core.observer.offer(server))
				assert.equal(unique, (core.observer.channel_binding(server, "tls-unique")))
				server:close()
				assert.same({}, (core.observer.refusals()))
			end)
		end
	end
end)
