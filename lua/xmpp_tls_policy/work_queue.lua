--- Work that only looks and logs. It is done from the server's main loop in short turns, so that
-- the server does not wait for it after a load or reload.
local work_queue = {}

local methods = {}
local metatable = { __index = methods }

-- Seconds after which a turn takes no further step. A step takes a few milliseconds at most, so
-- that others wait 20 ms at most.
local TURN = 0.01

-- Seconds between two turns. So long work takes a third of the server's time at most, and few of
-- those who ask the server meanwhile meet a turn.
local PAUSE = 0.04

--- `server`: the adapter; `pause`: seconds before each turn, by default 0.04 between two turns.
function work_queue.new(options)
	return setmetatable({
		_server = options.server, _first_pause = options.pause or 0, _pause = options.pause or PAUSE,
		_names = {}, _steps = {}, _is_due = false,
	}, metatable)
end

local run

local function begin_later(self, seconds)
	if not self._is_due then
		self._is_due = true
		self._server.later(seconds, "work in turns", function ()
			self._is_due = false
			run(self)
		end)
	end
end

-- Takes a step of the first piece of work, which leaves the queue when it is done or fails.
local function take_step(self)
	local name = self._names[1]
	local step = self._steps[name]
	local done, result = xpcall(step, debug.traceback)
	if not done then
		self._server.log_limited("Internal error of the TLS policy in " .. name, result)
	end
	-- The step may have added work of the same name.
	if (not done or not result) and self._steps[name] == step then
		table.remove(self._names, 1)
		self._steps[name] = nil
	end
end

function run(self)
	local ends = self._server.monotonic() + TURN
	while self._names[1] do
		take_step(self)
		if self._server.monotonic() >= ends then
			break
		end
	end
	if self._names[1] then
		begin_later(self, self._pause)
	end
end

--- Adds work under a name, which the log gives if the work fails. `step` does a small part of it
-- and returns true while there is more. Work of the same name that waits is replaced.
function methods:add(name, step)
	if not self._steps[name] then
		self._names[#self._names + 1] = name
	end
	self._steps[name] = step
	begin_later(self, self._first_pause)
end

--- Whether no work waits.
function methods:is_empty()
	return self._names[1] == nil
end

return work_queue
