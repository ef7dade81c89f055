-- Instructions, as Valgrind's callgrind counts them. They repeat to a few parts in a
-- thousand on a machine that others use, too, where times do not repeat to a tenth.
local files = require "support.files"
local process = require "support.process"

local callgrind = {}

--- The words of a command that runs an interpreter under callgrind. `output`: the path of
-- the profile that is written when it ends; `options`: more of callgrind's, a list.
function callgrind.command(interpreter, output, options)
	local words = { "valgrind", "--tool=callgrind", "--callgrind-out-file=" .. output }
	for _, option in ipairs(options or {}) do
		words[#words + 1] = option
	end
	words[#words + 1] = interpreter
	return words
end

--- All instructions in a profile.
function callgrind.total(path)
	local text = assert(files.read(path))
	return assert(tonumber(text:match "\ntotals: (%d+)" or text:match "\nsummary: (%d+)"), "callgrind counted nothing")
end

--- Lets it count from now on in a process that was started with --instr-atstart=no.
function callgrind.begin(pid)
	process.check { "callgrind_control", "--instr=on", pid }
end

--- Instructions that a running process has executed, all its threads together. To ask
-- costs the process no instruction.
function callgrind.executed(pid)
	local output = process.check { "callgrind_control", "-e", pid }
	local sum
	for count in output:gmatch "\n%s*Th %d+%s+([%d,]+)" do
		sum = (sum or 0) + tonumber((count:gsub(",", "")))
	end
	return assert(sum, output)
end

return callgrind
