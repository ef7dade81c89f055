--- The certificates that peers and our own hosts offer: the command `cert` of the shell.
local array = require "util.array"
local contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local core = require "xmpp_tls_policy.core"
local date = require "xmpp_tls_policy.date"
local own_certificates = require "xmpp_tls_policy.certificates.own_certificate_check"
local server = require "xmpp_tls_policy.servers.prosody.server"
local shell = require "xmpp_tls_policy.servers.prosody.shell"
local text = require "xmpp_tls_policy.text"

local DAY = 86400 -- seconds

---- What is wrong -------------------------------------------------------------

local function validity_problems(facts, now)
	if not facts.not_before or not facts.not_after then
		return { "its dates cannot be read" }
	elseif now > facts.not_after then
		return { ("it expired on %s"):format(date.of(facts.not_after)) }
	elseif now < facts.not_before then
		return { ("it is not valid before %s"):format(date.of(facts.not_before)) }
	end
	return {}
end

-- The server's errors come by depth, from 1.
local function chain_errors(session)
	local problems = array {}
	for depth, errors in pairs(type(session.cert_chain_errors) == "table" and session.cert_chain_errors or {}) do
		for _, problem in ipairs(type(errors) == "table" and errors or { errors }) do
			problems:push(("chain, depth %s: %s"):format(type(depth) == "number" and ("%d"):format(depth - 1)
				or tostring(depth), tostring(problem)))
		end
	end
	return problems:sort()
end

local function peer_problems(session, certificate, domain)
	local problems = array(validity_problems(certificate:facts(), os.time()))
	if session.cert_chain_status ~= "valid" then
		local errors = chain_errors(session)
		problems:append(errors[1] and errors or { session.cert_chain_status and "its chain is not valid"
			or "its chain was not checked" })
	end
	if not certificate:matches(domain, "xmpp-server") then
		problems:push(("it does not name %s"):format(domain))
	end
	return problems
end

---- What is there -------------------------------------------------------------

-- What follows a peer's certificate; LuaSec's list has that first.
local function chain_of_peer(connection)
	local chain = array {}
	for index, certificate in ipairs(connection:getpeerchain() or {}) do
		local parsed = index > 1 and core.certificate.from_pem(certificate:pem())
		if parsed then
			chain:push(parsed:facts())
		end
	end
	return chain
end

local function described(facts)
	local srv = array {}
	for _, name in ipairs(facts.identities.srv) do
		srv:push(("_%s.%s"):format(name.service, name.name))
	end
	return {
		subject = facts.subject, issuer = facts.issuer, serial = facts.serial, not_before = facts.not_before,
		not_after = facts.not_after,
		days_left = facts.not_after and math.floor((facts.not_after - os.time()) / DAY),
		names = { dns = array(facts.identities.dns), srv = srv, xmpp = array(facts.identities.xmpp) },
		key_type = facts.key_type, key_bits = facts.key_bits, curve = facts.curve,
		signature_algorithm = facts.signature_algorithm, sha256 = facts.sha256, spki_sha256 = facts.spki_sha256,
		extended_key_usages = facts.extended_key_usages and array(facts.extended_key_usages),
	}
end

local function described_chain(chain)
	local list = array {}
	for _, facts in ipairs(chain) do
		list:push {
			subject = facts.subject, issuer = facts.issuer, not_after = facts.not_after, sha256 = facts.sha256,
			key_type = facts.key_type, key_bits = facts.key_bits, signature_algorithm = facts.signature_algorithm,
		}
	end
	return list
end

-- Adds a certificate to a list, or, if it is there already, only where it is offered.
local function add(list, where, certificate, chain, problems)
	local made = described(certificate:facts())
	made.chain, made.problems, made.offered = described_chain(chain), problems, array { where }
	for _, other in ipairs(list) do
		if other.sha256 == made.sha256 and table.concat(other.problems, "\n") == table.concat(problems, "\n") then
			for _, known in ipairs(other.offered) do
				if known == where then
					return
				end
			end
			other.offered:push(where):sort()
			return
		end
	end
	list:push(made)
end

local function is_of(session, domain)
	local peer = server.peer(session)
	return peer and core.domain_name(peer) == domain or server.speaks_for(session, domain)
end

local function add_of_peers(list, module, domain)
	for _, session in ipairs(server.sessions(module)) do
		local connection = session.direction and not session.destroyed and is_of(session, domain)
			and server.connection(session)
		local facts = connection and core.observer.facts(connection)
		if facts and facts.certificate then
			add(list, session.direction == "incoming" and "s2sin" or "s2sout", facts.certificate,
				chain_of_peer(connection), peer_problems(session, facts.certificate, domain))
		end
	end
end

local function add_inspected(list, where, inspected, host)
	if inspected.certificate then
		local problems, chain = own_certificates.problems(host, inspected)
		local messages = array {}
		for index, problem in ipairs(problems) do
			messages[index] = problem.message
		end
		add(list, where, inspected.certificate, chain, messages)
	end
end

-- Those in use; else, where there was no connection yet, the configuration's.
local function add_of_host(list, host)
	local before = #list
	contexts.each(function (entry, context)
		if context and entry.given.host == host and entry.given.role ~= "s2sout" then
			add_inspected(list, "our own, " .. entry.given.role, context:inspect(), host)
		end
	end)
	local luasec = #list == before and server.own_context(host, "c2s_ssl")
	local context = luasec and core.context.adopt(luasec)
	if context then
		add_inspected(list, "our own, as configured", context:inspect(), host)
		context:close()
	end
end

-- All certificates of a domain, or nil and a message.
local function certificates_of(module, given)
	local domain = given and core.domain_name(given)
	if not domain then
		return nil, given and ("%s is no domain"):format(text.quote(given)) or "cert needs a domain"
	end
	local list = array {}
	for host in pairs(prosody.hosts) do
		if core.domain_name(host) == domain then
			add_of_host(list, host)
		end
	end
	add_of_peers(list, module, domain)
	if not list[1] then
		return nil, ("no certificate of %s is known: it is no host of ours with TLS, and there is no connection with it "
			.. "on which it showed one"):format(domain)
	end
	return list
end

---- For people ----------------------------------------------------------------

local function names_of(certificate)
	local names = array {}
	for _, kind in ipairs { { "DNS", "dns" }, { "SRV", "srv" }, { "XmppAddr", "xmpp" } } do
		for _, name in ipairs(certificate.names[kind[2]]) do
			names:push(("%s %s"):format(kind[1], name))
		end
	end
	return names[1] and names:concat ", " or "none that counts"
end

local function validity_of(certificate)
	if not certificate.not_before or not certificate.not_after then
		return "unknown"
	end
	local left = certificate.days_left >= 0 and shell.counted(certificate.days_left, "day") .. " left" or "over"
	return ("%s to %s (%s)"):format(date.of(certificate.not_before), date.of(certificate.not_after), left)
end

local function key_of(certificate)
	return ("%s%s%s"):format(certificate.key_type or "unknown",
		certificate.key_bits and (", %d bits"):format(certificate.key_bits) or "",
		certificate.curve and (", %s"):format(certificate.curve) or "")
end

local function print_field(session, title, value)
	shell.print(session, "  %-22s%s", title, value or "unknown")
end

local function print_certificate(session, certificate)
	shell.print(session, "Offered by %s", certificate.offered:concat ", ")
	print_field(session, "Names", names_of(certificate))
	print_field(session, "Subject", certificate.subject)
	print_field(session, "Issuer", certificate.issuer)
	print_field(session, "Serial number", certificate.serial)
	print_field(session, "Valid", validity_of(certificate))
	print_field(session, "Key", key_of(certificate))
	print_field(session, "Signature", certificate.signature_algorithm)
	print_field(session, "SHA-256", certificate.sha256)
	print_field(session, "SHA-256 of the key", certificate.spki_sha256)
	print_field(session, "Extended key usages", certificate.extended_key_usages
		and certificate.extended_key_usages:concat ", " or "not restricted")
	for index, authority in ipairs(certificate.chain) do
		print_field(session, index == 1 and "Followed by" or "", ("%s, issued by %s, until %s"):format(
			authority.subject or "unknown", authority.issuer or "unknown",
			authority.not_after and date.of(authority.not_after) or "unknown"))
	end
	for index, problem in ipairs(certificate.problems) do
		print_field(session, index == 1 and "What is wrong" or "", problem)
	end
end

local function show(session, domain, module)
	local list, message = certificates_of(module, domain)
	if not list then
		return nil, message
	end
	for _, certificate in ipairs(list) do
		print_certificate(session, certificate)
	end
	return true, shell.counted(#list, "certificate")
end

--- See shell.add.
return {
	{
		name = "cert",
		argument = "domain",
		help = "Show the certificate that a connected server or one of our own hosts offers, and what is wrong with it",
		data = function (domain, module)
			local list, message = certificates_of(module, domain)
			if not list then
				return nil, message
			end
			return { certificates = list }
		end,
		show = show,
	},
}
