--- Exceptions for the clients of a network, against a real server: network × host × end × STARTTLS or direct TLS, with
-- the right server name, none or an unknown one.
local date = require "xmpp_tls_policy.date"
local json = require "dkjson"
local mime = require "mime"
local two_hosts = require "support.two_hosts"
local xmpp = require "support.xmpp"

-- Allowed at level "must", refused at "should".
local old_tls = { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES128-SHA" }
-- Network -> the addresses of clients in it.
local networks = {
	["127.0.0.0/8"] = { ["127.0.0.1"] = true, ["127.0.0.9"] = true }, ["127.0.0.8/29"] = { ["127.0.0.9"] = true },
	["127.0.0.1/32"] = { ["127.0.0.1"] = true }, ["192.0.2.0/24"] = {}, ["::1/128"] = {},
}

describe("an exception for a network", function ()
	local started, server
	local exception = two_hosts.exception

	setup(function ()
		started = two_hosts.start { ["meter@one.test"] = "secret", ["other@one.test"] = "secret" }
		server = started.server
	end)

	teardown(function ()
		two_hosts.stop(started)
	end)

	-- Policies of the host one.test and of all others.
	local function configure(all, one, options)
		return two_hosts.configure(started, all, one, options)
	end

	-- `server_name`: for SNI; false: none; nil: the host.
	local function open(host, service, tls, address, server_name)
		local parameters = { server_name = server_name }
		for name, value in pairs(tls or old_tls) do
			parameters[name] = value
		end
		return xmpp.open(server:target(service or "c2s", host), { tls = parameters, address = address })
	end

	for network, members in pairs(networks) do
		for _, days in ipairs { 100, -2 } do
			for _, of_host in ipairs { false, true } do
				it(("%s, %s, for %s, lets in whom it names"):format(network, days > 0 and "in force" or "ended",
					of_host and "one.test alone" or "all hosts"), function ()
					local exceptions = { exceptions = { [network] = exception(days) } }
					configure(of_host and {} or exceptions, of_host and exceptions or nil)
					local function try(host, service, address, server_name)
						-- Without its name, a host's own exceptions are not found before the stream names it.
						local is_found = server_name == nil and host == "one.test" or not of_host
						local expected = members[address] and days > 0 and is_found or false
						local mark = server:mark()
						local client, _, reason = open(host, service, old_tls, address, server_name)
						assert.equal(expected, client ~= nil, ("%s %s %s %s: %s"):format(host, service, address,
							tostring(server_name), tostring(reason)))
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
							try(host, "c2s_direct_tls", address, false)
							try(host, "c2s_direct_tls", address, "unknown.test")
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

	-- Tries to log in with SASL PLAIN; returns the answer of the server, or what came before the stream's end.
	local function answer_to(client, account, password, pattern)
		client:send(("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>"):format(
			(mime.b64("\0" .. account .. "\0" .. password))))
		local text, _, rest = client:read_until(pattern)
		return text or rest or ""
	end

	-- Network × account × TLS × STARTTLS or direct TLS × password. One reload serves them all.
	it("for some accounts ends the streams of others when they have logged in", function ()
		local members = exception(100)
		members.accounts = { "Meter@one.test" }
		configure { exceptions = { ["127.0.0.9/32"] = members } }
		local weak, good = old_tls, { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES256-GCM-SHA384" }
		for _, service in ipairs { "c2s", "c2s_direct_tls" } do
			for _, tls in ipairs { weak, good } do
				for _, address in ipairs { "127.0.0.9", "127.0.0.1" } do
					for _, account in ipairs { "meter", "other", "nobody" } do
						for _, password in ipairs { "secret", "wrong" } do
							local case = table.concat({ service, tls.ciphers, address, account, password }, " ")
							local mark = server:mark()
							local client = open("one.test", service, tls, address)
							assert.equal(tls == good or address == "127.0.0.9", client ~= nil, case)
							if client then
								local is_known = account ~= "nobody" and password == "secret"
								local may_stay = tls == good or account == "meter"
								-- Without the password, nothing tells one account from another.
								local expected = not is_known and "<not%-authorized/>.*</failure>" or may_stay and "<success[^>]*>"
									or "<policy%-violation.*</stream:stream>"
								local answer = answer_to(client, account, password, expected)
								assert.matches(expected, answer, case)
								assert.equal(is_known and may_stay, answer:find "<success" ~= nil, case)
								client:close()
							end
							assert.is_nil(server:log(mark):match "Traceback.*", case)
							assert.is_nil(server:log(mark):match "\terror\t[^\n]*", case)
						end
					end
				end
			end
		end
	end)

	-- Brings a client's stream so far: "opened", "logged in" or "bound".
	local function advance(client, stage)
		if stage ~= "opened" then
			assert.matches("<success", answer_to(client, "meter", "secret", "<success[^>]*>"))
			assert(client:open())
		end
		if stage == "bound" then
			client:send "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
			assert(client:read_until "<iq[^>]*type='result'.-</iq>")
		end
	end

	for _, stage in ipairs { "opened", "logged in", "bound" } do
		it("ends the streams that needed it when it ends, and no others: " .. stage, function ()
			local policy = { exceptions = { ["127.0.0.0/8"] = exception(100) } }
			configure(policy)
			local old = assert(open "one.test")
			local new = assert(open("one.test", "c2s", { protocol = "any" }))
			advance(old, stage)
			advance(new, stage)
			configure(policy, nil, { test_clock = 200 * date.DAY })
			assert.matches("policy%-violation.*cipher.aead", (assert(old:read_all())))
			new:send "</stream:stream>"
			assert.is_nil((assert(new:read_all())):match "policy%-violation")
			old:close()
			new:close()
			configure(policy)
		end)
	end
end)
