-- Exceptions for some accounts of a network: network × account × TLS, over the moments of a login.
local adapter = require "support.adapter"
local date = require "xmpp_tls_policy.date"
local observed_connection = require "support.observed_connection"
local pki = require "support.pki"
local policies = require "xmpp_tls_policy.policy.policies"
local stream_world = require "support.stream_world"

describe("an exception for accounts of a network", function ()
	local connections, closers, server, world = {}, {}, nil, nil

	setup(function ()
		local files = pki.authority():issue { names = { "one.test" }, key = "rsa2048" }
		local function open(client)
			local connection, close = observed_connection.open({ certificate = files.certificate, key = files.key,
				ciphers = "ALL:@SECLEVEL=0" }, client)
			closers[#closers + 1] = close
			return connection
		end
		connections.weak = open { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES128-SHA" }
		connections.good = open { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES256-GCM-SHA384" }
	end)

	teardown(function ()
		for _, close in ipairs(closers) do
			close()
		end
		pki.remove()
	end)

	local function exception(accounts, days)
		return { level = "must", expires = date.of(os.time() + (days or 90) * date.DAY), reason = "old", accounts = accounts }
	end

	local function load(of_all, of_one)
		server.options = { ["*"] = of_all, ["one.test"] = of_one }
		world.policies:load()
	end

	before_each(function ()
		server = adapter.new()
		world = stream_world.new { ["one.test"] = false, ["two.test"] = false }
		world.policies = policies.new { server = server }
		load { exceptions = { ["192.0.2.0/24"] = exception { "Meter@One.test", "pump@one.test" } } }
		for host in pairs(world.hosts) do
			world.policies:load_host(host)
		end
		world:load_again()
	end)

	-- A client whose features are about to be offered.
	local function session(tls, address, host)
		return world:session { role = "c2s", host = host or "one.test", secure = true, connection = connections[tls],
			address = address }
	end

	local accounts = {
		["meter@one.test"] = true, ["pump@one.test"] = true, ["other@one.test"] = false, ["meter@two.test"] = false,
		["meter2@one.test"] = false,
	}

	for account, is_named in pairs(accounts) do
		for address, is_inside in pairs { ["192.0.2.9"] = true, ["198.51.100.9"] = false } do
			for _, tls in ipairs { "weak", "good" } do
				it(("decides at the login: %s, %s, %s TLS"):format(account, address, tls), function ()
					local host = account:match "@(.*)"
					local client = session(tls, address, host)
					-- All accounts of the network are alike until one has authenticated.
					assert.equal(tls == "weak" and not is_inside, world.admission:opened(client))
					if client.closed then
						return
					end
					client.account = account
					local expected = tls == "weak" and not is_named
					assert.equal(expected, world.admission:client_authenticated(client, "PLAIN"))
					assert.equal(expected and 1 or nil, client.closed)
					if expected then
						assert.equal("policy-violation", client.condition)
						assert.matches("cipher.aead", client.text)
						assert.equal("PLAIN", world.admission:stream(client).mechanism)
						return
					end
					assert.equal(is_inside and is_named and "192.0.2.0/24" or nil,
						(world.admission:stream(client).exception or {}).domain)
					assert.is_false(world.admission:client_authenticated(client))
					assert.is_nil(client.closed)
				end)
			end
		end
	end

	-- Whether its header names a domain or not.
	for _, names in ipairs {
		{ host = "one.test", peer = "far.test" }, { host = "one.test" }, { peer = "far.test" }, {},
	} do
		it(("is for no server: %s to %s"):format(names.peer or "nobody", names.host or "nobody"), function ()
			load { exceptions = { ["192.0.2.0/24"] = exception() } }
			for _, role in ipairs(names.host and { "s2sin", "s2sout" } or { "s2sin" }) do
				local far = world:session {
					role = role, host = names.host, peer = names.peer, secure = true, connection = connections.weak,
					address = "192.0.2.9",
				}
				assert.is_nil(world.admission:policy_of(far).exception)
				assert.is_true(world.admission:is_enforced_on(far))
				assert.is_true(world.admission:opened(far))
				assert.matches("cipher.aead", far.text)
			end
		end)
	end

	-- What holds after a reload for a client with weak TLS, who is meter@one.test.
	for what, case in pairs {
		["the same accounts"] = { goes_on = true, exception { "meter@one.test" } },
		["all accounts"] = { goes_on = true, exception() },
		["other accounts"] = { goes_on = false, exception { "pump@one.test" } },
		["another host's account"] = { goes_on = false, exception { "meter@two.test" } },
	} do
		it("follows a reload to " .. what, function ()
			local client = session("weak", "192.0.2.9")
			assert.is_false(world.admission:opened(client))
			client.account, client.authenticated = "meter@one.test", true
			assert.is_false(world.admission:client_authenticated(client, "PLAIN"))
			local waits = session("weak", "192.0.2.9")
			assert.is_false(world.admission:opened(waits))
			load { exceptions = { ["192.0.2.0/24"] = case[1] } }
			world.admission:policies_changed()
			assert.equal(not case.goes_on, client.closed == 1)
			-- One that has not authenticated is judged with its account.
			assert.is_nil(waits.closed)
			waits.account = "meter@one.test"
			assert.equal(not case.goes_on, world.admission:client_authenticated(waits, "PLAIN"))
		end)
	end

	it("is the host's own where the host has exceptions", function ()
		load({ exceptions = { ["192.0.2.0/24"] = exception { "meter@one.test" } } },
			{ exceptions = { ["192.0.2.0/24"] = exception { "pump@one.test" } } })
		for account, is_named in pairs { ["meter@one.test"] = false, ["pump@one.test"] = true } do
			local client = session("weak", "192.0.2.9")
			assert.is_false(world.admission:opened(client))
			client.account = account
			assert.equal(not is_named, world.admission:client_authenticated(client, "PLAIN"))
		end
	end)

	it("names no account that the server cannot have", function ()
		function server.split_jid() end
		local client = session("weak", "192.0.2.9")
		assert.is_false(world.admission:opened(client))
		client.account = "meter@one.test"
		assert.is_true(world.admission:client_authenticated(client, "PLAIN"))
	end)
end)
