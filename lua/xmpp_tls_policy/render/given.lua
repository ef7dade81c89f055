--- The values that each target writes: those of a policy, in OpenSSL's words, and the operator's own.
local openssl_names = require "xmpp_tls_policy.render.openssl_names"
local profiles = require "xmpp_tls_policy.policy.profiles"
local suites = require "xmpp_tls_policy.policy.suites"

local given = {}

-- OpenSSL's security level -> the shortest DH key that it accepts, in bits (SSL_CTX_set_security_level).
local dh_bits_of_level = { [0] = 0, 1024, 2048, 3072, 7680, 15360 }

-- Kind of a group -> the first OpenSSL that has such groups; an older one refuses the whole list.
local first_openssl = { hybrid = { 3, 5 } }

local function is_older(version, other)
	local major, minor = version:match "^(%d+)%.(%d+)"
	major, minor = tonumber(major), tonumber(minor)
	return major < other[1] or major == other[1] and minor < other[2]
end

-- The names of groups that an OpenSSL has, and of those that it lacks.
local function split_groups(names, openssl)
	local present, lacking = {}, {}
	for _, name in ipairs(names) do
		local first = first_openssl[suites.groups_by_name[name:lower()].kind]
		local list = first and is_older(openssl, first) and lacking or present
		list[#list + 1] = openssl_names.group(name)
	end
	return present, lacking
end

local function mapped(names, rename)
	local list = {}
	for index, name in ipairs(names) do
		list[index] = rename(name)
	end
	return list
end

--- Of a policy and of options { openssl = "3.0", the version of the target's OpenSSL; dhparam = path or
-- nil; certificate = path; ports and servers = { c2s, s2s }, see init.lua }:
--   settings       the policy's, see settings.lua
--   versions       list of OpenSSL's names, oldest first; minimum_version
--   ciphers, ciphersuites, groups   lists of OpenSSL's names, in the order of preference
--   signature_schemes  list of OpenSSL's names; empty: the policy restricts none
--   lacking        the groups that this OpenSSL does not have
--   uses_dhe       whether a suite needs parameters for DHE
--   cipher_string  the suites of TLS 1.2 and older, and the security level
--   met_by_suites  the demands that the cipher string meets
--   lifetime       of sessions, seconds
function given.of(policy, options)
	local settings, made = policy:settings(), {}
	for name, value in pairs(options) do
		made[name] = value
	end
	made.settings, made.minimum_version = settings, settings.minimum_version
	made.dh_bits = settings.dh_bits or 0
	made.versions = suites.versions_from(settings.minimum_version)
	made.ciphers = mapped(settings.ciphers or {}, openssl_names.suite)
	made.ciphersuites = mapped(settings.ciphersuites, openssl_names.suite)
	made.signature_schemes = mapped(settings.signature_schemes or {}, openssl_names.scheme)
	made.groups, made.lacking = split_groups(settings.groups, options.openssl)
	made.cipher_string, made.met_by_suites = table.concat(made.ciphers, ":"), { "ciphers", "cipher_order" }
	if settings.security_level then
		made.cipher_string = ("%s:@SECLEVEL=%d"):format(settings.ciphers and made.cipher_string or "DEFAULT",
			settings.security_level)
		made.met_by_suites[#made.met_by_suites + 1] = "security_level"
		if made.dh_bits <= dh_bits_of_level[settings.security_level] then
			made.met_by_suites[#made.met_by_suites + 1] = "dh_bits"
		end
	end
	for _, name in ipairs(settings.ciphers or {}) do
		made.uses_dhe = made.uses_dhe or suites.by_name[name].key_exchange == "DHE"
	end
	made.lifetime = policy.resumption.lifetime
	return made
end

--- The sentence about DH parameters where no suite uses DHE; nil where one does.
function given.dhe_not_needed(of)
	return not of.uses_dhe and "no suite needs any" or nil
end

--- The sentence about DH keys where no security level is written; nil if the program's OpenSSL may accept
-- shorter ones.
function given.dh_bits_of_openssl(of)
	return of.dh_bits <= dh_bits_of_level[1] and ("OpenSSL itself accepts nothing under %d bits"):format(
		dh_bits_of_level[1]) or nil
end

--- The sentence about the parameters of DHE where OpenSSL's security level accepts shorter ones than the policy; nil
-- if there is none.
function given.dh_bits_of_parameters(of)
	local level = of.settings.security_level or 1
	return of.uses_dhe and of.dh_bits > dh_bits_of_level[level]
		and ("the parameters of DHE need at least %d bits: make them so"):format(of.dh_bits) or nil
end

--- The strictest level of a policy's profile, which differs from its own; nil if there is none.
function given.stricter_level(policy)
	return policy.level ~= profiles.levels[1] and profiles.levels[1] or nil
end

return given
