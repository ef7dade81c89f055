--- The options of commands that take a policy.
local profiles = require "xmpp_tls_policy.policy.profiles"
local tls_policy = require "xmpp_tls_policy"

local policy_options = {}

--- Adds --profile and --level to a command (argparse).
function policy_options.define(parser)
	parser:option("--profile", "The document."):choices(profiles.names):default(profiles.default)
	parser:option("--level", "How strictly it is read."):choices(profiles.levels):default(profiles.levels[1])
end

--- The policy of the options that argparse made.
function policy_options.policy(options)
	return assert(tls_policy.policy { profile = options.profile, level = options.level })
end

return policy_options
