-- Which libraries the core works with, and which Lua files.
local core = require "xmpp_tls_policy.core"
local files = require "support.files"
local lfs = require "lfs"
local other_openssl = require "support.other_openssl"
local process = require "support.process"

-- The functions of the core's modules and objects, by name.
local function interface()
	local names = {}
	local function add(prefix, value)
		names[#names + 1] = prefix
		for name, inner in pairs(type(value) == "table" and value or {}) do
			if type(name) == "string" and not name:find "^__" then
				add(prefix .. "." .. name, inner)
			end
		end
	end
	add("core", core)
	for name, value in pairs(debug.getregistry()) do
		if type(value) == "table" and type(name) == "string" and name:find "^xmpp_tls_policy%.%u" then
			add(name, value.__index)
		end
	end
	table.sort(names)
	return table.concat(names, "\n") .. "\n"
end

describe("the core", function ()
	local interpreter, core_path

	-- As package.searchpath, which Lua 5.1 does not have.
	local function path_of(name)
		for template in package.cpath:gmatch "[^;]+" do
			local path = template:gsub("%?", (name:gsub("%.", "/")))
			if lfs.attributes(path) then
				return path:find "^/" and path or lfs.currentdir() .. "/" .. path
			end
		end
	end

	setup(function ()
		interpreter = lfs.symlinkattributes("/proc/self/exe").target
		core_path = assert(path_of "xmpp_tls_policy.core")
	end)

	-- The output of Lua code in an interpreter of its own with these variables.
	local function run(environment, code)
		local words = { "env", "LUA_CPATH=" .. core_path:gsub("xmpp_tls_policy/core.so$", "?.so;;") }
		for name, value in pairs(environment) do
			words[#words + 1] = name .. "=" .. value
		end
		for _, word in ipairs { interpreter, "-e", code } do
			words[#words + 1] = word
		end
		return process.check(words)
	end

	local load = 'print(pcall(require, "xmpp_tls_policy.core"))'

	local major = tonumber(core.compiled_for:match "^OpenSSL (%d+)%.")
	local next_major = ("%d.0.0"):format(major + 1)

	for words, number in pairs { ["1.1.1w"] = "0x1010117f", [next_major] = ("0x%d0000000"):format(major + 1) } do
		it("does not load with OpenSSL " .. words, function ()
			local output = run({ LD_PRELOAD = other_openssl.saying(number, words) }, load)
			assert.matches("^false.*compiled for OpenSSL " .. major, output)
			assert.matches("OpenSSL here is " .. words .. "; only a newer one of the same major version", output)
		end)
	end

	it("loads with a newer minor version of OpenSSL, and says for which it was compiled", function ()
		local newer = ("%d.15.0"):format(major)
		local output = run({ LD_PRELOAD = other_openssl.saying(("0x%d0F00000"):format(major), newer) },
			'local core = require "xmpp_tls_policy.core" print(core.openssl, core.compiled_for)')
		assert.equal("OpenSSL " .. newer .. " 1 Jan 2030\t" .. core.compiled_for .. "\n", output)
	end)

	it("takes no context of another libssl's, even of the same version", function ()
		local directory = process.scratch "other"
		assert(lfs.mkdir(directory))
		assert(lfs.mkdir(directory .. "/xmpp_tls_policy"))
		local libraries = other_openssl.with_own_libssl(core_path, directory .. "/xmpp_tls_policy/core.so")
		local code = 'print(require "xmpp_tls_policy.core".context.adopt(require "ssl".newcontext '
			.. '{ mode = "server", protocol = "any" }))'
		assert.matches("^Context", run({}, code))
		local output = run({ LD_LIBRARY_PATH = libraries, LUA_CPATH = directory .. "/?.so;;" }, code)
		assert.matches("^nil\tLuaSec uses another OpenSSL than the core: %S+/libssl.so.%d instead of %S+/libssl.so.x\t"
			.. "unsupported\n$", output)
	end)

	it("is refused by Lua files of another version", function ()
		local own = core.interface
		finally(function ()
			core.interface = own
			package.loaded["xmpp_tls_policy"] = nil
		end)
		for words, number in pairs { [("version %d"):format(own + 1)] = own + 1, ["older than version numbers"] = false } do
			core.interface = number or nil
			package.loaded["xmpp_tls_policy"] = nil
			local loaded, message = pcall(require, "xmpp_tls_policy")
			assert.is_false(loaded)
			assert.matches(("for version %d of its core, and the core is %s"):format(own, words), message)
		end
	end)

	it("has the functions of its version: with other functions it is another version", function ()
		local path = ("spec/unit/golden/core-%d.txt"):format(core.interface)
		local golden = files.read(path)
		if os.getenv "UPDATE_GOLDEN" == "1" then
			golden = interface()
			files.write(path, golden)
		end
		assert.equal(golden, interface(), "raise CORE_INTERFACE and the number in init.lua, then UPDATE_GOLDEN=1 make unit")
	end)
end)
