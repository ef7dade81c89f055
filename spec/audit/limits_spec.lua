-- Servers that limit: a Prosody that reads slowly, and one behind firewalls of all kinds that take few connections a
-- second. The results are those without limits.
local audit = require "xmpp_tls_policy.audit.audit"
local certificates = require "xmpp_tls_policy.audit.certificates"
local channel = require "xmpp_tls_policy.audit.channel"
local pki = require "support.pki"
local prosody = require "support.prosody"
local report = require "xmpp_tls_policy.audit.report"
local tasks = require "xmpp_tls_policy.audit.tasks"
local tls_policy = require "xmpp_tls_policy"

local PATIENCE, PAUSE = 120, 0.5 -- seconds
-- For a firewall that answers nothing: an answer takes a small part of it.
local DROPPED = 8
-- The server's services, as prosody.lua names them.
local SERVICES = { "c2s", "c2s_direct_tls", "s2s", "s2s_direct_tls" }

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

	-- The audited endpoint of a service of `usual` at a port, as the report has it. Called in a task.
	local function audited(service, port, timeout)
		local target = usual:target(service, "example.test")
		local results = audit.run({ "example.test" }, {
			endpoint = { timeout = timeout or PATIENCE, time_limit = 10 * PATIENCE,
				trust = assert(certificates.authorities(authority.certificate)) },
			discover = function (domain)
				return { endpoints = { { domain = domain, service = target.kind, direct = target.direct_tls,
					host = "localhost", address = "127.0.0.1", port = port } } }
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

	-- As `carry`, until the client begins with TLS.
	local function carry_until_hello(client, server)
		local bytes
		repeat
			bytes = client:read(tasks.now() + PATIENCE)
		until not bytes or bytes:byte() ~= 60 or not server:write(bytes, tasks.now() + PATIENCE)
		client:close()
		server:close()
	end

	-- What a firewall does with a connection that is one too many; `connect` makes the one to the server.
	local kinds = {
		["closes them at once"] = function (client)
			client:close()
		end,
		["resets them"] = function (client)
			client._handle:close_reset()
		end,
		["answers nothing"] = function (client)
			repeat until not client:read(tasks.now() + PATIENCE)
			client:close()
		end,
		["closes them after the hello"] = function (client, connect)
			local server = connect()
			tasks.start(carry, server, client)
			carry_until_hello(client, server)
		end,
	}

	-- A firewall before a port, which does this with more connections than `most` until nobody has connected for PAUSE
	-- seconds. (One that counts by the second would stop none on a slow machine.) Returns its port, and functions that
	-- return how many it stopped, and that end it.
	local function firewall(target, most, stop_connection)
		local latest, count, stopped = -PAUSE, 0, 0
		local function connect()
			return assert(channel.connect("127.0.0.1", target, tasks.now() + PATIENCE))
		end
		local port, stop = channel.listen("127.0.0.1", 0, function (client)
			local now = tasks.now()
			latest, count = now, now - latest < PAUSE and count + 1 or 1
			if count > most then
				stopped = stopped + 1
				return stop_connection(client, connect)
			end
			local server = connect()
			tasks.start(carry, client, server)
			carry(server, client)
		end)
		return port, function () return stopped end, stop
	end

	it("its reading, finds the same as without limits", function ()
		local expected, found = tasks.run(function ()
			return audited("c2s", usual.ports.c2s), audited("c2s", slow.ports.c2s)
		end)
		assert.same(results_of(expected), results_of(found))
		assert.is_true(found.seconds > expected.seconds)
		assert.is_nil(found.reason)
	end)

	describe("its connections, and", function ()
		local expected, found, stopped = {}, {}, {}

		-- Audits a service behind a firewall of some kind.
		local function audit_behind(kind, service)
			local is_slow = kind == "answers nothing"
			-- One that answers nothing costs time: it does so once.
			local port, count, stop = firewall(usual.ports[service], is_slow and 25 or 12, kinds[kind])
			found[kind .. service] = audited(service, port, is_slow and DROPPED)
			stop()
			stopped[kind .. service] = count()
		end

		-- All side by side, since most of the time goes by in pauses.
		setup(function ()
			local functions = {}
			for _, service in ipairs(SERVICES) do
				functions[#functions + 1] = function ()
					expected[service] = audited(service, usual.ports[service])
				end
				for kind in pairs(kinds) do
					functions[#functions + 1] = function ()
						audit_behind(kind, service)
					end
				end
			end
			tasks.run(function ()
				tasks.all(functions)
			end)
		end)

		for kind in pairs(kinds) do
			for _, service in ipairs(SERVICES) do
				it(("%s, finds the same as without limits, and says so: %s"):format(kind, service), function ()
					local endpoint = found[kind .. service]
					assert.is_true(stopped[kind .. service] > 0)
					assert.same(results_of(expected[service]), results_of(endpoint))
					assert.matches("^the server limits connections %(.*%): paused %d+ s, then at most [124] at a time$",
						endpoint.reason)
					assert.is_nil(expected[service].reason)
				end)
			end
		end
	end)
end)
