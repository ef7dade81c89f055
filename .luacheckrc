std = "max"
max_line_length = 120
files["lua/mod_xmpp_tls_policy.lua"] = { read_globals = { "prosody", "metronome" }, globals = { "module" } }
files["lua/xmpp_tls_policy/servers/metronome"] = { globals = { "metronome" } }
files["lua/xmpp_tls_policy/servers/prosody"] = { globals = { "prosody" } }
files["spec/**/*_spec.lua"] = { std = "max+busted" }
files["spec/support/modules"] = { read_globals = { "prosody" }, globals = { "module" } }
files["doc/examples/mod_*.lua"] = { globals = { "module" } }
