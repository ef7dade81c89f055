--- The certificates of our own hosts: what is wrong with them is said at each load, and
-- when a day makes it worse.
local contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local core = require "xmpp_tls_policy.core"
local date = require "xmpp_tls_policy.date"
local own_certificate = require "xmpp_tls_policy.certificates.own_certificate"
local server = require "xmpp_tls_policy.servers.prosody.server"

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

-- Contexts up to this number were replaced by a reload.
local replaced = 0

-- What a host shows by STARTTLS in a role: what contexts in use have, and what the
-- configuration would give a new one. Of these the one that ends first counts: a file
-- that was renewed helps nobody before the server was reloaded.
local function inspected(host, role)
	local found = {}
	-- That there is none, or that it cannot be loaded, the server says itself.
	local made = server.own_context(host, role == "c2s" and "c2s_ssl" or "s2s_ssl")
	local context = made and core.context.adopt(made)
	if context then
		found[1] = context:inspect()
		context:close()
	end
	contexts.each(function (entry, used)
		if used and entry.given.host == host and entry.given.role == role and entry.number > replaced then
			found[#found + 1] = used:inspect()
		end
	end)
	local first, first_end
	for _, own in ipairs(found) do
		local ends = own.certificate and own.certificate:facts().not_after or math.huge
		if own.certificate and (not first or ends < first_end) then
			first, first_end = own, ends
		end
	end
	return first
end

--- What is wrong with a host's certificate, `own` as context:inspect() returns it: a
-- list as of own_certificate.check; and the facts of what is sent after it.
function own_certificates.problems(host, own)
	local certificate, chain = own.certificate, facts_of(own.chain)
	local covers_for_clients
	if server.serves_clients(host) ~= false then
		covers_for_clients = certificate:matches(host, "xmpp-client")
	end
	return own_certificate.check(certificate:facts(), {
		domain = host, now = os.time(), chain = chain, roots = facts_of { own.issuer },
		matches_c2s = covers_for_clients,
		matches_s2s = certificate:matches(host, "xmpp-server"),
	}), chain
end

local function say(module, host, again)
	local told = {}
	for _, role in ipairs { "c2s", "s2sin" } do
		local own = inspected(host, role)
		local sha256 = own and own.certificate:facts().sha256
		for _, problem in ipairs(own and not told[sha256] and own_certificates.problems(host, own) or {}) do
			local key = table.concat({ host, problem.kind, problem.severity, sha256 }, " ")
			if again or not said[key] then
				said[key] = true
				module:log(levels[problem.severity], "%s", problem.message)
			end
		end
		told[sha256 or "none"] = true
	end
end

--- Says what is wrong with the certificate of a host. `module`: who says it.
function own_certificates.check(module, host)
	say(module, host, true)
end

--- The same for a list of hosts, after the server has made all contexts anew, and before
-- any is used.
function own_certificates.check_all(module, hosts)
	said, replaced = {}, contexts.newest()
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
