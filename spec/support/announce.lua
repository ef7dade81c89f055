-- Printed before every run of specs: what they run on.
print(require "support.versions".line())
