-- Prints the versions that the specs run on, before each run.
require "support.watchdog"
print(require "support.versions".line())
