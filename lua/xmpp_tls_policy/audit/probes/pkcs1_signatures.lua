--- Whether an endpoint signs its handshakes with PKCS #1 v1.5 and SHA-2. It is asked last, because most policies permit
-- it, and connections are few.
local old_signatures = require "xmpp_tls_policy.audit.probes.old_signatures"

local pkcs1_signatures = { name = "pkcs1_signatures", after = { "preferences" } }

--- Makes the observation "signature.pkcs1".
function pkcs1_signatures.run(endpoint, observed)
	observed["signature.pkcs1"] = old_signatures.look(endpoint, observed, "signature.pkcs1")
end

return pkcs1_signatures
