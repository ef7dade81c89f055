-- Real servers that share sessions through a real engine, and clients of theirs.
local client_contexts = require "support.client_contexts"
local key_file = require "xmpp_tls_policy.sessions.key_file"
local process = require "support.process"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

local sharing_servers = {}

local methods = {}
local metatable = { __index = methods }

--- A new key file for its owner. Returns the path.
function sharing_servers.new_key()
	local path = process.scratch "sessions.key"
	assert(key_file.make(path))
	return path
end

--- `engine`: of support/engine.lua; `certificate`: of all servers.
function sharing_servers.new(engine, certificate)
	return setmetatable({
		engine = engine, certificate = certificate, key_file = sharing_servers.new_key(), name = "cluster",
		contexts = client_contexts.by_version(), servers = prosody.group(),
	}, metatable)
end

--- The option of a server. `shared`: fields that differ from the usual ones.
function methods:policy(shared)
	local option = { url = self.engine.url, key_file = self.key_file, name = self.name }
	for name, value in pairs(shared or {}) do
		option[name] = value
	end
	return { resumption = { shared = option } }
end

--- Starts a server. `more`: fields of its specification.
function methods:start(shared, more)
	local spec = {
		hosts = { ["example.test"] = self.certificate }, domain = "example.test", with_policy = true,
		policy = self:policy(shared), users = { ["juliet@example.test"] = "wherefore" },
	}
	for name, value in pairs(more or {}) do
		spec[name] = value
	end
	return self.servers.start(spec)
end

--- Opens a stream. Returns whether the session was resumed, the session for the next connection, and the peer
-- if `keep`. `address`: of the client, or nil.
function methods:meet(server, version, session, keep, address)
	local peer, features, text = xmpp.open(server:target "c2s", {
		tls = { context = self.contexts[version], session = session }, address = address,
	})
	assert(peer, ("%s %s"):format(tostring(features), tostring(text)))
	local resumed, following = peer:tls_info().resumed, peer.socket:session()
	if keep then
		return resumed, following, peer
	end
	peer:close()
	return resumed, following
end

--- The number of entries in the engine.
function methods:entries()
	return tonumber(self.engine:cli("XLEN", self.name):match "%d+") or 0
end

--- Makes sessions on a server, and waits until the engine has them. Returns a list of them.
function methods:make_sessions(server, version, count)
	local before, list = self:entries(), {}
	for index = 1, count do
		list[index] = select(2, self:meet(server, version))
	end
	assert(process.poll(process.PATIENCE, function ()
		return self:entries() >= before + count
	end), "the engine does not get the sessions")
	return list
end

--- Waits until a new session of one server is resumed by another: everything before it has come, too.
function methods:wait_for_sharing(from, to)
	assert(process.poll(process.PATIENCE, function ()
		local _, session = self:meet(from, "TLSv1.2")
		return process.poll(2, function ()
			return (self:meet(to, "TLSv1.2", session))
		end)
	end), "no session is shared")
end

--- Logs in on one server with a session that another made. Returns whether the session was resumed, and the address of
-- the client.
function methods:log_in_elsewhere(from, to, version)
	local session = self:make_sessions(from, version, 1)[1]
	self:wait_for_sharing(from, to)
	local resumed, _, peer = self:meet(to, version, session, true)
	local address = assert(peer:login("juliet", "wherefore"))
	peer:close()
	return resumed, address
end

--- The value of a metric of a server, with a value of its label or without.
function methods:metric(server, name, label) -- luacheck: ignore 212/self
	local stats = server:shell "tlspolicy:stats()"
	local after = select(2, stats:find("shared_sessions_" .. name, 1, true))
	local pattern = label and ("\n%%s*|?%%s*%s%%s+|?%%s*(%%d+)"):format(label) or "^%S*%s+|?%s*([%d.]+)"
	return after and tonumber(stats:sub(after + 1):match(pattern)) or 0
end

return sharing_servers
