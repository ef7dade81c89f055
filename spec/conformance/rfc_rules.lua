-- Rules of RFCs and XEPs that the code relies on, beside the draft's clauses
-- (lua/xmpp_tls_policy/policy/clauses.lua). The code that holds a rule names its id, and so does the
-- spec that fails when the rule is broken; `make conformance` says where.
--
-- Nothing needs the rules at run time, so they are not installed.
--
-- An id is document.section.name. Rows of { id, statement in our words, gap = why no spec holds it }.
local rows = {
	-- Sessions and their resumption
	{ "rfc5246.7.2.1.missing-close-notify-keeps-session",
		"a session may be resumed although its connection was cut off without close_notify" },
	{ "rfc5246.7.2.2.fatal-alert-ends-session", "a fatal alert ends the session of its connection" },
	{ "rfc8446.6.2.fatal-alert-discards-tickets",
		"a fatal alert also ends the session that the connection was resumed from" },
	{ "rfc5246.8.1.secret-of-48-bytes", "a master secret has 48 bytes, and none of TLS 1.3 has more" },
	{ "rfc7627.5.2.ems-answered", "a server that supports the extended master secret uses it if the client does" },
	{ "rfc7627.5.3.no-resumption-without-ems",
		"a TLS 1.2 session without the extended master secret is never resumed: it may be another client's" },
	{ "rfc8446.D.ems-built-in", "TLS 1.3 needs no extension for the extended master secret" },
	{ "rfc6066.3.no-resumption-under-another-name",
		"a session is resumed only with the server name that it was made with" },
	{ "rfc6066.4.max-fragment-length-stays-with-its-session",
		"a max_fragment_length that was negotiated holds for its own session and the resumptions of it alone" },
	{ "rfc5246.7.4.1.4.only-offered-extensions", "a server answers with no extension that the client did not offer" },
	{ "rfc7301.3.1.alpn-is-no-part-of-a-session",
		"a handshake that resumes a session negotiates the protocol anew; the one from before does not count" },
	{ "rfc5929.3.1.first-finished",
		"tls-unique is the first Finished of the latest handshake: the client's, or the server's if a session is resumed" },
	{ "rfc5929.4.1.digest-of-signature",
		"tls-server-end-point is the certificate's digest by the hash of its signature; SHA-256 replaces MD5 and SHA-1" },
	{ "rfc5802.6.binding-finds-interception",
		"a login with a channel binding fails if client and server do not see the same TLS connection" },
	{ "rfc9266.2.exporter-value", "tls-exporter has 32 bytes of EXPORTER-Channel-Binding, with an empty context" },
	{ "rfc9266.4.2.exporter-needs-ems", "before TLS 1.3 tls-exporter needs the extended master secret" },
	{ "rfc8446.4.6.1.lifetime-seven-days", "no session is kept for more than seven days" },
	{ "rfc8446.4.6.1.lifetime-from-the-first",
		"the lifetime of a session counts from its full handshake, however often it is resumed" },
	{ "rfc6177.2.sites-get-48-to-64", "a site gets an IPv6 network between a /48 and a /64" },
	{ "rfc8446.4.6.1.ticket-is-a-name", "a ticket may be the mere name under which the server keeps the session" },
	{ "rfc8446.4.6.1.number-of-tickets", "a server chooses how many tickets it sends; a client of XMPP needs one" },
	{ "rfc8446.4.2.9.psk-with-key-exchange",
		"a client may offer to resume without a new key exchange, and the server need not take that" },
	{ "rfc8446.4.2.10.rejected-early-data-is-skipped",
		"a server that rejects early data skips it, up to a bound, and goes on with the handshake" },
	{ "rfc8446.E.5.no-early-data", "no early data without a profile for the protocol; XMPP has none" },

	-- Handshakes and alerts
	{ "rfc8446.3.numbers-and-vectors", "numbers are sent most significant byte first, and vectors after their length" },
	{ "rfc8446.4.1.3.hello-retry-random", "a ServerHello with one certain random is a HelloRetryRequest" },
	{ "rfc8446.4.2.extensions-once", "an extension stands once in a hello" },
	{ "rfc8446.4.2.11.2.binder",
		"a client proves that it knows a pre-shared key with an HMAC over its hello up to the binders" },
	{ "rfc8446.7.1.key-schedule", "the secrets of TLS 1.3 are derived from one another by HKDF, with labels" },
	{ "rfc8446.5.1.record-size", "a record without encryption holds at most 16384 bytes" },
	{ "rfc5246.7.4.3.dh-parameters", "a server sends the prime of its DHE first in the ServerKeyExchange" },
	{ "rfc8422.5.4.curve-parameters", "a server names the curve of its ECDHE in the ServerKeyExchange" },
	{ "rfc6066.3.server-name-list", "the server name is the first host name of a list" },
	{ "rfc6066.3.unrecognized-name-may-be-a-warning", "a server may warn that it does not know the name, and go on" },
	{ "rfc7301.3.1.protocol-list", "a client sends the names of the protocols that it can speak" },
	{ "rfc8446.1.2.suite-without-key-exchange", "a suite of TLS 1.3 names neither key exchange nor authentication" },
	{ "rfc8446.4.1.2.no-renegotiation", "TLS 1.3 has no renegotiation" },
	{ "rfc8446.4.2.1.versions-in-extension",
		"where a client sends supported_versions, the version in the head of its ClientHello does not count" },
	{ "rfc8446.4.2.3.signature-schemes", "the numbers and names of signature schemes, and the form of their list" },
	{ "rfc8446.4.2.7.supported-groups", "the form of the list of groups" },
	{ "rfc8446.4.2.7.groups-of-tls13", "the groups that TLS 1.3 has, and those that it dropped" },
	{ "rfc8446.4.2.8.key-shares", "a client may send the key shares of several groups, each of which it also lists" },
	{ "rfc8446.6.alerts-are-fatal", "in TLS 1.3 every alert but two ends the connection, whatever its level says" },
	{ "rfc8446.6.alert-numbers", "the numbers of alerts, with those of RFC 5246 7.2 and of IANA's registry" },
	{ "rfc8446.6.2.alert-meanings", "the meanings of alerts" },
	{ "rfc5246.7.4.1.4.1.hash-and-signature", "in TLS 1.2, signature schemes are pairs of hash and signature" },
	{ "rfc5246.7.4.1.4.1.schemes-if-none-listed",
		"a TLS 1.2 client that lists no signature schemes has those with SHA-1" },
	{ "rfc5246.6.2.3.3.aead-needs-tls12", "suites with authenticated encryption need TLS 1.2" },
	{ "rfc5246.E.2.sslv2-hello", "in the form of SSLv2, suites have three bytes, and those of TLS begin with 0" },
	{ "rfc4346.7.4.3.md5-and-sha1", "before TLS 1.2 a handshake is signed with SHA-1, and with RSA also MD5" },
	{ "rfc5746.3.secure-renegotiation",
		"in the first handshake each side tells whether it supports secure renegotiation" },
	{ "rfc5746.3.3.signal-is-no-suite", "TLS_EMPTY_RENEGOTIATION_INFO_SCSV is a signal, not a suite" },
	{ "rfc7507.2.signal-is-no-suite", "TLS_FALLBACK_SCSV is a signal, not a suite" },
	{ "rfc8701.2.grease-ignored", "servers ignore the numbers that clients reserve for GREASE" },
	{ "rfc6066.3.name-without-case", "server names are compared without regard to case" },
	{ "rfc6066.3.name-in-a-labels", "a client asks for an internationalised host by its A-labels" },
	{ "rfc6066.3.one-host-name", "the list of server names has one name of type host_name" },
	{ "rfc7301.3.1.protocol-names", "the names of ALPN have 1 to 255 bytes, each behind its length" },
	{ "rfc7905.2.chacha20-poly1305", "suites with ChaCha20-Poly1305 have authenticated encryption, from TLS 1.2 on" },
	{ "rfc7919.A.groups", "the named groups of finite fields, from ffdhe2048 to ffdhe8192" },
	{ "rfc8422.5.1.curve-of-certificate",
		"before TLS 1.3 a client lists the curves of the certificates that it can verify, too" },
	{ "rfc8422.4.no-list-of-groups", "a client that lists no groups leaves the curve to the server" },
	{ "rfc9150.1.integrity-only", "TLS_SHA256_SHA256 and TLS_SHA384_SHA384 do not encrypt" },

	-- Certificates
	{ "rfc6120.13.7.1.4.xmpp-addr", "an XmppAddr is a JID in UTF-8; one with \"@\" or \"/\" names no domain" },
	{ "rfc6120.13.7.2.trusted-and-named",
		"a certificate authenticates a peer only if it leads to a trusted root and names the domain" },
	{ "rfc6125.6.4.1.domain-without-case", "domain names are compared label by label, without regard to case" },
	{ "rfc6125.6.4.2.compared-as-a-labels", "internationalised domain names are compared as A-labels" },
	{ "rfc6125.6.4.3.wildcard-left-most-label", "a wildcard is the whole left-most label of a DNS-ID" },
	{ "rfc6125.6.4.3.wildcard-one-label", "a wildcard stands for exactly one label" },
	{ "rfc6125.6.4.4.no-common-name", "a Common Name need not count, and RFC 9525 forbids that it does" },
	{ "rfc6125.6.5.1.srv-id-of-service", "an SRV-ID is for its service alone" },
	{ "rfc4985.2.srv-name", "an SRV-ID is \"_Service.Name\" in ASCII, without wildcards" },
	{ "rfc5280.4.2.1.10.within-dns-constraint",
		"a name is within a constraint of DNS names that it equals, or that it ends with after a dot" },
	{ "rfc5280.3.2.self-issued-by-name", "a certificate is self-issued if issuer and subject have the same name" },
	{ "rfc5280.4.1.2.5.both-ends-count", "a certificate is valid from its first to its last second, both included" },
	{ "rfc5280.4.1.2.5.no-end", "a certificate without an end is valid until 99991231235959Z" },
	{ "rfc5280.4.2.extension-once", "a certificate has an extension at most once" },
	{ "rfc5280.4.2.1.12.only-listed-usages", "a certificate with extended key usages is good for these alone" },
	{ "rfc5280.7.2.a-labels-in-certificates", "certificates have internationalised domain names as A-labels" },
	{ "rfc5280.A.1.length-of-names", "the attributes of names have bounded lengths" },
	{ "rfc4514.2.4.escapes", "a byte of a name is escaped as a backslash and two hexadecimal digits" },
	{ "rfc7468.3.between-the-lines", "of a PEM text only the lines between BEGIN and END count" },
	{ "rfc8446.4.4.2.chain-in-any-order", "certificates after the first may come in any order" },
	{ "rfc8446.4.4.2.root-left-out", "a root that the peer knows need not be sent" },
	{ "rfc5246.7.4.2.chain-in-order", "before TLS 1.3 each certificate certifies the one before it" },
	{ "rfc6698.2.1.tlsa-rdata", "a TLSA record is usage, selector and matching type, one byte each, and the data" },
	{ "rfc6698.4.1.unusable-records", "a TLSA record with an unknown value or a wrong length counts for nothing" },
	{ "rfc7671.5.1.dane-ee-alone", "a record with usage DANE-EE counts whatever names, dates and issuer are" },
	{ "rfc7671.5.2.anchor-is-sent", "a server with usage DANE-TA sends the authority, unless the record holds it" },
	{ "rfc7671.9.strongest-digest", "of records that differ only in the digest, the strongest counts" },
	{ "rfc7673.3.1.secure-srv", "TLSA records count only if DNSSEC secures the SRV record, too" },
	{ "rfc7673.4.2.both-names", "with TLSA records a certificate is for the domain or for the host of the SRV record" },
	{ "rfc8659.4.1.caa-rdata", "a CAA record is flags, the length of the tag, the tag and the value" },
	{ "rfc8659.4.2.issue-value", "an issue property without a name, or that cannot be read, permits nobody" },
	{ "rfc8659.4.3.issuewild-before-issue", "for wildcards, issuewild properties count instead of issue" },
	{ "rfc8659.4.5.critical-and-unknown", "nobody issues where a critical property is not known" },
	{ "rfc8657.3.accounturi", "a property with accounturi permits the issuer only for that account" },

	-- Domain names and addresses
	{ "rfc5952.4.short-form",
		"an IPv6 address is written without leading zeros, and \"::\" stands for its longest run of them" },
	{ "rfc1035.2.3.4.lengths", "a label has at most 63 characters, a name at most 253 when written out" },
	{ "rfc1123.2.1.last-label-is-no-number", "the last label of a name is no number; an IPv4 address is no name" },
	{ "rfc3490.3.1.other-dots", "three other characters may be taken for a dot" },
	{ "rfc3629.4.utf8", "the forms of characters of two to four bytes" },
	{ "rfc3492.5.parameters", "the parameters of Punycode" },
	{ "rfc3492.6.1.bias", "how Punycode adapts its bias" },
	{ "rfc3492.6.3.encoding", "how Punycode encodes a label" },
	{ "rfc5890.2.3.2.1.a-label", "an A-label is \"xn--\" and the Punycode of a U-label" },
	{ "rfc5891.4.2.3.1.no-double-hyphen", "a U-label has no \"--\" in its third and fourth place" },
	{ "rfc5895.2.no-mapping", "mapping of U-labels is for input by people, not for names on the wire" },
	{ "rfc4291.2.5.5.2.ipv4-mapped", "an IPv6 address may hold an IPv4 address" },
	{ "rfc6177.2.site-prefix", "a site has at least the first 64 bits of an IPv6 address" },
	{ "rfc7622.3.1.length-of-addresses", "each of the three parts of a JID has at most 1023 bytes" },
	{ "rfc7622.3.2.normal-form", "domains of JIDs are compared in normal form" },

	-- Streams
	{ "rfc6120.4.7.5.no-version-no-features", "a stream without version='1.0' gets no features, so no STARTTLS either" },
	{ "rfc6120.4.9.1.1.error-ends-stream", "a stream error ends the stream" },
	{ "rfc6120.4.9.3.8.internal-server-error", "<internal-server-error/> says that the fault is ours" },
	{ "rfc6120.4.9.3.14.policy-violation", "<policy-violation/> says that the stream breaks a policy of ours" },
	{ "rfc6120.5.3.1.starttls-alone", "where TLS is mandatory, features offer nothing beside STARTTLS" },
	{ "rfc6120.5.4.2.3.tls-after-proceed", "TLS begins right after the last character of <proceed/>" },
	{ "rfc6120.5.4.3.3.nothing-before-tls-counts",
		"all that came before TLS is forgotten, and the stream is opened anew beneath it" },
	{ "rfc6120.6.5.4.encryption-required", "SASL without TLS is answered with <encryption-required/>" },
	{ "rfc6120.11.1.no-restricted-xml",
		"a stream has no comments, processing instructions, document types or entities of its own" },
	{ "xep0178.1.server-auth-is-enough",
		"a server that connects to another one needs a certificate with serverAuth, and none with clientAuth" },
	{ "xep0198.5.resumption", "a client may go on with an old stream on a new connection, once it has authenticated" },
	{ "xep0220.1.2.pair-of-domains", "dialback authenticates a stream for one pair of domains, in one direction" },
}

-- The parts of an id.
local ID = "^(%l+%d+)%.([%u%d][%d%.]*)%.(%l[%l%d%-]*)$"

-- "rfc7627" -> "RFC 7627"; "xep0220" -> "XEP-0220".
local function title_of(document)
	return (document:gsub("^rfc", "RFC "):gsub("^xep", "XEP-"))
end

-- A list of { id, document, section, statement, gap }.
local rules = {}
for index, row in ipairs(rows) do
	local document, section = row[1]:match(ID)
	rules[index] = {
		id = row[1], document = document and title_of(document), section = section, statement = row[2], gap = row.gap,
	}
end

return rules
