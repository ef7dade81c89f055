-- The parts of a server's own configuration that a policy overrides, as sentences.
local suites = require "xmpp_tls_policy.policy.suites"
local text = require "xmpp_tls_policy.text"

local overrides = {}

local rank, version_names = suites.rank, suites.version_names

local lists = {
	{ "ciphers", "cipher suites of TLS 1.2 and older" },
	{ "ciphersuites", "cipher suites of TLS 1.3" },
	{ "groups", "groups" },
}

-- The names of a list that another list does not have.
local function missing(list, kept)
	local is_kept, gone = {}, {}
	for _, name in ipairs(kept or {}) do
		is_kept[name:lower()] = true
	end
	for _, name in ipairs(list or {}) do
		gone[#gone + 1] = not is_kept[name:lower()] and name or nil
	end
	return gone
end

-- The parts of the operator's configuration that have no effect on a context: a list of
-- sentences. `entry`: of the context (see contexts/adopted_contexts.lua); `preset`: the option with which
-- the operator chose the server's own lists, as text (nil: none). A default of the server is not the
-- operator's configuration.
function overrides.of_context(entry, preset)
	local before, settings, sentences = entry.before, entry.settings, {}
	local operator = entry.given.operator or {}
	local function add(format, ...)
		sentences[#sentences + 1] = format:format(...)
	end
	if not before or not settings then
		return sentences
	end
	for _, loss in ipairs(entry.losses or {}) do
		add("%s", loss)
	end
	local theirs, ours = before.minimum_version, settings.minimum_version
	if theirs and ours and rank[theirs] and rank[theirs] < rank[ours] then
		add("%s allows %s; the lowest version in force is %s", not operator.protocol and preset or "ssl",
			version_names[theirs], version_names[ours])
	end
	for _, list in ipairs(lists) do
		local field, noun = list[1], list[2]
		local source = operator[field] and "ssl" or preset
		local gone = source and missing(before[field], settings[field]) or {}
		if gone[1] then
			add("of the %s in %s, %d are not allowed: %s", noun, source, #gone, text.short_list(gone))
		end
	end
	if before.security_level and settings.security_level and before.security_level < settings.security_level then
		add("ssl has OpenSSL's security level %d; %d is in force", before.security_level, settings.security_level)
	end
	if entry.dropped and entry.dropped.dh_bits then
		add("the DH parameters of %d bits in ssl were replaced by stronger ones", entry.dropped.dh_bits)
	end
	return sentences
end

-- The same for options of the server that allow more than the policy. `options`: those
-- that the operator set, by Prosody's names.
function overrides.of_options(policy, options)
	local sentences = {}
	local function add(format, ...)
		sentences[#sentences + 1] = format:format(...)
	end
	if policy.mode == "report" then
		return sentences
	end
	if policy:enforces "support.required" or policy:enforces "support.strict" then
		for _, name in ipairs { "c2s_require_encryption", "s2s_require_encryption", "require_encryption" } do
			if options[name] == false then
				add("%s = false has no effect: the policy requires TLS", name)
			end
		end
		if options.allow_unencrypted_plain_auth then
			add "allow_unencrypted_plain_auth has no effect: the policy requires TLS before authentication"
		end
	end
	if policy.unauthenticated_s2s == "refuse" then
		if options.s2s_secure_auth == false then
			add 's2s_secure_auth = false has no effect: unauthenticated_s2s = "refuse" of the policy is stricter'
		end
		if type(options.s2s_insecure_domains) == "table" and next(options.s2s_insecure_domains) ~= nil then
			add 's2s_insecure_domains has no effect: unauthenticated_s2s = "refuse"; an exception is needed'
		end
	end
	return sentences
end

return overrides
