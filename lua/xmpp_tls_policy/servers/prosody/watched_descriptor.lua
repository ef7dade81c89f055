--- Descriptors of others on Prosody's loop (epoll, event, select).
local server = require "net.server"

local watched_descriptor = {}

local methods = {}
local metatable = { __index = methods }

-- setflags of net.server_event and net.server_select take not all events away, so there a watch is made anew
-- for each change.
local is_epoll = server.get_backend() == "epoll"

-- net.server_event has no function to end a watch.
local function end_watch(handle)
	if handle.close then
		return handle:close()
	end
	for _, name in ipairs { "wantread", "wantwrite" } do
		if handle[name] then
			handle[name]:close()
			handle[name] = nil
		end
	end
end

local function begin_watch(self)
	local handle, message = server.watchfd(self._descriptor, self._on_readable, self._writes and self._on_writable or nil)
	self._handle = handle
	return handle, message
end

--- See contract.lua. `call(action)` calls action() and logs its failure.
function watched_descriptor.new(descriptor, on_readable, on_writable, call)
	local self = setmetatable({ _descriptor = descriptor, _writes = false }, metatable)
	function self._on_readable()
		call(on_readable)
	end
	function self._on_writable()
		call(on_writable)
	end
	local done, message = begin_watch(self)
	if not done then
		return nil, message
	elseif is_epoll then
		self._handle.onwritable = self._on_writable
	end
	return self
end

--- From now on, on_writable is called, or no longer.
function methods:want_to_write(wanted)
	if not self._handle or wanted == self._writes then
		return
	end
	self._writes = wanted
	if is_epoll then
		self._handle:setflags(true, wanted)
	else
		end_watch(self._handle)
		begin_watch(self)
	end
end

--- Ends the watch. The descriptor stays open. May be called twice.
function methods:close()
	if self._handle then
		end_watch(self._handle)
		self._handle = nil
	end
end

return watched_descriptor
