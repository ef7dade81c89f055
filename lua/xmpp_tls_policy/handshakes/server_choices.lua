-- Why a handshake failed that we began: the choices of a server that our OpenSSL does not accept. What
-- exactly it chose is not known, so a remedy says for which choices it is one.
local available = require "xmpp_tls_policy.policy.available"
local lists = require "xmpp_tls_policy.policy.settings".lists
local suites = require "xmpp_tls_policy.policy.suites"

local rank, version_names = suites.rank, suites.version_names

local server_choices = {}

-- OpenSSL's security level -> the least bits of a key of RSA or DH
-- (SSL_CTX_set_security_level(3)).
local key_bits = { [0] = 0, 1024, 2048, 3072, 7680, 15360 }

-- The level for what a handshake negotiates.
local function level_of(settings)
	return not settings.insecure_strength and settings.security_level or 0
end

-- ---- fields of settings ------------------------------------------------------------
-- Each: the value in force of settings, by OpenSSL's rules; a number that is smaller where more is
-- accepted; the value in words, and with all that is better.

local fields = {
	minimum_version = {
		-- OpenSSL has no version before TLS 1.2 above its security level 0.
		in_force = function (settings)
			local version = settings.minimum_version or suites.versions[1]
			return level_of(settings) > 0 and rank[version] < rank["TLSv1.2"] and "TLSv1.2" or version
		end,
		measure = function (version)
			return rank[version]
		end,
		words = function (version)
			return version_names[version]
		end,
		upwards = function (version)
			return version_names[version] .. " and newer"
		end,
	},
	dh_bits = {
		in_force = function (settings)
			return math.max(settings.dh_bits or 0, key_bits[level_of(settings)])
		end,
		measure = function (bits)
			return bits
		end,
		words = function (bits)
			return ("%d bits"):format(bits)
		end,
		upwards = function (bits)
			return ("%d bits and more"):format(bits)
		end,
	},
	-- Signatures with SHA-1 need the level 0.
	security_level = {
		in_force = function (settings)
			return level_of(settings) > 0 and 1 or 0
		end,
		measure = function (level)
			return level
		end,
		words = function (level)
			return level > 0 and "SHA-256" or "SHA-1"
		end,
		upwards = function (level)
			return level > 0 and "SHA-256 and better" or "SHA-1 and better"
		end,
	},
}

-- Reason of our OpenSSL for refusing a server's choice -> the field of settings that forbids it, nil
-- if none does, and the server's fault, with the value in force.
local faults = {
	["unsupported protocol"] = { "minimum_version", "chose a TLS version older than %s" },
	["dh key too small"] = { "dh_bits", "showed an ephemeral DH key of less than %s" },
	["wrong signature type"] = { "security_level", "signed with less than %s" },
	["wrong ssl version"] = { nil, "chose a TLS version that was not offered to it" },
	["wrong cipher returned"] = { nil, "chose a cipher suite that was not offered to it" },
	["unknown cipher returned"] = { nil, "chose a cipher suite that was not offered to it" },
	["wrong curve"] = { nil, "chose a group that was not offered to it" },
	["bad ecpoint"] = { nil, "sent a malformed key" },
}

-- The settings that an exception would put on the context; nil in report mode, or if none can.
local function excepted_settings(given)
	local policy = given.policy
	if policy.mode == "report" or policy.opens then
		return nil
	end
	local settings = policy:mildest_exception():settings_for(given.before, given.operator)
	return settings and available.only(settings)
end

-- The enforced clauses that ask for the value in force, so that whatever it refuses breaks them. None
-- if the server's own configuration is stricter than the policy.
local function clauses_behind(field, value, given)
	local ids = {}
	if given.policy.mode == "report" then
		return ids
	end
	for _, entry in ipairs(given.policy.clauses) do
		local asked = entry.enforced and given.policy:asks(entry.id, field)
		local settings = asked and { [field] = asked }
		if settings and fields[field].in_force(settings) == value then
			ids[#ids + 1] = entry.id
		end
	end
	return ids
end

-- Why our OpenSSL did not accept the choice of a server: a sentence that goes on from its name, and
-- the ids of the clauses behind it; nil for other reasons. `given`: see explain_failure.lua.
function server_choices.explain(reason, given)
	local fault = faults[reason or ""]
	if not fault then
		return nil
	elseif not fault[1] then
		return fault[2], {}
	end
	local field = fields[fault[1]]
	local value = field.in_force(given.settings)
	local excepted = excepted_settings(given)
	local milder = excepted and field.in_force(excepted)
	local sentence = fault[2]:format(field.words(value)) .. "; needs " .. field.words(value)
	if milder and field.measure(milder) < field.measure(value) then
		sentence = ("%s or an exception (for %s)"):format(sentence, field.upwards(milder))
	end
	return sentence, clauses_behind(fault[1], value, given)
end

-- ---- middleboxes ------------------------------------------------------------------

-- Whether a client with these settings sends a key share for a hybrid group, which makes its ClientHello longer than
-- one packet (rfc8446.4.2.8.key-shares).
function server_choices.sends_hybrid_share(settings)
	local has_tls13 = (settings.maximum_version or "TLSv1.3") == "TLSv1.3" and (settings.ciphersuites or { true })[1]
	for place = 1, has_tls13 and settings.key_shares or has_tls13 and 1 or 0 do
		local record = suites.groups_by_name[((settings.groups or {})[place] or ""):lower()]
		if record and record.kind == "hybrid" then
			return true
		end
	end
	return false
end

-- ---- servers that do not say what they lack ----------------------------------------

local function has_more(names, others)
	local is_other = {}
	for _, name in ipairs(others or {}) do
		is_other[name:lower()] = true
	end
	for _, name in ipairs(others and names or {}) do
		if not is_other[name:lower()] then
			return true
		end
	end
	return false
end

-- Whether an exception would offer a server more than it got.
function server_choices.exception_offers_more(given)
	local excepted = given.role == "s2sout" and excepted_settings(given)
	if not excepted then
		return false
	end
	for _, field in pairs(fields) do
		if field.measure(field.in_force(excepted)) < field.measure(field.in_force(given.settings)) then
			return true
		end
	end
	for _, list in ipairs(lists) do
		if has_more(excepted[list], given.settings[list]) then
			return true
		end
	end
	return false
end

return server_choices
