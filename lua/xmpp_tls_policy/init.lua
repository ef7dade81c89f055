-- The library without a server: TLS policies for XMPP as data, and functions over them.
local core = require "xmpp_tls_policy.core"

-- An upgrade that was interrupted leaves files of two versions. c/internal.h has the same
-- number.
local interface = 8
if core.interface ~= interface then
	error(("the Lua files of xmpp_tls_policy are for version %d of its core, and the core is %s"):format(
		interface, core.interface and ("version %d"):format(core.interface) or "older than version numbers"), 0)
end

local clauses = require "xmpp_tls_policy.policy.clauses"
local copy = require "xmpp_tls_policy.copy"
local options = require "xmpp_tls_policy.policy.options"
local policy = require "xmpp_tls_policy.policy"
local profiles = require "xmpp_tls_policy.policy.profiles"
local render = require "xmpp_tls_policy.policy.render"
local text = require "xmpp_tls_policy.text"

local tls_policy = {}

-- Names of the profiles, the default first.
tls_policy.profile_names = {}
for index, name in ipairs(profiles.names) do
	tls_policy.profile_names[index] = name
end

-- A profile by name, as a copy: { name, title, document, date, entries = list of
-- { clause, document, section, level, at } }. Or nil and a message.
function tls_policy.profile(name)
	local profile = type(name) == "string" and profiles.by_name[name]
	if not profile then
		return nil, ("%s is no profile%s"):format(text.printable(name), text.suggestion(name, profiles.names))
	end
	return copy(profile)
end

-- The policy of an operator's options (nil: the defaults); see policy.new. Or nil, and a
-- list of every fault, { option, value, message }.
tls_policy.policy = policy.new

-- The policy of a server without options.
function tls_policy.defaults()
	return (policy.new())
end

-- The options of a host: the global ones with its own over them; see options.merge.
tls_policy.merge = options.merge

-- The settings of a policy as text, for people and for comparison.
tls_policy.render = render.settings

-- The conformance table of a profile, by name, as Markdown. Or nil and a message.
function tls_policy.conformance(name)
	local profile, message = tls_policy.profile(name)
	if not profile then
		return nil, message
	end
	return render.conformance(profile, clauses)
end

return tls_policy
