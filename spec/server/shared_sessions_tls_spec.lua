-- TLS to the engine that servers share sessions through.
local engine = require "support.engine"
local pki = require "support.pki"
local sharing_servers = require "support.sharing_servers"

local missing = engine.missing()
if not missing and not require("xmpp_tls_policy.redis").has_tls then
	missing = "hiredis has no TLS here; Debian 13's has"
end
if missing then
	describe("TLS to the engine", function ()
		it("is tested where hiredis has it", function ()
			pending(missing)
		end)
	end)
	return
end

describe("TLS to the engine", function ()
	local store, cluster, ours, url

	setup(function ()
		ours = pki.authority()
		store = engine.start(nil, ours:issue { names = { "localhost" }, key = "p256" })
		cluster = sharing_servers.new(store, ours:issue { names = { "example.test" }, key = "p256" })
		url = ("rediss://localhost:%d"):format(store.tls_port)
	end)

	teardown(function ()
		cluster.servers.stop()
		store:stop()
		pki.remove()
	end)

	local function refused(shared)
		local server = cluster:start(shared)
		local reason = server:wait_for_log "No session is shared through rediss://[^:]*:%d+: ([^\n]*)"
		local resumed, session = cluster:meet(server, "TLSv1.3")
		assert.is_false(resumed)
		assert.is_true((cluster:meet(server, "TLSv1.3", session)))
		return reason
	end

	it("is spoken", function ()
		local a, b = cluster:start { url = url, ca_file = ours.certificate }, cluster:start()
		cluster:wait_for_sharing(a, b)
		cluster:wait_for_sharing(b, a)
	end)

	it("checks who issued the certificate", function ()
		assert.matches("^unable to get local issuer certificate%.", refused {
			url = url, ca_file = pki.authority().certificate,
		})
	end)

	it("checks whose certificate it is", function ()
		assert.matches("^IP address mismatch%.", refused {
			url = ("rediss://127.0.0.1:%d"):format(store.tls_port), ca_file = ours.certificate,
		})
	end)

	it("checks which name the certificate is for", function ()
		local other = engine.start(nil, ours:issue { names = { "other.test" }, key = "p256" })
		finally(function () other:stop() end)
		assert.matches("^hostname mismatch%.", refused {
			url = ("rediss://localhost:%d"):format(other.tls_port), ca_file = ours.certificate,
		})
	end)

	it("needs an engine that speaks it", function ()
		assert.matches("%a", refused { url = ("rediss://localhost:%d"):format(store.port), ca_file = ours.certificate })
	end)
end)
