-- Prints the versions that the specs run on, before each run.
require "support.watchdog"
print(require "support.versions".line())

-- Busted forgets what a spec file has loaded. If luv is loaded twice, the second one uses the loop of the first, which
-- is freed when that one is collected.
require "luv"
