-- The log lines about the certificates of our own hosts.
local client = require "support.client"
local pki = require "support.pki"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

local DAY = 86400

describe("the certificate of a host of ours", function ()
	local authority, sentinel
	local servers = prosody.group()

	setup(function ()
		-- With an intermediate authority, the chain is complete even if the root is unknown.
		authority = pki.authority({ days = 3000 }):intermediate { days = 3000 }
		sentinel = authority:issue { names = { "sentinel.test" }, not_before = os.time() - 85 * DAY,
			not_after = os.time() + 3.5 * DAY }
	end)

	after_each(servers.stop)

	teardown(pki.remove)

	-- The checks run some time after a load, and log all hosts at once. So each server has a host with a
	-- certificate that is always reported.
	local function wait_for_checks(server, mark)
		server:wait_for_log('the certificate of "sentinel.test"', mark)
	end

	local function start(certificate, fields)
		local spec = {
			hosts = { ["example.test"] = certificate }, with_policy = true, modules = { "test_clock" }, routes = {},
		}
		for name, value in pairs(fields or {}) do
			spec[name] = value
		end
		spec.hosts["sentinel.test"] = sentinel
		local server = servers.start(spec)
		wait_for_checks(server)
		return server
	end

	local function said(log)
		local lines = {}
		for level, message in log:gmatch "mod_xmpp_tls_policy\t(%l+)\t(the certificate of [^\n]*)" do
			lines[#lines + 1] = not message:find("sentinel.test", 1, true) and level .. " " .. message or nil
		end
		return table.concat(lines, "\n")
	end

	-- The log of a reload, and of the checks that run after it.
	local function reload(server)
		local mark = server:mark()
		server:reload()
		wait_for_checks(server, mark)
		return server:log(mark)
	end

	local cases = {
		{ "causes no log line if it has no fault", { days = 300 }, "^$" },
		{ "is reported if it expires in five days", { not_after = os.time() + 5.5 * DAY, not_before = os.time() - 80 * DAY },
			'^warn the certificate of "example.test" expires in 5 days: renew it$' },
		{ "is reported if it has expired", { not_before = os.time() - 90 * DAY, not_after = os.time() - 2.5 * DAY },
			'^error the certificate of "example.test" expired 2 days ago: replace it$' },
		{ "is reported if it does not cover the host", { names = { "other.test" }, days = 300 },
			'does not cover it, so clients %(c2s%) refuse it.*does not cover it, so other servers' },
		-- xep0178.1.server-auth-is-enough
		{ "causes no log line if it is for servers only", { extended_key_usages = { "serverAuth" }, days = 300 }, "^$" },
		{ "is reported if it is for clients only", { extended_key_usages = { "clientAuth" }, days = 300 },
			'^error the extended key usages of the certificate of "example.test" lack serverAuth' },
	}
	for _, case in ipairs(cases) do
		it(case[1], function ()
			local options = { names = { "example.test" } }
			for name, value in pairs(case[2]) do
				options[name] = value
			end
			local server = start(authority:issue(options))
			local log = server:log():gsub("(\t%l+\t)(the extended key usages of )(the certificate)", "%1the certificate of %2%3")
			assert.matches(case[3], (said(log):gsub("the certificate of the extended", "the extended")))
			-- Once more at each load.
			log = reload(server):gsub("(\t%l+\t)(the extended key usages of )(the certificate)", "%1the certificate of %2%3")
			assert.matches(case[3], (said(log):gsub("the certificate of the extended", "the extended")))
		end)
	end

	it("is reported if the certificate of its issuer is missing", function ()
		local whole = authority:issue { names = { "example.test" }, days = 300 }
		assert.equal("", said(start(whole):log()))
		servers.stop()
		local alone = { certificate = whole.own, key = whole.key }
		assert.matches('^warn the certificate of its issuer "[^\n]*" does not follow the certificate of "example.test"',
			said(start(alone):log()))
	end)

	it("may be issued by a root that the server knows", function ()
		local root = pki.authority { days = 3000 }
		local certificate = root:issue { names = { "example.test" }, days = 300 }
		local server = start(certificate, { ca = root.certificate })
		assert.equal("", said(server:log()))
		assert.is_nil(server:shell 'tlspolicy:cert("example.test")':match "does not follow")
		servers.stop()
		server = start(certificate)
		assert.matches("does not follow", said(server:log()))
		assert.matches("does not follow", (server:shell 'tlspolicy:cert("example.test")'))
	end)

	-- The daily check is one of the tasks of each minute; the unit specs have its rules.
	it("is reported once its end is near", function ()
		local server = start(authority:issue { names = { "example.test" },
			not_before = os.time() - 60 * DAY, not_after = os.time() + 30.5 * DAY })
		assert.equal("", said(server:log()))
		local mark = server:mark()
		local output, status = server:shell(([[>require "core.configmanager".set("*", "test_clock", %d)]]):format(10 * DAY))
		assert.equal(0, status, output)
		server:wait_for_log('warn\tthe certificate of "example.test" expires in 20 days: renew it', mark, 600)
	end)

	it("is still reported if it was renewed on disk only", function ()
		prosody.surface.need("sni.contexts", pending)
		local server = start(authority:issue { names = { "example.test" },
			not_before = os.time() - 85 * DAY, not_after = os.time() + 5.5 * DAY })
		local peer = assert(xmpp.open(server:target "c2s"))
		peer:close()
		server:renew("example.test", authority:issue { names = { "example.test" }, days = 300 })
		local mark = server:mark()
		local output, status = server:shell [[module:reload("xmpp_tls_policy")]]
		assert.equal(0, status, output)
		server:wait_for_log('warn\tthe certificate of "example.test" %(c2s, c2s_direct_tls port %d+, s2s_direct_tls port '
			.. "%d+%) expires in 5 days: renew it", mark)
		assert.equal("", said(reload(server)))
	end)

	it("is checked in c2s_ssl and s2s_ssl, too", function ()
		prosody.surface.need("option.c2s_ssl", pending)
		local good = authority:issue { names = { "example.test" }, days = 300 }
		local old = authority:issue { names = { "example.test" },
			not_before = os.time() - 90 * DAY, not_after = os.time() - 2.5 * DAY }
		for option, service in pairs { c2s_ssl = "c2s", s2s_ssl = "s2s" } do
			local server = start { certificate = good.certificate, key = good.key,
				options = { [option] = { certificate = old.certificate, key = old.key } } }
			assert.equal(('error the certificate of "example.test" (%s) expired 2 days ago: replace it'):format(service),
				said(server:log()))
			servers.stop()
		end
	end)

	it("of a component need not cover it for clients", function ()
		local certificate = authority:issue { names = { "other.test" }, days = 300 }
		local server = start(authority:issue { names = { "example.test" }, days = 300 }, {
			components = { ["rooms.test"] = { module = "muc", options = { ssl = {
				certificate = certificate.certificate, key = certificate.key,
			} } } },
		})
		local log = said(server:log())
		-- A server may have one context for the services of both roles.
		assert.matches('the certificate of "rooms.test"[^\n]* does not cover it, so other servers', log)
		assert.is_nil(log:match "clients")
		local output = server:shell 'tlspolicy:cert("rooms.test")'
		assert.matches('the certificate of "rooms.test" does not cover it, so other servers', output)
		assert.is_nil(output:match "so clients")
	end)

	it("is not judged for servers where s2s is off", function ()
		local certificate = authority:issue { names = { "other.test" }, days = 300 }
		local server = start(certificate, { options = { modules_disabled = { "s2s" } }, domain = "example.test" })
		local log = said(server:log())
		assert.matches('does not cover it, so clients', log)
		assert.is_nil(log:match "other servers")
	end)

	it("is not judged for localhost, to which the server may show any certificate", function ()
		local server = start(authority:issue { names = { "example.test" }, days = 300 }, { domain = "example.test",
			hosts = {
				["example.test"] = authority:issue { names = { "example.test" }, days = 300 },
				localhost = authority:issue { names = { "other.test" }, not_before = os.time() - 90 * DAY,
					not_after = os.time() - 2.5 * DAY },
			},
		})
		assert.is_nil(server:log():match "mod_xmpp_tls_policy\terror\t[^\n]+")
	end)

	it("is looked at for direct TLS, too, and the service and port are named", function ()
		prosody.surface.need("sni.contexts", pending)
		local old = authority:issue { names = { "example.test" }, days = 300, not_after = os.time() + 5.5 * DAY,
			not_before = os.time() - 85 * DAY }
		local server = start { certificate = authority:issue { names = { "example.test" }, days = 300 }.certificate,
			key = authority:issue { names = { "example.test" }, days = 300 }.key,
			options = { c2s_direct_tls_ssl = { certificate = old.certificate, key = old.key } } }
		assert.equal(('warn the certificate of "example.test" (c2s_direct_tls port %d) expires in 5 days: renew it'):format(
			server.ports.c2s_direct_tls), said(server:log()))
	end)

	-- rfc6066.3.name-in-a-labels
	it("of an internationalised host is found by its A-labels, and named by them", function ()
		prosody.surface.need("sni.contexts", pending)
		local server = start(nil, { domain = "example.test", hosts = {
			["example.test"] = authority:issue { names = { "example.test" }, days = 300 },
			["b\195\188cher.test"] = authority:issue { names = { "xn--bcher-kva.test" }, not_after = os.time() + 5.5 * DAY,
				not_before = os.time() - 85 * DAY },
		} })
		assert.equal('warn the certificate of "xn--bcher-kva.test" expires in 5 days: renew it', said(server:log()))
		for asked, got in pairs {
			["example.test"] = "example.test", ["xn--bcher-kva.test"] = "xn--bcher-kva.test",
			["XN--BCHER-KVA.test"] = "xn--bcher-kva.test", ["xn--other.test"] = "example.test",
		} do
			local answer = client.openssl(server:target "c2s_direct_tls", { server_name = asked })
			assert.is_true(answer.ok, answer.raw)
			assert.truthy(answer.subject:find(got, 1, true), asked .. ": " .. answer.subject)
		end
	end)

	it("may be missing", function ()
		local server = start(authority:issue { names = { "example.test" }, days = 300 }, {
			components = { ["rooms.test"] = { module = "muc" } },
		})
		-- Prosody may choose the certificate of another host, which is then reported.
		local log = server:log():gsub("the certificate of \"rooms.test\" does not cover it[^\n]*", "")
		assert.is_nil(log:match "mod_xmpp_tls_policy\terror\t[^\n]+")
		assert.is_nil(log:match "Traceback[^\n]*")
	end)
end)
