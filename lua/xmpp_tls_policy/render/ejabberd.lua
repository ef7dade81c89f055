--- ejabberd: its top-level options for connections of clients and of servers.
local given_of = require "xmpp_tls_policy.render.given"
local suites = require "xmpp_tls_policy.policy.suites"

-- ejabberd cannot choose the suites of TLS 1.3 and the groups; it offers OpenSSL's.
local SUITES_OF_OPENSSL = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"

local function is_openssls_own(given)
	return table.concat(given.ciphersuites, ":") == SUITES_OF_OPENSSL
end

local GROUPS_OF_OPENSSL = { "x25519", "secp256r1", "x448", "secp521r1", "secp384r1" }

local function permits_openssls_groups(given)
	local is_permitted = {}
	for _, name in ipairs(given.settings.groups) do
		is_permitted[name] = true
	end
	for _, name in ipairs(GROUPS_OF_OPENSSL) do
		if not is_permitted[name] then
			return false
		end
	end
	return true
end

-- The options that switch off the versions that are too old, as YAML. SSL 2.0 has none left.
local function older_versions(given)
	local items = {}
	for rank = suites.rank.SSLv3, suites.rank[given.minimum_version] - 1 do
		items[#items + 1] = "  - no_" .. suites.versions[rank]:lower():gsub("%.", "_")
	end
	return (unpack or table.unpack)(items)
end

local function write_kind(page, given, kind)
	page:always(kind .. "_protocol_options:")
	page:add({ "minimum_version" }, older_versions(given))
	page:add({ "server_preference" }, "  - cipher_server_preference")
	page:add({ "no_compression" }, "  - no_compression")
	page:add({ "no_stateless_tickets" }, "  - no_ticket")
	page:add({ "no_compression" }, kind .. "_tls_compression: false")
	page:add(given.met_by_suites, ("%s_ciphers: %q"):format(kind, given.cipher_string))
	if given.dhparam and given.uses_dhe then
		page:add({ "dhe", "dh_bits" }, ("%s_dhfile: %q"):format(kind, given.dhparam))
	end
end

local function write(page, given)
	page:add({ "require_starttls", "offer_starttls" }, "s2s_use_starttls: required")
	write_kind(page, given, "c2s")
	write_kind(page, given, "s2s")
end

return {
	program = "ejabberd",
	comment = "#",
	usage = {
		"For ejabberd.yml: lines of its top level, or a file that include_config_file names.",
		"The ports stand under `listen`, where this file cannot reach. Give each listener of ejabberd_c2s the options "
			.. "`starttls: true` and `starttls_required: true`, or `tls: true` for direct TLS.",
	},
	write = write,
	itself = {
		client_preference = "without cipher_server_preference the client's order decides",
		ciphersuites = function (given)
			return is_openssls_own(given) and "ejabberd offers OpenSSL's own suites of TLS 1.3, which are the policy's" or nil
		end,
		ciphersuite_order = function (given)
			return is_openssls_own(given) and "so is their order" or nil
		end,
		groups = function (given)
			return permits_openssls_groups(given) and "ejabberd offers OpenSSL's own groups, of which none is too short" or nil
		end,
		check_certificates = "ejabberd checks the certificates of servers; others have to pass dialback",
		dhe = given_of.dhe_not_needed,
		dh_bits = given_of.dh_bits_of_openssl,
		no_early_data = "ejabberd has no early data",
		session_lifetime = "OpenSSL keeps a session for 5 minutes",
	},
	cannot = {
		dh_bits = given_of.dh_bits_of_parameters,
		groups = function (given)
			return not permits_openssls_groups(given) and "ejabberd has no option for the groups; it offers OpenSSL's own"
				or nil
		end,
		ciphersuites = function (given)
			return not is_openssls_own(given) and "ejabberd has no option for the suites of TLS 1.3" or nil
		end,
		ciphersuite_order = function (given)
			return not is_openssls_own(given) and "ejabberd has no option for the suites of TLS 1.3" or nil
		end,
		require_starttls = "clients: `starttls_required: true` belongs to each listener of ejabberd_c2s",
		offer_starttls = "clients: `starttls: true` belongs to each listener of ejabberd_c2s",
		direct_tls = "`tls: true` belongs to a listener",
		no_renegotiation = "ejabberd has no option for it",
		signature_schemes = "ejabberd has no option for it",
		chacha20_preference = "ejabberd has no option for it",
		session_ids = "ejabberd has no option for it",
		dhe = function (given)
			return given.uses_dhe and not given.dhparam and "DHE needs a file of parameters: give --dhparam" or nil
		end,
	},
}
