--- Descriptors of others on Metronome's loop, which is lua-event's.
local server = require "net.server"

local watched_descriptor = {}

local methods = {}
local metatable = { __index = methods }

local READ, WRITE, LEAVE = server.event.EV_READ, server.event.EV_WRITE, -1

-- lua-event goes on with the event that a callback returns.
local function begin(self, event, action)
	local handle
	handle = server.addevent(self._descriptor, event, function ()
		self._call(action)
		return self._events[event] == handle and event or LEAVE
	end)
	self._events[event] = handle
	return handle
end

local function finish(self, event)
	local handle = self._events[event]
	if handle then
		self._events[event] = nil
		handle:close()
	end
end

--- See contract.lua. `call(action)` calls action() and logs its failure.
function watched_descriptor.new(descriptor, on_readable, on_writable, call)
	local self = setmetatable({
		_descriptor = descriptor, _on_writable = on_writable, _call = call,
		_events = {}, -- READ or WRITE -> lua-event's handle
	}, metatable)
	if not begin(self, READ, on_readable) then
		return nil, "lua-event does not watch the descriptor"
	end
	return self
end

--- From now on, on_writable is called, or no longer.
function methods:want_to_write(wanted)
	if not wanted then
		finish(self, WRITE)
	elseif self._events[READ] and not self._events[WRITE] then
		begin(self, WRITE, self._on_writable)
	end
end

--- Ends the watch. The descriptor stays open. May be called twice.
function methods:close()
	finish(self, READ)
	finish(self, WRITE)
end

return watched_descriptor
