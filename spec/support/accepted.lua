--- The parameters of TLS that a server accepts, by one handshake for each, with clients of our core that
-- offer that one alone.
local core = require "xmpp_tls_policy.core"
local process = require "support.process"
local suites = require "xmpp_tls_policy.policy.suites"
local xmpp = require "support.xmpp"

local accepted = {}

-- A client's context with settings; nil if this OpenSSL lacks what they name.
local function client(settings)
	local context = assert(core.context.new { role = "client", verify = "none" })
	local all = { security_level = 0, insecure_versions = true }
	for name, value in pairs(settings) do
		all[name] = value
	end
	local applied, message, code = context:apply(all)
	if applied then
		return context
	end
	assert(code == "empty", message)
end

-- An open connection of a client with these settings only; or nil and a reason, "not here" if this
-- OpenSSL lacks what they name.
local function connection(target, settings, session)
	local context = client(settings)
	if not context then
		return nil, "not here"
	end
	local peer = xmpp.connect(target)
	if not target.direct_tls then
		assert(peer:open())
		assert(peer:request_tls())
	end
	local done, reason = peer:secure { context = context, session = session }
	if not done then
		peer:close()
		return nil, reason
	end
	return peer
end

--- The facts of a handshake with a client that has these settings only; or nil and a reason (see above).
-- `session`: to resume.
function accepted.facts(target, settings, session)
	local peer, reason = connection(target, settings, session)
	if not peer then
		return nil, reason
	end
	local facts = peer:tls_info()
	peer:close()
	return facts
end

--- The session of a connection with these settings, as bytes; nil if it cannot be resumed. In TLS 1.3 it
-- comes after the handshake, for which this waits.
function accepted.session(target, settings)
	local peer = assert(connection(target, settings))
	local waits = peer:tls_info().version == "TLSv1.3" and process.PATIENCE or 0
	local session = process.poll(waits, function ()
		if waits > 0 then
			peer.socket:settimeout(0.02)
			peer.socket:receive(1)
		end
		return peer.socket:session()
	end)
	peer:close()
	return session
end

--- For each version: true if it is accepted, or the reason of the failure.
function accepted.versions(target)
	local found = {}
	for _, version in ipairs { "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" } do
		local facts, reason = accepted.facts(target, { minimum_version = version, maximum_version = version })
		found[version] = facts and facts.version == version or reason
	end
	return found
end

local range_of_list = {
	ciphers = { minimum_version = "TLSv1", maximum_version = "TLSv1.2" },
	ciphersuites = { minimum_version = "TLSv1.3" },
	groups = { minimum_version = "TLSv1.3" },
}

--- The names of a list ("ciphers", "ciphersuites", "groups" of TLS 1.3) that are accepted, as a set in lower
-- case; second, those that were tried.
function accepted.names(target, list)
	local set, tried = {}, {}
	for _, record in ipairs(suites[list]) do
		local settings = { [list] = { record.name } }
		for name, value in pairs(range_of_list[list]) do
			settings[name] = value
		end
		local facts, reason = accepted.facts(target, settings)
		if reason ~= "not here" or facts then
			tried[record.name:lower()] = true
		end
		local chosen = facts and (list == "groups" and facts.group or list ~= "groups" and facts.cipher_suite)
		if chosen then
			set[chosen:lower()] = true
		end
	end
	return set, tried
end

return accepted
