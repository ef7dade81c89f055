-- A server under the default profile, without report mode, that wants to go on with TLS 1.3 alone: the command
-- what_if names whom that would cut off, and switching refuses exactly them.
local date = require "xmpp_tls_policy.date"
local json = require "dkjson"
local lfs = require "lfs"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local versions = require "support.versions"
local xmpp = require "support.xmpp"

local MODERN = "mozilla-modern-6.0"

local tls12 = { protocol = "tlsv1_2" }

-- Account -> { service, options of LuaSec, whether its newest version is TLS 1.2 }.
local accounts = {
	alice = { "c2s", {}, false },
	bob = { "c2s_direct_tls", {}, false },
	carol = { "c2s", { protocol = "tlsv1_3" }, false },
	dave = { "c2s", tls12, true },
	erin = { "c2s_direct_tls", tls12, true },
	frank = { "c2s", { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES256-GCM-SHA384" }, true },
	grace = { "c2s", { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA" }, true },
	heidi = { "c2s", { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES256-GCM-SHA384", curveslist = "P-256" }, true },
}

describe("the command what_if", function ()
	local authority, server, far, options, first_day
	local servers = prosody.group()

	local function start(users)
		server = servers.start {
			hosts = { ["example.test"] = authority.example }, ca = authority.certificate, with_policy = true, users = users,
			routes = {}, options = options,
		}
	end

	setup(function ()
		authority = pki.authority()
		authority.example = authority:issue { names = { "example.test" }, key = "rsa2048" }
		local theirs = authority:issue { names = { "old.test", "new.test" }, key = "rsa2048" }
		local data, users = process.scratch "data", {}
		assert(lfs.mkdir(data))
		options = { data_path = data }
		first_day = date.of(os.time())
		for name in pairs(accounts) do
			users[name .. "@example.test"] = "secret"
		end
		start(users)
		local function host(ssl_options)
			return { certificate = theirs.certificate, key = theirs.key, options = { ssl = ssl_options } }
		end
		far = servers.start {
			hosts = { ["old.test"] = host(tls12), ["new.test"] = host() }, ca = authority.certificate,
			routes = { ["example.test"] = { s2s = server.ports.s2s } },
		}
		server:configure { routes = { ["old.test"] = { s2s = far.ports.s2s }, ["new.test"] = { s2s = far.ports.s2s } } }
		server:reload()
	end)

	teardown(function ()
		servers.stop()
		pki.remove()
	end)

	-- Whether a client gets in.
	local function logs_in(name)
		local service, tls = accounts[name][1], accounts[name][2]
		local peer = xmpp.open(server:target(service), { tls = tls })
		local jid = peer and peer:login(name, "secret")
		if peer then
			peer:close()
		end
		return jid ~= nil
	end

	local function pings(domain)
		return server:shell(([[xmpp:ping("example.test", "%s", 20)]]):format(domain)):lower():find "pong" ~= nil
	end

	local function ask(command)
		local output, status = server:shell(command)
		assert.equal(0, status, output)
		return assert(json.decode((output:gsub("OK: %d+ lines of JSON%s*$", ""))))
	end

	-- The host's item of what_if; the names, sorted; and the clauses of all shapes.
	local function what_if(profile, level)
		local command = ([[tlspolicy:what_if("%s", "%s", "example.test", "json")]]):format(profile, level or "should")
		local items = ask(command).what_if
		local names, clauses = {}, {}
		for index = 2, #items do
			for _, name in ipairs(items[index].peers) do
				names[name] = true
			end
			for _, breach in ipairs(items[index].clauses) do
				clauses[breach.clause] = true
			end
		end
		return items[1], names, clauses
	end

	local function old_peers()
		local names = { ["old.test"] = true }
		for name, account in pairs(accounts) do
			names[name .. "@example.test"] = account[3] or nil
		end
		return names
	end

	it("knows nobody before anybody has come", function ()
		local found, names = what_if(MODERN)
		assert.same({ 0, 0, {} }, { found.logins, found.cut_off.shapes, names })
		-- The server may have begun before midnight.
		assert.is_true(found.since >= first_day and found.since <= date.of(os.time()), found.since)
	end)

	it("names exactly the clients and servers with TLS 1.2 at most", function ()
		for name in pairs(accounts) do
			assert.is_true(logs_in(name), name)
		end
		-- Does not authenticate.
		assert(xmpp.open(server:target "c2s", { tls = { protocol = "tlsv1_2", curveslist = "P-384" } })):close()
		for _, domain in ipairs { "old.test", "new.test" } do
			assert.is_true(pings(domain), domain)
		end
		local found, names, clauses = what_if(MODERN)
		assert.same(old_peers(), names)
		assert.same({ ["version.only-tls13"] = true }, clauses)
		assert.equal(0, found.missed)
		assert.equal(6, found.cut_off.peers)
		-- The profile in force, and those that have its TLS 1.2, would cut off none of them.
		assert.same({}, (select(2, what_if "draft-saintandre-xmpp-tls-02")))
		assert.same({}, (select(2, what_if "mozilla-intermediate-6.0")))
	end)

	it("stores no name but theirs", function ()
		local expected, stored = {}, nil
		for name, account in pairs(accounts) do
			expected[#expected + 1] = account[3] and name or nil
		end
		table.sort(expected)
		-- The shapes are judged in later turns, and then names of them are stored; a reload stores at once.
		process.poll(process.PATIENCE, function ()
			assert.matches("OK", (server:shell [[module:reload("xmpp_tls_policy", "example.test")]]))
			stored = {}
			local folder = options.data_path .. "/example%2etest/tls_policy_fleet_clients"
			if lfs.attributes(folder) then
				for file in lfs.dir(folder) do
					stored[#stored + 1] = file:match "^(.*)%.dat$"
				end
			end
			table.sort(stored)
			return #stored >= #expected
		end)
		assert.same(expected, stored)
	end)

	it("shows a table", function ()
		local output, status = server:shell(([[tlspolicy:what_if("%s", "width=250")]]):format(MODERN))
		assert.equal(0, status)
		assert.matches("example.test: mozilla%-modern%-6.0, level should\n", output)
		assert.matches("TLS 1.2 +1 +version.only%-tls13 +frank@example.test", output)
		assert.matches("6 peers are known by name", output)
		output, status = server:shell [[tlspolicy:what_if()]]
		assert.equal(1, status)
		assert.matches("what_if needs a profile", output)
	end)

	it("has its counterpart fleet, and the metric", function ()
		local items = ask [[tlspolicy:fleet("example.test", "json")]].fleet
		local software = {}
		for index = 2, #items do
			for _, role in ipairs(items[index].roles) do
				software[role .. " " .. tostring(items[index].software)] = true
			end
		end
		if versions.openssl:find "^3%.0%." or versions.openssl:find "^3%.5%." then
			local name = versions.openssl:find "^3%.0%." and "OpenSSL 3.0" or "OpenSSL 3.5 or 3.6"
			assert.is_true(software["c2s " .. name])
			assert.is_true(software["c2s " .. name .. " without TLS 1.3"])
		end
		local server_name = ("s2sin Prosody %s with OpenSSL %s"):format(versions.prosody():match "^%d+%.%d+",
			versions.openssl:match "^%d+%.%d+")
		if server_name:find "0.12 with OpenSSL 3.0$" or server_name:find "13.0 with OpenSSL 3.5$" then
			assert.is_true(software[server_name])
		end
		local stats = server:shell [[tlspolicy:stats()]]
		assert.equal(tostring(#items - 1), stats:match "hello_shapes\nHost[^\n]*\nexample.test +(%d+)")
	end)

	it("knows all after a restart, and no deleted account", function ()
		local before, names = what_if(MODERN)
		server:stop()
		start()
		server:configure { routes = { ["old.test"] = { s2s = far.ports.s2s }, ["new.test"] = { s2s = far.ports.s2s } } }
		server:reload()
		process.poll(process.PATIENCE, function ()
			return not table.concat(what_if(MODERN).estimate, " "):find "still being read"
		end)
		local after, names_after = what_if(MODERN)
		assert.same(names, names_after)
		assert.same({ before.logins, before.shapes, before.since }, { after.logins, after.shapes, after.since })
		server:shell [[user:delete("heidi@example.test")]]
		names["heidi@example.test"] = nil
		assert.same(names, (select(2, what_if(MODERN))))
		assert.is_nil(lfs.attributes(options.data_path .. "/example%2etest/tls_policy_fleet_clients/heidi.dat"))
		accounts.heidi = nil
	end)

	it("is right: switching refuses exactly those that it named", function ()
		local names = select(2, what_if(MODERN))
		far:configure { routes = { ["example.test"] = { s2s = server.ports.s2s } } }
		far:reload()
		server:configure { policy = { profile = MODERN } }
		server:reload()
		for name in pairs(accounts) do
			assert.equal(not names[name .. "@example.test"], logs_in(name), name)
		end
		for _, domain in ipairs { "old.test", "new.test" } do
			assert.equal(not names[domain], pings(domain), domain)
		end
		-- What was seen before is known still.
		assert.same(names, (select(2, what_if(MODERN))))
	end)

	it("works in report mode as well", function ()
		local names = select(2, what_if(MODERN))
		server:configure { policy = { mode = "report" } }
		server:reload()
		for name in pairs(accounts) do
			assert.is_true(logs_in(name), name)
		end
		assert.same(names, (select(2, what_if(MODERN))))
	end)
end)
