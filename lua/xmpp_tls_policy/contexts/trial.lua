--- The effect that a policy would have on a context, which stays as the server made it.
local trial = {}

--- Brings a Context of the core under a policy as enforcing does, reads the settings back, and
-- releases it; no handshake happens in between. `apply`: function(context) that does the first: it
-- returns { before = the settings that the server made }; or nil, a message and those settings, nil if
-- they cannot be read. The caller has to observe the context again. Returns a context as in
-- policy/enforcement.lua; and a message if the context could not be released.
function trial.of(context, apply)
	local applied, failure, before = apply(context)
	local settings
	if applied then
		before = applied.before
		settings, failure = context:settings()
	end
	local released, message = context:release()
	local certificate = context:certificate()
	return {
		before = before, settings = settings, certificate = certificate and certificate:facts(),
		failure = not settings and failure or nil,
	}, not released and message or nil
end

return trial
