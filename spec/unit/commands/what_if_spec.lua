-- The command `what_if`: whom a profile would cut off.
local command_service = require "support.command_service"
local shapes = require "xmpp_tls_policy.fleet.shapes"
local tls_policy = require "xmpp_tls_policy"

describe("the command what_if", function ()
	local NEW, OLD = "\7\1\3\4\1\19\1\1\0\29\0", "\7\1\3\3\1\192\47\1\0\29\0"
	local now, service, of_host, judged, id

	-- Whether a policy refuses the old shape.
	local refuses

	-- Whether the stored shapes are still being read.
	local reading

	local function judgement(_, _, policy)
		return { of = function (_, packed, role)
			judged[policy:name() .. " " .. role] = true
			local refuse = packed == OLD and refuses(policy)
			if refuse == nil then
				return nil, "no certificate"
			end
			return { refuse = refuse, broken = {
				refuse and { clause = "version.only-tls13", enforced = true, text = "nothing newer than TLS 1.2 is offered" }
					or nil,
				{ clause = "cert.days90", enforced = false, text = "too old" },
			} }
		end }
	end

	before_each(function ()
		now, judged = 1800000000, {}
		refuses, reading = function () return true end, false
		of_host = shapes.new { now = function () return now end }
		for _ = 1, 3 do
			of_host:see(NEW, "c2s", "RSA", "new@a.test")
		end
		of_host:see(OLD, "c2s", "RSA", "old@a.test")
		of_host:see(OLD, "s2sin", "RSA", "far.test")
		for _, entry in ipairs(of_host:list()) do
			of_host:judged { [entry.shape] = entry.shape == OLD }
			id = entry.shape == OLD and entry.id or id
		end
		service = {
			server = command_service.server { hosts = { "a.test", "b.test" } },
			policies = command_service.policies {
				["*"] = tls_policy.policy(), ["a.test"] = tls_policy.policy { level = "must" },
			},
			fleets = {
				hosts = function () return { "a.test" } end,
				get = function (_, host) return host == "a.test" and of_host or nil end,
				judgement = judgement,
				is_reading = function () return reading end,
			},
		}
	end)

	it("lists the shapes that would be cut off, their clauses and peers", function ()
		local text, done, message = command_service.run(service, "what_if", "mozilla-modern-6.0")
		assert.same({ true, "1 shape would be cut off, with 2 peers known by name, on 1 host" }, { done, message })
		local lines = {}
		for line in text:gmatch "[^\n]+" do
			lines[#lines + 1] = line:gsub("%s+", " ")
		end
		assert.same({
			"a.test: mozilla-modern-6.0, level must",
			"Shape Came as At best Logins Clauses Who Why",
			id .. " c2s s2sin TLS 1.2 2 version.only-tls13 far.test, old@a.test nothing newer than TLS 1.2 is offered",
			"5 logins with 2 shapes were seen since 2027-01-15. Of these, 1 shape with 2 logins (40.0 %) would be cut off; "
				.. "2 peers are known by name.",
		}, lines)
	end)

	it("takes the level of the host's policy, or another, with a host or without", function ()
		for _, case in ipairs {
			{ { "rfc9325" }, "must" }, { { "rfc9325", "should" }, "should" }, { { "rfc9325", "a.test" }, "must" },
			{ { "rfc9325", "should", "a.test" }, "should" },
		} do
			judged = {}
			local items = command_service.json(service, "what_if", (table.unpack or unpack)(case[1], 1, 3)).what_if
			assert.equal("rfc9325, level " .. case[2], items[1].policy)
			assert.is_true(judged[("rfc9325, level %s c2s"):format(case[2])])
		end
	end)

	it("says which shapes a milder level would keep", function ()
		refuses = function (policy) return policy.level == "should" end
		local items = command_service.json(service, "what_if", "rfc9325", "should").what_if
		assert.is_true(items[2].kept_by_level)
		assert.equal('level = "must" would keep 1 shape of them.', items[1].estimate[2])
		assert.equal(0, command_service.json(service, "what_if", "rfc9325", "must").what_if[1].cut_off.shapes)
	end)

	it("has the same as JSON", function ()
		local items = command_service.json(service, "what_if", "mozilla-modern-6.0", "a.test").what_if
		assert.same({ "a.test", "2027-01-15", 2, 5, 0, { shapes = 1, logins = 2, peers = 2 } },
			{ items[1].host, items[1].since, items[1].shapes, items[1].logins, items[1].missed, items[1].cut_off })
		assert.same({
			host = "a.test", shape = id, logins = 2, roles = { "c2s", "s2sin" }, peers = { "far.test", "old@a.test" },
			kept_by_level = false, best = { version = "TLSv1.2", group = "x25519", hybrid = false },
			clauses = { { clause = "version.only-tls13", text = "nothing newer than TLS 1.2 is offered" } },
		}, items[2])
		assert.is_nil(items[3])
	end)

	it("says what it does not know", function ()
		for index = 1, 4001 do
			of_host:see(OLD, "c2s", "RSA", ("user%d@a.test"):format(index))
		end
		of_host:see("\129\1\3\3\0\0\0", "c2s", "RSA", "a@a.test")
		refuses, reading = function () return nil end, true
		local estimate = command_service.json(service, "what_if", "rfc9325").what_if[1].estimate
		table.sort(estimate)
		assert.same({
			"4006 logins with 2 shapes were seen since 2027-01-15. Of these, 0 shapes with 0 logins (0.0 %) would be cut off; "
				.. "0 peers are known by name.",
			"Not among them: 1 login in this time, because there was no room for the shape.",
			"Peers are missing in the lists, because there was no room for all, on 2027-01-15 last.",
			"The shapes of before the start are still being read: ask again in a few seconds.",
			"c2s could not be judged: no certificate.", "s2sin could not be judged: no certificate.",
		}, estimate)
	end)

	it("does not take a host that nobody logged in to for one that loses nobody", function ()
		of_host = shapes.new { now = function () return 1800000000 end }
		local text, done, message = command_service.run(service, "what_if", "mozilla-modern-6.0")
		assert.same({ true, "0 shapes would be cut off, with 0 peers known by name, on 1 host; no login was seen yet" },
			{ done, message })
		assert.matches("\nNo login was seen since 2027%-01%-15, so nothing is known yet.\n", text)
		assert.same({ "No login was seen since 2027-01-15, so nothing is known yet." },
			command_service.json(service, "what_if", "mozilla-modern-6.0").what_if[1].estimate)
		reading = true
		text, done, message = command_service.run(service, "what_if", "mozilla-modern-6.0")
		assert.same({ true, "0 shapes would be cut off, with 0 peers known by name, on 1 host" }, { done, message })
		assert.is_nil(text:find("No login was seen", 1, true))
		assert.matches("still being read", text)
	end)

	it("answers wrong arguments", function ()
		for _, case in ipairs {
			{ {}, "^what_if needs a profile: one of draft" },
			{ { "rfc9326" }, '^profile is "rfc9326"; accepted: .-; did you mean "rfc9325"%?$' },
			{ { "rfc9325", "strict" }, '^"strict" is no level, and no host of this server; levels: "should", "must"$' },
			{ { "rfc9325", "strict", "a.test" }, '^"strict" is no level; levels: "should", "must"$' },
			{ { "rfc9325", nil, "c.test" }, '^"c.test" is no host of this server; did you mean "a.test"%?$' },
			{ { "rfc9325", "b.test" }, "^nothing is known of \"b.test\": it has no policy" },
			{ { "rfc9325", "must", "b.test" }, "^nothing is known of \"b.test\": it has no policy" },
		} do
			local text, done, message = command_service.run(service, "what_if", (table.unpack or unpack)(case[1], 1, 3))
			assert.same({ "", nil }, { text, done })
			assert.matches(case[2], message)
		end
	end)
end)
