-- Servers that limit: a Prosody that reads slowly, and one behind firewalls of all kinds that take few connections
-- between two pauses. The results are those without limits.
local audit = require "xmpp_tls_policy.audit.audit"
local certificates = require "xmpp_tls_policy.audit.certificates"
local channel = require "xmpp_tls_policy.audit.channel"
local endpoint = require "xmpp_tls_policy.audit.endpoint"
local pki = require "support.pki"
local prosody = require "support.prosody"
local report = require "xmpp_tls_policy.audit.report"
local tasks = require "xmpp_tls_policy.audit.tasks"
local tls_policy = require "xmpp_tls_policy"

local PATIENCE = 120 -- seconds
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

	local function results_of(audited_endpoint)
		local results = {}
		for _, clause in ipairs(audited_endpoint.clauses) do
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

	-- Port -> the firewall that listens there: { most, count, stopped = how many, is_slow }.
	local firewalls = {}

	-- A firewall before a port, which does this with more connections than `most` until the audit pauses. (One that
	-- counts by the second would stop none on a slow machine.) Returns its port, and a function that ends it.
	local function start_firewall(target, kind, most)
		local self = { stopped = 0, count = 0, most = most }
		local function connect()
			return assert(channel.connect("127.0.0.1", target, tasks.now() + PATIENCE))
		end
		local port, stop = channel.listen("127.0.0.1", 0, function (client)
			self.count = self.count + 1
			if self.count > self.most then
				self.stopped = self.stopped + 1
				return kinds[kind](client, connect)
			end
			local server = connect()
			tasks.start(carry, client, server)
			carry(server, client)
		end)
		firewalls[port] = self
		return port, stop
	end

	-- Lets connections of an endpoint that pauses pass again; all of them if the firewall is one that costs time.
	local function note_pause(port)
		local self = firewalls[port]
		if self then
			self.count = 0
			self.most = self.is_slow and math.huge or self.most
		end
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
		local methods = getmetatable(endpoint.new {}).__index
		local turn_away = methods.turn_away

		-- Audits a service behind a firewall of some kind.
		local function audit_behind(kind, service)
			local port, stop = start_firewall(usual.ports[service], kind, 12)
			firewalls[port].is_slow = kind == "answers nothing"
			found[kind .. service] = audited(service, port, firewalls[port].is_slow and DROPPED)
			stop()
			stopped[kind .. service] = firewalls[port].stopped
		end

		-- All side by side, since most of the time goes by in pauses.
		setup(function ()
			function methods.turn_away(self, ...)
				local pauses = self.limited
				turn_away(self, ...)
				if self.limited > pauses then
					note_pause(self.port)
				end
			end
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

		teardown(function ()
			methods.turn_away = turn_away
		end)

		for kind in pairs(kinds) do
			for _, service in ipairs(SERVICES) do
				it(("%s, finds the same as without limits, and says so: %s"):format(kind, service), function ()
					local limited = found[kind .. service]
					assert.is_true(stopped[kind .. service] > 0)
					assert.same(results_of(expected[service]), results_of(limited))
					assert.matches("^the server limits connections %(.*%): paused %d+ s, then at most [124] at a time$",
						limited.reason)
					assert.is_nil(expected[service].reason)
				end)
			end
		end
	end)
end)
