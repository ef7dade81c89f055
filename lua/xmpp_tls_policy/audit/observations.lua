--- The observations that the probes of an audit make at one endpoint: what an outsider saw. One map,
-- name -> observation:
--   seen      true: the statement of the table below is true of the endpoint; false: it is not;
--             nil: not tested
--   value     details as plain data (lists, numbers, names), or nil
--   evidence  a sentence about the messages that showed it
--   reason    why it was not tested
-- An endpoint that refuses, limits or breaks off a connection was not tested: `seen` is false only
-- after an answer of the endpoint that says so.
local observations = {}

--- Name -> statement. A name that ends in ".*" stands for names with another last part.
observations.statements = {
	-- Before TLS, with STARTTLS only.
	["starttls.offered"] = "the features before TLS offer STARTTLS",
	["starttls.required"] = "the offer of STARTTLS says <required/>",
	["plaintext.features"] = "the features before TLS offer more than STARTTLS (value: their names)",
	["plaintext.mechanisms"] = "SASL mechanisms are offered before TLS (value: their names)",
	["plaintext.pipelined"] = "data that came in one packet with <starttls/> was accepted as if it came after TLS",
	-- The handshake.
	["version.*"] = "a handshake of this version is accepted (SSLv2, SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3)",
	["version.newest"] = "the newest version of those that both sides have is chosen",
	["suites.null"] = "a suite without encryption is accepted (value of these: the suites chosen)",
	["suites.rc4"] = "a suite with RC4 is accepted",
	["suites.export"] = "a suite of export grade is accepted",
	["suites.under_112_bits"] = "a suite of under 112 bits is accepted",
	["suites.under_128_bits"] = "a suite of under 128 bits is accepted, 3DES among them",
	["suites.anonymous"] = "a suite without a certificate is accepted",
	["suites.cbc"] = "a suite with CBC is accepted",
	["suites.rsa_key_transport"] = "RSA key transport is accepted",
	["suites.static_dh"] = "static (EC)DH is accepted",
	["suites.dhe"] = "DHE is accepted in TLS 1.2",
	["suites.aead"] = "authenticated encryption is accepted",
	["suites.forward_secret"] = "forward-secret key exchange is accepted",
	["suites.accepted"] = "suites are accepted (value: version -> IANA names, the server's order)",
	["suites.complete"] = "no accepted suite is missing in suites.accepted",
	["suites.chacha20_first"] = "a client that puts ChaCha20 first gets it",
	["suites.server_chooses"] = "the server's order of suites decides, not the client's",
	["dhe.bits"] = "the size of the DHE group is known (value: bits)",
	["groups.accepted"] = "groups are accepted (value: IANA names, in the server's order)",
	["groups.complete"] = "no accepted group is missing in groups.accepted",
	["groups.short"] = "a curve of under 256 bits is accepted (value: their names)",
	["groups.server_chooses"] = "the server's order of groups decides",
	["groups.hybrid"] = "a hybrid group (X25519MLKEM768) is accepted",
	["signature.sha1"] = "a handshake of TLS 1.2 is signed with SHA-1 or MD5 (value: the scheme)",
	["signature.pkcs1"] = "a handshake of TLS 1.2 is signed with PKCS #1 v1.5 and SHA-2 (value: the scheme)",
	["compression"] = "TLS compression is accepted",
	["renegotiation.secure"] = "secure renegotiation (RFC 5746) is supported",
	["renegotiation.client"] = "a renegotiation that the client begins is accepted",
	["extended_master_secret"] = "the extended master secret (RFC 7627) is used",
	["resumption.session_id"] = "a TLS 1.2 session is resumed by its ID",
	["resumption.ticket_tls12"] = "a ticket is issued in TLS 1.2 (value: { length, lifetime })",
	["resumption.tls13"] = "a TLS 1.3 session is resumed (value: { length, lifetime } of its ticket)",
	["resumption.stateless_tls13"] = "tickets of TLS 1.3 hold the session itself (they are longer than an ID)",
	["resumption.unclean_close"] = "a session is resumed after its connection was closed without close_notify",
	["resumption.psk_without_dhe"] = "TLS 1.3 resumes without a key exchange (psk_ke)",
	["early_data"] = "early data (0-RTT) is allowed by a ticket",
	["sni.right"] = "a handshake with the domain as server name is accepted",
	["sni.missing"] = "a handshake without a server name is accepted",
	["sni.wrong"] = "a handshake with another server name is accepted",
	["sni.same_certificate"] = "the certificate is the same with and without a server name",
	["alpn"] = "a protocol is selected by ALPN (value: its name)",
	-- After TLS.
	["tls.mechanisms"] = "SASL mechanisms are offered after TLS (value: their names)",
	["tls.external"] = "SASL EXTERNAL is offered after TLS",
	["channel_binding.types"] = "types of channel binding are announced (value: version -> types)",
	["channel_binding.unsuited"] = "a type is announced under a TLS version that does not have it (value: as above)",
	-- The certificate.
	["certificate.trusted"] = "the chain is valid for servers and leads to a trusted authority",
	["certificate.complete"] = "the issuer of every certificate was sent or is a trusted authority",
	["certificate.ordered"] = "each certificate that was sent is issued by the next one",
	["certificate.domain"] = "the certificate covers the domain for the service (value: its names { dns, srv, xmpp })",
	["certificate.key"] = "the key of the certificate is known (value: { type, bits, curve })",
	["certificate.signature"] = "no certificate is signed with SHA-1 or MD5 (value: the algorithms)",
	["certificate.usages"] = "the certificate may be used for a server (value: its extended key usages)",
	["certificate.days_left"] = "the certificate is valid now (value: { days, life = all its days, share = of it left })",
	["certificate.same"] = "all endpoints of the domain show the same certificate (value: list of { sha256, where })",
	["certificate.expected"] = "the certificate or its key is one of those that the operator expects",
	["certificate.tlsa_secure"] = "there are TLSA records, which DNSSEC secures",
	["certificate.tlsa"] = "a secure TLSA record matches the chain (value: list of { name, matches, reason })",
	["certificate.caa"] = "CAA records restrict who may issue certificates (value: { issuers, dnssec })",
	["certificate.caa_issuer"] = "CAA permits the authority that issued the certificate",
	["certificate.caa_account"] = "CAA permits each issuer only for one account (accounturi)",
	-- The server as a client (callback.lua).
	["client.calls_back"] = "asked for dialback by a domain of ours, the server connects to it",
	["client.hello"] = "its ClientHello was seen (value: { versions, suites, groups, signature_schemes, key_shares, "
		.. "compressions, alpn, server_name })",
	["client.version.*"] = "its ClientHello offers this version (SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3)",
	["client.sni"] = "its ClientHello has our domain as server name",
	["client.ignores_required"] = "it begins TLS although our offer of STARTTLS does not say <required/>",
	["client.aborts_without_starttls"] = "it ends the stream, and sends nothing more, where we offer no STARTTLS",
	["client.attempts_without_starttls"] = "it sends <starttls/> where we offer no STARTTLS",
	["client.accepts_valid"] = "it goes on, with dialback, on a stream with a valid certificate of ours",
	["client.accepts_self_signed"] = "it does so with a certificate that is self-signed",
	["client.accepts_expired"] = "it does so with one that is self-signed and has expired",
	["client.accepts_wrong_name"] = "it does so with one that is self-signed and for another domain",
}

--- The statement of a name; nil of a name that is none of ours.
function observations.statement(name)
	local statement, prefix = observations.statements[name], name
	while not statement and prefix:find(".", 1, true) do
		prefix = prefix:match "^(.*)%."
		statement = observations.statements[prefix .. ".*"]
	end
	return statement
end

--- An observation that was made. `seen`: boolean.
function observations.made(seen, evidence, value)
	assert(type(seen) == "boolean" and type(evidence) == "string")
	return { seen = seen, evidence = evidence, value = value }
end

--- One that could not be made.
function observations.untested(reason)
	assert(type(reason) == "string")
	return { reason = reason }
end

return observations
