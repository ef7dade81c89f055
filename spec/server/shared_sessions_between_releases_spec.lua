-- Sessions shared between this system's Prosody and that of another Debian release, with another OpenSSL.
local debian_tree = require "support.debian_tree"
local engine = require "support.engine"
local pki = require "support.pki"
local sharing_servers = require "support.sharing_servers"

local root, no_root = debian_tree.find()
local missing = not root and no_root or engine.missing()
if missing then
	describe("sessions shared between releases", function ()
		it("resume", function ()
			pending(missing)
		end)
	end)
	return
end

describe("sessions shared between releases", function ()
	local store, cluster, near, far

	-- A session is resumed only where the lists of suites are the same, and the defaults of the two
	-- releases differ by one suite.
	local same = { ciphers = "ECDHE+AESGCM" }

	setup(function ()
		store = engine.start()
		local files = pki.authority():issue { names = { "example.test" }, key = "p256" }
		local hosts = {
			["example.test"] = { certificate = files.certificate, key = files.key, options = { ssl = same } },
		}
		cluster = sharing_servers.new(store, files)
		near, far = cluster:start({}, { hosts = hosts }), cluster:start({}, { hosts = hosts, root = root })
		cluster:wait_for_sharing(near, far)
	end)

	teardown(function ()
		cluster.servers.stop()
		store:stop()
		pki.remove()
	end)

	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		it("resume under " .. version .. ", in both directions", function ()
			for _, pair in ipairs { { near, far }, { far, near } } do
				local resumed, address = cluster:log_in_elsewhere(pair[1], pair[2], version)
				assert.is_true(resumed)
				assert.matches("^juliet@example.test/", address)
			end
		end)
	end
end)
