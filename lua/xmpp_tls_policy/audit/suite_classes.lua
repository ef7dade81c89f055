--- Classes of cipher suites before TLS 1.3, by what their names say, and the lists that hellos offer.
local iana = require "xmpp_tls_policy.audit.iana"
local policy_suites = require "xmpp_tls_policy.policy.suites"

local suite_classes = {}

-- Patterns of names -> bits of the encryption. The first that matches counts.
local strengths = {
	{ "_NULL_", 0 }, { "_EXPORT1024_", 56 }, { "_EXPORT", 40 }, { "_EXPORT40_", 40 }, { "_DES_64_", 56 },
	{ "_DES_CBC_", 56 }, { "_3DES_", 112 }, { "_EDE3_", 112 }, { "_256_", 256 }, { "_CHACHA20_", 256 },
	{ "_128_", 128 }, { "_IDEA_", 128 }, { "_SEED_", 128 },
}

--- The bits of a suite's encryption, or nil for a name that is not in the list of IANA.
function suite_classes.bits(name)
	if not iana.suites[name] then
		return nil
	end
	for _, row in ipairs(strengths) do
		if (name .. "_"):find(row[1], 1, true) then
			return row[2]
		end
	end
end

local function matches(...)
	local patterns = { ... }
	return function (name)
		for _, pattern in ipairs(patterns) do
			if name:find(pattern) then
				return true
			end
		end
		return false
	end
end

local function weaker_than(bits)
	return function (name)
		return suite_classes.bits(name) < bits
	end
end

--- In the order in which they are told: { name of the observation, whether a suite belongs to it }.
suite_classes.list = {
	{ "suites.null", matches "_NULL_" },
	{ "suites.rc4", matches "_RC4_" },
	{ "suites.export", matches "_EXPORT" },
	{ "suites.under_112_bits", weaker_than(112) },
	{ "suites.under_128_bits", weaker_than(128) },
	{ "suites.anonymous", matches "_anon_" },
	{ "suites.cbc", matches "_CBC_" },
	{ "suites.rsa_key_transport", matches "^TLS_RSA_" },
	{ "suites.static_dh", matches("^TLS_DH_[RD]S[AS]_", "^TLS_ECDH_[RE]") },
	{ "suites.dhe", matches "^TLS_DHE_" },
	{ "suites.aead", matches("_GCM_", "_CCM", "_POLY1305") },
	{ "suites.forward_secret", matches("^TLS_DHE_", "^TLS_ECDHE_") },
}

-- Name -> its place in the table of policies, whose order is that of preference.
local places = {}
for index, record in ipairs(policy_suites.ciphers) do
	places[record.name] = index
end

-- What a good server is most likely to have comes first.
local function is_before(a, b)
	local weak_a, weak_b = suite_classes.bits(a) < 128, suite_classes.bits(b) < 128
	if weak_a ~= weak_b then
		return weak_b
	end
	local place_a, place_b = places[a] or math.huge, places[b] or math.huge
	if place_a ~= place_b then
		return place_a < place_b
	end
	return iana.suites[a] < iana.suites[b]
end

--- All suites of TLS 1.2 and older; those of SSLv3 and up that need no TLS 1.2; those of SSLv2; those of
-- TLS 1.3, with the ones that do not encrypt at the end.
suite_classes.tls12, suite_classes.before_tls12, suite_classes.sslv2 = {}, {}, {}
suite_classes.tls13 = {
	"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", "TLS_AES_128_CCM_SHA256",
	"TLS_AES_128_CCM_8_SHA256", "TLS_SHA384_SHA384", "TLS_SHA256_SHA256",
}
for name in pairs(iana.suites) do
	if name:find "^SSL_" then
		table.insert(suite_classes.sslv2, name)
	elseif name:find "_WITH_" then
		table.insert(suite_classes.tls12, name)
	end
end
table.sort(suite_classes.sslv2)
table.sort(suite_classes.tls12, is_before)
for _, name in ipairs(suite_classes.tls12) do
	if not (name:find "SHA256$" or name:find "SHA384$" or name:find "_CCM") then
		table.insert(suite_classes.before_tls12, name)
	end
end

--- The groups of a hello of TLS 1.3, of one with hybrid groups alone, and of older hellos. Those have no
-- finite fields (rfc7919.4.own-group-without-offer): a client without them gets the server's own parameters of DHE.
suite_classes.groups, suite_classes.hybrid_groups, suite_classes.old_groups = {}, {}, {}
for _, group in ipairs(policy_suites.groups) do
	if group.tls13 then
		table.insert(suite_classes.groups, group.name)
	end
	if group.kind == "hybrid" then
		table.insert(suite_classes.hybrid_groups, group.name)
	end
	if group.before_tls13 then
		table.insert(suite_classes.old_groups, group.name)
	end
end

--- The names of a list for which `keep(name)` is true.
function suite_classes.filter(names, keep)
	local kept = {}
	for _, name in ipairs(names) do
		if keep(name) then
			kept[#kept + 1] = name
		end
	end
	return kept
end

return suite_classes
