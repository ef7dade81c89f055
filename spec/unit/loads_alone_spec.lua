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

	local function run(code)
		return process.check {
			"env", "LUA_PATH=./lua/?.lua;./lua/?/init.lua", "LUA_CPATH=" .. package.cpath, interpreter, "-e", code,
		}
	end

	for _, name in ipairs(modules) do
		it(name .. " loads", function ()
			assert.equal("loaded", run(("require %q io.write 'loaded'"):format(name)))
		end)
	end

	-- A server has no use for them.
	it("the library loads the rules of probes when the first probe is called", function ()
		assert.equal("nil table", run [[
			require "xmpp_tls_policy"
			local clauses = require "xmpp_tls_policy.policy.clauses"
			local rules = "xmpp_tls_policy.policy.probe_rules"
			io.write(type(package.loaded[rules]), " ")
			clauses["version.tls12"].probe({}, { service = "c2s", direct = false }, true)
			io.write(type(package.loaded[rules]))
		]])
	end)
end)
