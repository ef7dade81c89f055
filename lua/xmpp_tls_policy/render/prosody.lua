--- Prosody without this module: its table `ssl`, and the options beside it.
local given_of = require "xmpp_tls_policy.render.given"

local function quoted(names, more)
	local list = {}
	for index, name in ipairs(names) do
		list[index] = ("%q"):format(name)
	end
	list[#list + 1] = more and ("%q"):format(more)
	return "{ " .. table.concat(list, ", ") .. " }"
end

local function write_ports(page, given)
	page:add({ "direct_tls" }, ("c2s_direct_tls_ports = { %d }"):format(given.ports.c2s),
		("s2s_direct_tls_ports = { %d }"):format(given.ports.s2s))
end

local function write(page, given)
	page:add({ "require_starttls" }, "c2s_require_encryption = true", "s2s_require_encryption = true")
	write_ports(page, given)
	page:always("ssl = {")
	page:add({ "minimum_version" }, ("\tprotocol = %q,"):format(given.minimum_version:lower():gsub("%.", "_") .. "+"))
	page:add(given.met_by_suites, ("\tciphers = %q,"):format(given.cipher_string))
	page:add({ "ciphersuites", "ciphersuite_order" }, ("\tciphersuites = %s,"):format(quoted(given.ciphersuites)))
	page:add({ "groups" }, ("\tcurveslist = %s,"):format(quoted(given.groups)))
	if given.dhparam and given.uses_dhe then
		page:add({ "dhe", "dh_bits" }, ("\tdhparam = %q,"):format(given.dhparam))
	end
	page:always("\toptions = {")
	page:add({ "server_preference" }, "\t\tcipher_server_preference = true,")
	page:add({ "client_preference" }, "\t\tcipher_server_preference = false,")
	page:add({ "chacha20_preference" }, "\t\tprioritize_chacha = true,")
	page:add({ "no_compression" }, "\t\tno_compression = true,")
	page:add({ "no_renegotiation" }, "\t\tno_renegotiation = true,")
	page:add({ "no_stateless_tickets" }, "\t\tno_ticket = true,")
	page:always("\t},")
	page:always("}")
end

return {
	program = "Prosody",
	comment = "--",
	usage = {
		"For the configuration file, above the hosts, on servers that do not load mod_xmpp_tls_policy. It needs mod_tls. "
			.. "A table `ssl` of a host goes over this one.",
	},
	write = write,
	itself = {
		offer_starttls = "mod_tls offers STARTTLS",
		check_certificates = "Prosody checks the certificates of servers; others have to pass dialback",
		dhe = given_of.dhe_not_needed,
		dh_bits = given_of.dh_bits_of_openssl,
		no_early_data = "LuaSec has no early data",
		session_lifetime = "LuaSec keeps no sessions",
	},
	cannot = {
		dh_bits = given_of.dh_bits_of_parameters,
		dhe = function (given)
			if given.uses_dhe then
				return given.dhparam and "Prosody 0.12 has no DHE with direct TLS for clients that name the host"
					or "DHE needs a file of parameters: give --dhparam"
			end
		end,
		signature_schemes = "LuaSec has no option for it",
		session_ids = "LuaSec keeps no sessions, so that nothing is resumed",
	},
}
