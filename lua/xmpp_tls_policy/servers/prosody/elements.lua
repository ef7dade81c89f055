--- The elements that we send ourselves; see prosody_style/elements.lua.
return require "xmpp_tls_policy.servers.prosody_style.elements"
