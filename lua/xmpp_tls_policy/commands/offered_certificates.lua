--- The certificates of a domain: on the connections of another server, and on hosts of ours. Each
-- is { subject, issuer, serial, not_before, not_after, days_left, names = { dns, srv, xmpp },
-- key_type, key_bits, curve, signature_algorithm, sha256, spki_sha256, extended_key_usages,
-- chain = list of the certificates that follow it, problems = list of sentences, offered = list of
-- the roles in which it was seen, authenticated = whether a stream that has it is authenticated for
-- the domain (nil for ours) }.
local core = require "xmpp_tls_policy.core"
local date = require "xmpp_tls_policy.date"
local name_of = require "xmpp_tls_policy.certificates.domain_store".name_of

local offered_certificates = {}

---- Problems ------------------------------------------------------------------

local function validity_problem(facts, now)
	if not facts.not_before or not facts.not_after then
		return "its dates cannot be read"
	elseif now > facts.not_after then
		return ("it expired on %s"):format(date.of(facts.not_after))
	elseif now < facts.not_before then
		return ("it is not valid before %s"):format(date.of(facts.not_before))
	end
end

local function add_chain_problems(problems, server, session)
	local first = #problems + 1
	for _, failure in ipairs(server.chain_errors(session)) do
		problems[#problems + 1] = ("chain, depth %s: %s"):format(failure.depth, failure.message)
	end
	if not problems[first] then
		problems[first] = server.has_checked_chain(session) and "its chain is not valid" or "its chain was not checked"
	end
end

local function peer_problems(server, session, certificate, domain)
	local problems = server.list { validity_problem(certificate:facts(), os.time()) }
	if not server.has_valid_chain(session) then
		add_chain_problems(problems, server, session)
	end
	if not certificate:matches(domain, "xmpp-server") then
		problems[#problems + 1] = ("it does not name %s"):format(domain)
	end
	return problems
end

---- Facts ---------------------------------------------------------------------

local function described(server, facts)
	local list, srv = server.list, {}
	for index, name in ipairs(facts.identities.srv) do
		srv[index] = ("_%s.%s"):format(name.service, name.name)
	end
	return {
		subject = facts.subject, issuer = facts.issuer, serial = facts.serial, not_before = facts.not_before,
		not_after = facts.not_after,
		days_left = facts.not_after and math.floor((facts.not_after - os.time()) / date.DAY),
		names = { dns = list(facts.identities.dns), srv = list(srv), xmpp = list(facts.identities.xmpp) },
		key_type = facts.key_type, key_bits = facts.key_bits, curve = facts.curve,
		signature_algorithm = facts.signature_algorithm, sha256 = facts.sha256, spki_sha256 = facts.spki_sha256,
		extended_key_usages = facts.extended_key_usages and list(facts.extended_key_usages),
	}
end

local function described_chain(server, chain)
	local list = server.list {}
	for index, facts in ipairs(chain) do
		list[index] = {
			subject = facts.subject, issuer = facts.issuer, not_after = facts.not_after, sha256 = facts.sha256,
			key_type = facts.key_type, key_bits = facts.key_bits, signature_algorithm = facts.signature_algorithm,
		}
	end
	return list
end

local function add_role(certificate, role)
	for _, known in ipairs(certificate.offered) do
		if known == role then
			return
		end
	end
	table.insert(certificate.offered, role)
	table.sort(certificate.offered)
end

-- Adds a certificate to a list; if it is there already, only its role. Returns the item.
local function add(list, server, role, facts, chain, problems)
	for _, known in ipairs(list) do
		if known.sha256 == facts.sha256 and table.concat(known.problems, "\n") == table.concat(problems, "\n") then
			add_role(known, role)
			return known
		end
	end
	local certificate = described(server, facts)
	certificate.chain, certificate.problems = described_chain(server, chain), problems
	certificate.offered = server.list { role }
	list[#list + 1] = certificate
	return certificate
end

---- Other servers -------------------------------------------------------------

-- The facts of the certificates that follow a peer's; LuaSec's list begins with its own.
local function chain_of_peer(connection)
	local chain = {}
	for index, certificate in ipairs(connection:getpeerchain() or {}) do
		local parsed = index > 1 and core.certificate.from_pem(certificate:pem())
		if parsed then
			chain[#chain + 1] = parsed:facts()
		end
	end
	return chain
end

local function claims(server, session, domain)
	local peer = server.peer(session)
	return peer ~= nil and name_of(peer) == domain
end

local function is_authenticated_for(server, session, domain)
	for _, known in ipairs(server.domains_of(session)) do
		if name_of(known) == domain then
			return true
		end
	end
	return false
end

-- Adds the certificate of a server's stream that is authenticated for a domain, or claims it: a
-- certificate that keeps a server from being authenticated has to be seen, too.
local function add_of_stream(list, server, session, domain)
	local role, authenticated = server.role(session), is_authenticated_for(server, session, domain)
	local connection = (authenticated or claims(server, session, domain)) and server.connection(session)
	local facts = connection and core.observer.facts(connection)
	if not facts or not facts.certificate then
		return
	end
	local certificate = add(list, server, role, facts.certificate:facts(), chain_of_peer(connection),
		peer_problems(server, session, facts.certificate, domain))
	certificate.authenticated = certificate.authenticated or authenticated
end

local function add_of_peers(list, server, domain)
	local next_turn = server.turns()
	for _, session in ipairs(server.sessions()) do
		local role = not server.is_destroyed(session) and server.role(session)
		if role == "s2sin" or role == "s2sout" then
			add_of_stream(list, server, session, domain)
		end
		next_turn()
	end
end

---- Our hosts -----------------------------------------------------------------

local function add_inspected(list, service, role, inspected, host)
	if not inspected.certificate then
		return
	end
	local problems, chain = service.own_certificates:problems(host, inspected)
	local messages = service.server.list {}
	for index, problem in ipairs(problems) do
		messages[index] = problem.message
	end
	add(list, service.server, role, inspected.certificate:facts(), chain, messages)
end

local function add_of_context(list, service, host, luasec, label)
	local context = luasec and core.context.adopt(luasec)
	if context then
		add_inspected(list, service, label, context:inspect(), host)
		context:close()
	end
end

-- The LuaSec contexts that a host's new connections get: luasec -> true; nil where that is unknown.
local function in_service(server, host)
	local current = server.current_contexts(host)
	if not current then
		return nil
	end
	local found = {}
	for _, item in ipairs(current) do
		found[server.luasec_context(item.context)] = true
	end
	for _, listener in ipairs(server.direct_tls_contexts()) do
		local context = listener.names[host]
		if context then
			found[server.luasec_context(context)] = true
		end
	end
	return found
end

-- Adds the certificates that new connections get; where there was no connection yet, that of the
-- configuration. Old streams may still hold contexts of before a renewal, which are left out.
local function add_of_host(list, service, host)
	local server, is_used = service.server, false
	local served = in_service(server, host)
	service.adopted:each(function (entry, context, luasec)
		if context and entry.given.host == host and entry.given.role ~= "s2sout" then
			is_used = true
			if not served or served[luasec] then
				add_inspected(list, service, "our own, " .. entry.given.role, context:inspect(), host)
			end
		end
	end)
	if is_used then
		for _, item in ipairs(server.current_contexts(host) or {}) do
			if item.role ~= "s2sout" then
				add_of_context(list, service, host, server.luasec_context(item.context), "our own, " .. item.role)
			end
		end
	else
		add_of_context(list, service, host, (server.own_context(host, "c2s")), "our own, as configured")
	end
end

--- All certificates of a domain, in the form of name_of (certificates/domain_store.lua): a list of server.list.
function offered_certificates.of(service, domain)
	local list = service.server.list {}
	for _, host in ipairs(service.server.hosts()) do
		if name_of(host) == domain then
			add_of_host(list, service, host)
		end
	end
	add_of_peers(list, service.server, domain)
	return list
end

return offered_certificates
