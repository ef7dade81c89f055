-- The processes that make the load (load.lua), and their results.
local process = require "support.process"
local socket = require "socket"

local Crew = {}
Crew.__index = Crew

local PROCESSES = 2

local crew = {}

--- Starts them for the server under load (server.lua); after `seconds` they are killed.
function crew.start(interpreter, subject, seed, seconds)
	local listener = assert(socket.bind("127.0.0.1", 0))
	local _, port = listener:getsockname()
	local self = setmetatable({ children = {}, sockets = {}, done = {}, counts = {}, failures = {}, made = 0 }, Crew)
	for number = 1, PROCESSES do
		local command = {
			"env", "LUA_PATH=" .. package.path, "LUA_CPATH=" .. package.cpath, interpreter, "spec/soak/load.lua",
			tostring(math.floor(tonumber(port))), tostring(seed), tostring(number), tostring(PROCESSES), "near.test",
		}
		for service, service_port in pairs(subject.near.ports) do
			command[#command + 1] = ("%s=%d"):format(service, service_port)
		end
		for _, files in ipairs(subject.certificates) do
			command[#command + 1] = ("%s %s %s"):format(files.domain, files.certificate, files.key)
		end
		self.children[number] = process.spawn(command, { timeout = seconds })
		listener:settimeout(process.PATIENCE)
		local connection = listener:accept()
		if not connection then
			error("a process of the load does not start:\n" .. self.children[number]:output(), 2)
		end
		connection:settimeout(0)
		self.sockets[number], self.done[connection] = connection, true
	end
	listener:close()
	return self
end

--- Makes them start a number of handshakes.
function Crew:go(count)
	for number, connection in ipairs(self.sockets) do
		local share = math.floor(count * number / PROCESSES) - math.floor(count * (number - 1) / PROCESSES)
		assert(connection:send(("go %d\n"):format(share)))
		self.done[connection] = false
	end
end

--- Makes them start no more.
function Crew:stop()
	for _, connection in ipairs(self.sockets) do
		assert(connection:send "stop\n")
	end
end

function Crew:is_done()
	for _, done in pairs(self.done) do
		if not done then
			return false
		end
	end
	return true
end

local function take(self, connection, line)
	local what, count = line:match "^(.*)|(%d+)$"
	local failure = line:match "^failed|(.*)"
	if line == "done" then
		self.done[connection] = true
	elseif failure then
		table.insert(self.failures, failure)
	elseif what then
		self.counts[what] = (self.counts[what] or 0) + tonumber(count)
		self.made = self.made + tonumber(count)
	else
		error("unknown line from the load: " .. line)
	end
end

--- Waits for their lines, at most that many seconds, and takes them in. Returns after the first ones.
function Crew:listen(seconds)
	for number, connection in ipairs(self.sockets) do
		if self.children[number]:status() then
			error(("a process of the load has ended:\n%s"):format(self.children[number]:output()))
		end
		self.rest = self.rest or {}
		self.rest[connection] = self.rest[connection] or ""
	end
	for _, connection in ipairs((socket.select(self.sockets, nil, seconds))) do
		repeat
			local line, reason, partial = connection:receive("*l", self.rest[connection])
			self.rest[connection] = line and "" or partial or ""
			if line then
				take(self, connection, line)
			elseif reason ~= "timeout" then
				error(("a process of the load is gone: %s"):format(reason))
			end
		until not line
	end
end

function Crew:close()
	for number, connection in ipairs(self.sockets) do
		connection:close()
		self.children[number]:close()
	end
end

return crew
