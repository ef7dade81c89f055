--- Follows the stream: what others append comes as soon as it is there.
local entry_id = require "xmpp_tls_policy.sessions.entry_id"
local loop_pauses = require "xmpp_tls_policy.sessions.loop_pauses"
local stream_entry = require "xmpp_tls_policy.sessions.stream_entry"

local stream_tail = {}

-- Entries that are handled in one turn of the server's loop: about half a millisecond.
local ENTRIES = "50"

-- Seconds for which the engine waits for entries, which also shows that it lives.
local BLOCK = 5

-- The entries of the one stream in an answer to XREAD, or nil.
local function entries_in(answer)
	local stream = type(answer) == "table" and answer[1]
	local entries = type(stream) == "table" and stream[2]
	return type(entries) == "table" and entries or nil
end

--- `options`: connection, of its own; name; from, the ID after which to read; take(record); on_read(id)
-- after each part; on_broken(problem); now() -> seconds of a clock that only goes forward; later, of the adapter.
function stream_tail.start(options)
	local connection, last, pause = options.connection, options.from, loop_pauses.new(options.later)
	local handle, asked
	local function ask()
		asked = options.now()
		connection:command({
			"XREAD", "COUNT", ENTRIES, "BLOCK", ("%d"):format(BLOCK * 1000), "STREAMS", options.name, last,
		}, handle, BLOCK)
		connection:flush()
	end
	function handle(answer, problem)
		if problem then
			return options.on_broken(problem)
		elseif answer == false then
			-- To ask again at once would never end.
			if options.now() - asked < BLOCK / 2 then
				return options.on_broken "the engine does not wait for entries"
			end
			return ask()
		end
		local entries = entries_in(answer)
		local newest = entries and stream_entry.read(entries[#entries])
		if not newest or not entry_id.is_less(last, newest) then
			return options.on_broken "malformed answer"
		end
		last = newest
		for _, entry in ipairs(entries) do
			local _, record = stream_entry.read(entry)
			options.take(record)
		end
		options.on_read(newest)
		pause(ask)
	end
	ask()
end

return stream_tail
