-- The command `refused`: handshakes and streams that were refused.
local command_service = require "support.command_service"
local output = require "xmpp_tls_policy.commands.output"

describe("the command refused", function ()
	local service

	before_each(function ()
		local handshakes = {
			{ time = 300, what = "handshake", address = "192.0.2.1", role = "c2s", host = "host.test",
				text = "offers nothing newer than TLS 1.0", clauses = { "version.tls10", "version.tls12" },
				offer = { versions = { "TLSv1" }, suites = {}, server_name = "host.test" } },
			{ time = 100, what = "handshake", text = "speaks HTTP", clauses = {} },
		}
		local streams = {
			{ time = 200, what = "stream", address = "192.0.2.2", role = "s2sin", host = "host.test",
				domain = "far.test", text = "no TLS\27", clauses = { "support.required" } },
		}
		service = {
			server = command_service.server {},
			failed_handshakes = command_service.log_of(handshakes, 1000), refusal_log = command_service.log_of(streams, 7),
		}
	end)

	it("lists handshakes and streams, the latest first, and how many there were", function ()
		local text, done, message = command_service.run(service, "refused")
		assert.same({ true, "3 refusals shown, of 1007 since the server started" }, { done, message })
		assert.equal(table.concat({
			"Time                 Role   Host       From       Why                                Clauses",
			output.time(300) .. "  c2s    host.test  192.0.2.1  offers nothing newer than TLS 1.0  "
				.. "version.tls10 version.tls12",
			output.time(200) .. "  s2sin  host.test  far.test   no TLS\\027                         support.required",
			output.time(100) .. "         any        unknown    speaks HTTP", "",
		}, "\n"), text)
	end)

	it("has all of each entry as JSON, and lists where they are empty", function ()
		local text = command_service.run(service, "refused", "json")
		local list = command_service.json(service, "refused").refused
		assert.same({ 300, 200, 100 }, { list[1].time, list[2].time, list[3].time })
		assert.same({ versions = { "TLSv1" }, suites = {}, server_name = "host.test" }, list[1].offer)
		assert.truthy(text:find('"suites":[]', 1, true))
		assert.truthy(text:find('"clauses":[]', 1, true))
	end)

	it("prints no table where nothing was refused", function ()
		service.failed_handshakes, service.refusal_log = command_service.log_of {}, command_service.log_of {}
		assert.same({ "", true, "0 refusals shown, of 0 since the server started" },
			{ command_service.run(service, "refused") })
		assert.same({ refused = {} }, command_service.json(service, "refused"))
	end)
end)
