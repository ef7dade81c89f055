--- The certificates of our own hosts: what is wrong with them is said at each load, and
-- when a day makes it worse.
local core = require "xmpp_tls_policy.core"
local date = require "xmpp_tls_policy.date"
local own_certificate = require "xmpp_tls_policy.own_certificate"
local server = require "xmpp_tls_policy.prosody.server"

local own_certificates = {}

-- What was said since the last load, by sentence.
local said = {}

-- The day of the last look at all.
local looked_on = date.of(os.time())

local levels = { error = "error", warn = "warn", info = "info" }

local function facts_of(chain)
	local list = {}
	for index, certificate in ipairs(chain or {}) do
		list[index] = certificate:facts()
	end
	return list
end

--- The certificate of a host and what is wrong with it: a Certificate, the list of those
-- sent after it, and a list of problems (own_certificate.check). nil where the host has
-- none; nil and a message where it cannot be read.
function own_certificates.look(host)
	local made, message = server.own_context(host)
	if not made then
		return nil, message
	end
	local context, failure = core.context.adopt(made)
	if not context then
		return nil, failure
	end
	local own = context:inspect()
	context:close()
	if not own.certificate then
		return nil
	end
	local covers_for_clients
	if server.serves_clients(host) ~= false then
		covers_for_clients = own.certificate:matches(host, "xmpp-client")
	end
	return own.certificate, own.chain, own_certificate.check(own.certificate:facts(), {
		domain = host, now = os.time(), chain = facts_of(own.chain),
		matches_c2s = covers_for_clients,
		matches_s2s = own.certificate:matches(host, "xmpp-server"),
	})
end

local function say(module, host, again)
	local certificate, _, problems = own_certificates.look(host)
	for _, problem in ipairs(certificate and problems or {}) do
		local key = table.concat({ host, problem.kind, problem.severity, certificate:facts().sha256 }, " ")
		if again or not said[key] then
			said[key] = true
			module:log(levels[problem.severity], "%s", problem.message)
		end
	end
end

--- Says what is wrong with the certificate of a host. `module`: who says it.
function own_certificates.check(module, host)
	say(module, host, true)
end

--- The same for a list of hosts, as after a reload.
function own_certificates.check_all(module, hosts)
	said = {}
	for _, host in ipairs(hosts) do
		say(module, host, true)
	end
end

--- The same once a day, for what was not said yet.
function own_certificates.check_daily(module, hosts)
	local today = date.of(os.time())
	if today == looked_on then
		return
	end
	looked_on = today
	for _, host in ipairs(hosts) do
		say(module, host, false)
	end
end

return own_certificates
