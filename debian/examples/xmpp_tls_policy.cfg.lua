-- Installing the package enables nothing. To enable the module for all hosts:
--
-- 1. Add "xmpp_tls_policy" to the list modules_enabled at the top of /etc/prosody/prosody.cfg.lua.
-- 2. Copy the options below beside it, above the first VirtualHost.
-- 3. prosodyctl mod_xmpp_tls_policy check
-- 4. systemctl restart prosody
--
-- Report mode refuses nothing, and records which clients and servers the policy would cut off:
-- prosodyctl shell "tlspolicy:would_refuse()". Take the line `mode` out to enforce the policy.
xmpp_tls_policy = {
	profile = "xmpp-2026-07";
	mode = "report";
}
