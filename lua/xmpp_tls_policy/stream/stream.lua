--- One connection as one object. A Stream asks the adapter for the server's data, and keeps our own.
-- A server has many that are idle, so what streams have in common takes no memory of each, and a
-- client's has eight fields of its own: a table with nine is twice as large.
local shared_facts = require "xmpp_tls_policy.stream.shared_facts"

local stream = {}

local methods = {}

-- Adapter -> role -> metatable of its streams. Weak in both, as a reload makes another adapter.
local classes = setmetatable({}, { __mode = "kv" })

local function class_of(server, role, contexts)
	local of_server = classes[server]
	if not of_server then
		of_server = { facts = shared_facts.new() }
		classes[server] = of_server
	end
	local name = role or "none"
	if not of_server[name] then
		local common = { server = server, role = role, contexts = contexts, _class = of_server }
		for method, action in pairs(methods) do
			common[method] = action
		end
		of_server[name] = { __index = common }
	end
	return of_server[name]
end

-- Of one stream: a peer chooses for how many pairs it authenticates.
local MOST_PAIRS = 1000

--- A Stream for a session of a server; `contexts`: may be nil where no report is made. Its fields:
--   server, session   the adapter, and the server's session
--   role              "c2s", "s2sin" or "s2sout"
--   contexts          the adopted contexts (see contexts/adopted_contexts.lua), its own among them
--   connection        the LuaSec connection that facts belong to; nil before TLS
--   facts             see doc/scripting.md; nil: unknown. Streams share them, so they are not to be changed
--   judged            the pair that was judged last: { policy, host, domain, vouched }; nil if it was refused
--   verdict           of that pair (see policy/verdict.lua); streams share it, too
--   policy_name       of the policy behind the verdict
--   exception         the exception under which the stream was accepted, or nil
--   objection         the sentence by which another module objected, or nil
--   mechanism         of SASL, or "dialback", by which it was authenticated first
--   binding           the type of channel binding of the client's login, or nil
--   tls_agreed        true after STARTTLS was agreed on, until the facts of a connection are known
--   rejected_domain   the domain for which the server was told that the certificate does not count
--   went_on           true once the server's own check of the certificate let the stream go on
--   used_dialback     true once the peer sent dialback
--   refused           true once the stream is refused
function stream.new(server, session, contexts)
	-- With room for the other fields from the start.
	local made = {
		session = session, connection = nil, facts = nil, verdict = nil, policy_name = nil, judged = nil, counted = nil,
		mechanism = nil,
	}
	return setmetatable(made, class_of(server, server.role(session), contexts))
end

--- From now on the stream asks this adapter.
function methods:use(server, contexts)
	if self.server ~= server then
		setmetatable(self, class_of(server, self.role, contexts))
	end
end

--- The host of ours that the stream belongs to: the one that its header named; nil if none.
function methods:host()
	return self.server.host(self.session)
end

--- The domain that the header names as the peer, which is a claim on incoming streams; nil for
-- clients.
function methods:peer()
	return self.server.peer(self.session)
end

--- Whether the server takes the stream for encrypted although STARTTLS was only agreed on: its
-- next header came before any TLS (rfc6120.5.4.3.3.nothing-before-tls-counts).
function methods:is_spoofed()
	local server, session = self.server, self.session
	return self.tls_agreed and server.is_secure(session) and not server.connection(session) or false
end

--- Whether the stream runs over TLS.
function methods:is_encrypted()
	local server, session = self.server, self.session
	if not server.is_secure(session) then
		return false
	end
	return not self.tls_agreed or server.connection(session) ~= nil
end

-- Forgets the data of a connection.
local function forget_connection(self)
	self.facts, self.verdict, self.policy_name, self.exception, self.objection = nil, nil, nil, nil, nil
	self.judged, self.admitted, self.counted, self.cutoffs, self.identified = nil, nil, nil, nil, nil
	self.addresses, self.named, self.reported, self.shape, self.shape_pairs = nil, nil, nil, nil, nil
end

--- Reads the facts of the connection beneath. Returns them; nil without TLS; nil, message, code (see
-- core.observer.facts) where they cannot be known.
function methods:read_facts()
	local connection = self.server.connection(self.session)
	if not connection then
		return nil
	elseif self.connection ~= connection then
		forget_connection(self)
		self.connection = connection
	end
	if not self.facts then
		local facts, message, code = self._class.facts:of(connection)
		if not facts then
			return nil, message, code
		end
		self.facts, self.tls_agreed = facts, nil
	end
	return self.facts
end

--- Whether the certificate that the peer showed names a domain, as RFC 6125 has it; nil if it
-- showed none.
function methods:identity(domain)
	local certificate = self.facts and self.facts.certificate
	if not certificate or not domain then
		return nil
	end
	if domain ~= self.identified then
		self.identified, self.is_identity = domain, certificate:matches(domain, "xmpp-server")
	end
	return self.is_identity
end

-- Whether the server's own check takes the certificate for a domain. It may take fewer kinds of names
-- than we do.
local function is_named_for_server(self, domain)
	if domain ~= self.named then
		self.named, self.is_named = domain, self.server.names_domain(self.session, domain)
	end
	return self.is_named
end

--- Whether a certificate vouches for the peer as a domain: one that leads to a trusted root and
-- names it (rfc6120.13.7.2.trusted-and-named). A further domain than the header's needs a name that
-- would also do in the header.
function methods:vouched(domain)
	local server, session = self.server, self.session
	if domain == self:peer() then
		return server.has_valid_certificate(session)
	end
	return server.has_trusted_chain(session) and self:identity(domain) and is_named_for_server(self, domain) or false
end

--- Whether another proof than a trusted root and the names of the certificate vouches for the domain of the header: a
-- TLSA record (RFC 6698), or a module of the operator. A Common Name that the server's own check would take is none:
-- where that check or ours failed, nothing tells it from a proof.
function methods:is_proved_otherwise(domain)
	local server, session = self.server, self.session
	local names = self:identity(domain)
	if names == nil or domain ~= self:peer() or not server.connection(session)
		or not server.has_valid_certificate(session) then
		return false
	end
	return not server.has_trusted_chain(session) or not names and not is_named_for_server(self, domain)
end

--- Whether the peer has proved a domain, by a name in its certificate that counts (rfc6125.6.4.4.no-common-name) or
-- otherwise. The server also takes the Common Name.
function methods:has_proved(domain)
	return self:vouched(domain) and (self:identity(domain) ~= false or self:is_proved_otherwise(domain))
end

--- Whether the peer has authenticated as a domain.
function methods:speaks_for(domain)
	return self.server.speaks_for(self.session, domain)
end

--- The peer has authenticated as a domain, for a host of ours.
function methods:note_authenticated(host, domain)
	local known, count = self.authenticated_for or {}, self.authenticated_count or 0
	local domains = known[host] or {}
	if not domains[domain] and count < MOST_PAIRS then
		self.authenticated_for, self.authenticated_count = known, count + 1
		known[host], domains[domain] = domains, true
	end
end

--- Whether the peer has authenticated as a domain, and that counts for a host of ours: dialback is for
-- one pair (XEP-0220), a certificate is for all hosts.
function methods:is_authenticated_for(host, domain)
	if not self:speaks_for(domain) then
		return false
	end
	local domains = self.authenticated_for and self.authenticated_for[host]
	return domains ~= nil and domains[domain] == true or self:vouched(domain)
end

--- The data of a server's stream, beside its facts, for policies (see policy/clauses.lua) and a
-- domain of the peer; nil for clients.
function methods:described(domain)
	if self.role == "c2s" then
		return nil
	end
	return {
		domain = domain, service = "xmpp-server", identity = self:identity(domain), authenticated = self:vouched(domain),
		proved_otherwise = self:is_proved_otherwise(domain),
	}
end

--- Publishes the facts and the verdict to other modules.
function methods:publish()
	self.server.publish(self.session, {
		facts = self.facts, verdict = self.verdict, policy = self.policy_name, exception = self.exception,
	})
end

return stream
