-- `make soak`: handshakes of all kinds against a live server, while its configuration is
-- reloaded, its certificates change, and modules are unloaded and loaded. Arguments: the interpreter,
-- and the module made of malloc.c. From the environment: HANDSHAKES, SECONDS (the time limit of the
-- load), SEED, STOCK (not empty: without the policy, to compare), METRONOME (see server.lua).
local crew = require "soak.crew"
local lfs = require "lfs"
local log = require "soak.log"
local server = require "soak.server"
local socket = require "socket"

local interpreter = arg[1]
-- The server has another working directory.
local malloc = arg[2]:match "^/" and arg[2] or lfs.currentdir() .. "/" .. arg[2]

local function whole_number(name, default)
	local text = os.getenv(name)
	if not text or text == "" then
		return default
	end
	return assert(tonumber(text:match "^%d+$"), name .. " is no whole number: " .. text)
end

local handshakes, seconds = whole_number("HANDSHAKES", 100000), whole_number("SECONDS", 900)
local seed = whole_number("SEED", os.time() % 1000000)
local stock = (os.getenv "STOCK" or "") ~= ""

local MIB = 1048576

-- Shares of the handshakes after which memory is measured; the first of them is warm-up.
local points = handshakes >= 20000 and { 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1 } or { 0.2, 1 }

print(("%d handshakes, at most %d s, SEED=%d%s"):format(handshakes, seconds, seed, stock and ", stock server" or ""))
io.stdout:setvbuf "line"

local subject = server.start { stock = stock, malloc = malloc }
local problems = {}

local function check(holds, what, ...)
	what = what:format(...)
	print(("%-6s %s"):format(holds and "ok" or "FAILED", what))
	problems[#problems + 1] = not holds and what or nil
end

local function print_counts(title, counts)
	print(title)
	local names = {}
	for name in pairs(counts) do
		names[#names + 1] = name
	end
	table.sort(names)
	for _, name in ipairs(names) do
		print(("  %-60s %8d"):format(name, counts[name]))
	end
end

-- Lines in the log for each handshake; Prosody itself writes about two.
local MOST_LINES = 4

---- Load ---------------------------------------------------------------------

local longest_answer, lost = 0, {}

local function shake()
	local took, missing = subject:shake()
	longest_answer = math.max(longest_answer, took)
	for _, what in ipairs(missing) do
		lost[#lost + 1] = what
	end
	return #missing == 0 and subject:lives()
end

-- Makes a number of handshakes, or as many as the time allows. Returns whether to go on.
local function make(load, followed, count, deadline)
	load:go(count)
	local well = true
	while not load:is_done() do
		local next_shake = socket.gettime() + 1
		well = well and shake()
		followed:read()
		if not well or socket.gettime() > deadline then
			load:stop()
		end
		repeat
			load:listen(math.max(0, next_shake - socket.gettime()))
		until load:is_done() or socket.gettime() >= next_shake
	end
	return well
end

local function print_memory(made, memory)
	print(("%8d handshakes: %.2f MiB resident, %.2f MiB allocated, %.2f MiB of it Lua's"):format(made,
		memory.resident / MIB, memory.allocated / MIB, memory.lua / MIB))
end

local function soak()
	subject:ping()
	-- The connection to the console, by which the streams are asked for, has a descriptor for a while.
	local descriptors, streams = subject:descriptors(), subject:streams()
	local followed = log.follow(subject.near)
	local load = crew.start(interpreter, subject, seed, seconds + 600)
	local start = socket.gettime()
	local measured, worked = {}, 0
	for index, share in ipairs(points) do
		local began = socket.gettime()
		-- The warm-up may not take all the time.
		local room = index == 1 and seconds / 4 or seconds - worked
		local well = make(load, followed, math.floor(handshakes * share) - load.made, began + room)
		worked = worked + socket.gettime() - began
		if not well then
			break
		end
		measured[#measured + 1] = { made = load.made, memory = subject:memory() }
		print_memory(load.made, measured[#measured].memory)
		if worked >= seconds then
			break
		end
	end
	load:close()
	followed:read()
	return {
		load = load, log = followed, streams = streams, descriptors = descriptors, measured = measured, worked = worked,
		took = socket.gettime() - start,
	}
end

---- Checks -------------------------------------------------------------------

-- The mean of the readings from one to another.
local function mean(measured, what, first, last)
	local sum = 0
	for index = first, last do
		sum = sum + measured[index].memory[what]
	end
	return sum / (last - first + 1)
end

-- The growth from warm-up to the end, in MiB. Compares the means of the first and the last third of
-- the readings, because fragmented memory that malloc cannot return varies by some hundred KiB.
local function growth(measured, what)
	local third = math.max(1, math.floor(#measured / 3))
	return (mean(measured, what, #measured - third + 1, #measured) - mean(measured, what, 1, third)) / MIB
end

-- MiB per 100,000 handshakes; the same for fewer. The allocated memory is exact to the byte.
local limits = { resident = 1, allocated = 0.5 }

-- With fewer handshakes after warm-up, fragmentation cannot be told from growth, and the bounded
-- memories (of ClientHellos, addresses, the latest refusals) still fill: after 3,000 handshakes they
-- hold nearly as much as after 9,000.
local FEW, ALLOCATED_BY_FEW = 10000, 1.5 -- MiB

local function check_memory(measured)
	if #measured < 2 then
		return check(false, "memory was measured less than twice: too little time, or the server has ended")
	end
	local made = measured[#measured].made - measured[1].made
	for _, what in ipairs { "resident", "allocated", "lua" } do
		local more = growth(measured, what)
		local limit = limits[what] and limits[what] * math.max(1, made / 100000)
		if what == "allocated" and made < FEW then
			limit = ALLOCATED_BY_FEW
		end
		local text = ("memory, %s: %+.2f MiB in %d handshakes after warm-up"):format(what, more, made)
		if not limit or what == "resident" and made < FEW then
			print("       " .. text)
		else
			check(more < limit, "%s, less than %.2f", text, limit)
		end
	end
end

local function check_all(result)
	local load = result.load
	print_counts("Handshakes:", load.counts)
	print_counts("Meanwhile:", subject.upheavals)
	print(("%d handshakes in %.0f s: %.0f a second"):format(load.made, result.worked, load.made / result.worked))
	for _, failure in ipairs(load.failures) do
		print("  " .. failure)
	end
	check(#load.failures == 0, "%d handshakes had an unexpected outcome", #load.failures)
	local alive = subject:lives()
	check(alive, "the server is still the same process")
	local resumed = load.counts["resumed|resumed"] or 0
	if not stock then
		check(resumed > 0, "%d sessions were resumed", resumed)
		local shared = subject:shared()
		check(shared ~= 0, "%s records were shared", shared or "no engine was used, so no")
	end
	for index = 1, math.min(10, #lost) do
		print("  " .. lost[index])
	end
	check(#lost == 0, "%d pings on lasting connections were lost; the longest answer took %.2f s", #lost,
		longest_answer)
	if alive then
		local streams, left = subject:streams(), subject:settled_descriptors(result.descriptors)
		check(streams == result.streams, "the streams of the other server are %s; before: %s", streams, result.streams)
		check(left == result.descriptors, "%d descriptors, before: %d", left, result.descriptors)
	end
	check_memory(result.measured)
	result.log:read()
	print_counts("Log, by source and level:", result.log.by_source)
	print_counts("Log, expected:", result.log.expected)
	print_counts("Log, wrong:", result.log.wrong)
	check(result.log.lines < MOST_LINES * load.made, "%.1f lines in the log for each handshake, fewer than %d",
		result.log.lines / load.made, MOST_LINES)
	check(next(result.log.wrong) == nil, "the log (%d lines) has no unexpected warning or error",
		result.log.lines)
end

local done, result = xpcall(soak, debug.traceback)
if done then
	-- xpcall of Lua 5.1 hands on no arguments.
	local found = result
	done, result = xpcall(function ()
		check_all(found)
	end, debug.traceback)
end
local stopped, message = pcall(subject.stop, subject)
check(done, done and "the soak itself" or tostring(result))
check(stopped, stopped and "the server stopped well" or tostring(message))
if #problems > 0 then
	print(("%d of the checks failed; SEED=%d"):format(#problems, seed))
	os.exit(1)
end
