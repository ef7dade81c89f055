-- Ends a run in which a test hangs, and names the test. Not even a loop in C can stop this, because
-- another process does it.
local busted = require "busted"

-- Far more than any test takes, even under Valgrind.
local SECONDS = 900

-- Reads the name of each test at its start. $PPID is the process of the run.
local script = [[
name="the start of the run"
while true; do
	read -r -t %d next
	status=$?
	if ((status > 128)); then
		echo "Stopped: $name is not done after %d seconds" >&2
		kill -KILL $PPID
		exit
	elif ((status != 0)); then
		exit
	fi
	name=$next
done
]]

local pipe = assert(io.popen("exec bash -c '" .. script:format(SECONDS, SECONDS) .. "'", "w"))
pipe:setvbuf "line"

local function full_name(element, parent)
	local name = tostring(element.name)
	while parent and parent.name do
		name, parent = parent.name .. ": " .. name, busted.parent(parent)
	end
	return name:gsub("%s+", " ")
end

busted.subscribe({ "test", "start" }, function (element, parent)
	pipe:write(full_name(element, parent), "\n")
end)
