-- A host whose policy requires TLS, and on which the server offers no STARTTLS.
local client = require "support.client"
local pki = require "support.pki"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

describe("a host without mod_tls", function ()
	local server

	setup(function ()
		local authority = pki.authority():intermediate { days = 300 }
		local both = authority:issue { names = { "shut.test", "open.test", "watched.test" }, days = 300 }
		local function host(options)
			return { certificate = both.certificate, key = both.key, options = options }
		end
		server = prosody.start {
			hosts = {
				["open.test"] = host(), ["shut.test"] = host { modules_disabled = { "tls" } },
				["watched.test"] = host {
					modules_disabled = { "tls" }, xmpp_tls_policy = { mode = "report" }, c2s_require_encryption = false,
				},
			},
			domain = "open.test", with_policy = true,
		}
	end)

	teardown(function ()
		server:stop()
		pki.remove()
	end)

	local SENTENCE = "clients and servers cannot connect, except by direct TLS: the policy requires TLS, and there is no "
		.. 'STARTTLS, because mod_tls is not loaded: put "tls" into modules_enabled'

	local function said(log)
		local lines = {}
		for line in log:gmatch "mod_xmpp_tls_policy\terror\t([^\n]*)" do
			lines[#lines + 1] = line
		end
		return lines
	end

	it("is named in the log at each load, with the remedy", function ()
		assert.same({ "shut.test: " .. SENTENCE }, said(server:log()))
		local mark = server:mark()
		server:reload()
		server:shell ">true"
		assert.same({ "shut.test: " .. SENTENCE }, said(server:log(mark)))
	end)

	it("is a warning of status, and no host that waits for its first connection", function ()
		local text = server:shell "tlspolicy:status()"
		assert.truthy(text:find("Warning: shut.test: " .. SENTENCE, 1, true), text)
		assert.is_nil((text:match "No STARTTLS context yet[^\n]*" or ""):find("shut.test", 1, true))
	end)

	it("refuses clients and servers with a text of ours, and lists them", function ()
		for service, from in pairs { c2s = false, s2s = "far.test" } do
			local peer = assert(xmpp.connect(server:target(service, "shut.test"), { from = from or nil }))
			local features, reason, answer = peer:open()
			assert.same({ nil, "error" }, { features, reason })
			assert.matches("<internal%-server%-error.*TLS is required here, and STARTTLS is not available", answer)
			peer:close()
		end
		local text = server:shell 'tlspolicy:refused("json")'
		for _, role in ipairs { "c2s", "s2sin" } do
			local listed = false
			for line in text:gmatch "{[^\n]*shut.test[^\n]*}" do
				listed = listed or line:find("TLS is required here", 1, true) and line:find(('"%s"'):format(role), 1, true)
			end
			assert.truthy(listed, text)
		end
	end)

	it("serves clients by direct TLS, and other hosts serve them by STARTTLS", function ()
		local answer = client.openssl(server:target("c2s_direct_tls", "shut.test"))
		assert.matches("<stream:features>", answer.stream)
		local peer = assert(xmpp.open(server:target("c2s", "open.test")))
		peer:close()
	end)

	it("is left alone in report mode", function ()
		local peer = assert(xmpp.connect(server:target("c2s", "watched.test")))
		assert.matches("<stream:features", (assert(peer:open())))
		peer:close()
	end)
end)
