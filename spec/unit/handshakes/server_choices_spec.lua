-- Remedies for the choices of a server that we connect to: an exception is proposed where OpenSSL
-- accepts the same choice with it, and nowhere else.
local adapter = require "support.adapter"
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local core = require "xmpp_tls_policy.core"
local failed_handshakes = require "xmpp_tls_policy.handshakes.failed_handshakes"
local handshake = require "support.handshake"
local metrics = require "xmpp_tls_policy.metrics"
local pki = require "support.pki"
local ssl = require "ssl"
local tls_policy = require "xmpp_tls_policy"

local dhe = "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0"

-- Servers whose choice our OpenSSL may refuse: LuaSec's parameters, and the bits of their DH key.
local servers = {
	["DH of 512 bits"] = { { protocol = "tlsv1_2", ciphers = dhe }, 512 },
	["DH of 1024 bits"] = { { protocol = "tlsv1_2", ciphers = dhe }, 1024 },
	["DH of 1536 bits"] = { { protocol = "tlsv1_2", ciphers = dhe }, 1536 },
	["DH of 2048 bits"] = { { protocol = "tlsv1_2", ciphers = dhe }, 2048 },
	["TLS 1.1 alone"] = { { protocol = "tlsv1_1", ciphers = "ALL:@SECLEVEL=0" } },
	["RSA key transport"] = { { protocol = "tlsv1_2", ciphers = "AES128-SHA:@SECLEVEL=0" } },
}

local configurations = {
	default = {}, loose = { ciphers = "ALL:@SECLEVEL=0" }, strict = { ciphers = "ALL:@SECLEVEL=3" },
}

describe("the choice of a server #comparison", function ()
	local files
	local dh = {}

	setup(function ()
		files = pki.authority():issue { names = { "far.test" }, key = "rsa2048" }
		for _, server in pairs(servers) do
			local bits = server[2]
			if bits then
				dh[bits] = dh[bits] or pki.run { "openssl", "dhparam", "-dsaparam", tostring(bits) }
			end
		end
	end)

	teardown(pki.remove)

	local function server_context(server)
		local parameters = { mode = "server", certificate = files.certificate, key = files.key, verify = "none" }
		for name, value in pairs(server[1]) do
			parameters[name] = value
		end
		parameters.dhparam = server[2] and function () return dh[server[2]] end or nil
		return assert(ssl.newcontext(parameters))
	end

	-- Connects under a policy. Returns whether it succeeded, and the entry of the list of failed handshakes.
	local function connect(server, configuration, policy)
		local parameters = { mode = "client", protocol = "any", verify = "none" }
		for name, value in pairs(configuration) do
			parameters[name] = value
		end
		local luasec, adopted = assert(ssl.newcontext(parameters)), adopted_contexts.new()
		adopted:enforce(luasec, { policy = policy, host = "a.test", role = "s2sout", operator = {} })
		core.observer.refusals()
		local far = assert(core.context.adopt(server_context(server)))
		local near = handshake.between(assert(core.context.adopt(luasec)), far, { role = "client" }, { role = "server" })
		if near then
			return true
		end
		local ours = adapter.new()
		local failed = failed_handshakes.new {
			server = ours, adopted = adopted, metrics = metrics.new { adopted = adopted, server = ours },
		}
		failed:collect(function () end, function () end)
		return false, assert(failed:list()[1])
	end

	-- Checks the explanation under a policy. Returns whether the handshake was refused.
	local function check(server, configuration, profile, level)
		local done, entry = connect(server, configuration, tls_policy.policy { profile = profile, level = level })
		if done then
			return false
		end
		local excepting = tls_policy.policy { profile = profile, level = level, exceptions = {
			["far.test"] = { level = "must", expires = "2999-12-31", reason = "spec" } } }
		local helps = connect(server, configuration, excepting:for_peer("far.test", os.time()))
		if entry.text:find "^showed an ephemeral DH key" then
			local least = tonumber(entry.text:match "an exception %(for (%d+) bits and more%)")
			assert.equal(helps, least ~= nil and least <= server[2], entry.text)
		elseif helps then
			-- A server that accepts nothing does not say why.
			assert.matches("; an exception may help$", entry.text)
		end
		return true
	end

	for server_name, server in pairs(servers) do
		for configuration_name, configuration in pairs(configurations) do
			it(("has the remedies that help: %s, configuration %s"):format(server_name, configuration_name), function ()
				local refused = false
				for _, profile in ipairs(tls_policy.profile_names) do
					for _, level in ipairs { "should", "must" } do
						refused = check(server, configuration, profile, level) or refused
					end
				end
				assert.is_true(refused)
			end)
		end
	end

	it("is not refused where it is good", function ()
		assert.is_true((connect(servers["DH of 2048 bits"], {}, tls_policy.policy())))
	end)
end)
