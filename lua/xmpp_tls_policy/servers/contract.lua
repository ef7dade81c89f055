--- The functions that an adapter has to provide, so that the rest of the module can run on its
-- server. An adapter is a table of them. An element is a table { name, attr = { to, from, xmlns } };
-- a stanza has no xmlns. A session, a context and a connection are whatever the server has: the rest
-- of the module only hands them back to the adapter. (The LuaSec objects among them go to the core
-- as well.)
local contract = {}

-- Name -> description. Roles are "c2s", "s2sin" and "s2sout"; `host` nil or "*" is no host in
-- particular.
contract.functions = {
	-- Sessions
	sessions = "() -> list of all sessions of clients and servers, each once",
	role = "(session) -> role; nil for others",
	host = "(session) -> the host of ours that the stream header names, or nil",
	peer = "(session) -> the domain that a server's stream is to or from, as its header says; nil for clients",
	client_jid = "(session) -> full or bare JID of an authenticated client, or nil",
	client_bare_jid = "(session) -> bare JID of an authenticated client, or nil",
	address = "(session) -> IP address, or nil",
	is_authenticated = "(session) -> boolean",
	is_secure = "(session) -> whether the server takes the stream for encrypted",
	awaits_tls = "(session) -> whether STARTTLS was agreed on and no stream was opened since",
	is_destroyed = "(session) -> boolean",
	is_hibernating = "(session) -> whether it waits for its client to come back (XEP-0198)",
	speaks_xmpp_itself = "(session) -> whether XMPP runs on its own connection, not on HTTP",
	carry_over = "(session, old): the old session goes on on the connection of another one",
	carrier = "(session) -> \"BOSH\", \"WebSocket\" or nil",
	speaks_for = "(session, domain) -> whether a server's stream is authenticated for a domain",
	domains_of = "(session) -> sorted list of those domains",
	has_checked_chain = "(session) -> whether the server has checked the peer's certificate",
	has_valid_chain = "(session) -> whether the server took the chain of the peer's certificate for valid",
	has_trusted_chain = "(session) -> the same, because OpenSSL found that it leads to a trusted root",
	has_valid_certificate = "(session) -> the same, and it is for the domain that the header names",
	has_valid_identity = "(session) -> whether the server found that the certificate names that domain",
	names_domain = "(session, domain) -> whether the server's own check takes the peer's certificate for a domain",
	set_identity_invalid = "(session): the certificate is not for the domain that the header names",
	chain_errors = "(session) -> list of { depth, message }",
	vouched_by = "(session) -> \"PKIX\", \"DANE\", \"other\" or nil",
	used_external = "(session) -> whether SASL EXTERNAL authenticated it",
	connection = "(session) -> its LuaSec connection, or nil without TLS",
	known_of = "(connection) -> { version, cipher, bits }, or nil",
	descriptor = "(session) -> descriptor of its socket, or nil",
	close = "(session, condition, text): ends the stream with an error",
	close_silently = "(session, text): ends the stream without an error",
	send_starttls = "(session): asks a remote server for TLS",
	send_encryption_required = "(session): answers an attempt at SASL without TLS (rfc6120.6.5.4.encryption-required)",
	offers_starttls = "(features) -> whether stream features offer STARTTLS",
	offer_only_starttls = "(features): leaves nothing but STARTTLS in stream features, as mandatory",
	log_session = "(session, level, format, …)",
	stream = "(session) -> the Stream that set_stream gave it, or nil",
	set_stream = "(session, stream)",
	publish = "(session, table): publishes its TLS to other modules",
	in_order = "(session, action): calls action() once all elements that came in before are handled, where handlers of "
		.. "events may wait",

	-- TLS contexts
	luasec_context = "(context) -> the LuaSec context in it",
	new_context = "() -> a LuaSec context of no host; or nil, message",
	current_contexts = "(host) -> list of { context, role } that the server gives new streams for STARTTLS; nil: unknown",
	own_context = "(host, role) -> a LuaSec context as the configuration has it now; or nil, message",
	certificate_source = "(host, role) -> text that differs where own_context may get another certificate; nil: unknown",
	context_like = "(session, name) -> a context made like its STARTTLS context, one for each name; or nil, message",
	starttls_context = "(session) -> the context for STARTTLS, or nil",
	set_starttls_context = "(session, context)",
	direct_tls_contexts = "() -> list of { context, role, service, port, option, names = { [host] = context }, "
		.. "like = function (name) -> a new context made like that of a name (nil: the first), or nil and a message }",
	starttls_ports = "(role) -> sorted list of the ports on which the server offers STARTTLS; empty for s2sout",
	tolerate_any_name = "(has_certificate): serves unknown server names with the context without a name",
	refuse_unknown_names = "(): undoes it",
	operator_lists = "(host, role, option) -> { ciphers, ciphersuites, groups, protocol }: true for each that the "
		.. "operator wrote",

	-- Hosts, options, people
	hosts = "() -> sorted list of our hosts and components",
	is_host = "(domain) -> boolean",
	serves_clients = "(host) -> whether clients can log in; nil where there is no such host",
	demands_certificate = "(host, domain) -> whether the server itself accepts no dialback alone from a domain",
	serves_servers = "(host) -> whether other servers can connect; nil where there is no such host",
	lacks_starttls = "(host) -> why it cannot offer STARTTLS, with the remedy, or nil",
	is_anonymous = "(host) -> whether each login makes a new account",
	wants_module = "(host, name) -> whether the configuration enables a module there",
	disables_module = "(host, name) -> whether the configuration names a module as one that the host does not get",
	option = "(host, name) -> value of an option of the server, or nil",
	preset = "() -> the option with which the operator chose the server's own lists and versions, as text, or nil",
	option_names = "(host) -> sorted list of the names of options that the configuration has for a host itself",
	policy_option = "(host) -> value of our option for a host, exceptions read from their file, and their domains "
		.. "prepared as the server prepares them; "
		.. "the very value of \"*\" where the host has none of its own",
	administrators = "(host) -> sorted list of JIDs",
	send_message = "(host, jid, subject, body)",
	prepare_domain = "(text) -> the domain as the server compares domains, or nil",
	unicode_form = "(domain) -> the domain in U-labels as the server writes it, or nil",
	split_jid = "(text) -> node, domain, resource, prepared; domain is nil for no JID",

	-- The process
	log = "(host, level, format, …)",
	log_limited = "(kind, message): a line at level error, one a minute of each kind",
	fire = "(host, event, data): tells other modules",
	is_handled = "(host, event) -> whether another module handles an event",
	ask = "(host, event, make) -> the first string that a handler of make() returns, or nil",
	open_store = "(host, name, description) -> a store: get(key), set(key, table), keys()",
	later = "(seconds, name, action): calls action() once from the main loop; a failure in it is logged under the name",
	watch = "(descriptor, on_readable, on_writable) -> a watch { want_to_write(boolean), close() }, which calls "
		.. "on_readable() while there are bytes and, if wanted, on_writable() while bytes are taken; or nil, message",
	resolve = "(name, callback): calls callback(list of numeric addresses), or callback(nil, message), now or later",
	monotonic = "() -> seconds of a clock that only goes forward",
	turns = "() -> a function to call between steps of long work, which lets the server go on",
	list = "(items) -> the same list, marked as one for encode_json",
	is_list = "(value) -> whether list made it",
	encode_json = "(value) -> text, keys sorted",
	versions = "() -> the software that the module runs on, for the log",
}

-- What a server may not have, and an adapter then cannot give: name -> what it is, for operators. The file lacks.lua
-- of an adapter's folder says which of these are missing there, and why; doc/servers.md has a table of them.
contract.parts = {
	["command check"] = "The configuration is checked before a restart (`xmpp-tls-policy check`)",
	["channel-binding offer"] = "Channel bindings that the server does not offer by itself are offered to clients",
	["statistics"] = "The metrics are among the server's own statistics, which a page of its own shows",
	["sni.contexts"] = "On direct TLS, a host's own policy and certificate hold from the handshake on, by server name",
	["certificates.reload"] = "After a reload, direct TLS shows a renewed certificate to all that name the host",
	["groups.list"] = "The operator can allow several groups for key exchange",
	["sni.outgoing"] = "Outgoing direct TLS names the server that it asks for (SNI)",
	["sessions.shared"] = "Servers share sessions for resumption through Redis or Valkey",
	["handlers.wait"] = "A module's handler of `tls-policy/verdict` may wait before it answers",
	["dane"] = "A certificate may be vouched for by DANE (RFC 6698)",
	["stanza.limit"] = "The server bounds the size of a stanza before authentication",
	["peers.gone"] = "A peer that closes its connection right after its stream header is counted",
	["starttls.timeout"] = "A peer that is silent once STARTTLS is agreed on is closed within `s2s_timeout`",
	["roles"] = "Administrators are known by their role, too, not only by the option `admins`",
}

-- The servers that have an adapter: folder, name.
contract.servers = { { folder = "prosody", name = "Prosody 0.12, 13" }, { folder = "metronome", name = "Metronome 4" } }

--- What the adapters declare missing: a function(folder) -> table of lacks.lua. Returns the table of doc/servers.md:
-- clauses, commands and parts × servers. `clauses`, `commands`: sorted lists of names; all servers have those that no
-- adapter declares missing.
function contract.documentation(clauses, commands, lacks_of)
	local titles, marks, rows = { "" }, { "---" }, {}
	for _, server in ipairs(contract.servers) do
		titles[#titles + 1], marks[#marks + 1] = server.name, "---"
	end
	local function add(title, name)
		local cells = { title }
		for _, server in ipairs(contract.servers) do
			local reason = lacks_of(server.folder)[name]
			cells[#cells + 1] = reason and "no: " .. reason or "yes"
		end
		rows[#rows + 1] = "| " .. table.concat(cells, " | ") .. " |\n"
	end
	for _, id in ipairs(clauses) do
		add(("clause `%s`"):format(id), id)
	end
	for _, command in ipairs(commands) do
		add(("command `%s`"):format(command), "command " .. command)
	end
	local names = {}
	for name in pairs(contract.parts) do
		names[#names + 1] = name
	end
	table.sort(names)
	for _, name in ipairs(names) do
		add(contract.parts[name], name)
	end
	return ("| %s |\n| %s |\n%s"):format(table.concat(titles, " | "), table.concat(marks, " | "), table.concat(rows))
end

--- The names that an adapter lacks: a sorted list.
function contract.missing(adapter)
	local names = {}
	for name in pairs(contract.functions) do
		if type(adapter[name]) ~= "function" then
			names[#names + 1] = name
		end
	end
	table.sort(names)
	return names
end

--- Returns an adapter that provides everything; otherwise raises an error that names the missing
-- functions.
function contract.check(adapter)
	local names = contract.missing(adapter)
	if names[1] then
		error("the adapter of this server lacks: " .. table.concat(names, ", "), 2)
	end
	return adapter
end

return contract
