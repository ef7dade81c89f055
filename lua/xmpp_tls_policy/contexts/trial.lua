--- The effect that a policy would have on a context, which stays as the server made it.
local trial = {}

--- Brings a Context of the core under a policy as enforcing does, reads the settings back, and
-- releases it; no handshake happens in between. `apply`: function(context) that does the first: it
-- returns settings, or nil and a message. The caller has to observe the context again. Returns a
-- context as in policy/enforcement.lua; and a message if the context could not be released.
function trial.of(context, apply)
	local before = context:settings()
	local settings, failure = apply(context)
	if settings then
		settings, failure = context:settings()
	end
	local released, message = context:release()
	local certificate = context:inspect().certificate
	return {
		before = before, settings = settings, certificate = certificate and certificate:facts(),
		failure = not settings and failure or nil,
	}, not released and message or nil
end

return trial
