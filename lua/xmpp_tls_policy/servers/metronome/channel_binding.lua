--- The channel binding tls-unique; see stream/channel_binding.lua. With Lua 5.1, Metronome's `require` fails in a tail
-- call.
local channel_binding = require "xmpp_tls_policy.stream.channel_binding"

return channel_binding
