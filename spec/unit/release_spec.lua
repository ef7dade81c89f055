-- All places that name the version say that of version.lua.
local files = require "support.files"
local lfs = require "lfs"
local process = require "support.process"
local version = require "xmpp_tls_policy.version"

-- The tables of a rockspec. It is run without the globals, as LuaRocks does.
local function rockspec(path)
	local spec = {}
	local chunk = assert((loadstring or load)(files.read(path), "=" .. path, "t", spec)) -- luacheck: ignore 113/loadstring
	if setfenv then
		setfenv(chunk, spec) -- luacheck: globals setfenv
	end
	chunk()
	return spec
end

describe("the version of the release", function ()
	local released = ("rockspec/xmpp-tls-policy-%s-1.rockspec"):format(version)

	it("is three numbers", function ()
		assert.matches("^%d+%.%d+%.%d+$", version)
	end)

	it("has the newest section of the changelog", function ()
		assert.equal(version, files.read "CHANGELOG.md":match "\n## ([^\n]*)\n")
	end)

	it("has the rockspec of the release, and there is no other beside scm", function ()
		local names = {}
		for name in lfs.dir "rockspec" do
			names[#names + 1] = name:match "%.rockspec$" and "rockspec/" .. name
		end
		table.sort(names)
		assert.same({ released, "rockspec/xmpp-tls-policy-scm-1.rockspec" }, names)
		assert.equal(version .. "-1", rockspec(released).version)
		assert.equal(("file://xmpp-tls-policy-%s.tar.gz"):format(version), rockspec(released).source.url)
	end)

	it("is the only difference between the two rockspecs, beside the source", function ()
		local release, current = rockspec(released), rockspec "rockspec/xmpp-tls-policy-scm-1.rockspec"
		release.version, release.source, current.version, current.source = nil, nil, nil, nil
		assert.same(current, release)
	end)

	it("has the newest entry of Debian's changelog", function ()
		assert.equal(version .. "-1", files.read "debian/changelog":match "^xmpp%-tls%-policy %((.-)%)")
	end)

	it("is printed by the command", function ()
		local interpreter = lfs.symlinkattributes("/proc/self/exe").target
		assert.equal(version .. "\n", process.check {
			"env", "LUA_CPATH=" .. package.cpath, interpreter, "lua/bin/xmpp-tls-policy", "--version",
		})
	end)
end)
