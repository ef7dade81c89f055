-- The source archive of a release, and the rock that is built from it.
local client = require "support.client"
local files = require "support.files"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local version = require "xmpp_tls_policy.version"

local lua_version = _VERSION:match "%d+%.%d+"
local release = "xmpp-tls-policy-" .. version

if select(2, process.run { "git", "rev-parse", "--verify", "--quiet", "HEAD" }) ~= 0 then
	return pending("make dist (this is no clone of the repository)")
end

-- `make dist` packs a commit, so the copy has one more with the files as they are here.
local snapshot = [[
	git clone --quiet --no-hardlinks . "$1"
	git ls-files -z --cached --others --exclude-standard | while read -r -d "" file; do
		if [ -e "$file" ]; then printf '%s\0' "$file"; fi
	done | tar -c --null -T - | { rm -rf "$1"/*; tar -C "$1" -x; }
	cd "$1"
	git add -A
	git -c user.name=spec -c user.email=spec@example.test commit --quiet --allow-empty -m "as it is here"
]]

describe("make dist", function ()
	local clone

	setup(function ()
		clone = process.scratch "clone"
		process.check { "bash", "-ec", snapshot, "snapshot", clone }
	end)

	-- The directory with the files of the release.
	local function dist(folder, umask)
		process.check { "bash", "-ec", ("umask %s; cd %s; rm -rf build; make -s dist"):format(umask, folder) }
		return folder .. "/build/dist"
	end

	it("packs the same bytes in two runs and in two clones", function ()
		local first, second = process.scratch "first", process.scratch "second"
		process.check { "cp", "-r", dist(clone, "022"), first }
		process.check { "diff", "-r", first, dist(clone, "077") }
		process.check { "git", "clone", "--quiet", clone, second }
		process.check { "diff", "-r", first, dist(second, "002") }
		local list = process.check { "tar", "-tzf", ("%s/%s.tar.gz"):format(first, release) }
		assert.matches(release:gsub("%p", "%%%0") .. "/rockspec/", list)
	end)

	it("packs no changes that are not committed", function ()
		local path = clone .. "/lua/xmpp_tls_policy/version.lua"
		local text = assert(files.read(path))
		files.write(path, text .. "\n")
		local output, status = process.run { "make", "-s", "-C", clone, "dist" }
		files.write(path, text)
		assert.equal(2, status)
		assert.matches("commit your changes first", output)
	end)

	describe("makes what LuaRocks builds", function ()
		local servers = prosody.group()
		local folder

		-- As a user without privileges, whose files nobody else can read.
		local function as_user(script)
			local words = { "env", "HOME=" .. folder, "bash", "-ec", "umask 027; " .. script }
			if process.check { "id", "-u" } == "0\n" then
				local user = { "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups" }
				for index = #user, 1, -1 do
					table.insert(words, 1, user[index])
				end
			end
			return process.check(words, { timeout = 300 })
		end

		setup(function ()
			folder = files.temporary_path()
			process.check { "cp", "-r", dist(clone, "022"), folder }
			process.check { "chmod", "-R", "a+rwX", folder }
			as_user(("luarocks --lua-version %s install --deps-mode none --tree %s/tree %s/%s-1.src.rock"):format(
				lua_version, folder, folder, release))
		end)

		teardown(function ()
			servers.stop()
			pki.remove()
			process.check { "rm", "-rf", folder }
		end)

		it("into a tree of its own, as a user without privileges, with umask 027", function ()
			assert.equal(version .. "\n", as_user(folder .. "/tree/bin/xmpp-tls-policy --version"))
			local root = folder .. "/tree"
			assert.equal("", process.check { "find", root .. "/share", "-type", "f", "-perm", "/007" })
			process.check { "diff", "-r", "--exclude=bin", "lua", ("%s/share/lua/%s"):format(root, lua_version) }
		end)

		it("and Prosody loads it from its installer's tree", function ()
			local certificate = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
			local server = servers.start {
				hosts = { ["example.test"] = certificate }, domain = "example.test", with_policy = true, tree = folder .. "/tree",
			}
			local answer = client.openssl(server:target("c2s", "example.test"), {
				arguments = { "-ciphersuites", "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384" },
			})
			assert.equal("TLS_AES_256_GCM_SHA384", answer.suite)
			assert.matches("Version " .. version:gsub("%p", "%%%0"), (server:shell "tlspolicy:status()"))
		end)
	end)
end)
