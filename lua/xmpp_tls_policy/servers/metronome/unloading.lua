--- The end of the module; see prosody_style/unloading.lua.
local unloading = require "xmpp_tls_policy.servers.prosody_style.unloading" {
	root = metronome,
	fail_closed = require "xmpp_tls_policy.servers.metronome.fail_closed",
}

return unloading
