-- A process that makes handshakes. Arguments: the port on which the driver listens, the run's
-- seed, the number of this process and how many there are, then the server's domain, and its
-- ports as service=port, then "domain certificate key" of other servers.
--
-- The driver says "go <count>" or "stop", a line each; the answers are "<kind>|<outcome>|<count>"
-- for what was done since the last, "failed|<sentence>", and "done".
local kinds = require "soak.kinds"
local randomness = require "soak.randomness"
local socket = require "socket"
local tasks = require "soak.tasks"

local AT_ONCE = 24

local driver_port, seed, own_number, processes = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])

local load = { targets = {}, certificates = {} }
for index = 6, #arg do
	local service, port = arg[index]:match "^([%w_]+)=(%d+)$"
	local domain, certificate, key = arg[index]:match "^(%S+) (%S+) (%S+)$"
	if service then
		load.targets[service] = {
			port = tonumber(port), kind = service:sub(1, 3), direct_tls = service:find("direct_tls", 1, true) ~= nil,
			domain = arg[5],
		}
	else
		table.insert(load.certificates, { domain = domain, certificate = certificate, key = key })
	end
end

local driver = assert(socket.connect("127.0.0.1", driver_port))
driver:settimeout(0)

local function tell(line)
	driver:settimeout(nil)
	assert(driver:send(line .. "\n"))
	driver:settimeout(0)
end

-- "kind|outcome" -> count since the last answer.
local counts = {}

local function tell_counts()
	for what, count in pairs(counts) do
		tell(("%s|%d"):format(what, count))
	end
	counts = {}
end

local number = own_number

local function one_handshake()
	local own = number
	number = number + processes
	local random = randomness.new(seed, own)
	local kind = random:weighted(kinds.mixture)
	local outcome, problem = kinds[kind](load, random)
	if not outcome then
		tell(("failed|handshake %d, %s: %s"):format(own, kind, tostring(problem):gsub("[%c|]", " ")))
		outcome = "failed"
	end
	local what = kind .. "|" .. outcome
	counts[what] = (counts[what] or 0) + 1
end

-- Handshakes that are still to be started; nil: there is no order.
local wanted
local told_at = 0

-- Returns whether to go on; false if the driver has ended.
local function listen()
	local line, reason = driver:receive "*l"
	if not line then
		return reason == "timeout"
	end
	local count = tonumber(line:match "^go (%d+)$")
	-- It may have ended already.
	wanted = count or wanted and 0
	return true
end

local can_hear = false
while not can_hear or listen() do
	while wanted and wanted > 0 and tasks.count() < AT_ONCE do
		wanted = wanted - 1
		tasks.start(one_handshake)
	end
	local now = socket.gettime()
	if now - told_at >= 1 then
		told_at = now
		tell_counts()
	end
	if wanted == 0 and tasks.count() == 0 then
		wanted = nil
		tell_counts()
		tell "done"
	end
	can_hear = tasks.step(1, driver)
end
