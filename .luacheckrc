std = "max"
max_line_length = 120
files["lua"] = { read_globals = { "prosody" }, globals = { "module" } }
files["spec/**/*_spec.lua"] = { std = "max+busted" }
files["spec/support/modules"] = { read_globals = { "prosody" }, globals = { "module" } }
