--- Remembers which contexts for STARTTLS are under their policies, so that most streams ask for one
-- look-up alone.
local ready_contexts = {}

local methods = {}
local metatable = { __index = methods }

--- For one load of the module. `server`: the adapter; `policies`; `contexts`: see tls_contexts.lua.
function ready_contexts.new(options)
	local made = setmetatable({
		_server = options.server, _policies = options.policies, _contexts = options.contexts,
	}, metatable)
	made:forget()
	return made
end

--- To be called when the server's configuration was loaded, or the session store is another one.
function methods:forget()
	-- Context -> the host and role, and the generation of policies, for which it is ready.
	self._known = setmetatable({}, { __mode = "k" })
end

--- Does the same as tls_contexts:starttls, and returns the same.
function methods:starttls(stream)
	local server, session = self._server, stream.session
	local context = server.starttls_context(session)
	if not context or server.is_authenticated(session) then
		return nil
	end
	local host, role, generation = stream:host(), stream.role, self._policies:generation()
	local known = self._known[context]
	if known and known.host == host and known.role == role and known.generation == generation then
		return true
	end
	local ready = self._contexts:starttls(stream)
	-- An exception gives a peer a context of its own.
	if ready and next(self._policies:policy_for(host).exceptions) == nil then
		self._known[context] = { host = host, role = role, generation = generation }
	end
	return ready
end

return ready_contexts
