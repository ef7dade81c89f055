--- HAProxy, which ends direct TLS in front of an XMPP server.
local given_of = require "xmpp_tls_policy.render.given"

local OF_THE_SERVER = "the XMPP server behind HAProxy has to"

-- The sizes of HAProxy's own groups; without a line it takes the first.
local DH_BITS = { 2048, 3072, 4096 }

local function bits_of_group(least)
	for _, bits in ipairs(DH_BITS) do
		if bits >= least then
			return bits
		end
	end
	return least
end

-- OpenSSL's names -> HAProxy's.
local versions = { TLSv1 = "TLSv1.0" }

local function write_listener(page, given, service)
	page:always(("listen xmpps-%s"):format(service == "c2s" and "client" or "server"))
	page:always("\tmode tcp")
	page:always("\ttimeout connect 10s")
	page:always("\ttimeout client 1h")
	page:always("\ttimeout server 1h")
	page:always(("\tbind :::%d v4v6 ssl crt %s alpn xmpp-%s"):format(given.ports[service], given.certificate,
		service == "c2s" and "client" or "server"), { "direct_tls" })
	page:always(("\tserver xmpp %s"):format(given.servers[service]))
end

local function write_dhe(page, given)
	if not given.uses_dhe then
		return
	elseif given.dhparam then
		page:add({ "dhe", "dh_bits" }, ("\tssl-dh-param-file %s"):format(given.dhparam))
	else
		page:add({ "dhe", "dh_bits" }, ("\ttune.ssl.default-dh-param %d"):format(bits_of_group(given.dh_bits)))
	end
end

local function write(page, given)
	page:always("global")
	page:add({ "minimum_version" }, ("\tssl-default-bind-options ssl-min-ver %s"):format(
		versions[given.minimum_version] or given.minimum_version))
	page:add({ "no_stateless_tickets" }, "\tssl-default-bind-options no-tls-tickets")
	page:add({ "client_preference" }, "\tssl-default-bind-options prefer-client-ciphers")
	page:add(given.met_by_suites, ("\tssl-default-bind-ciphers %s"):format(given.cipher_string))
	page:add({ "ciphersuites", "ciphersuite_order" },
		("\tssl-default-bind-ciphersuites %s"):format(table.concat(given.ciphersuites, ":")))
	page:add({ "groups" }, ("\tssl-default-bind-curves %s"):format(table.concat(given.groups, ":")))
	write_dhe(page, given)
	page:add({ "session_lifetime" }, ("\ttune.ssl.lifetime %d"):format(given.lifetime))
	write_listener(page, given, "c2s")
	write_listener(page, given, "s2s")
end

return {
	program = "HAProxy",
	comment = "#",
	usage = {
		"HAProxy from 2.2 on: a file beside the main one (-f), or its lines there. The file of crt holds the chain and "
			.. "the key.",
		"The XMPP server gets these connections without TLS. It has to take them as encrypted, from HAProxy alone.",
	},
	write = write,
	itself = {
		require_starttls = "direct TLS has nothing before TLS",
		server_preference = "HAProxy follows its own order",
		chacha20_preference = "HAProxy does so",
		dhe = given_of.dhe_not_needed,
		dh_bits = given_of.dh_bits_of_openssl,
		no_compression = "HAProxy never compresses TLS",
		no_renegotiation = "HAProxy refuses renegotiation",
		no_early_data = "HAProxy accepts early data only where allow-0rtt says so",
		session_ids = "HAProxy keeps sessions in its own memory",
		session_lifetime = "a session lasts 5 minutes, HAProxy's default",
	},
	cannot = {
		dh_bits = function (given)
			return given.dhparam and given_of.dh_bits_of_parameters(given) or nil
		end,
		signature_schemes = function (given)
			return ("HAProxy has an option for it only from 2.8 on; there, add to `global`: ssl-default-bind-sigalgs %s")
				:format(table.concat(given.signature_schemes, ":"))
		end,
		offer_starttls = OF_THE_SERVER .. " offer it",
		check_certificates = "HAProxy does not know the domains of streams; " .. OF_THE_SERVER
			.. " authenticate servers by dialback",
	},
}
