-- Clients of the servers that are measured, with TLS of our own core, which can resume.
local core = require "xmpp_tls_policy.core"
local xmpp = require "support.xmpp"

local clients = {}

clients.password = "secret"

--- A context for clients; `version`: the highest, nil for OpenSSL's; `ciphers`: IANA names.
function clients.context(version, ciphers)
	local context = assert(core.context.new { role = "client", verify = "none" })
	assert(context:apply { maximum_version = version, ciphers = ciphers })
	return context
end

--- Opens a stream with STARTTLS, up to the second features. options: domain, context,
-- session (to resume), nagle.
function clients.open(server, options)
	local peer, reason, text = xmpp.open(server:target("c2s", options.domain), {
		nagle = options.nagle, tls = { context = options.context, session = options.session },
	})
	return assert(peer, ("%s %s"):format(tostring(reason), tostring(text)))
end

--- Opens a stream and logs in as a user of the server's specification.
function clients.log_in(server, user, options)
	local peer = clients.open(server, options)
	peer.address = assert(peer:login(user, clients.password))
	return peer
end

--- Logs in so many clients that say nothing more. A server's timers lie in a heap, and what a
-- stanza costs depends on its depth: with a few connections that is chance.
function clients.crowd(server, user, count, options)
	local peers = {}
	for number = 1, count do
		peers[number] = clients.log_in(server, user, options)
	end
	return peers
end

--- A function that closes all peers of a list.
function clients.closing(peers)
	return function ()
		for _, peer in ipairs(peers) do
			peer:close()
		end
	end
end

return clients
