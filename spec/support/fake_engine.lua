-- An engine in this process: the few commands of streams that we use, as Redis answers them, and a
-- module like xmpp_tls_policy.redis that connects to it. Nothing happens before engine:turn().
local fake_engine = {}

local Engine = {}
Engine.__index = Engine

local function id_less(a, b)
	local ta, na = a:match "^(%d+)%-(%d+)$"
	local tb, nb = b:match "^(%d+)%-(%d+)$"
	ta, na, tb, nb = tonumber(ta), tonumber(na), tonumber(tb), tonumber(nb)
	return ta < tb or ta == tb and na < nb
end

-- Fields that a spec may set: password, refuses_appends and wrong_type (error texts), has_minid (false:
-- as before Redis 6.2), fails_after (a number: that write fails), is_stopped (answers nothing), is_down (takes no
-- connection), answers (command -> answer to it, { value, error }).
function fake_engine.new()
	return setmetatable({
		entries = {}, commands = {}, connections = {}, clock = 1000000, number = 0, has_minid = true, addresses = {},
		answers = {},
	}, Engine)
end

function Engine:append(record, fields)
	self.number = self.number + 1
	local id = ("%d-%d"):format(self.clock, self.number)
	self.entries[#self.entries + 1] = { id, fields or { "r", record } }
	return id
end

local commands = {}

function commands.PING()
	return { "PONG" }
end

function commands.AUTH(self, command)
	if command[#command] == self.password then
		return { "OK" }
	end
	return { nil, "WRONGPASS invalid password " .. command[#command] }
end

function commands.SELECT()
	return { "OK" }
end

function commands.EXPIRE()
	return { 1 }
end

function commands.XTRIM(self, command)
	-- Redis 5.0 looks at the words only if there is a stream.
	if command[3] == "MINID" and not self.has_minid and self.entries[1] then
		return { nil, "ERR syntax error" }
	end
	return self.wrong_type and { nil, self.wrong_type } or { 0 }
end

function commands.XADD(self, command)
	if self.refuses_appends then
		return { nil, self.refuses_appends }
	elseif command[3] == "MINID" and not self.has_minid then
		return { nil, "ERR Invalid stream ID specified as stream command argument" }
	end
	return { self:append(command[8]) }
end

function commands.XREVRANGE(self, command)
	if self.wrong_type then
		return { nil, self.wrong_type }
	end
	local newest, oldest, count, found = command[3], command[4], tonumber(command[6]), {}
	for index = #self.entries, 1, -1 do
		local entry = self.entries[index]
		if #found < count and (newest == "+" or not id_less(newest, entry[1])) and not id_less(entry[1], oldest) then
			found[#found + 1] = entry
		end
	end
	return { found }
end

-- Nil: it waits.
function commands.XREAD(self, command)
	local found = {}
	for _, entry in ipairs(self.entries) do
		if #found < tonumber(command[3]) and id_less(command[8], entry[1]) then
			found[#found + 1] = entry
		end
	end
	return found[1] and { { { command[7], found } } } or nil
end

local Connection = {}
Connection.__index = Connection

function Connection:fd()
	return self.number
end

function Connection.wants_to_write()
	return false
end

function Connection:command(list)
	self.waiting[#self.waiting + 1] = list
	return true
end

-- A number of writes after which one fails.
function Connection:write()
	local left = self.engine.fails_after
	self.engine.fails_after = left and left > 1 and left - 1 or nil
	if left == 1 then
		return nil, "Broken pipe"
	end
	for _, list in ipairs(self.waiting) do
		self.sent[#self.sent + 1] = list
		self.since = self.engine.clock
	end
	self.waiting = {}
	return true
end

function Connection:read()
	if self.failure then
		return nil, self.failure
	end
	return true
end

function Connection:reply()
	local first = table.remove(self.replies, 1)
	if not first then
		return false
	end
	return true, first[1], first[2]
end

function Connection:close()
	self.closed = true
	self.engine.connections[self.number] = nil
end

-- The module; `engine.addresses` is where it was connected to.
function Engine:module()
	return {
		has_tls = true,
		connect = function (place)
			if self.is_down then
				return nil, "Connection refused"
			end
			self.addresses[#self.addresses + 1] = place.host or place.path
			self.last_number = (self.last_number or 0) + 1
			local made = setmetatable({
				engine = self, number = self.last_number, waiting = {}, sent = {}, replies = {},
			}, Connection)
			self.connections[made.number] = made
			return made
		end,
	}
end

-- Answers what it can. `watches`: descriptor -> watch of the adapter, { on_readable }. Returns whether anything
-- happened.
function Engine:turn(watches)
	local has_worked = false
	local numbers = {}
	for number in pairs(self.connections) do
		numbers[#numbers + 1] = number
	end
	table.sort(numbers)
	for _, number in ipairs(numbers) do
		local connection = self.connections[number]
		while connection and not self.is_stopped and connection.sent[1] do
			local command = connection.sent[1]
			local waited = self.clock - connection.since >= 1000 * 5 and { false }
			local reply = self.answers[command[1]] or commands[command[1]](self, command) or waited
			if not reply then
				break
			end
			table.remove(connection.sent, 1)
			self.commands[#self.commands + 1] = command
			connection.replies[#connection.replies + 1] = reply
		end
		if connection and (connection.replies[1] or connection.failure) and watches[number] then
			has_worked = true
			watches[number].on_readable()
		end
	end
	return has_worked
end

-- Ends all connections.
function Engine:break_connections(message)
	for _, connection in pairs(self.connections) do
		connection.failure = message or "Server closed the connection"
	end
end

-- The commands with this name that were answered.
function Engine:named(name)
	local list = {}
	for _, command in ipairs(self.commands) do
		list[#list + 1] = command[1] == name and command or nil
	end
	return list
end

return fake_engine
