--- A start of the server that is foreseen: the policies of its configuration, and the contexts that it would make,
-- under these policies. Nobody is served.
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local foreseen_outages = require "xmpp_tls_policy.contexts.foreseen_outages"
local own_certificate_check = require "xmpp_tls_policy.certificates.own_certificate_check"
local policies = require "xmpp_tls_policy.policy.policies"
local tls_contexts = require "xmpp_tls_policy.contexts.tls_contexts"

local forecast = {}

--- The name of our module in the server's lists of modules.
forecast.module = "xmpp_tls_policy"

-- Whether contexts can resume does not depend on the memory of their sessions.
local LITTLE_MEMORY = 1 -- MiB

-- Role -> the question to the server whether a host serves such peers.
local questions = { c2s = "serves_clients", s2sin = "serves_servers", s2sout = "serves_servers" }

-- Does the work at once that a server does in turns.
local at_once = {}

function at_once:add(_, step) -- luacheck: ignore 212/self
	repeat until not step()
end

--- Whether a host has streams of a role.
function forecast.has_role(server, host, role)
	return server[questions[role]](host) == true
end

local function adopt_starttls(self, host)
	local server, found = self.server, {}
	local current = server.current_contexts(host)
	for _, item in ipairs(current or {}) do
		if forecast.has_role(server, host, item.role) then
			found[item.role] = true
			self.tls_contexts:adopt(host, item.role, item.context)
		end
	end
	for _, role in ipairs(current and { "c2s", "s2sin", "s2sout" } or {}) do
		if forecast.has_role(server, host, role) and not found[role] then
			local _, message = server.own_context(host, role)
			self.missing[#self.missing + 1] = {
				host = host, role = role, message = message or "the server has no context for it",
			}
		end
	end
end

--- `server`: an adapter whose server has made its contexts (see servers/contract.lua). `given`: errors, a list of
-- lines that the server logged meanwhile; is_own_user, whether this process may read what the server
-- may. Fields as of service.lua, as far as the commands `status` and `check` use them: server, policies,
-- adopted, tls_contexts, outages, own_certificates. Further: errors, is_own_user, and missing, a list of { host,
-- role, message } of hosts for which the server could make no context for STARTTLS.
function forecast.new(server, given)
	local self = {
		server = server, adopted = adopted_contexts.new(), missing = {}, errors = given.errors,
		is_own_user = given.is_own_user,
	}
	self.policies = policies.new { server = server }
	self.tls_contexts = tls_contexts.new { server = server, policies = self.policies, adopted = self.adopted }
	self.outages = foreseen_outages.new {
		server = server, policies = self.policies, adopted = self.adopted, queue = at_once,
	}
	self.own_certificates = own_certificate_check.new {
		server = server, adopted = self.adopted, policies = self.policies, queue = at_once,
	}
	self.policies:load()
	for _, host in ipairs(server.hosts()) do
		if server.wants_module(host, forecast.module) then
			self.policies:load_host(host)
		end
	end
	local resumption = self.policies:policy_for().resumption
	assert(self.adopted:keep_sessions {
		enabled = resumption.enabled, lifetime = resumption.lifetime, memory = LITTLE_MEMORY,
		address_share = resumption.address_share,
	})
	self.tls_contexts:search_direct_tls()
	for _, host in ipairs(self.policies:hosts()) do
		adopt_starttls(self, host)
	end
	self.outages:check(self.policies:hosts())
	return self
end

return forecast
