-- Prints the versions that the specs run on, before each run.
print(require "support.versions".line())
