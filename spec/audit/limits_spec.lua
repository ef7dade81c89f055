-- Servers that limit: a Prosody that reads slowly, and one behind a firewall that takes few connections a second. The
-- results are those without limits.
local audit = require "xmpp_tls_policy.audit.audit"
local certificates = require "xmpp_tls_policy.audit.certificates"
local channel = require "xmpp_tls_policy.audit.channel"
local pki = require "support.pki"
local prosody = require "support.prosody"
local report = require "xmpp_tls_policy.audit.report"
local tasks = require "xmpp_tls_policy.audit.tasks"
local tls_policy = require "xmpp_tls_policy"

local PATIENCE, PAUSE = 120, 0.5 -- seconds

describe("the audit of a server that limits", function ()
	local servers = prosody.group()
	local authority, usual, slow

	setup(function ()
		authority = pki.authority()
		local hosts = { ["example.test"] = authority:issue { names = { "example.test" }, key = "rsa2048" } }
		usual = servers.start { hosts = hosts, with_policy = true }
		slow = servers.start { hosts = hosts, with_policy = true, modules = { "limits" }, options = {
			limits = { c2s = { rate = "1kb/s", burst = "1s" } },
		} }
	end)

	teardown(function ()
		servers.stop()
		pki.remove()
	end)

	-- The audited endpoint at a port, as the report has it. Called in a task.
	local function audited(port)
		local results = audit.run({ "example.test" }, {
			endpoint = { timeout = PATIENCE, time_limit = 10 * PATIENCE,
				trust = assert(certificates.authorities(authority.certificate)) },
			discover = function (domain)
				return { endpoints = { { domain = domain, service = "c2s", host = "localhost", address = "127.0.0.1",
					port = port } } }
			end,
		})
		return report.of(tls_policy.defaults(), 0, results).domains[1].endpoints[1]
	end

	local function results_of(endpoint)
		local results = {}
		for _, clause in ipairs(endpoint.clauses) do
			results[clause.id] = clause.result
		end
		return results
	end

	-- Carries bytes from one connection to another until one of them ends.
	local function carry(from, to)
		local bytes
		repeat
			bytes = from:read(tasks.now() + PATIENCE)
		until not bytes or not to:write(bytes, tasks.now() + PATIENCE)
		from:close()
		to:close()
	end

	-- A firewall before a port, which closes more connections than `most` until nobody has connected for PAUSE seconds.
	-- (One that counts by the second would close none on a slow machine.) Returns its port, and functions that return
	-- how many it closed, and that end it.
	local function firewall(target, most)
		local latest, count, closed = -PAUSE, 0, 0
		local port, stop = channel.listen("127.0.0.1", 0, function (client)
			local now = tasks.now()
			latest, count = now, now - latest < PAUSE and count + 1 or 1
			if count > most then
				closed = closed + 1
				return client:close()
			end
			local server = assert(channel.connect("127.0.0.1", target, tasks.now() + PATIENCE))
			tasks.start(carry, client, server)
			carry(server, client)
		end)
		return port, function () return closed end, stop
	end

	it("its reading, finds the same as without limits", function ()
		local expected, found = tasks.run(function ()
			return audited(usual.ports.c2s), audited(slow.ports.c2s)
		end)
		assert.same(results_of(expected), results_of(found))
		assert.is_true(found.seconds > expected.seconds)
		assert.is_nil(found.reason)
	end)

	it("its connections, finds the same as without limits, and says so", function ()
		local expected, found, closed = tasks.run(function ()
			local port, count, stop = firewall(usual.ports.c2s, 12)
			local without, with = audited(usual.ports.c2s), audited(port)
			stop()
			return without, with, count()
		end)
		assert.is_true(closed > 0)
		assert.same(results_of(expected), results_of(found))
		assert.matches("^the server limits connections %(.*%): paused %d+ s, then at most [124] at a time$", found.reason)
	end)
end)
