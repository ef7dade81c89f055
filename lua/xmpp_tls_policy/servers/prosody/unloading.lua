--- The end of the module; see prosody_style/unloading.lua.
return require "xmpp_tls_policy.servers.prosody_style.unloading" {
	root = prosody,
	fail_closed = require "xmpp_tls_policy.servers.prosody.fail_closed",
}
