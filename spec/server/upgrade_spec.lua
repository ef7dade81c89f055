-- A new version is installed over a running one: the running one stays in force until the server is
-- restarted, and the log says so.
local client = require "support.client"
local configuration = require "support.configuration"
local files_of = require "support.files"
local lfs = require "lfs"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local version = require "xmpp_tls_policy.version"

local lua_files = "/share/lua/" .. _VERSION:match "%d+%.%d+" .. "/"
local services = { "c2s", "c2s_direct_tls", "s2s", "s2s_direct_tls" }

describe("a new version that is installed while another runs", function ()
	local servers = prosody.group()
	local hosts

	setup(function ()
		local files = pki.authority():issue { names = { "example.test", "other.test" }, key = "rsa2048" }
		hosts = { ["example.test"] = files, ["other.test"] = files }
	end)

	after_each(servers.stop)

	teardown(pki.remove)

	local function start_from_copy()
		local tree = process.scratch "tree"
		assert(lfs.mkdir(tree))
		process.check { "cp", "-r", configuration.tree .. "/share", configuration.tree .. "/lib", tree }
		return servers.start { hosts = hosts, domain = "example.test", with_policy = true, tree = tree }, tree
	end

	local function each_library_file(folder, visit)
		for name in lfs.dir(folder) do
			local path = folder .. "/" .. name
			if name:find "%.lua$" then
				visit(path)
			elseif name:sub(1, 1) ~= "." then
				each_library_file(path, visit)
			end
		end
	end

	-- Files of the new version beside loaded ones of the old would fail.
	local function install(tree, new_version)
		each_library_file(tree .. lua_files .. "xmpp_tls_policy", function (path)
			files_of.write(path, 'error "a file of the new version beside those of the old"')
		end)
		files_of.write(tree .. lua_files .. "xmpp_tls_policy/version.lua", ("return %q"):format(new_version))
	end

	local function assert_in_force(server)
		for _, domain in ipairs { "example.test", "other.test" } do
			for _, service in ipairs(services) do
				local answer = client.openssl(server:target(service, domain), {
					arguments = { "-ciphersuites", "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384" },
					from = service:find "s2s" and "remote.test" or nil,
				})
				assert.equal("TLS_AES_256_GCM_SHA384", answer.suite, service)
				assert.matches("<stream:features", answer.stream)
			end
		end
		assert.matches(("Version %s on Prosody"):format(version:gsub("%p", "%%%0")), (server:shell "tlspolicy:status()"))
	end

	local words = ("version 99%%.0 is installed over version %s, which is loaded: restart the server to use the new one")
		:format(version:gsub("%p", "%%%0"))

	it("is not mixed with it by a reload of the module", function ()
		local server, tree = start_from_copy()
		server:wait_for_log(("info\tVersion %s\n"):format(version:gsub("%p", "%%%0")))
		install(tree, "99.0")
		for _, command in ipairs {
			[[module:reload("xmpp_tls_policy")]], [[module:reload("xmpp_tls_policy", "example.test")]],
		} do
			local mark = server:mark()
			local _, status = server:shell(command)
			assert.equal(1, status)
			server:wait_for_log("error\tNot reloaded, and the loaded version stays in force: " .. words, mark)
			assert_in_force(server)
		end
		server:reload()
		assert_in_force(server)
	end)

	-- Of a version that does not refuse a reload.
	it("is not mixed with an older one", function ()
		local server, tree = start_from_copy()
		install(tree, "99.0")
		for _, host in ipairs { "*", "example.test", "other.test" } do
			server:shell(('> require "core.modulemanager".get_module(%q, "xmpp_tls_policy").module.save = nil'):format(host))
		end
		server:shell '> package.loaded["xmpp_tls_policy.version"] = nil'
		server:shell [[module:reload("xmpp_tls_policy")]]
		server:wait_for_log("error\tThe loaded version stays in force: version 99%.0 is installed over an older version")
		server:shell(('> package.loaded["xmpp_tls_policy.version"] = %q'):format(version))
		assert_in_force(server)
	end)

	it("stays refused if its version cannot be read", function ()
		local server, tree = start_from_copy()
		assert(os.remove(tree .. lua_files .. "xmpp_tls_policy/version.lua"))
		local _, status = server:shell [[module:reload("xmpp_tls_policy")]]
		assert.equal(1, status)
		server:wait_for_log "an unknown version %(module 'xmpp_tls_policy%.version' not found%) is installed over version"
		assert_in_force(server)
	end)

	it("does not hinder a reload if it is the same", function ()
		local server = start_from_copy()
		local _, status = server:shell [[module:reload("xmpp_tls_policy")]]
		assert.equal(0, status)
		assert_in_force(server)
	end)

	it("does not take the place of one that never was in force", function ()
		local tree = process.scratch "tree"
		assert(lfs.mkdir(tree))
		process.check { "cp", "-r", configuration.tree .. "/share", configuration.tree .. "/lib", tree }
		files_of.write(tree .. lua_files .. "xmpp_tls_policy/service.lua", 'error "broken"')
		local server = servers.start {
			hosts = hosts, domain = "example.test", with_policy = true, tree = tree, broken = true,
		}
		install(tree, "99.0")
		server:shell [[module:reload("xmpp_tls_policy")]]
		server:wait_for_log("Refusing all clients and servers on example%.test, other%.test: "
			.. "mod_xmpp_tls_policy is not active: " .. words)
	end)
end)
