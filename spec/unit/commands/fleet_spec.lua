-- The command `fleet`: the software of clients and servers.
local command_service = require "support.command_service"
local shape = require "xmpp_tls_policy.fleet.shape"
local shapes = require "xmpp_tls_policy.fleet.shapes"

describe("the command fleet", function ()
	local NEW, OLD = "\7\1\3\4\1\19\1\1\17\236\0", "\7\1\3\3\1\192\47\1\0\29\0"
	local service, of_host

	before_each(function ()
		of_host = shapes.new { now = function () return 1800000000 end }
		for _ = 1, 5 do
			of_host:see(NEW, "c2s", "RSA", "new@a.test")
		end
		of_host:see(OLD, "c2s", "RSA", "old@a.test")
		of_host:see(OLD, "s2sin", "EC", "far.test")
		of_host:see(shape.WITHOUT_TLS, "c2s", nil, "plain@a.test")
		service = {
			server = command_service.server { hosts = { "a.test", "b.test" } },
			fleets = {
				hosts = function () return { "a.test" } end,
				get = function (_, host) return host == "a.test" and of_host or nil end,
			},
		}
	end)

	it("lists shapes with their share, and sums up", function ()
		local text, done, message = command_service.run(service, "fleet")
		assert.same({ true, "3 shapes, on 1 host" }, { done, message })
		local lines = {}
		for line in text:gmatch "[^\n]+" do
			lines[#lines + 1] = line:gsub("%s+", " "):gsub(" $", "")
		end
		assert.same({
			"a.test",
			"Shape Software Came as Logins Share At best Group Hybrid",
			shape.id(NEW) .. " c2s 5 62.5 % TLS 1.3 X25519MLKEM768 yes",
			shape.id(OLD) .. " c2s s2sin 2 25.0 % TLS 1.2 x25519 no",
			shape.id(shape.WITHOUT_TLS) .. " c2s 1 12.5 % no TLS no",
			"8 logins with 3 shapes were seen since 2027-01-15. At best: TLS 1.3: 62.5 %, TLS 1.2: 25.0 %, no TLS: 12.5 %. "
				.. "With hybrid groups: 62.5 %.",
		}, lines)
		assert.is_nil(text:find "old@a.test")
	end)

	it("has the same as JSON", function ()
		local items = command_service.json(service, "fleet", "a.test").fleet
		assert.same({ "a.test", "2027-01-15", 3, 8, 5, 0 },
			{ items[1].host, items[1].since, items[1].shapes, items[1].logins, items[1].hybrid, items[1].missed })
		assert.same({
			host = "a.test", shape = shape.id(OLD), logins = 2, roles = { "c2s", "s2sin" }, by_role = { c2s = 1, s2sin = 1 },
			by_key = { RSA = 1, EC = 1 }, best = { version = "TLSv1.2", group = "x25519", hybrid = false },
		}, items[3])
	end)

	it("says what it does not know", function ()
		of_host:see("\129\1\3\3\0\0\0", "c2s", "RSA", "a@a.test")
		assert.equal("Not among them: 1 login in this time, because there was no room for the shape.",
			command_service.json(service, "fleet").fleet[1].summary[2])
		of_host = shapes.new { now = function () return 1800000000 end }
		assert.same({ "No login was seen since 2027-01-15." }, command_service.json(service, "fleet").fleet[1].summary)
		local _, done, message = command_service.run(service, "fleet", "B.test.")
		assert.same({ nil, 'nothing is known of "b.test": it has no policy' }, { done, message })
	end)
end)
