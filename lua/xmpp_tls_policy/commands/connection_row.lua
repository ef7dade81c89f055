--- One connection as a row of the command `show`:
--   role               "c2s", "s2sin" or "s2sout"
--   who                JID of an authenticated client; of a server's stream to us, the first domain
--                      that it is authenticated for; of ours to a server, the domain that we
--                      connect to. Never a name that is only claimed
--   further_domains    list of further domains that a server's stream to us is authenticated for,
--                      or nil
--   host, address      our host, and the address of the peer
--   carrier            "BOSH" or "WebSocket", or nil
--   hibernating        true: the client is disconnected, and its session waits for it (XEP-0198)
--   encrypted, version, cipher_suite, bits, group, resumed, forward_secrecy
--   mechanism          of SASL, or "dialback"; nil before authentication
--   binding            the type of channel binding of a client's login, or nil
--   authenticated      whether a client has logged in, or a certificate vouches for each domain
--                      that a server's stream is authenticated for
--   authentication     "PKIX", "DANE" or "other": how the certificate of a server was verified
--   without_certificate  list of domains that a server's stream is authenticated for, and that
--                      its certificate does not vouch for; nil unless it vouches for others
--   verdict            "ok", "exception", "refused", "would refuse" or "not judged"
--   clauses            list of the clauses that a verdict refuses for, or nil
--   policy             name of the policy that judged, or nil
--   exception          { domain, expires }, or nil
-- All but role, encrypted, authenticated and verdict are nil where they are unknown.
local clauses_of = require "xmpp_tls_policy.policy.verdict".clauses
local core = require "xmpp_tls_policy.core"
local cutoff_verdict = require "xmpp_tls_policy.stream.cutoff_verdict"

local connection_row = {}

---- Names ---------------------------------------------------------------------

-- Adds the names, and returns the domains that a server's stream is authenticated for.
local function add_names(row, server, session)
	if row.role == "c2s" then
		row.who = server.client_jid(session)
		return {}
	end
	local domains = server.domains_of(session)
	if row.role == "s2sout" then
		row.who = server.peer(session)
	else
		row.who = domains[1]
		for index = 2, #domains do
			row.further_domains = row.further_domains or server.list {}
			row.further_domains[index - 1] = domains[index]
		end
	end
	return domains
end

---- TLS -----------------------------------------------------------------------

-- The facts of the present connection. For a stream from before the module was loaded, only those of
-- the server.
local function facts_of(server, session, stream, connection)
	if stream and stream.connection == connection and stream.facts then
		return stream.facts
	end
	return core.observer.facts(connection) or server.is_secure(session) and server.known_of(connection)
end

local function add_facts(row, server, session, stream)
	if row.carrier then
		row.encrypted = server.is_secure(session)
	end
	local connection = server.connection(session)
	local facts = connection and facts_of(server, session, stream, connection)
	if not facts then
		return
	end
	row.encrypted, row.version, row.cipher_suite = true, facts.version, facts.cipher_suite or facts.cipher
	row.bits, row.group, row.resumed = facts.bits, facts.group, facts.resumed
	row.forward_secrecy = facts.forward_secrecy
end

---- Authentication ------------------------------------------------------------

local function is_vouched_for(server, session, stream, domain)
	if stream then
		return stream:vouched(domain)
	end
	return domain == server.peer(session) and server.has_valid_certificate(session)
end

-- A certificate authenticates a server. Dialback alone does not (draft, section 4.6).
local function add_certificate(row, server, session, stream, domains)
	local missing = server.list {}
	for _, domain in ipairs(domains) do
		if not is_vouched_for(server, session, stream, domain) then
			missing[#missing + 1] = domain
		end
	end
	row.authenticated = domains[1] ~= nil and #missing == 0
	if #missing < #domains then
		-- The server says how it verified the certificate for the domain of the stream header. For
		-- another domain the chain was verified, and the name by the server's rule and by ours.
		row.authentication = server.vouched_by(session) or "PKIX"
		row.without_certificate = missing[1] and missing or nil
	end
end

local function add_authentication(row, server, session, stream, domains)
	local established = server.is_authenticated(session)
	if row.role ~= "c2s" then
		established = domains[1] ~= nil
		add_certificate(row, server, session, stream, domains)
	else
		row.authenticated = established
	end
	if established then
		row.mechanism = stream and stream.mechanism or server.used_external(session) and "EXTERNAL" or nil
		row.binding = stream and stream.binding or nil
	end
end

---- Verdict -------------------------------------------------------------------

local function comparable(domain)
	return core.domain_name(domain) or domain
end

-- Whether a row may name the domain of an exception: the header of a stream only claims it.
local function may_name(row, domain, domains)
	if row.role == "s2sout" or row.role == "c2s" then
		return true
	end
	for _, known in ipairs(domains) do
		if comparable(known) == comparable(domain) then
			return true
		end
	end
	return false
end

-- `judged`: { verdict, exception (nil: none), policy = name }; refused: the word for a refusal.
local function add_judged(row, server, judged, refused, domains)
	local exception = judged.exception
	local nameable = exception and may_name(row, exception.domain, domains)
	-- The name of the policy has the domain of the exception in it.
	row.policy = (nameable or not exception) and judged.policy or nil
	if judged.verdict.refuse then
		row.verdict, row.clauses = refused, server.list(clauses_of(judged.verdict.broken))
	elseif exception then
		row.verdict = "exception"
		row.exception = nameable and { domain = exception.domain, expires = exception.expires } or nil
	else
		row.verdict = "ok"
	end
end

-- The verdict for one domain (nil: a client, or a server that names none) if the policy were
-- enforced.
local function judge_as_enforced(service, row, stream, domain)
	local is_client = row.role == "c2s"
	local policy = service.policies:policy_for(row.host, domain, is_client and row.address or nil,
		is_client and service.server.client_bare_jid(stream.session) or nil)
	return {
		verdict = cutoff_verdict.of(policy, stream, domain), exception = policy.exception, policy = policy:name(),
	}
end

-- The same for a stream: a refusal for one of its domains counts before an exception for
-- another.
local function worst_as_enforced(service, row, session, stream, domains)
	if not domains[1] then
		return judge_as_enforced(service, row, stream, service.server.peer(session))
	end
	local worst
	for _, domain in ipairs(domains) do
		local judged = judge_as_enforced(service, row, stream, domain)
		if judged.verdict.refuse then
			return judged
		elseif not worst or judged.exception then
			worst = judged
		end
	end
	return worst
end

-- Whether the verdict of an enforced policy on a stream can be computed: the handshake is known, or the
-- peer was authenticated without one.
local function is_known(server, session, stream)
	if stream.facts then
		return stream.connection == server.connection(session)
	end
	return server.is_authenticated(session) and not stream:is_encrypted()
end

local function add_verdict(row, service, session, stream, domains)
	local server, policies = service.server, service.policies
	row.verdict = "not judged"
	if not stream or row.carrier or row.hibernating or not policies:covers(row.host) then
		return
	elseif policies:policy_for(row.host).mode == "report" then
		if is_known(server, session, stream) then
			add_judged(row, server, worst_as_enforced(service, row, session, stream, domains), "would refuse", domains)
		end
	elseif stream.verdict and stream.connection == server.connection(session) then
		add_judged(row, server, {
			verdict = stream.verdict, exception = stream.exception, policy = stream.policy_name,
		}, "refused", domains)
	end
end

--- Fills an empty row. Returns false for a session that has ended, or is neither of a client nor
-- of a server.
function connection_row.fill(row, service, session)
	local server = service.server
	row.role = not server.is_destroyed(session) and server.role(session) or nil
	if not row.role then
		return false
	end
	local stream = server.stream(session)
	row.host, row.address = server.host(session), server.address(session)
	row.carrier, row.encrypted = server.carrier(session), false
	row.hibernating = server.is_hibernating(session) or nil
	local domains = add_names(row, server, session)
	add_facts(row, server, session, stream)
	add_authentication(row, server, session, stream, domains)
	add_verdict(row, service, session, stream, domains)
	return true
end

return connection_row
