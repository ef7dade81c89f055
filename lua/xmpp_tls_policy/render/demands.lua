--- The demands of a policy on a program's configuration, each with the clauses that make it. A demand is
-- a name; the targets (prosody.lua, nginx.lua ...) say how they meet each of them.
local clauses = require "xmpp_tls_policy.policy.clauses"
local signature_schemes = require "xmpp_tls_policy.policy.signature_schemes"
local suite_lists = require "xmpp_tls_policy.policy.settings".suite_lists
local suites = require "xmpp_tls_policy.policy.suites"

local demands = {}

--- Name -> meaning, for people.
demands.meanings = {
	offer_starttls = "STARTTLS is offered",
	require_starttls = "nothing passes before TLS",
	direct_tls = "there are ports for direct TLS",
	check_certificates = "certificates are checked against domains",
	minimum_version = "the oldest version of TLS",
	ciphers = "the suites of TLS 1.2 and older",
	ciphersuites = "the suites of TLS 1.3",
	cipher_order = "the order of the suites of TLS 1.2 and older",
	ciphersuite_order = "the order of the suites of TLS 1.3",
	server_preference = "the server's order decides",
	client_preference = "the client's order decides",
	chacha20_preference = "ChaCha20 comes first for clients that put it first",
	groups = "the groups of the key exchange",
	signature_schemes = "the signature schemes of the handshake",
	dhe = "parameters for DHE",
	dh_bits = "the shortest DH key",
	security_level = "OpenSSL's security level",
	no_compression = "no TLS compression",
	no_renegotiation = "no renegotiation",
	no_stateless_tickets = "no tickets that hold a session",
	no_early_data = "no early data",
	session_ids = "sessions are resumed by their ID",
	session_lifetime = "sessions end after a time",
}

-- Whether a predicate rules out a record of a list.
local function rules_out(fulfils, list)
	for _, record in ipairs(list) do
		if not fulfils(record) then
			return true
		end
	end
	return false
end

-- Field of a clause's settings -> the demands that it makes; other fields are demands themselves.
local demands_of_field = {
	suite = function (fulfils, made)
		for _, list in ipairs(suite_lists) do
			made[list] = made[list] or rules_out(fulfils, suites[list]) or nil
		end
	end,
	order = function (order, made)
		made.cipher_order = rules_out(order[2], suites.ciphers) or made.cipher_order
		made.ciphersuite_order = rules_out(order[2], suites.ciphersuites) or made.ciphersuite_order
	end,
	group = function (fulfils, made)
		made.groups = made.groups or rules_out(fulfils, suites.groups) or nil
	end,
	scheme = function (fulfils, made)
		made.signature_schemes = made.signature_schemes or rules_out(fulfils, signature_schemes.list) or nil
	end,
}

local function add_of_settings(asked, made)
	for field, value in pairs(asked or {}) do
		if demands_of_field[field] then
			demands_of_field[field](value, made)
		else
			made[field] = true
		end
	end
end

-- The names that the policy adds to a server's defaults. DHE also needs parameters.
local function add_of_additions(adds, made)
	for list, names in pairs(adds or {}) do
		made[list] = true
		for _, name in ipairs(names) do
			local suite = suites.by_name[name]
			made.dhe = made.dhe or suite and suite.key_exchange == "DHE" or nil
		end
	end
end

--- The demands of one clause of a policy (an entry of policy.clauses), as a set; empty if it makes none.
-- A policy of TLS 1.3 alone demands nothing of older suites.
function demands.of_clause(policy, entry)
	local clause, made = clauses[entry.id], {}
	if entry.at == "never" then
		return made
	end
	local settings = clause.settings or {}
	add_of_settings(settings.always, made)
	if entry.enforced then
		add_of_settings(settings.enforced, made)
		for _, name in ipairs(clause.configuration or {}) do
			made[name] = true
		end
	end
	add_of_additions(clause.adds, made)
	if policy:is_tls13_only() then
		made.ciphers, made.cipher_order, made.dhe = nil, nil, nil
	end
	return made
end

--- The clauses that make any of some demands (a list of names): a list of ids in the policy's order.
function demands.clauses_of(policy, names)
	local ids = {}
	for _, entry in ipairs(policy.clauses) do
		local made, is_one = demands.of_clause(policy, entry), false
		for _, name in ipairs(names) do
			assert(demands.meanings[name], name)
			is_one = is_one or made[name] or false
		end
		ids[#ids + 1] = is_one and entry.id or nil
	end
	return ids
end

return demands
