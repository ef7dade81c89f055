--- Whether, and by what, an endpoint resumes sessions; and renegotiation that the client begins, which
-- needs a connection of TLS 1.2, too.
local attempt = require "xmpp_tls_policy.audit.attempt"
local exchange = require "xmpp_tls_policy.audit.exchange"
local observations = require "xmpp_tls_policy.audit.observations"
local psk_hello = require "xmpp_tls_policy.audit.psk_hello"
local question = require "xmpp_tls_policy.audit.question"
local tasks = require "xmpp_tls_policy.audit.tasks"
local tls_client = require "xmpp_tls_policy.audit.tls_client"

local resumption = { name = "resumption" }

-- Bytes (rfc5246.7.4.1.2.longest-session-id).
local LONGEST_ID = 32

local function settings(versions, extra)
	local result = {}
	for name, value in pairs(tls_client.settings) do
		result[name] = value
	end
	for name, value in pairs(extra or {}) do
		result[name] = value
	end
	result.minimum_version, result.maximum_version = versions[1], versions[2]
	return result
end

local with_ids = settings({ "TLSv1", "TLSv1.2" }, { no_stateless_tickets = true })
local with_tickets = settings { "TLSv1", "TLSv1.2" }
local tls13 = settings { "TLSv1.3", "TLSv1.3" }

-- The alerts of a server that has no version of those offered.
local refusals = { protocol_version = true, handshake_failure = true, insufficient_security = true }

-- Seconds until a server has noticed that we are gone. Some forget the session only then.
local NOTICE = 0.2

-- A handshake. Returns a TlsClient, or nil and an observation for all that the handshake was for.
local function connect(endpoint, of, session)
	local client, kind, message, alert = attempt.make(endpoint, function (channel)
		return tls_client.handshake(channel, {
			settings = of, server_name = endpoint.server_name, session = session, deadline = endpoint:deadline(),
		})
	end)
	if client then
		return client
	end
	local what = of == tls13 and "TLS 1.3" or "TLS 1.2 and older"
	if refusals[alert] then
		return nil, observations.made(false, ("%s is refused with the alert %s"):format(what, alert))
	elseif kind == "declined" then
		return nil, observations.made(false, ("for %s the server closed the connection, but it answered the next "
			.. "hello"):format(what))
	end
	return nil, observations.untested(exchange.reason(kind, message))
end

local function observe_all(observed, names, observation)
	for _, name in ipairs(names) do
		observed[name] = observation
	end
end

-- ---- renegotiation ---------------------------------------------------------------

local function observe_renegotiation(endpoint, observed, client)
	local done, kind, message, alert = client:renegotiate(endpoint:deadline())
	local observation
	if done then
		observation = observations.made(true, "the second handshake of the connection succeeded")
	elseif kind == "alert" then
		observation = observations.made(false, "answered with the alert " .. alert)
	elseif kind == "closed" or kind == "reset" then
		-- The connection was in good order until then.
		observation = observations.made(false, "the server closed the connection when it was asked to")
	else
		observation = observations.untested(exchange.reason(kind, message))
	end
	observed["renegotiation.client"] = observation
end

-- ---- TLS 1.2 ---------------------------------------------------------------------

-- Resumes a session twice if need be: `session` after an unclean close, and the one of the second
-- connection after a clean one. `next_session(client)`: the session of a client, or nil. Returns
-- { unclean, clean = whether it was resumed, or nil; client = the last TlsClient, open }, or nil and an
-- observation.
local function resume(endpoint, of, session, next_session)
	local client, failure = connect(endpoint, of, session)
	if not client then
		return nil, failure
	elseif client:facts().resumed then
		return { unclean = true, client = client }
	end
	session = next_session(client)
	client:close()
	if not session then
		return { unclean = false, clean = false }
	end
	client, failure = connect(endpoint, of, session)
	if not client then
		return nil, failure
	end
	return { unclean = false, clean = client:facts().resumed, client = client }
end

local function observe_resumed(what, found)
	if found.unclean then
		return observations.made(true, what .. " was resumed")
	end
	return observations.made(found.clean, ("%s was %sresumed after a clean close"):format(what,
		found.clean and "" or "not "))
end

-- Keeps a no, and what was not tested, of the other version.
local function note_unclean(observed, what, found)
	local name = "resumption.unclean_close"
	local known = observed[name]
	if known and known.seen == false or not (found.unclean or found.clean) then
		return
	end
	observed[name] = observations.made(found.unclean, ("%s was %sresumed after the connection was closed without "
		.. "close_notify"):format(what, found.unclean and "" or "not "))
end

local function run_session_id(endpoint, observed)
	local names = { "resumption.session_id", "renegotiation.client" }
	local client, failure = connect(endpoint, with_ids)
	if not client then
		return observe_all(observed, names, failure)
	end
	local session = client:ticket().id_length > 0 and client:session()
	if not session then
		observed["resumption.session_id"] = observations.made(false, "the server gave the session no ID")
		observe_renegotiation(endpoint, observed, client)
		return client:close()
	end
	client:close { unclean = true, deadline = tasks.now() + NOTICE }
	local found
	found, failure = resume(endpoint, with_ids, session, client.session)
	if not found then
		return observe_all(observed, names, failure)
	end
	observed["resumption.session_id"] = observe_resumed("a session with an ID", found)
	note_unclean(observed, "a session of TLS 1.2", found)
	if found.client then
		observe_renegotiation(endpoint, observed, found.client)
		found.client:close()
	else
		observed["renegotiation.client"] = observations.untested "no connection was left to test it on"
	end
end

local function run_tickets(endpoint, observed)
	local client, failure = connect(endpoint, with_tickets)
	if not client then
		observed["resumption.ticket_tls12"] = failure
		return
	end
	local ticket = client:ticket()
	client:close()
	observed["resumption.ticket_tls12"] = ticket.length == 0 and observations.made(false, "no ticket was issued")
		or observations.made(true, ("a ticket of %d bytes for %d seconds was issued"):format(ticket.length,
			ticket.lifetime), { length = ticket.length, lifetime = ticket.lifetime })
end

-- ---- TLS 1.3 ---------------------------------------------------------------------

-- A transport over a TlsClient whose reading ends ("ticket") when a ticket is there.
local function until_ticket(client)
	local transport = {}
	function transport.write(_, bytes, deadline)
		return client:write(bytes, deadline)
	end
	function transport.read(_, deadline)
		local ticket, kind, message = client:await_ticket(deadline, true)
		if ticket then
			return nil, "ticket"
		elseif kind ~= "data" then
			return nil, kind, message
		end
		return client:read(deadline)
	end
	function transport.close()
		client:close()
	end
	return transport
end

-- Waits for the ticket of a connection. A server sends it before the first data, so that it sends none if
-- the features of a stream come without one. Returns true, or nil and an observation.
local function await_ticket(endpoint, client)
	local stream, kind, message = endpoint:open_stream(until_ticket(client))
	if client:ticket().length > 0 then
		return true
	elseif stream or kind == "stream_error" then
		return nil, observations.made(false, "no ticket was issued")
	end
	return nil, observations.untested(("no ticket came, and no stream (%s)"):format(exchange.reason(kind, message)))
end

local of_tickets = { "resumption.tls13", "resumption.stateless_tls13", "early_data", "resumption.psk_without_dhe" }

local function observe_ticket(observed, ticket)
	local stateless, early = ticket.length > LONGEST_ID, ticket.early_data > 0
	observed["resumption.stateless_tls13"] = observations.made(stateless,
		("the ticket has %d bytes"):format(ticket.length))
	observed["early_data"] = observations.made(early, early and ("the ticket allows %d bytes of early data"):format(
		ticket.early_data) or "the ticket allows no early data")
end

-- rfc8446.4.2.9.psk-with-key-exchange
local function observe_psk(endpoint, session)
	local bytes, message = psk_hello.build(tls_client.context(tls13), session, endpoint.server_name)
	if not bytes then
		return observations.untested(message)
	end
	local answer, reason = question.ask(endpoint, { bytes = bytes })
	if not answer then
		return observations.untested(reason)
	end
	local found = answer.extensions or {}
	local resumed = found[psk_hello.PRE_SHARED_KEY] and not found[psk_hello.KEY_SHARE]
	return observations.made(resumed and true or false, resumed and "the ServerHello takes the session, and has no key"
		or question.is_accepted(answer) and "the ServerHello does not take the session without a key exchange"
		or question.evidence(answer))
end

local function run_tls13(endpoint, observed)
	local client, failure = connect(endpoint, tls13)
	if not client then
		return observe_all(observed, of_tickets, failure)
	end
	local issued
	issued, failure = await_ticket(endpoint, client)
	local ticket, session = client:ticket(), client:session()
	client:close { unclean = true, deadline = tasks.now() + NOTICE }
	if not issued then
		return observe_all(observed, of_tickets, failure)
	end
	observe_ticket(observed, ticket)
	local last
	local found
	found, failure = resume(endpoint, tls13, session, function (next_client)
		return await_ticket(endpoint, next_client) and next_client:session()
	end)
	if not found then
		return observe_all(observed, { "resumption.tls13", "resumption.psk_without_dhe" }, failure)
	end
	note_unclean(observed, "a session of TLS 1.3", found)
	local observation = observe_resumed("a session of TLS 1.3", found)
	observation.value = { length = ticket.length, lifetime = ticket.lifetime }
	observed["resumption.tls13"] = observation
	if found.client then
		last = await_ticket(endpoint, found.client) and found.client:session()
		found.client:close()
	end
	if not observation.seen then
		observed["resumption.psk_without_dhe"] = observations.made(false, "no session of TLS 1.3 is resumed")
	elseif last then
		observed["resumption.psk_without_dhe"] = observe_psk(endpoint, last)
	else
		observed["resumption.psk_without_dhe"] = observations.untested "the resumed session got no ticket of its own"
	end
end

--- Makes the observations of the three ways to resume a session.
function resumption.run(endpoint, observed)
	tasks.all {
		function () run_session_id(endpoint, observed) end,
		function () run_tickets(endpoint, observed) end,
		function () run_tls13(endpoint, observed) end,
	}
	local by_id, in_tls13 = observed["resumption.session_id"], observed["resumption.tls13"]
	if observed["resumption.unclean_close"] then
		return
	elseif by_id.seen == false and in_tls13.seen == false then
		observed["resumption.unclean_close"] = observations.made(false, "no session is resumed, after whatever end")
	else
		observed["resumption.unclean_close"] = observations.untested(by_id.reason or in_tls13.reason)
	end
end

return resumption
