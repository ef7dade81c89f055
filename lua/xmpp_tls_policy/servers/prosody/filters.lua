--- Prosody's filters of a session's elements: a filter with a higher priority is called before others.
local filters = require "util.filters"

return {
	add = filters.add_filter,
	remove = filters.remove_filter,
	--- hook(session) is called for each new session.
	add_hook = filters.add_filter_hook,
	remove_hook = filters.remove_filter_hook,
}
