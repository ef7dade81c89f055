-- The names of all measurements, in the order in which they run: files of rows/. Each returns
-- { title = text, run = function(bench) }; bench: see run.lua.
return {
	"message", "iq", "login", "reconnect", "dialback", "report", "memory",
	"hosts_start", "hosts_reload", "hosts_login", "same_tls",
	"handshakes", "contexts", "verdicts", "predictions", "fleet", "store", "early_close", "refused_handshake",
	"forced_dhe", "refusals", "connections", "certificates", "sweep", "search", "walls", "audit",
	"sharing_login", "sharing_storm", "sharing_lag", "sharing_replay", "sharing_intake",
}
