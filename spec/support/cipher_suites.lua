-- Cipher suites by name: IANA's numbers. Names with SSL_CK_ are suites of SSLv2.
return require "xmpp_tls_policy.audit.iana".suites
