--- Exceptions for the clients of a network, against a real server: network × host × end × STARTTLS or direct TLS.
local date = require "xmpp_tls_policy.date"
local json = require "dkjson"
local pki = require "support.pki"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

-- Allowed at level "must", refused at "should".
local old_tls = { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES128-SHA" }
-- Network -> the addresses of clients in it.
local networks = {
	["127.0.0.0/8"] = { ["127.0.0.1"] = true, ["127.0.0.9"] = true }, ["127.0.0.8/29"] = { ["127.0.0.9"] = true },
	["127.0.0.1/32"] = { ["127.0.0.1"] = true }, ["192.0.2.0/24"] = {}, ["::1/128"] = {},
}

describe("an exception for a network", function ()
	local server, files

	local function exception(days, level)
		return { level = level or "must", expires = date.of(os.time() + days * date.DAY), reason = "old phones" }
	end

	setup(function ()
		local authority = pki.authority()
		files = authority:issue { names = { "one.test", "two.test" }, key = "rsa2048" }
		server = prosody.start {
			hosts = { ["one.test"] = files, ["two.test"] = files }, domain = "one.test", ca = authority.certificate,
			routes = {}, with_policy = true, modules = { "test_facts", "test_clock" },
		}
	end)

	teardown(function ()
		if server then
			server:stop()
		end
		pki.remove()
	end)

	-- Policies of the host one.test and of all others.
	local function configure(all, one, options)
		server:configure { policy = all, options = options or {}, hosts = { ["two.test"] = files, ["one.test"] = {
			certificate = files.certificate, key = files.key, options = { xmpp_tls_policy = one } } } }
		return server:reload()
	end

	local function open(host, service, tls, address)
		return xmpp.open(server:target(service or "c2s", host), { tls = tls or old_tls, address = address })
	end

	for network, members in pairs(networks) do
		for _, days in ipairs { 100, -2 } do
			for _, of_host in ipairs { false, true } do
				it(("%s, %s, for %s, lets in whom it names"):format(network, days > 0 and "in force" or "ended",
					of_host and "one.test alone" or "all hosts"), function ()
					local exceptions = { exceptions = { [network] = exception(days) } }
					configure(of_host and {} or exceptions, of_host and exceptions or nil)
					local function try(host, service, address)
						-- Direct TLS ends its handshake on the context for all.
						local expected = members[address] and days > 0 and service == "c2s" and (host == "one.test" or not of_host)
							or false
						local mark = server:mark()
						local client, _, reason = open(host, service, old_tls, address)
						assert.equal(expected, client ~= nil, ("%s %s %s: %s"):format(host, service, address, tostring(reason)))
						assert.equal(expected, server:log(mark):find(("Accepted under the exception for %s until"):format(network),
							1, true) ~= nil)
						if client then
							client:close()
						end
					end
					for _, host in ipairs { "one.test", "two.test" } do
						-- Strangers come before and after.
						for _, address in ipairs { "127.0.0.1", "127.0.0.9", "127.0.0.1" } do
							try(host, "c2s", address)
							try(host, "c2s_direct_tls", address)
						end
					end
				end)
			end
		end
	end

	it("gives its clients a context of their own, beside the one for all others", function ()
		configure { exceptions = { ["127.0.0.9/32"] = exception(100) } }
		local strange = assert(open("one.test", "c2s", { protocol = "any" }))
		local member = assert(open("one.test", "c2s", old_tls, "127.0.0.9"))
		local output = server:shell [[tlspolicy:status("json")]]
		member:close()
		strange:close()
		local policies = {}
		for _, row in ipairs(json.decode((output:gsub("OK: %d+ lines of JSON%s*$", ""))).contexts) do
			if row.host == "one.test" and row.role == "c2s" and row.service == "STARTTLS" then
				policies[row.domain or "all others"] = row.policy
			end
		end
		assert.equal("draft-saintandre-xmpp-tls-02, level should", policies["all others"])
		assert.matches("level must, by exception for 127.0.0.9/32 until ", policies["127.0.0.9/32"])
	end)

	it("asks its clients for TLS all the same", function ()
		configure { exceptions = { ["127.0.0.0/8"] = exception(100) } }
		local client = xmpp.connect(server:target("c2s", "one.test"))
		local features = assert(client:open())
		assert.matches("<starttls[^>]*><required/>", features)
		assert.is_nil(features:match "<mechanism")
		client:close()
	end)

	it("ends the streams that needed it when it ends, and no others", function ()
		local policy = { exceptions = { ["127.0.0.0/8"] = exception(100) } }
		configure(policy)
		local old = assert(open "one.test")
		local new = assert(open("one.test", "c2s", { protocol = "any" }))
		configure(policy, nil, { test_clock = 200 * date.DAY })
		assert.matches("policy%-violation.*cipher.aead", (assert(old:read_all())))
		new:send "</stream:stream>"
		assert.is_nil((assert(new:read_all())):match "policy%-violation")
		old:close()
		new:close()
		configure(policy)
	end)
end)
