--- What cannot be had on Metronome, and why: see servers/contract.lua.
return {
	["command check"] = "`metronomectl` runs no command of a module",
	["channel-binding offer"] = "its SASL has the types that it offers by itself: `tls-exporter` with TLS 1.3, "
		.. "`tls-unique` with TLS 1.2",
	["statistics"] = "it has none; the command `stats` shows the metrics, and a file has them, see below",
	["sni.contexts"] = "a port for direct TLS has one context, under the policy of all hosts; the policy of the host "
		.. "holds once the stream names it",
	["certificates.reload"] = "it makes the context of a port when it opens the port; restart it",
	["groups.list"] = "its option `curve` names one group",
	["sni.outgoing"] = "it sends no server name",
	["handlers.wait"] = "it handles each stanza when it comes",
	["dane"] = "it does not ask for TLSA records",
	["stanza.limit"] = "it has no such bound",
	["peers.gone"] = "it throws away the last data before the connection was closed",
	["starttls.timeout"] = "it waits 60 seconds at least, also where the stream ended meanwhile",
	["roles"] = "it has no roles",
}
