-- Many connections at a time in one process. Each runs in a coroutine, which yields while it waits
-- for its socket.
local socket = require "socket"

local tasks = {}

-- Coroutine -> the { socket, for_writing, deadline } that it waits for.
local waiting = {}
local count = 0

-- Returns whether the socket is ready; false when the deadline came first.
local function wait(raw, for_writing, deadline)
	return coroutine.yield { socket = raw, for_writing = for_writing, deadline = deadline }
end

local function resume(task, ...)
	local alive, wanted = coroutine.resume(task, ...)
	if not alive then
		error(debug.traceback(task, wanted), 0)
	end
	if coroutine.status(task) == "dead" then
		waiting[task] = nil
		count = count - 1
	else
		waiting[task] = wanted
	end
end

--- Runs a function until it waits for the first time.
function tasks.start(action)
	count = count + 1
	resume(coroutine.create(action))
end

--- The number of tasks that have not ended.
function tasks.count()
	return count
end

local function collect(now, latest)
	local reading, writing, due = {}, {}, latest
	for _, wanted in pairs(waiting) do
		due = math.min(due, wanted.deadline)
		if wanted.socket then
			local list = wanted.for_writing and writing or reading
			list[#list + 1] = wanted.socket
		end
	end
	return reading, writing, math.max(0, due - now)
end

--- Waits until some tasks can go on, at most that many seconds, and resumes them. `control`: a socket
-- that also ends the wait when it can be read. Returns whether it can.
function tasks.step(longest, control)
	local now = socket.gettime()
	local reading, writing, pause = collect(now, now + longest)
	reading[#reading + 1] = control
	local readable, writable = socket.select(reading, writing, pause)
	now = socket.gettime()
	local ready = {}
	for task, wanted in pairs(waiting) do
		local is_ready = wanted.socket and (wanted.for_writing and writable or readable)[wanted.socket] ~= nil
		if is_ready or now >= wanted.deadline then
			ready[task] = is_ready or false
		end
	end
	for task, is_ready in pairs(ready) do
		resume(task, is_ready)
	end
	return readable[control] ~= nil
end

--- In a task: waits that many seconds.
function tasks.pause(seconds)
	wait(nil, nil, socket.gettime() + seconds)
end

local Socket = {}
Socket.__index = Socket

--- A socket for a task, around a connected one of LuaSocket or LuaSec: send, receive (of a number of
-- bytes), dohandshake, settimeout, setoption, close, getfd.
function tasks.socket(raw)
	raw:settimeout(0)
	return setmetatable({ raw = raw, timeout = 120 }, Socket)
end

function Socket:settimeout(seconds)
	self.timeout = seconds
end

-- LuaSec's sockets have no setoption.
function Socket:setoption(...)
	return self.raw.setoption and self.raw:setoption(...)
end

function Socket:getfd()
	return self.raw:getfd()
end

function Socket:close()
	self.raw:close()
end

local writes = { timeout = true, wantwrite = true }

-- Repeats `attempt`, which returns true when it is done, or nil and a reason, until the timeout.
local function insist(self, for_writing, attempt)
	local deadline = socket.gettime() + self.timeout
	while true do
		local done, reason = attempt()
		if done then
			return true
		elseif reason ~= "timeout" and reason ~= "wantread" and reason ~= "wantwrite" then
			return nil, reason
		elseif socket.gettime() >= deadline then
			return nil, "timeout"
		end
		wait(self.raw, reason == "wantwrite" or for_writing and writes[reason], deadline)
	end
end

function Socket:send(bytes)
	local sent = 0
	local done, reason = insist(self, true, function ()
		local last, problem, partial = self.raw:send(bytes, sent + 1)
		sent = last or partial or sent
		return last, problem
	end)
	return done and sent, reason, sent
end

function Socket:receive(wanted)
	local parts, length = {}, 0
	local done, reason = insist(self, false, function ()
		local bytes, problem, partial = self.raw:receive(wanted - length)
		bytes = bytes or partial or ""
		parts[#parts + 1], length = bytes, length + #bytes
		return length == wanted, problem
	end)
	local text = table.concat(parts)
	if done then
		return text
	end
	return nil, reason, text
end

function Socket:dohandshake()
	return insist(self, false, function ()
		return self.raw:dohandshake()
	end)
end

return tasks
