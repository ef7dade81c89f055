--- Programs of other projects that listen on a port, in a throw-away directory.
local files = require "support.files"
local process = require "support.process"
local socket = require "socket"

local program = {}

local function accepts_connections(port)
	local connection = socket.connect("127.0.0.1", port)
	return connection and connection:close()
end

--- Starts a command (a list of words) that listens on a port of 127.0.0.1, and waits until it does (nil: it
-- listens on none). `texts`:
-- { [name] = text } of files for it. "DIRECTORY" in the words and in the texts stands for its directory.
-- Returns { stop = function, directory, output = function }; an error has the program's output.
function program.run(port, texts, command)
	local keeper = process.keeper()
	local function here(text)
		return (text:gsub("DIRECTORY", function () return keeper.directory end))
	end
	for name, text in pairs(texts) do
		files.write(keeper.directory .. "/" .. name, here(text))
	end
	local words = {}
	for index, word in ipairs(command) do
		words[index] = here(word)
	end
	keeper:launch(words)
	local ready = process.poll(process.PATIENCE, function ()
		return keeper:status() and "dead" or (not port or accepts_connections(port)) and "ready"
	end)
	if ready ~= "ready" then
		local output = keeper:output()
		keeper:close()
		error(("%s did not start: %s"):format(command[1], output), 0)
	end
	return {
		directory = keeper.directory,
		output = function () return keeper:output() end,
		stop = function ()
			keeper:signal "TERM"
			local ended = process.poll(process.PATIENCE, function () return keeper:status() end)
			keeper:close()
			assert(ended, command[1] .. " does not end")
		end,
	}
end

return program
