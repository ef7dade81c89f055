--- nginx, which ends direct TLS in front of an XMPP server.
local given_of = require "xmpp_tls_policy.render.given"

local OF_THE_SERVER = "the XMPP server behind nginx has to"

local function without_dhe(given)
	return given.uses_dhe and not given.dhparam
end

local function write_server(page, given, service)
	page:always("\tserver {")
	page:always(("\t\tlisten %d ssl;"):format(given.ports[service]), { "direct_tls" })
	page:always(("\t\tlisten [::]:%d ssl;"):format(given.ports[service]))
	page:always(("\t\tssl_certificate %s;"):format(given.certificate))
	page:always(("\t\tssl_certificate_key %s;"):format(given.certificate))
	page:always(("\t\tssl_alpn xmpp-%s;"):format(service == "c2s" and "client" or "server"))
	page:always("\t\tproxy_timeout 1h;")
	page:always(("\t\tproxy_pass %s;"):format(given.servers[service]))
	page:always("\t}")
end

local function write(page, given)
	page:always("stream {")
	page:add({ "minimum_version" }, ("\tssl_protocols %s;"):format(table.concat(given.versions, " ")))
	page:add(given.met_by_suites, ("\tssl_ciphers %s;"):format(given.cipher_string))
	page:add({ "ciphersuites", "ciphersuite_order" },
		("\tssl_conf_command Ciphersuites %s;"):format(table.concat(given.ciphersuites, ":")))
	page:add({ "groups" }, ("\tssl_ecdh_curve %s;"):format(table.concat(given.groups, ":")))
	page:add({ "signature_schemes" },
		("\tssl_conf_command SignatureAlgorithms %s;"):format(table.concat(given.signature_schemes, ":")))
	page:add({ "server_preference" }, "\tssl_prefer_server_ciphers on;")
	page:add({ "client_preference" }, "\tssl_prefer_server_ciphers off;")
	page:add({ "chacha20_preference" }, "\tssl_conf_command Options PrioritizeChaCha;")
	if given.dhparam and given.uses_dhe then
		page:add({ "dhe", "dh_bits" }, ("\tssl_dhparam %s;"):format(given.dhparam))
	end
	page:add({ "no_stateless_tickets" }, "\tssl_session_tickets off;")
	page:add({ "session_ids" }, "\tssl_session_cache shared:xmpp:4m;")
	page:add({ "session_lifetime" }, ("\tssl_session_timeout %ds;"):format(given.lifetime))
	write_server(page, given, "c2s")
	write_server(page, given, "s2s")
	page:always("}")
end

return {
	program = "nginx",
	comment = "#",
	usage = {
		"nginx from 1.21.4 on, with its stream module. Include this file at the top level of nginx.conf. "
			.. "The file of ssl_certificate holds the chain and the key.",
		"The XMPP server gets these connections without TLS. It has to take them as encrypted, from nginx alone.",
	},
	write = write,
	itself = {
		require_starttls = "direct TLS has nothing before TLS",
		dhe = given_of.dhe_not_needed,
		dh_bits = given_of.dh_bits_of_openssl,
		no_compression = "nginx never compresses TLS",
		no_renegotiation = "nginx refuses renegotiation",
		no_early_data = "nginx has no early data here",
		session_lifetime = "a session lasts 5 minutes, nginx's default",
	},
	cannot = {
		dh_bits = given_of.dh_bits_of_parameters,
		offer_starttls = OF_THE_SERVER .. " offer it",
		check_certificates = "nginx does not know the domains of streams; " .. OF_THE_SERVER
			.. " authenticate servers by dialback",
		dhe = function (given)
			return without_dhe(given) and "DHE needs a file of parameters: give --dhparam" or nil
		end,
	},
}
