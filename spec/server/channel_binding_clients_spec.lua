--- Channel bindings of clients of other projects, and an interception: client × version of TLS × with and without it.
local clients = require "support.xmpp_clients"
local core = require "xmpp_tls_policy.core"
local json = require "dkjson"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local scram = require "support.scram"
local tls_relay = require "support.tls_relay"
local xmpp = require "support.xmpp"

-- A host for each version, which it alone accepts.
local domains = { ["TLSv1.2"] = "two.test", ["TLSv1.3"] = "three.test" }

local without = "SCRAM-SHA-1"
local with = "SCRAM-SHA-1-PLUS"

-- Package -> the beginning of its version -> version of TLS -> mechanism and binding of its login, as measured. A
-- client that takes tls-unique under TLS 1.3, where it is not defined, is refused, and takes PLAIN.
local measured = {
	["go-sendxmpp"] = {
		["0.5."] = { ["TLSv1.2"] = { "PLAIN" }, ["TLSv1.3"] = { "PLAIN" } },
		["0.14."] = { ["TLSv1.2"] = { with, "tls-unique" }, ["TLSv1.3"] = { with, "tls-exporter" } },
	},
	libstrophe0 = {
		["0.12."] = { ["TLSv1.2"] = { without }, ["TLSv1.3"] = { without } },
		["0.14."] = { ["TLSv1.2"] = { with, "tls-unique" }, ["TLSv1.3"] = { with, "tls-exporter" } },
	},
	["python3-slixmpp"] = {
		["1.8."] = { ["TLSv1.2"] = { with, "tls-unique" }, ["TLSv1.3"] = { "PLAIN" } },
		["1.10."] = { ["TLSv1.2"] = { with, "tls-unique" }, ["TLSv1.3"] = { with } },
		["1.17."] = { ["TLSv1.2"] = { with, "tls-unique" }, ["TLSv1.3"] = { without } },
	},
}

local function expected_of(client)
	for beginning, logins in pairs(measured[client.name]) do
		if client.version and client.version:sub(1, #beginning) == beginning then
			return logins
		end
	end
end

describe("channel binding", function ()
	local server, files_of_relay, trusted

	setup(function ()
		local authority, other = pki.authority(), pki.authority()
		trusted = pki.write(pki.read(authority.certificate) .. pki.read(other.certificate))
		local hosts, users = {}, {}
		files_of_relay = {}
		for version, domain in pairs(domains) do
			local files = authority:issue { names = { domain }, key = "p256" }
			hosts[domain] = {
				certificate = files.certificate, key = files.key,
				options = { ssl = { protocol = version:gsub("^TLS", "tls"):gsub("%.", "_") } },
			}
			files_of_relay[domain] = other:issue { names = { domain }, key = "p256" }
			users["juliet@" .. domain] = "wherefore"
		end
		server = prosody.start { hosts = hosts, users = users, with_policy = true }
		for _, domain in pairs(domains) do
			server:shell(([[> prosody.hosts[%q].events.add_handler("tls-policy/binding-mismatch", function (event) ]]
				.. [[require "util.logger".init("test")("info", "mismatch at %%s: %%s", event.host, event.type) end)]]):format(
				domain))
		end
	end)

	teardown(function ()
		if server then
			server:stop()
		end
		pki.remove()
	end)

	-- Calls `use` with the port of a relay to a host.
	local function intercepted(version, use)
		local relay = tls_relay.start {
			port = server.ports.c2s, domain = domains[version], files = files_of_relay[domains[version]], version = version,
		}
		local ok, problem = pcall(use, relay.port)
		relay.stop()
		assert(ok, problem)
	end

	-- The number of mismatches of a type so far.
	local function mismatches(name)
		local counted = server:shell [[tlspolicy:stats()]]:match "binding_mismatches_total.-\n\n" or ""
		return tonumber(counted:match((name:gsub("%-", "%%-")) .. "%s+(%d+)")) or 0
	end

	-- Calls `use`, and asserts that it causes the one report of a mismatch.
	local function reported(version, name, use)
		local mark, before = server:mark(), mismatches(name)
		use()
		server:wait_for_log(("mismatch at %s: %s"):format(domains[version], (name:gsub("%-", "%%-"))), mark)
		assert.equal(before + 1, mismatches(name))
	end

	local function begin(client, version, port)
		return client.begin { address = "juliet@" .. domains[version], password = "wherefore", port = port, ca = trusted }
	end

	-- The client's row of `show`, once it has logged in.
	local function row_of(child, version)
		local row
		process.poll(process.PATIENCE, function ()
			local output = server:shell [[tlspolicy:show("c2s", "json")]]
			for _, each in ipairs(json.decode((output:gsub("OK: %d+ lines of JSON%s*$", ""))).connections) do
				if each.host == domains[version] and each.authenticated then
					row = each
				end
			end
			return row or child:status()
		end)
		assert(row, child:output())
		return row
	end

	local function assert_logs_in(client, version, port, expected)
		local child = begin(client, version, port)
		local row = row_of(child, version)
		child:close()
		assert.same({ version, expected[1], expected[2] }, { row.version, row.mechanism, row.binding })
	end

	for _, client in ipairs(clients) do
		local expected = expected_of(client)
		for version in pairs(domains) do
			local name = ("%s under %s"):format(client.name, version)
			if not expected then
				it(name, function ()
					pending(client.version and ("nothing was measured of version %s"):format(client.version)
						or ("the package %s or Python is not installed: make deps-test"):format(client.name))
				end)
			else
				it("is shown as the client chose it: " .. name, function ()
					assert_logs_in(client, version, server.ports.c2s, expected[version])
				end)

				local type = expected[version][2]
				it((type and "finds" or "does not disturb clients without it in") .. " an interception: " .. name, function ()
					intercepted(version, function (port)
						if not type then
							return assert_logs_in(client, version, port, expected[version])
						end
						local mark = server:mark()
						reported(version, type, function ()
							local child = begin(client, version, port)
							assert(process.poll(process.PATIENCE, function () return child:status() end), child:output())
							assert.not_equal(0, (select(2, child:close())))
						end)
						assert.is_nil(server:log(mark):match "Authenticated as")
					end)
				end)
			end
		end
	end

	-- With a client of our own.
	for version, domain in pairs(domains) do
		local context

		local function connect(port)
			context = context or assert(core.context.new { role = "client", verify = "require", ca_file = trusted })
			return assert(xmpp.open({ port = port, kind = "c2s", domain = domain }, { tls = { context = context } }))
		end

		for _, name in ipairs { "tls-exporter", "tls-server-end-point", version == "TLSv1.2" and "tls-unique" or nil } do
			it(("rfc5802.6.binding-finds-interception: %s under %s"):format(name, version), function ()
				intercepted(version, function (port)
					reported(version, name, function ()
						local peer = connect(port)
						local accepted, answer = scram.login(peer, "juliet", "wherefore", {
							name = name, value = assert(peer.socket.connection:channel_binding(name)),
						})
						assert.is_false(accepted)
						assert.matches("Invalid channel binding value", answer)
						peer:close()
					end)
				end)
			end)
		end

		it("does not disturb a login without it in an interception under " .. version, function ()
			intercepted(version, function (port)
				local mark = server:mark()
				local peer = connect(port)
				assert.is_true(scram.login(peer, "juliet", "wherefore", { flag = "n" }))
				peer:close()
				assert.is_nil(server:log(mark):match "does not match")
			end)
		end)
	end
end)
