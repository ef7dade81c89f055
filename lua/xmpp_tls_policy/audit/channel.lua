--- A TCP connection for tasks (tasks.lua). The other side may be hostile: what waits to be read is
-- bounded, and each wait has a deadline, in seconds of tasks.now(). `received` is the number of bytes that came.
local tasks = require "xmpp_tls_policy.audit.tasks"
local uv = require "luv"

local channel = {}

local methods = {}
local metatable = { __index = methods }

-- The reading stops when so many bytes wait, until they are read.
local MOST_WAITING = 65536

-- libuv's names of errors -> ours.
local kinds = {
	ECONNREFUSED = "refused", ECONNRESET = "reset", EPIPE = "reset", ECONNABORTED = "reset", ETIMEDOUT = "timeout",
	EHOSTUNREACH = "unreachable", ENETUNREACH = "unreachable", EADDRNOTAVAIL = "unreachable",
	ECANCELED = "closed", EOF = "closed",
}

-- libuv's messages begin with the error's name: "ECONNREFUSED: connection refused".
local function kind_of(message)
	return kinds[message:match "^%u+"] or "failed"
end

local function new(handle)
	return setmetatable({ _handle = handle, _waiting = {}, _size = 0, received = 0 }, metatable)
end

local function close_handle(handle)
	if not handle:is_closing() then
		handle:close()
	end
end

-- Calls `resume` with nil, "timeout" at the deadline.
local function limit(deadline, resume)
	return tasks.after(deadline - tasks.now(), function ()
		resume(nil, "timeout", "no answer in time")
	end)
end

--- Connects to an address (IPv4 or IPv6, as text; a name raises an error). Returns a channel, or nil,
-- kind, message; kind: "refused", "timeout", "unreachable", "reset", "failed".
function channel.connect(address, port, deadline)
	local handle = assert(uv.new_tcp())
	local stop
	local connected, kind, message = tasks.wait(function (resume)
		stop = limit(deadline, resume)
		local sent, problem = uv.tcp_connect(handle, address, port, function (failure)
			if failure then
				resume(nil, kind_of(failure), failure)
			else
				resume(true)
			end
		end)
		if not sent then
			resume(nil, kind_of(problem), problem)
		end
	end)
	stop()
	if not connected then
		close_handle(handle)
		return nil, kind, message
	end
	handle:nodelay(true)
	return new(handle)
end

--- Listens at an address and port (0: any that is free). Each connection is handed to
-- `accept(channel)`, in a task of its own. Returns the port and a function that ends the listening, or
-- nil and a message.
function channel.listen(address, port, accept)
	local server = assert(uv.new_tcp())
	local bound, problem = server:bind(address, port)
	if bound then
		bound, problem = server:listen(128, function (failure)
			local handle = uv.new_tcp()
			if failure or not server:accept(handle) then
				return close_handle(handle)
			end
			handle:nodelay(true)
			tasks.start(accept, new(handle))
		end)
	end
	if not bound then
		close_handle(server)
		return nil, problem
	end
	return server:getsockname().port, function ()
		close_handle(server)
	end
end

-- Hands over what arrived, or that nothing more will, to the task that waits for it.
local function notify(self)
	local resume = self._resume
	self._resume = nil
	if resume then
		resume(true)
	end
end

local function start_reading(self)
	if self._reading or self._ended or self._handle:is_closing() then
		return
	end
	self._reading = true
	self._handle:read_start(function (failure, bytes)
		if bytes then
			self._waiting[#self._waiting + 1] = bytes
			self._size = self._size + #bytes
			self.received = self.received + #bytes
			if self._size >= MOST_WAITING then
				self._handle:read_stop()
				self._reading = false
			end
		else
			self._ended = failure and kind_of(failure) or "closed"
		end
		notify(self)
	end)
end

--- Waits until bytes are there. Returns them all, or nil and "closed", "reset" or "timeout".
function methods:read(deadline)
	start_reading(self)
	if self._size == 0 and not self._ended then
		local stop
		tasks.wait(function (resume)
			self._resume = resume
			stop = limit(deadline, resume)
		end)
		self._resume = nil
		stop()
	end
	if self._size > 0 then
		local bytes = table.concat(self._waiting)
		self._waiting, self._size = {}, 0
		return bytes
	end
	return nil, self._ended or "timeout"
end

--- Sends bytes. Returns true when the system has taken them, or nil and "closed", "reset" or "timeout".
function methods:write(bytes, deadline)
	if self._handle:is_closing() then
		return nil, "closed"
	end
	local stop
	local written, kind = tasks.wait(function (resume)
		stop = limit(deadline, resume)
		local request, problem = self._handle:write(bytes, function (failure)
			if failure then
				resume(nil, kind_of(failure))
			else
				resume(true)
			end
		end)
		if not request then
			resume(nil, kind_of(problem))
		end
	end)
	stop()
	return written, kind
end

--- Calls `call` when we close the connection.
function methods:on_close(call)
	self._on_close = call
end

--- Says that we send no more, and waits until the peer ends the connection, too. What it sends meanwhile
-- is lost. Returns true, or nil and a kind ("timeout").
function methods:finish(deadline)
	if not self._handle:is_closing() then
		self._handle:shutdown()
	end
	local bytes, kind
	repeat
		bytes, kind = self:read(deadline)
	until not bytes or tasks.now() >= deadline
	if kind == "timeout" or bytes then
		return nil, "timeout"
	end
	return true
end

--- Closes the connection. More than once is no error.
function methods:close()
	self._ended = self._ended or "closed"
	close_handle(self._handle)
	notify(self)
	local call = self._on_close
	self._on_close = nil
	if call then
		call()
	end
end

return channel
