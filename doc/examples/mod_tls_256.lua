-- Refuses servers with fewer than 256 bits, and logs each refusal. Enable it beside xmpp_tls_policy.
module:hook("tls-policy/verdict", function (event)
	if event.domain and event.facts.bits < 256 then
		return ("%d bits were negotiated; this server wants 256"):format(event.facts.bits)
	end
end)
module:hook("tls-policy/refused", function (event)
	module:log("warn", "refused: %s", event.text)
end)
