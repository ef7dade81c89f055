--- The TLS contexts of a server of plain tables (support/adapter.lua), and the policies for its hosts.
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local core = require "xmpp_tls_policy.core"
local policies = require "xmpp_tls_policy.policy.policies"
local ssl = require "ssl"
local tls_contexts = require "xmpp_tls_policy.contexts.tls_contexts"

local server_contexts = {}

--- A context of LuaSec's that allows all versions but SSL 3.0, and all suites. `files`: { certificate, key }; `more`:
-- options of LuaSec's, or nil.
function server_contexts.loose(files, more)
	local options = {
		mode = "server", protocol = "any", certificate = files.certificate, key = files.key, verify = "none",
		options = { "no_sslv3" }, ciphers = "ALL:@SECLEVEL=0",
	}
	for name, value in pairs(more or {}) do
		options[name] = value
	end
	return assert(ssl.newcontext(options))
end

--- The lowest version of a context of LuaSec's.
function server_contexts.lowest_version(context)
	return assert(core.context.adopt(context)):settings().minimum_version
end

--- Loads the policies of some hosts. Returns them, the contexts that are adopted under them, and the server's contexts.
function server_contexts.under_policies(server, hosts)
	local found, adopted = policies.new { server = server }, adopted_contexts.new()
	found:load()
	for _, host in ipairs(hosts) do
		found:load_host(host)
	end
	return found, adopted, tls_contexts.new { server = server, policies = found, adopted = adopted }
end

return server_contexts
