--- The module that speaks to the engine of shared sessions: a part of the library that is built where hiredis is.
local engine_module = {}

--- The module for a place (see engine_url.lua), or nil and what is missing. `given`: the module for specs, or nil.
function engine_module.load(place, given)
	local found, redis = true, given
	if not given then
		found, redis = pcall(require, "xmpp_tls_policy.redis")
	end
	if not found then
		return nil, "resumption.shared needs hiredis: install the package libhiredis0.14 (Debian 12) or libhiredis1.1.0 "
			.. "(Debian 13)"
	elseif not redis.connect then
		return nil, "resumption.shared needs hiredis, which was not there when xmpp-tls-policy was built: install the "
			.. "package libhiredis-dev and build it again"
	elseif place.tls and not redis.has_tls then
		return nil, "rediss:// needs hiredis 1.0 or newer with TLS when xmpp-tls-policy is built: the package libhiredis-dev "
			.. "of Debian 13"
	end
	return redis
end

return engine_module
