-- Contexts of the core for clients.
local core = require "xmpp_tls_policy.core"

local client_contexts = {}

--- One for each of TLS 1.2 and 1.3, which is the newest version that it has: { [version] = Context }.
-- `groups`: a list of names, or nil.
function client_contexts.by_version(groups)
	local contexts = {}
	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		contexts[version] = assert(core.context.new { role = "client", verify = "none" })
		assert(contexts[version]:apply { maximum_version = version, groups = groups })
	end
	return contexts
end

return client_contexts
