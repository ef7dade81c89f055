-- `make core`: the compiler's options.
local files = require "support.files"
local lfs = require "lfs"
local process = require "support.process"

local has_pkg_config = process.run { "sh", "-c", "command -v pkg-config" } ~= ""

describe("make core", function ()
	-- The command line of the compiler.
	local function compiler(...)
		return (process.check { "env", "-u", "WERROR", "-u", "MAKEFLAGS", ... }:gsub("\\\n%s*", ""))
	end

	it("takes warnings for errors only if it is asked to", function ()
		assert.not_matches("%-Werror", compiler("make", "-n", "core"))
		assert.matches(" %-Wall %-Wextra %-Werror ", compiler("make", "-n", "core", "WERROR=-Werror"))
	end)

	local sentence = "takes OpenSSL from where pkg-config says, before the directories that LuaRocks found"
	if not has_pkg_config then
		pending(sentence .. " (pkg-config is not installed: make deps)")
	else
		it(sentence, function ()
			local folder = process.scratch "pkgconfig"
			assert(lfs.mkdir(folder))
			files.write(folder .. "/openssl.pc", table.concat({
				"Name: OpenSSL", "Description: another one", "Version: 3.5.0",
				"Cflags: -I/other/include", "Libs: -L/other/lib -lssl -lcrypto", "",
			}, "\n"))
			local line = compiler("PKG_CONFIG_PATH=" .. folder, "make", "-n", "core",
				"OPENSSL_INCDIR=/found/include", "OPENSSL_LIBDIR=/found/lib")
			assert.matches("%-isystem /other/include %-isystem /found/include", line)
			assert.matches("%-L/other/lib %-lssl %-lcrypto +%-L/found/lib", line)
		end)
	end

	it("takes OpenSSL from the compiler's directories without pkg-config", function ()
		assert.matches(" %-lssl %-lcrypto *\n", compiler("make", "-n", "core", "PKG_CONFIG=/nonexistent"))
	end)
end)

describe("make deps", function ()
	it("installs the packages that README.md lists", function ()
		local packages = process.check { "make", "-s", "LUA_VERSION=5.4", "--eval=packages: ; @echo $(PACKAGES)", "packages" }
		assert.truthy(files.read "README.md":find("\n    apt install " .. packages, 1, true), packages)
	end)
end)
