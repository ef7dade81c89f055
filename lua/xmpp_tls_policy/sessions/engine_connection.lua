--- One connection to the engine on the server's loop: commands in order, each with a callback.
local text = require "xmpp_tls_policy.text"

local engine_connection = {}

local methods = {}
local metatable = { __index = methods }

-- Seconds to wait for the answer to a command.
local PATIENCE = 10

-- Loopback needs no resolver (rfc6761.6.3.localhost-is-loopback).
local loopback = { "127.0.0.1" }

-- Bytes of an error of the engine in the log. It may quote our commands.
local MOST_SHOWN = 100

-- All of it, also where it is a part of a word.
local function without(problem, password)
	local parts, from = {}, 1
	repeat
		local first, last = problem:find(password, from, true)
		parts[#parts + 1] = problem:sub(from, (first or 0) - 1)
		from = first and last + 1
	until not from
	return table.concat(parts, "(not shown)")
end

--- An error of the engine as it may be logged. It may quote the password (nil: there is none).
function engine_connection.shown_error(problem, password)
	problem = password and without(problem, password) or problem
	return text.shown(#problem > MOST_SHOWN and problem:sub(1, MOST_SHOWN) .. "…" or problem)
end

-- Forgets all callbacks: none is called after this.
local function shut(self)
	if self._closed then
		return false
	end
	self._closed = true
	self._waiting, self._first, self._next = {}, 1, 1
	self._place, self._early = nil, nil -- they hold the password
	if self._watch then
		self._watch:close()
	end
	if self._redis_connection then
		self._redis_connection:close()
	end
	self._watch, self._redis_connection = nil, nil
	return true
end

local function fail(self, message)
	if shut(self) then
		self._on_down(message)
	end
end

local function update_watch(self)
	if not self._closed then
		self._watch:want_to_write(self._redis_connection:wants_to_write())
	end
end

-- Writes now; the loop goes on where the socket takes no more.
local function write(self)
	if self._closed or not self._redis_connection then
		return
	end
	local done, message = self._redis_connection:write()
	if not done then
		return fail(self, message)
	end
	update_watch(self)
end

-- Answers come in the order of the commands.
local function deliver(self, value, problem)
	local waiting = self._waiting[self._first]
	if not waiting then
		return fail(self, "the engine sent an answer that nobody asked for")
	end
	self._waiting[self._first] = nil
	self._first = self._first + 1
	local done, failure = xpcall(function ()
		waiting.callback(value, problem)
	end, debug.traceback)
	if not done then
		self._server.log_limited("Internal error of the TLS policy in shared sessions", failure)
		fail(self, "an answer could not be handled")
	end
end

local function read(self)
	local done, message = self._redis_connection:read()
	if not done then
		return fail(self, message)
	end
	while not self._closed do
		local found, value, problem = self._redis_connection:reply()
		if found == nil then
			return fail(self, value)
		elseif not found then
			break
		end
		deliver(self, value, problem)
	end
	-- In TLS a read may let a write go on.
	write(self)
end

local function begin(self, address)
	local place = self._place
	local connection, message = self._redis.connect {
		path = place.path, host = address, port = place.port, tls = place.tls and place.host or nil, ca_file = place.ca_file,
	}
	if not connection then
		return fail(self, message)
	end
	self._redis_connection = connection
	self._watch, message = self._server.watch(connection:fd(), function ()
		if not self._closed then
			read(self)
		end
	end, function ()
		write(self)
	end)
	if not self._watch then
		return fail(self, message)
	end
	for _, command in ipairs(self._early) do
		local put, failure = connection:command(command)
		if not put then
			return fail(self, failure)
		end
	end
	self._place, self._early = nil, nil
	write(self)
end

local function begin_to_resolve(self, host)
	self._server.resolve(host, function (addresses, message)
		if self._closed then
			return
		elseif not addresses then
			return fail(self, message)
		end
		begin(self, addresses[self._attempt % #addresses + 1])
	end)
end

-- The engine may quote a command that it does not know, so that its text may contain the password.
local function introduce(self)
	local place = self._place
	local function accepted(what)
		return function (value, problem)
			if not value then
				local kind = (problem or ""):match "^%u+" or "error"
				fail(self, ("the engine refuses %s (%s)"):format(what, engine_connection.shown_error(kind, place.password)))
			end
		end
	end
	if place.password then
		local login = { "AUTH", place.password }
		if place.user then
			table.insert(login, 2, place.user)
		end
		self:command(login, accepted "the user or the password")
	end
	if place.database ~= 0 then
		self:command({ "SELECT", ("%d"):format(place.database) }, accepted(("database %d"):format(place.database)))
	end
	self:command({ "PING" }, function (_, problem)
		if problem then
			fail(self, ("the engine does not serve (%s)"):format(engine_connection.shown_error(problem, place.password)))
		else
			self._on_up()
		end
	end)
end

--- Begins to connect. `options`: server, the adapter; redis, the module; place, of engine_url.parse
-- with ca_file; attempt, a number that differs from one attempt to the next; on_up, function();
-- on_down, function(message), which is called once at most, and not after close.
function engine_connection.open(options)
	local place = options.place
	local self = setmetatable({
		_server = options.server, _redis = options.redis, _place = place, _attempt = options.attempt,
		_on_up = options.on_up, _on_down = options.on_down,
		_waiting = {}, _first = 1, _next = 1, -- commands without an answer: { callback, deadline }
		_early = {}, -- commands of before there is a socket
	}, metatable)
	introduce(self)
	return self
end

--- Does what may fail at once: to be called after open, so that on_down finds the connection.
function methods:start()
	if self._closed then
		return
	end
	local host = self._place.host
	if not host or host:find ":" or host:find "^%d+%.%d+%.%d+%.%d+$" then
		begin(self, host)
	elseif host:lower() == "localhost" then
		begin(self, loopback[1])
	else
		begin_to_resolve(self, host)
	end
end

--- Sends a command, a list of strings, with the next flush. callback(value, error) gets a string, a
-- number, a list, false for no value, or nil and the engine's error. `longer`: seconds that the
-- engine may wait by itself.
function methods:command(command, callback, longer)
	if self._closed then
		return
	end
	self._waiting[self._next] = {
		callback = callback, deadline = self._server.monotonic() + PATIENCE + (longer or 0),
	}
	self._next = self._next + 1
	if self._early then
		self._early[#self._early + 1] = command
		return
	end
	local done, message = self._redis_connection:command(command)
	if not done then
		fail(self, message)
	end
end

--- Writes the commands that wait.
function methods:flush()
	write(self)
end

--- Ends the connection if an answer is overdue. To be called each second.
function methods:check()
	local oldest = self._waiting[self._first]
	if oldest and self._server.monotonic() > oldest.deadline then
		fail(self, "the engine does not answer")
	end
end

--- Closes the connection; no callback is called after this.
function methods:close()
	shut(self)
end

return engine_connection
