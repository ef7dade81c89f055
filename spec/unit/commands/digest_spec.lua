-- The command `digest`.
local command_service = require "support.command_service"
local date = require "xmpp_tls_policy.date"
local policy_of = require "xmpp_tls_policy.policy".new
local weekly_digest = require "xmpp_tls_policy.digest.weekly_digest"

describe("the command digest", function ()
	local MONDAY = date.begins "2026-11-23"
	local service

	before_each(function ()
		service = { server = command_service.server { hosts = { "a.test", "b.test", "c.test" } },
			digests = weekly_digest.new { now = function () return MONDAY end } }
		service.policies = command_service.policies({
			["*"] = policy_of {}, ["a.test"] = policy_of {}, ["b.test"] = policy_of {},
		}, MONDAY)
		service.digests:use {
			server = service.server, policies = service.policies, fleets = { get = function () end },
			own_certificates = { ends = function () return {} end },
		}
		service.digests:add { role = "s2sout", host = "a.test", domain = "far.test", clauses = { "clause" } }
		service.digests:add { role = "c2s" }
	end)

	it("shows each host, or one", function ()
		local text, done, message = command_service.run(service, "digest")
		assert.same({ true, "2 hosts; refused without a host: 1 connection" }, { done, message })
		local name = policy_of({}):name()
		assert.equal(table.concat({
			"Counted from 2026-11-23T00:00:00Z to 2026-11-23T00:00:00Z.", "a.test: " .. name,
			"  Refused: 0 connections of clients, 1 of servers", "    far.test: 1, outgoing",
			"  By clause, as far as known: clause: 1", "b.test: " .. name, "  Nothing was refused.", "",
		}, "\n"), text)
		text, done = command_service.run(service, "digest", "b.test")
		assert.is_true(done)
		assert.is_nil(text:find("a.test", 1, true))
	end)

	it("has the same as JSON, with lists where they are empty", function ()
		local data = command_service.json(service, "digest")
		assert.same({ clients = 1, servers = 0, unknown = 0 }, data.without_host)
		local none = { all = 0, old = 0, versions = {} }
		assert.same({
			host = "a.test", policy = policy_of({}):name(), from = "2026-11-23T00:00:00Z", to = "2026-11-23T00:00:00Z",
			whole_week = true, exceptions = {}, certificates = {}, logins = { clients = none, servers = none },
			refused = {
				clients = 0, servers = 1, unknown = 0, unnamed = 0, clauses = { { clause = "clause", count = 1 } },
				peers = { { domain = "far.test", role = "s2sout", count = 1 } },
			},
		}, data.digest[1])
		local text = command_service.run(service, "digest", "b.test", "json")
		for _, name in ipairs { "peers", "clauses", "exceptions", "certificates" } do
			assert.is_truthy(text:find(('"%s":[]'):format(name), 1, true), name)
		end
	end)

	it("refuses a host without a policy", function ()
		local _, done, message = command_service.run(service, "digest", "C.test.")
		assert.same({ nil, 'nothing is known of "c.test": it has no policy' }, { done, message })
	end)
end)
