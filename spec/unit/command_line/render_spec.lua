-- `xmpp-tls-policy render`.
local command_line = require "xmpp_tls_policy.command_line"
local render = require "xmpp_tls_policy.render"
local tls_policy = require "xmpp_tls_policy"

-- Returns status, output and warnings.
local function run(...)
	local written, warned = {}, {}
	local status = command_line.run({ ... }, {
		write = function (text) written[#written + 1] = text end,
		warn = function (text) warned[#warned + 1] = text end,
	})
	return status, table.concat(written), table.concat(warned, "\n")
end

describe("xmpp-tls-policy render", function ()
	it("prints each target, by default of the default policy", function ()
		for _, target in ipairs(render.names) do
			local status, written, warned = run("render", target)
			assert.same({ 0, "" }, { status, warned })
			assert.equal(render.of(tls_policy.defaults(), target).text, written)
		end
	end)

	it("takes the profile, the level and the operator's own values", function ()
		local _, written = run("render", "nginx", "--profile", "rfc9325", "--level", "must", "--openssl", "3.5.1",
			"--dhparam", "/a/dh.pem", "--certificate", "/a/b.pem", "--c2s-port", "1", "--s2s-port", "65535",
			"--c2s-server", "[::1]:5222", "--s2s-server", "unix:/run/x")
		assert.equal(render.of(tls_policy.policy { profile = "rfc9325", level = "must" }, "nginx", {
			openssl = "3.5", dhparam = "/a/dh.pem", certificate = "/a/b.pem", ports = { c2s = 1, s2s = 65535 },
			servers = { c2s = "[::1]:5222", s2s = "unix:/run/x" },
		}).text, written)
		assert.matches("listen 65535 ssl;", written, nil, true)
	end)

	for name, arguments in pairs {
		["an unknown target"] = { "apache" },
		["an unknown profile"] = { "nginx", "--profile", "rfc1" },
		["an unknown level"] = { "nginx", "--level", "may" },
		["text that would end a directive"] = { "nginx", "--certificate", "/a;\nuser root" },
		["a quote"] = { "ejabberd", "--dhparam", '/a"b' },
		["a port that is none"] = { "nginx", "--c2s-port", "65536" },
		["a version that is none"] = { "nginx", "--openssl", "new" },
		["no target"] = {},
	} do
		it("refuses " .. name, function ()
			local status, written, warned = run("render", (unpack or table.unpack)(arguments))
			assert.same({ 64, "" }, { status, written })
			assert.is_true(#warned > 0)
		end)
	end
end)
