-- The part of the library that knows no server needs nothing but ./lua and the core.
local lfs = require "lfs"
local process = require "support.process"

local modules = {
	"xmpp_tls_policy", "xmpp_tls_policy.certificates.change", "xmpp_tls_policy.certificates.memory",
	"xmpp_tls_policy.certificates.own_certificate", "xmpp_tls_policy.certificates.record",
	"xmpp_tls_policy.certificates.sighting",
	"xmpp_tls_policy.commands.columns", "xmpp_tls_policy.copy", "xmpp_tls_policy.counters", "xmpp_tls_policy.date",
	"xmpp_tls_policy.handshakes.explain_failure", "xmpp_tls_policy.invisible",
	"xmpp_tls_policy.latest_entries", "xmpp_tls_policy.log_limit",
	"xmpp_tls_policy.network", "xmpp_tls_policy.policy", "xmpp_tls_policy.stream.cutoff_report", "xmpp_tls_policy.text",
}
for file in lfs.dir "lua/xmpp_tls_policy/policy" do
	local name = file:match "^(.+)%.lua$"
	if name and name ~= "init" and name ~= "policies" then
		modules[#modules + 1] = "xmpp_tls_policy.policy." .. name
	end
end
table.sort(modules)

describe("alone in an interpreter,", function ()
	local interpreter = lfs.symlinkattributes("/proc/self/exe").target

	for _, name in ipairs(modules) do
		it(name .. " loads", function ()
			assert.equal("loaded", process.check {
				"env", "LUA_PATH=./lua/?.lua;./lua/?/init.lua", "LUA_CPATH=" .. package.cpath, interpreter, "-e",
				("require %q io.write 'loaded'"):format(name),
			})
		end)
	end
end)
