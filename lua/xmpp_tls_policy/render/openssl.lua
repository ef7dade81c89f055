--- OpenSSL's own configuration file. Its system default holds for each program that does not override it.
local given_of = require "xmpp_tls_policy.render.given"

local OF_THE_PROGRAM = "each program decides it; openssl.cnf has no setting for it"

local function option_list(page, given)
	local names, options = {}, {}
	for _, option in ipairs {
		{ "server_preference", "ServerPreference" }, { "client_preference", "-ServerPreference" },
		{ "chacha20_preference", "PrioritizeChaCha" },
		{ "no_compression", "-Compression" },
		{ "no_renegotiation", "NoRenegotiation" }, { "no_stateless_tickets", "-SessionTicket" },
	} do
		if given.settings[option[1]] then
			names[#names + 1], options[#options + 1] = option[1], option[2]
		end
	end
	if options[1] then
		page:add(names, "Options = " .. table.concat(options, ","))
	end
end

local function write(page, given)
	page:always("openssl_conf = xmpp_openssl")
	page:always("[xmpp_openssl]")
	page:always("ssl_conf = xmpp_ssl")
	page:always("[xmpp_ssl]")
	page:always("system_default = xmpp_tls_policy")
	page:always("[xmpp_tls_policy]")
	page:add({ "minimum_version" }, "MinProtocol = " .. given.minimum_version)
	page:add(given.met_by_suites, "CipherString = " .. given.cipher_string)
	page:add({ "ciphersuites", "ciphersuite_order" }, "Ciphersuites = " .. table.concat(given.ciphersuites, ":"))
	page:add({ "groups" }, "Groups = " .. table.concat(given.groups, ":"))
	page:add({ "signature_schemes" }, "SignatureAlgorithms = " .. table.concat(given.signature_schemes, ":"))
	option_list(page, given)
end

return {
	program = "OpenSSL",
	comment = "#",
	usage = {
		"A whole openssl.cnf: name it in the variable OPENSSL_CONF of a service, or put it in the place of the "
			.. "system's. It applies to each program that uses the system's defaults of OpenSSL, as a client and as a server.",
	},
	write = write,
	itself = {
		dh_bits = given_of.dh_bits_of_openssl,
		dhe = given_of.dhe_not_needed,
		no_early_data = "OpenSSL accepts early data only if a program asks for it",
	},
	cannot = {
		dh_bits = given_of.dh_bits_of_parameters,
		offer_starttls = OF_THE_PROGRAM,
		require_starttls = OF_THE_PROGRAM,
		direct_tls = OF_THE_PROGRAM,
		check_certificates = OF_THE_PROGRAM,
		session_ids = OF_THE_PROGRAM,
		session_lifetime = OF_THE_PROGRAM,
		dhe = function (given)
			return given.uses_dhe and "each program has DH parameters of its own, or none" or nil
		end,
	},
}
