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

describe("the core's headers", function ()
	local OPENSSL = "xmpp-tls-policy needs OpenSSL 3.0 or newer"

	-- Reads a header of ours with headers of such versions in place of all others. Returns the messages of
	-- the compiler and its exit status.
	local function read(header, openssl, lua_number)
		local folder = process.scratch "headers"
		assert(lfs.mkdir(folder))
		assert(lfs.mkdir(folder .. "/openssl"))
		files.write(folder .. "/openssl/opensslv.h", openssl .. "\n")
		files.write(folder .. "/lua.h", ("#define LUA_VERSION_NUM %d\n"):format(lua_number))
		files.write(folder .. "/lauxlib.h", "")
		return process.run { "sh", "-c", 'LC_ALL=C cc -E -nostdinc -I "$0" "$1" 2>&1 >/dev/null', folder, header }
	end

	local function refuses(message, openssl, lua_number)
		local output = read("c/compat.h", openssl, lua_number)
		local _, count = output:gsub("error: ", "")
		assert.equal(1, count, output)
		-- Files of the core start with internal.h, which includes others too.
		assert.equal(('#error "%s"'):format(message),
			read("c/internal.h", openssl, lua_number):match "error: ([^\n]*)")
	end

	for _, case in ipairs {
		{ "LibreSSL", "#define LIBRESSL_VERSION_NUMBER 0x4020000fL\n#define OPENSSL_VERSION_NUMBER 0x20000000L",
			OPENSSL .. ", and these are the headers of LibreSSL" },
		{ "BoringSSL", "#define OPENSSL_IS_BORINGSSL\n#define OPENSSL_VERSION_NUMBER 0x1010107f",
			OPENSSL .. ", and these are the headers of BoringSSL" },
		{ "AWS-LC", "#define OPENSSL_IS_AWSLC\n#define OPENSSL_VERSION_NUMBER 0x1010107f",
			OPENSSL .. ", and these are the headers of AWS-LC" },
		-- A fork is named whichever version of OpenSSL it claims.
		{ "a fork of a new version", "#define OPENSSL_IS_BORINGSSL\n#define OPENSSL_VERSION_NUMBER 0x30500000L",
			OPENSSL .. ", and these are the headers of BoringSSL" },
		{ "OpenSSL 1.1", "#define OPENSSL_VERSION_NUMBER 0x101010ffL", OPENSSL },
	} do
		it("refuse " .. case[1] .. " with one message", function ()
			refuses(case[3], case[2], 504)
		end)
	end

	for _, number in ipairs { 500, 506 } do
		it("refuse a Lua of version number " .. number, function ()
			refuses("xmpp-tls-policy needs Lua 5.1 to 5.5", "#define OPENSSL_VERSION_NUMBER 0x30000000L", number)
		end)
	end

	it("take OpenSSL 3.0 to 4.0 and Lua 5.1 to 5.5", function ()
		for _, openssl in ipairs { "0x30000000L", "0x30500000L", "0x40000000L" } do
			for _, number in ipairs { 501, 502, 503, 504, 505 } do
				local output, status = read("c/compat.h", "#define OPENSSL_VERSION_NUMBER " .. openssl, number)
				assert.equal(0, status, output)
			end
		end
	end)
end)

describe("make deps", function ()
	it("installs the packages that README.md lists", function ()
		local packages = process.check {
			"make", "-s", "--no-print-directory", "LUA_VERSION=5.4", "--eval=packages: ; @echo $(PACKAGES)", "packages",
		}
		assert.truthy(files.read "README.md":find("\n    apt install " .. packages, 1, true), packages)
	end)
end)
