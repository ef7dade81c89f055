-- TLS alert descriptions by number.
return require "xmpp_tls_policy.audit.iana".alert_names
