--- The channel binding tls-unique; see stream/channel_binding.lua.
return require "xmpp_tls_policy.stream.channel_binding"
