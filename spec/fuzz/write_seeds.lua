-- Writes the seeds of a fuzzing target into a directory:
--
--     lua write_seeds.lua SCRIPT DIRECTORY
--
-- SCRIPT returns a table with `seeds`, a function that returns a list of texts.

local files = require "support.files"

for index, bytes in ipairs(assert(dofile(arg[1])).seeds()) do
	files.write(("%s/%03d"):format(arg[2], index), bytes)
end
