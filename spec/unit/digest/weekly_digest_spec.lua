-- The digests of hosts, and the messages of them.
local adapter = require "support.adapter"
local command_service = require "support.command_service"
local date = require "xmpp_tls_policy.date"
local fleet_shapes = require "xmpp_tls_policy.fleet.shapes"
local policy_of = require "xmpp_tls_policy.policy".new
local weekly_digest = require "xmpp_tls_policy.digest.weekly_digest"
local work_queue = require "xmpp_tls_policy.work_queue"

local MONDAY = date.begins "2026-11-23"
local NEW, OLD = "\7\1\3\4\1\19\1\1\17\236\0", "\7\1\3\3\1\192\47\1\0\29\0"

local function exception(days, reason)
	return { level = "must", expires = date.of(MONDAY + days * date.DAY), reason = reason }
end

describe("the weekly digest", function ()
	local server, digests, now, hosts, shapes, ends, administrators

	local function use()
		digests:use {
			server = server, policies = command_service.policies(hosts, now), queue = work_queue.new { server = server },
			fleets = { get = function (_, host) return shapes[host] end },
			own_certificates = { ends = function (_, host) return ends[host] or {} end },
		}
	end

	before_each(function ()
		now, shapes, ends = MONDAY, {}, {}
		administrators = { ["a.test"] = { "admin@a.test" }, ["b.test"] = { "admin@a.test", "admin@b.test" } }
		server = adapter.new { administrators = function (host) return administrators[host] or {} end }
		hosts = { ["*"] = policy_of {}, ["a.test"] = policy_of { digest = true }, ["b.test"] = policy_of {} }
		digests = weekly_digest.new { now = function () return now end }
		use()
	end)

	local function refuse(role, domain, host)
		digests:add { role = role, domain = domain, host = host or "a.test", address = "192.0.2.1", clauses = { "clause" } }
	end

	-- The messages that were sent since the last call.
	local function sent()
		digests:send_weekly()
		server.run_timers()
		local messages = server.messages
		server.messages = {}
		assert.same({}, server.failures)
		return messages
	end

	it("is sent once a week, to administrators of hosts that want it", function ()
		local got = {}
		for hour = 0, 24 * 22 do
			now = MONDAY + hour * 3600
			for _, message in ipairs(sent()) do
				got[#got + 1] = { date.of(now), message[1], message[2], message[3] }
			end
		end
		local subject = "The TLS policy of the last week"
		assert.same({
			{ "2026-11-30", "a.test", "admin@a.test", subject }, { "2026-12-07", "a.test", "admin@a.test", subject },
			{ "2026-12-14", "a.test", "admin@a.test", subject },
		}, got)
		assert.same({ "info The weekly digest was sent to admin@a.test" }, { server.take_lines()[1] })
	end)

	it("is off by default", function ()
		assert.is_false(policy_of({}).digest)
		hosts["a.test"] = policy_of {}
		now = now + 7 * date.DAY
		assert.same({}, sent())
	end)

	it("is not sent when the clock was set back, and begins anew then", function ()
		refuse("s2sin", "far.test")
		now = MONDAY - 30 * date.DAY
		assert.same({}, sent())
		assert.equal(0, digests:of("a.test").refused.servers)
		now = now + 7 * date.DAY
		assert.equal(1, #sent())
	end)

	it("has the refusals of the week that is over, and the command those of the present one", function ()
		refuse("s2sin", "far.test")
		now = now + 7 * date.DAY
		assert.matches("far%.test: 1, incoming, as it claims\n", sent()[1][4])
		assert.same({}, digests:of("a.test").refused.peers)
		refuse("s2sin", "far.test")
		refuse("s2sout", "near.test")
		now = now + 7 * date.DAY
		local body = sent()[1][4]
		assert.matches("far%.test: 1, incoming, as it claims\n", body)
		assert.matches("near%.test: 1, outgoing, new this week\n", body)
	end)

	it("outlives a reload of the module", function ()
		refuse("s2sin", "far.test")
		use()
		refuse("s2sin", "far.test")
		assert.equal(2, digests:of("a.test").refused.peers[1].count)
	end)

	it("says since when it counts", function ()
		assert.is_true(digests:of("a.test").whole_week)
		now = MONDAY + 2 * date.DAY + 3661
		digests = weekly_digest.new { now = function () return now end }
		use()
		local digest = digests:of "a.test"
		assert.same({ "2026-11-25T01:01:01Z", "2026-11-25T01:01:01Z", false },
			{ digest.from, digest.to, digest.whole_week })
		now = MONDAY + 7 * date.DAY
		assert.matches("^Counted from 2026%-11%-25T01:01:01Z to 2026%-11%-30T00:00:00Z; the module was started then%.\n",
			sent()[1][4])
		now = MONDAY + 14 * date.DAY
		assert.matches("^Counted from 2026%-11%-30T00:00:00Z to 2026%-12%-07T00:00:00Z%.\n", sent()[1][4])
	end)

	it("names no client, no address and no network", function ()
		hosts["a.test"] = policy_of { digest = true, exceptions = { ["192.0.2.0/24"] = exception(3, "old phones") } }
		shapes["a.test"] = fleet_shapes.new { now = function () return now end }
		shapes["a.test"]:see(OLD, "c2s", "RSA", "juliet@a.test")
		refuse("c2s", "juliet@a.test")
		refuse("s2sin", "romeo@far.test")
		digests:excepted("a.test", hosts["a.test"].exceptions["192.0.2.0/24"])
		local data = require("dkjson").encode(digests:of "a.test")
		now = now + 7 * date.DAY
		for _, text in ipairs { data, sent()[1][4] } do
			assert.is_nil(text:find("192.0.2", 1, true))
			assert.is_nil(text:find("@", 1, true))
			assert.is_truthy(text:find("old phones", 1, true))
		end
	end)

	it("has the exceptions that are used or end", function ()
		hosts["a.test"] = policy_of { digest = true, exceptions = {
			["used.test"] = exception(100, "a"), ["ending.test"] = exception(10, "b"), ["ended.test"] = exception(-1, "c"),
			["quiet.test"] = exception(100, "d"),
		} }
		digests:excepted("a.test", hosts["a.test"].exceptions["used.test"])
		local found = {}
		for _, entry in ipairs(digests:of("a.test").exceptions) do
			found[entry.domain] = { entry.used, entry.state, entry.network }
		end
		assert.same({
			["used.test"] = { 1, "in force", false }, ["ending.test"] = { 0, "ending", false },
			["ended.test"] = { 0, "ended", false }, ["quiet.test"] = { 0, "in force", false },
		}, found)
		now = now + 7 * date.DAY
		local body = sent()[1][4]
		assert.matches("\n    used%.test: used by 1 connection, until 2027%-03%-03$", body)
		assert.matches("\n    ending%.test: used by 0 connections, ends soon, with 2026%-12%-03\n", body)
		assert.matches("\n    ended%.test: used by 0 connections, ended with 2026%-11%-22\n", body)
		assert.is_nil(body:find("quiet.test", 1, true))
	end)

	it("has the certificates that end within 30 days", function ()
		ends["a.test"] = {
			{ services = { "c2s" }, not_after = MONDAY + 30 * date.DAY },
			{ services = { "s2s" }, not_after = MONDAY + 30 * date.DAY + 1 },
			{ services = { "c2s_direct_tls port 5223" }, not_after = MONDAY - 1 },
		}
		assert.same({
			{ services = { "c2s" }, ends = "2026-12-23T00:00:00Z", days = 30 },
			{ services = { "c2s_direct_tls port 5223" }, ends = "2026-11-22T23:59:59Z", days = -1 },
		}, digests:of("a.test").certificates)
		now = MONDAY + 7 * date.DAY
		local body = sent()[1][4]
		assert.matches("\n    c2s: ends on 2026%-12%-23T00:00:00Z, in 23 days\n", body)
		assert.matches("\n    c2s_direct_tls port 5223: ended on 2026%-11%-22T23:59:59Z, renew it now", body)
	end)

	it("has the share of old versions among the logins of the week", function ()
		local seen = fleet_shapes.new { now = function () return now end }
		shapes["a.test"] = seen
		now = MONDAY - date.DAY
		seen:see(OLD, "c2s", "RSA", "before@a.test")
		now = MONDAY
		for _ = 1, 3 do
			seen:see(NEW, "c2s", "RSA", "new@a.test")
		end
		seen:see(OLD, "c2s", "RSA", "old@a.test")
		seen:see(OLD, "s2sin", "RSA", "far.test")
		now = MONDAY + 6 * date.DAY
		assert.same({
			clients = { all = 4, old = 1, versions = { ["TLSv1.3"] = 3, ["TLSv1.2"] = 1 } },
			servers = { all = 1, old = 1, versions = { ["TLSv1.2"] = 1 } },
		}, digests:of("a.test").logins)
		now = MONDAY + 7 * date.DAY
		assert.matches("\n  Clients: 4 logins; at best TLS 1%.3: 75%.0 %%, TLS 1%.2: 25%.0 %%\n", sent()[1][4])
	end)

	it("comes in one message to an administrator of several hosts, those with news first", function ()
		for number = 1, 30 do
			local name = ("h%02d.test"):format(number)
			hosts[name], administrators[name] = policy_of { digest = true }, { "all@a.test" }
		end
		refuse("s2sin", "far.test", "h29.test")
		now = MONDAY + 7 * date.DAY
		local by_jid = {}
		for _, message in ipairs(sent()) do
			assert.is_nil(by_jid[message[2]])
			by_jid[message[2]] = message[4]
		end
		local body = by_jid["all@a.test"]
		assert.matches("^[^\n]+\n\nh29%.test: [^\n]+\n  Refused: 0 connections of clients, 1 of servers\n", body)
		assert.equal(10, select(2, body:gsub("\nh%d%d%.test: ", "")))
		assert.matches("\nAnd 20 hosts more, which", body)
		assert.is_nil(body:find("h09.test and", 1, true))
		assert.is_nil(by_jid["admin@a.test"]:find("h29.test", 1, true))
	end)

	it("is bounded, however many refusals there were", function ()
		for number = 1, 3000 do
			refuse("s2sin", ("%d.%s.test"):format(number, ("x"):rep(60)))
			refuse("c2s")
		end
		now = MONDAY + 7 * date.DAY
		local body = sent()[1][4]
		assert.is_true(#body < 4000, #body)
		assert.matches("\n    and 190 peers more\n    other servers: 2800\n", body)
	end)

	it("is not lost for others where one host fails or has no administrators", function ()
		hosts["b.test"], hosts["c.test"] = policy_of { digest = true }, policy_of { digest = true }
		administrators = { ["c.test"] = { "admin@c.test" } }
		server.administrators = function (host)
			return host == "a.test" and error "broken" or administrators[host] or {}
		end
		now = MONDAY + 7 * date.DAY
		digests:send_weekly()
		server.run_timers()
		assert.equal(1, #server.messages)
		assert.equal("admin@c.test", server.messages[1][2])
		assert.matches("the weekly digest of a%.test", server.failures[1][1])
		assert.equal("warn Nobody gets the weekly digest of b.test: it has no administrators", server.take_lines()[1])
	end)

	it("counts streams that name no host of ours apart", function ()
		for number = 1, 1000 do
			refuse("s2sin", "far.test", ("x%d.test"):format(number))
		end
		assert.equal(1000, digests:without_host().servers)
		now = MONDAY + 7 * date.DAY
		assert.matches("\nRefused without a host: 1000 connections%.$", sent()[1][4])
	end)
end)
