-- The settings that each profile puts in force at each level on OpenSSL's own defaults, as OpenSSL itself tells them.
-- What a release lacks is not there, and is named.
local compare = require "unit.golden.compare"
local core = require "xmpp_tls_policy.core"
local settings = require "xmpp_tls_policy.policy.settings"
local tls_policy = require "xmpp_tls_policy"
local versions = require "support.versions"

local scalars = { "minimum_version", "maximum_version", "dh_bits", "security_level", "tickets" }

-- One value a line, and each list with one name a line.
local function text_of(in_force, dropped, lists)
	local lines = {}
	local function line(name, value)
		lines[#lines + 1] = ("%s: %s"):format(name, tostring(value))
	end
	for _, field in ipairs(scalars) do
		line(field, in_force[field])
	end
	for _, switch in ipairs(settings.switches) do
		line(switch, in_force[switch] or false)
	end
	for _, list in ipairs(lists) do
		lines[#lines + 1] = list .. ":\n\t" .. table.concat(in_force[list] or {}, "\n\t")
	end
	for _, list in ipairs(lists) do
		for _, name in ipairs(dropped[list] or {}) do
			line("unknown here", name)
		end
	end
	return table.concat(lines, "\n") .. "\n"
end

-- Release -> the release whose golden files hold for it.
local recorded = { ["3.0"] = "3.0", ["3.5"] = "3.5", ["3.6"] = "3.5", ["4.0"] = "4.0" }

describe("the settings in force on OpenSSL's defaults", function ()
	local release = versions.openssl:match "^%d+%.%d+"

	for _, profile in ipairs(tls_policy.profile_names) do
		for _, level in ipairs { "should", "must" } do
			it(("under %s, level %s, are those in spec/unit/golden"):format(profile, level), function ()
				if not recorded[release] then
					return pending(("no golden file for OpenSSL %s"):format(release))
				end
				local policy = assert(tls_policy.policy { profile = profile, level = level })
				local context = assert(core.context.new { role = "server" })
				local made = assert(policy:settings_for(context:settings(), {}))
				local dropped = assert(context:apply(made))
				-- Without a list of the policy, the schemes are OpenSSL's own.
				local lists = { "ciphers", "ciphersuites", "groups", made.signature_schemes and "signature_schemes" }
				compare(("in-force-%s-%s-openssl-%s.txt"):format(profile, level, recorded[release]),
					text_of(context:settings(), dropped, lists))
				context:close()
			end)
		end
	end
end)
