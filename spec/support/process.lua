-- Child processes with a time limit, which cannot outlive the test run.
--
-- Every child hangs on a pipe that only this process holds. When the run ends,
-- even by SIGKILL, the pipe closes: clients see the end of their input, and a
-- server's keeper stops the server and removes its directory.

local files = require "support.files"
local lfs = require "lfs"
-- LuaSocket also ignores SIGPIPE, which a write to a dead child would raise.
local socket = require "socket"

local process = {}

-- Seconds that an event may take. It comes within one or two on a fast, idle machine. A limit only ends what hangs.
process.PATIENCE = 120

-- Children must not inherit sockets of this process, because a peer would never see
-- them close. LuaSocket does not mark them close-on-exec.
local prologue = [[
for fd in /proc/self/fd/*; do
	fd=${fd##*/}
	if ((fd > 2)); then eval "exec $fd>&-"; fi
done
unset LUA_PATH LUA_CPATH LUA_INIT "${!LUA_PATH_@}" "${!LUA_CPATH_@}" "${!LUA_INIT_@}"
directory=$1
shift
# Writes its pid, becomes the command, and leaves the exit status behind.
run() {
	"${limit[@]}" bash -c 'echo $$ >"$0/pid"; exec "$@"' "$directory" "$@" >"$directory/output" 2>&1
	echo $? >"$directory/status.new"
	mv "$directory/status.new" "$directory/status"
}
]]

local client_script = prologue .. [[
limit=(timeout -k 5 "$1")
shift
run "$@" 2>/dev/null
]]

-- These two make their directory themselves, so nothing is left if we die before they start.
local claim = [[
mkdir -m 700 "$directory" && : >"$directory/claimed" || exit
]]

-- Its input is a line with the server's command, then lines with names of signals for it.
local keeper_script = prologue .. claim .. [[
limit=()
exec >/dev/null 2>&1
running() { [ -e "$directory/pid" ] && [ ! -e "$directory/status" ]; }
if read -r command; then
	eval "run $command" </dev/null &
	while read -r signal; do
		if running; then kill -"$signal" "$(<"$directory/pid")"; fi
	done
	for ((i = 0; i < 6000; i++)); do
		[ -s "$directory/pid" ] && break
		sleep 0.01
	done
	if running; then kill -TERM "$(<"$directory/pid")"; fi
	for ((i = 0; i < 200; i++)); do
		running || break
		sleep 0.05
	done
	if running; then kill -KILL "$(<"$directory/pid")"; fi
	wait
fi
rm -rf "$directory"
]]

-- A child may still write into the directory while it is removed.
local sweeper_script = prologue .. claim .. [[
while read -r _; do :; done
for ((i = 0; i < 300; i++)); do
	rm -rf "$directory" && break
	sleep 0.1
done 2>/dev/null
]]

function process.quote(text)
	return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

local function command_line(command)
	local words = {}
	for i, word in ipairs(command) do
		words[i] = process.quote(word)
	end
	return table.concat(words, " ")
end

local function start(script, directory, words, prefix)
	local line = { "exec", prefix or "", "bash -c", process.quote(script), "keeper", process.quote(directory), words }
	return assert(io.popen(table.concat(line, " "), "w"))
end

-- Calls `attempt` until it returns something true or `timeout` seconds are over.
-- Returns what `attempt` returned last.
function process.poll(timeout, attempt)
	local deadline = socket.gettime() + timeout
	local pause = 0.002
	while true do
		local result = attempt()
		if result or socket.gettime() >= deadline then
			return result
		end
		socket.sleep(pause)
		pause = math.min(pause * 1.5, 0.05)
	end
end

-- Starts a script that makes a new directory, guards it and finally removes it.
local function guard(script)
	local directory = files.temporary_path()
	local pipe = start(script, directory, "", "setsid")
	if not process.poll(process.PATIENCE, function() return files.read(directory .. "/claimed") end) then
		error("cannot make " .. directory)
	end
	return directory, pipe
end

local scratch, sweeper, sequence = nil, nil, 0 -- luacheck: ignore 231/sweeper

-- A path below a directory that is removed when this process ends, however it ends.
function process.scratch(name)
	if not scratch then
		scratch, sweeper = guard(sweeper_script)
	end
	sequence = sequence + 1
	return ("%s/%d-%s"):format(scratch, sequence, name)
end

local Process = {}
Process.__index = Process

-- Starts a command (a list of words). It is killed after options.timeout seconds (PATIENCE).
-- Its input stays open until close().
function process.spawn(command, options)
	local timeout = options and options.timeout or process.PATIENCE
	local directory = process.scratch(command[1]:match("[^/]*$"))
	assert(lfs.mkdir(directory))
	local words = command_line(command)
	return setmetatable({
		words = words,
		directory = directory,
		timeout = timeout,
		input = start(client_script, directory, ("%d %s"):format(timeout, words)),
	}, Process)
end

-- Makes a directory for a server that launch() starts: when the returned object is
-- closed or this process ends, the server is stopped and the directory removed.
function process.keeper()
	local directory, pipe = guard(keeper_script)
	return setmetatable({ directory = directory, timeout = process.PATIENCE, keeper = true, input = pipe }, Process)
end

function Process:launch(command)
	self.words = command_line(command)
	self:write(self.words .. "\n")
end

function Process:write(text)
	self.input:write(text)
	self.input:flush()
end

-- Its output and errors so far.
function Process:output()
	return files.read(self.directory .. "/output") or ""
end

-- Its exit status, or nil while it runs.
function Process:status()
	return tonumber(files.read(self.directory .. "/status") or "")
end

-- Waits for a Lua pattern in its output. Returns the first capture, or the whole match;
-- nil and "ended" or "timeout" if there is no match.
function Process:wait_for(pattern, timeout)
	local ended, found
	process.poll(timeout or self.timeout, function()
		ended = self:status() ~= nil
		found = self:output():match(pattern)
		return found or ended
	end)
	if found then
		return found
	end
	return nil, ended and "ended" or "timeout"
end

function Process:signal(name)
	if self.keeper then
		return self:write(name .. "\n")
	end
	if not self.input then
		return
	end
	local pid = process.poll(process.PATIENCE, function()
		return tonumber(files.read(self.directory .. "/pid") or "")
	end)
	if not pid then
		error(self.words .. " does not start", 2)
	elseif not self:status() then
		local pipe = assert(io.popen(("kill -%s %d 2>&1"):format(name, pid)))
		pipe:read("*a")
		pipe:close()
	end
end

-- Ends its input and waits for its end. Returns output and exit status.
-- 124 and 137 mean that it was stopped at its time limit.
function Process:close()
	if self.input then
		self.input:close()
		self.input = nil
		if not self.keeper then
			self.final_output, self.final_status = self:output(), self:status()
			for _, name in ipairs { "output", "status", "pid" } do
				os.remove(self.directory .. "/" .. name)
			end
			lfs.rmdir(self.directory)
		end
	end
	return self.final_output, self.final_status
end

-- Runs a command to its end. options.input: text for it. Returns output and exit
-- status; a command that takes longer than options.timeout raises an error.
function process.run(command, options)
	local child = process.spawn(command, options)
	if options and options.input then
		child:write(options.input)
	end
	local output, status = child:close()
	if status == 124 or status == 137 then
		error(("%s: not done after %d s, wrote:\n%s"):format(child.words, child.timeout, output), 2)
	end
	return output, status
end

-- Like run, but any exit status other than 0 is an error. Returns the output.
function process.check(command, options)
	local output, status = process.run(command, options)
	if status ~= 0 then
		error(("%s: exit status %s, wrote:\n%s"):format(command_line(command), tostring(status), output), 2)
	end
	return output
end

return process
