-- The host of ours that an operator names.
local command_service = require "support.command_service"
local our_host = require "xmpp_tls_policy.commands.our_host"

describe("a host that an operator names", function ()
	local server = command_service.server { hosts = { "a.test", "b\195\188cher.test", "conference.a.test" } }

	for given, host in pairs {
		["a.test"] = "a.test", ["A.Test"] = "a.test", ["a.test."] = "a.test", ["A.TEST."] = "a.test",
		["xn--bcher-kva.test"] = "b\195\188cher.test", ["b\195\188cher.test"] = "b\195\188cher.test",
		["XN--BCHER-KVA.test."] = "b\195\188cher.test", ["conference.a.test"] = "conference.a.test",
	} do
		it("is found as " .. given, function ()
			assert.equal(host, our_host(server, given))
		end)
	end

	for given, message in pairs {
		[""] = '"" is no host of this server', ["*"] = '"*" is no host of this server',
		["192.0.2.1"] = '"192.0.2.1" is no host of this server', ["user@a.test"] = '"user@a.test" is no host of this server',
		["aa.test"] = '"aa.test" is no host of this server; did you mean "a.test"?',
		["a b"] = '"a b" is no host of this server', ["all other hosts"] = '"all other hosts" is no host of this server',
	} do
		it("is none as " .. given, function ()
			assert.same({ nil, message }, { our_host(server, given) })
		end)
	end
end)

describe("the commands that take a host", function ()
	-- They read nothing else of the service before the host.
	local nothing = setmetatable({}, { __index = function (_, name) error(name) end })
	local service = setmetatable({
		server = command_service.server { hosts = { "a.test" } }, policies = nothing, fleets = nothing,
	}, { __index = nothing })

	for name, arguments in pairs {
		status = {}, would_refuse = {}, forget_report = {}, fleet = {}, digest = {}, what_if = { "rfc9325", "must" },
	} do
		for _, format in ipairs { "text", "json" } do
			it("name a host that is none: " .. name .. ", " .. format, function ()
				local words = { (table.unpack or unpack)(arguments) }
				words[#words + 1] = "b.test"
				words[#words + 1] = format == "json" and "json" or nil
				assert.same({ "", nil, '"b.test" is no host of this server; did you mean "a.test"?' },
					{ command_service.run(service, name, (table.unpack or unpack)(words)) })
			end)
		end
	end
end)
