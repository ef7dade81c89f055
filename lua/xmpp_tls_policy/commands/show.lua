--- What is connected, and how: the command `show` of the shell.
local array = require "util.array"
local core = require "xmpp_tls_policy.core"
local in_force = require "xmpp_tls_policy.policy.policies"
local jid = require "util.jid"
local server = require "xmpp_tls_policy.servers.prosody.server"
local shell = require "xmpp_tls_policy.servers.prosody.shell"
local streams = require "xmpp_tls_policy.stream.admission"
local turns = require "xmpp_tls_policy.servers.prosody.turns"
local text = require "xmpp_tls_policy.text"

local connections = {}

---- What happens to sessions --------------------------------------------------

--- To be called when a session has been authenticated, with the mechanism: of SASL, or
-- "dialback". What a server's stream was opened with counts.
function connections.authenticated(session, mechanism)
	session.tls_policy_mechanism = session.tls_policy_mechanism or mechanism
end

--- To be called when a client goes on with an old session on a new connection (XEP-0198);
-- harmless again, when nothing is left of the new one.
function connections.resumed(old, new)
	if new.tls_policy_mechanism then
		old.tls_policy, old.tls_policy_mechanism = new.tls_policy, new.tls_policy_mechanism
	end
end

---- One row -------------------------------------------------------------------

local function role_of(session)
	if session.direction == "outgoing" then
		return "s2sout"
	elseif session.direction == "incoming" then
		return "s2sin"
	end
	return session.type and session.type:match "^c2s" and "c2s"
end

local function who(session)
	if session.direction then
		return server.peer(session)
	elseif session.full_jid then
		return session.full_jid
	end
	return session.username and ("%s@%s"):format(session.username, session.host)
end

-- Others that a server is authenticated for on the same stream (XEP-0220), sorted.
local function further_domains(session)
	local domains
	for domain in pairs(session.hosts or {}) do
		if domain ~= session.from_host and server.speaks_for(session, domain) then
			domains = domains or array {}
			domains:push(domain)
		end
	end
	return domains and domains:sort()
end

-- Adds facts of a session's connection: the policy's, or what the server knows of one
-- that was made before it.
local function add_facts(row, session)
	local connection = server.connection(session)
	local known = session.tls_policy
	if not connection then
		return
	end
	local facts = known and known.connection == connection and known.facts
		or core.observer.facts(connection) or session.secure and server.known_of(connection)
	if not facts then
		return
	end
	row.encrypted, row.version, row.cipher_suite = true, facts.version, facts.cipher_suite or facts.cipher
	row.bits, row.group, row.resumed = facts.bits, facts.group, facts.resumed
	row.forward_secrecy = facts.forward_secrecy
end

-- A server is authenticated by its certificate only; dialback alone is what the draft
-- calls unauthenticated (4.6).
local function add_authentication(row, session)
	local established = not session.type:match "_unauthed$"
	row.mechanism = established and (session.tls_policy_mechanism
		or session.external_auth == "succeeded" and "EXTERNAL") or nil
	if session.direction then
		row.authentication = server.vouched_by(session)
		row.authenticated = established and row.authentication ~= nil
	else
		row.authenticated = established
	end
end

local function clauses_of(verdict)
	local ids = array {}
	for _, breach in ipairs(verdict.broken) do
		if breach.enforced then
			ids:push(breach.clause)
		end
	end
	return ids
end

local function add_judged(row, verdict, refused, exception)
	if verdict.refuse then
		row.verdict, row.clauses = refused, clauses_of(verdict)
	elseif exception then
		row.verdict, row.exception = "exception", { domain = exception.domain, expires = exception.expires }
	else
		row.verdict = "ok"
	end
end

local function add_verdict(row, session)
	local known, domain = session.tls_policy, server.peer(session)
	local policy = not row.carrier and in_force.covers(row.host) and in_force.policy_for(row.host, domain)
	row.verdict = "not judged"
	if not policy or session.type:match "_unauthed$" and not known or not session.conn then
		return
	elseif policy.mode == "report" then
		-- On what would be negotiated.
		row.policy = policy:name()
		return add_judged(row, streams.verdict_if_enforced(policy, session, domain), "would refuse", policy.exception)
	elseif known and known.verdict and known.connection == server.connection(session) then
		row.policy = known.policy
		add_judged(row, known.verdict, "refused", known.exception)
	end
end

-- Fills an empty row. False for a session that has ended meanwhile, or is no client's or
-- server's.
local function fill(row, session)
	local role = not session.destroyed and role_of(session)
	if not role then
		return false
	end
	row.role, row.who, row.host, row.address = role, who(session), server.host(session), session.ip
	row.carrier, row.encrypted = server.carrier(session), false
	if row.carrier then
		row.encrypted = session.secure and true or false
	elseif not session.conn then
		row.hibernating = true
	end
	if role == "s2sin" then
		row.further_domains = further_domains(session)
	end
	add_facts(row, session)
	add_authentication(row, session)
	add_verdict(row, session)
	return true
end

---- Which rows ----------------------------------------------------------------

local function role_is(role)
	return function (row)
		return row.role == role
	end
end

local filters = {
	c2s = role_is "c2s",
	s2sin = role_is "s2sin",
	s2sout = role_is "s2sout",
	s2s = function (row)
		return row.role ~= "c2s"
	end,
	exception = function (row)
		return row.verdict == "exception"
	end,
	refused = function (row)
		return row.verdict == "refused" or row.verdict == "would refuse"
	end,
	unauthenticated = function (row)
		return not row.authenticated
	end,
	plaintext = function (row)
		return not row.encrypted and not row.hibernating
	end,
}
filters["would refuse"] = filters.refused

local function comparable(domain)
	return domain and (core.domain_name(domain) or domain)
end

local function matches_domain(row, wanted)
	if comparable(select(2, jid.split(row.who))) == wanted then
		return true
	end
	for _, domain in ipairs(row.further_domains or {}) do
		if comparable(domain) == wanted then
			return true
		end
	end
	return false
end

-- All of an address that is given has to be in a row's.
local function filter_of_address(what)
	local node, domain, resource = jid.prepped_split(what)
	if not domain then
		return nil, ("%s is no address, no role (c2s, s2s, s2sin, s2sout) and no verdict (exception, refused, "
			.. "unauthenticated, plaintext)"):format(text.quote(what))
	end
	domain = comparable(domain)
	return function (row)
		if not row.who or not matches_domain(row, domain) then
			return false
		end
		local of_node, _, of_resource = jid.split(row.who)
		return (not node or node == of_node) and (not resource or resource == of_resource)
	end
end

local function sort_key(row, index)
	return ("%s\0%s\0%s\0%s\0%s\0%s\0%09d"):format(row.role, row.who or "\255", row.host or "", row.address or "",
		row.carrier or "", row.version or "", index)
end

local function filter_of(what)
	if what and not filters[what] then
		return filter_of_address(what)
	end
	return filters[what] or function ()
		return true
	end
end

-- What make(row) returns for each, sorted by row; or nil and a message. There may be very
-- many, and all that is allocated has to be collected among all that the server has: so
-- there is one row.
local function each(module, what, make)
	local wanted, message = filter_of(what)
	if not wanted then
		return nil, message
	end
	local keys, made, row, next_turn = {}, {}, {}, turns.new()
	for index, session in ipairs(server.sessions(module)) do
		if fill(row, session) and wanted(row) then
			local key = sort_key(row, index)
			keys[#keys + 1], made[key] = key, make(row)
		end
		for field in pairs(row) do
			row[field] = nil
		end
		next_turn()
	end
	table.sort(keys)
	for index, key in ipairs(keys) do
		keys[index] = made[key]
	end
	return keys
end

---- For people ----------------------------------------------------------------

-- FS: forward secrecy. With a suite of the longest name, the second half fits into 80 columns.
local titles = { "Role", "Who", "Encrypted", "Authenticated", "Verdict",
	"Version", "Suite", "Bits", "Group", "FS", "Resumed" }
local FOLD = 6

local function yes(value)
	return value == nil and "" or value and "yes" or "no"
end

local function encryption_of(row)
	if row.carrier then
		return ("%s (%s)"):format(row.encrypted and "HTTPS" or "no", row.carrier)
	elseif row.hibernating then
		return "no connection"
	end
	return yes(row.encrypted)
end

local function authentication_of(row)
	local how = row.mechanism
	if row.role == "c2s" then
		return row.authenticated and (how or "yes") or "no"
	elseif not row.authenticated then
		return how and ("no (%s)"):format(how == "dialback" and "dialback only" or how) or "no"
	end
	local by = row.authentication == "other" and "by a module" or row.authentication
	return how == "EXTERNAL" and ("%s, %s"):format(by, how) or by
end

local function verdict_of(row)
	if row.exception then
		return ("exception for %s"):format(row.exception.domain)
	elseif row.clauses then
		return ("%s: %s"):format(row.verdict, table.concat(row.clauses, " "))
	end
	return row.verdict
end

local function name_of(row)
	local name = row.who or ("(%s)"):format(row.address or "unknown")
	if row.further_domains then
		name = ("%s, %s"):format(name, table.concat(row.further_domains, ", "))
	end
	return row.role ~= "c2s" and row.host and ("%s for %s"):format(name, row.host) or name
end

local function cells_of(row)
	return {
		row.role, name_of(row), encryption_of(row), authentication_of(row), verdict_of(row),
		row.version or "", row.cipher_suite or "", row.bits and ("%d"):format(row.bits) or "", row.group or "",
		yes(row.forward_secrecy), yes(row.resumed),
	}
end

local function copy_of(row)
	local new = {}
	for field, value in pairs(row) do
		new[field] = value
	end
	return new
end

local function show(session, what, module)
	local rows, message = each(module, what, cells_of)
	if not rows then
		return nil, message
	end
	if rows[1] then
		shell.print_table(session, titles, rows, FOLD)
	end
	return true, shell.counted(#rows, "connection")
end

--- See shell.add.
connections.commands = {
	{
		name = "show",
		argument = "what",
		help = "Show connections: all, or those of a role (c2s, s2s, s2sin, s2sout), JID, domain or verdict "
			.. "(exception, refused, unauthenticated, plaintext)",
		data = function (what, module)
			local rows, message = each(module, what, copy_of)
			return rows and { connections = array(rows) }, message
		end,
		show = show,
	},
}

return connections
