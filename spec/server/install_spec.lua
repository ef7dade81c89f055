-- `make install`: the user that the server runs as has to be able to read the tree.
local lfs = require "lfs"
local process = require "support.process"

describe("make install", function ()
	local lua_version = _VERSION:match "%d+%.%d+"

	-- A copy of the checkout's sources: LuaRocks compiles in place.
	local function checkout()
		local path = process.scratch "checkout"
		assert(lfs.mkdir(path))
		process.check { "cp", "-r", "c", "lua", "rockspec", "Makefile", path }
		return path
	end

	local function unreadable(tree)
		return process.check { "find", tree, "(", "-type", "d", "!", "-perm", "-005", ")", "-o", "!", "-perm", "-004" }
	end

	it("leaves a tree that everybody can read, whatever the umask is and the modes of an older tree are", function ()
		local source, tree = checkout(), process.scratch "tree"
		assert(lfs.mkdir(tree))
		local install = ("umask 027 && cd %s && make -s install TREE=%s LUA_VERSION=%s"):format(source, tree, lua_version)
		process.check { "sh", "-c", install }
		process.check { "test", "-r", ("%s/share/lua/%s/mod_xmpp_tls_policy.lua"):format(tree, lua_version) }
		assert.equal("", unreadable(tree))
		process.check { "chmod", "-R", "o-rwx", tree .. "/share", tree .. "/lib" }
		assert.not_equal("", unreadable(tree))
		process.check { "sh", "-c", install }
		assert.not_matches("xmpp", unreadable(tree))
	end)
end)
