--- The terminal that a standard stream is.
local terminal = {}

local descriptors = { stdout = 1, stderr = 2 }

local DEFAULT_COLUMNS = 80

-- The width of a terminal, in columns.
local function columns_of(uv, descriptor)
	local columns = tonumber(os.getenv "COLUMNS")
	if not columns then
		local handle = uv.new_tty(descriptor, false)
		columns = handle and handle:get_winsize()
		if handle then
			handle:close()
			-- Frees the handle: with such handles, luv crashes when the Lua state is closed.
			uv.run "nowait"
		end
	end
	return columns and columns > 0 and columns or DEFAULT_COLUMNS
end

--- `stream`: "stdout" or "stderr". Returns { columns, colours = whether to use them: not with NO_COLOR or TERM=dumb };
-- or nil if the stream is no terminal, or luv is missing.
function terminal.of(stream)
	local found, uv = pcall(require, "luv")
	if not found or uv.guess_handle(descriptors[stream]) ~= "tty" then
		return nil
	end
	local no_colour = os.getenv "NO_COLOR"
	return {
		columns = columns_of(uv, descriptors[stream]),
		colours = (no_colour == nil or no_colour == "") and os.getenv "TERM" ~= "dumb",
	}
end

return terminal
