--- The probes of an endpoint, in the order in which they begin. A probe is a file of this folder:
--   name    unique
--   after   names of probes whose observations it needs, or nil
--   run     function(endpoint, observed): adds its observations to `observed` (see observations.lua). Each of
--           its observations is there afterwards, made or untested.
-- The first one is alone at its endpoint: it shows whether the endpoint answers at all.
local names = {
	"stream", "certificate", "sasl", "pipelined", "versions", "classes", "short_curves", "old_signatures",
	"names", "resumption", "preferences", "pkcs1_signatures",
}

local probes = {}
for index, name in ipairs(names) do
	probes[index] = require("xmpp_tls_policy.audit.probes." .. name)
end
return probes
