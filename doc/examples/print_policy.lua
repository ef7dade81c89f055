-- Prints a policy: which versions, suites and groups it allows, and which clauses it enforces.
--
--     lua5.4 print_policy.lua [PROFILE [LEVEL]]
local tls_policy = require "xmpp_tls_policy"

local policy, faults = tls_policy.policy { profile = arg[1], level = arg[2] }
if not policy then
	for _, fault in ipairs(faults) do
		io.stderr:write(fault.message, "\n")
	end
	os.exit(1)
end

io.write(tls_policy.render(policy), "\nenforced:\n")
for _, clause in ipairs(policy.clauses) do
	if clause.enforced then
		print(("\t%s (%s, section %s, %s)"):format(clause.id, clause.document, clause.section, clause.level))
	end
end
