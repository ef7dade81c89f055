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

--- Opens so many connections that say nothing, for as long as the measurement takes: the
-- server's c2s_timeout has to allow that. Returns them, as peers.
--
-- Prosody keeps each connection's timers in tables that Lua makes as large as the next power of
-- two, and fills again each time they are full of removed ones. With few connections, what a
-- stanza costs depends on how close to that their number happens to be: with one more timer
-- it may be several per cent more. 70 connections have 140 timers, in tables for 256.
function clients.crowd(server)
	local peers = {}
	for number = 1, 70 do
		peers[number] = xmpp.connect(server:target "c2s")
	end
	return peers
end

--- Closes all peers of a list.
function clients.close(peers)
	for _, peer in ipairs(peers) do
		peer:close()
	end
end

return clients
