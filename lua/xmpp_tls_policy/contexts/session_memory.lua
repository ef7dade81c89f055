--- The memory of sessions that can be resumed: says where it may get into swap.
local session_memory = {}

local MEBIBYTE = 2 ^ 20

--- `stats`: of a store (see store:stats in c/store.c). Returns a sentence for the log, or nil if the
-- memory is locked.
function session_memory.warning(stats)
	if stats.locked then
		return nil
	end
	local limit = stats.lock_limit and ("this process may lock %.4g MiB in all"):format(stats.lock_limit / MEBIBYTE)
		or "the system does not allow it"
	return ("The memory of resumable sessions (%d MiB) is not locked, because %s: their secrets may get into swap. Raise "
		.. "LimitMEMLOCK of the service, as doc/systemd/xmpp-tls-policy.conf does, or set resumption.memory lower")
		:format(stats.bytes / MEBIBYTE, limit)
end

return session_memory
