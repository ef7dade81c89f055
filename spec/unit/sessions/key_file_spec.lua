local core = require "xmpp_tls_policy.core"
local files = require "support.files"
local key_file = require "xmpp_tls_policy.sessions.key_file"
local lfs = require "lfs"
local pki = require "support.pki"
local process = require "support.process"
local run = require "support.command_run"

local ONE, OTHER = ("0123456789abcdef"):rep(4), ("FEDCBA9876543210"):rep(8)

local function id_of(digits)
	local bytes = digits:gsub("..", function (pair) return string.char(tonumber(pair, 16)) end)
	return core.session_store_trial.sharing_keys({ bytes }):ids()[1]
end

describe("a key file", function ()
	teardown(pki.remove)

	local function file_with(contents, mode)
		local path = pki.write(contents, ".keys")
		process.check { "chmod", mode or "0600", path }
		return path
	end

	-- Makes one in another process, after a command of the shell. Returns the ID or the message.
	local function make_after(command, path)
		local script = ('(%s; LUA_PATH="$1" LUA_CPATH="$2" "$3" -e "$4") | cat'):format(command)
		return (process.check { "bash", "-c", script, "bash", "./lua/?.lua;./lua/?/init.lua;;", package.cpath,
			lfs.symlinkattributes("/proc/self/exe").target,
			('local id, message = require "xmpp_tls_policy.sessions.key_file".make(%q) print(id or message)'):format(path),
		}:gsub("\n$", ""))
	end

	---- making one

	it("is made with a key that is new each time, for its owner alone", function ()
		local seen = {}
		for _ = 1, 3 do
			local path = pki.path ".keys"
			local status, output, warned = run("new-key", path)
			assert.same({ 0, "" }, { status, warned })
			assert.equal("rw-------", lfs.attributes(path, "permissions"))
			local id = id_of(files.read(path):match "\n(%x+)\n$")
			assert.same({ id }, assert(key_file.read(path)):ids())
			assert.is_nil(seen[id])
			seen[id] = true
			assert.equal(("%s has the new key %s.\n"):format(path, id), output)
			assert.matches(("^# Key %s of shared sessions%%. Keep it secret%%.\n%s\n$"):format(id, ("%x"):rep(64)),
				files.read(path))
		end
	end)

	it("is for its owner alone under any umask", function ()
		local path = pki.path ".keys"
		make_after("umask 000", path)
		assert.equal("rw-------", lfs.attributes(path, "permissions"))
	end)

	it("is never overwritten, whether it is a file, a link or a folder", function ()
		local path = file_with "precious"
		local link, dangling = pki.path ".keys", pki.path ".keys"
		assert(lfs.link(path, link, true))
		assert(lfs.link(pki.path ".missing", dangling, true))
		for _, taken in ipairs { path, link, dangling, "spec" } do
			assert.same({ 1, "", taken .. " is there already, and stays as it is. Name a new file" }, { run("new-key", taken) })
		end
		assert.equal("precious", files.read(path))
	end)

	it("cannot be made in a folder that there is not", function ()
		assert.same({ 1, "", "/none/file: No such file or directory" }, { run("new-key", "/none/file") })
	end)

	it("leaves nothing behind if it cannot be written", function ()
		local path = pki.path ".keys"
		assert.equal(path .. ": File too large", make_after("trap '' XFSZ; ulimit -f 0", path))
		assert.is_nil(lfs.attributes(path))
	end)

	---- reading one

	it("has one or two keys, the one that seals first", function ()
		for contents, expected in pairs {
			[ONE .. "\n"] = { ONE },
			[ONE] = { ONE },
			["# a comment\n\n  " .. ONE .. "  \r\n"] = { ONE },
			[OTHER .. "\n" .. ONE .. "\n"] = { OTHER, ONE },
			[ONE .. "\n# the old one\n" .. OTHER .. "\n"] = { ONE, OTHER },
		} do
			local ids = {}
			for index, digits in ipairs(expected) do
				ids[index] = id_of(digits)
			end
			assert.same(ids, assert(key_file.read(file_with(contents))):ids())
		end
	end)

	local form = "%s: %s. A line for each key, as xmpp-tls-policy new-key makes one"

	for what, case in pairs {
		["nothing"] = { "", "it has no key" },
		["comments alone"] = { "# " .. ONE, "it has no key" },
		["31 bytes"] = { ("0b"):rep(31), "line 1 has 62 hexadecimal digits, and a key has 64 to 128" },
		["half a byte more"] = { ONE .. "0", "line 1 has 65 hexadecimal digits, and a key has 64 to 128" },
		["65 bytes"] = { ("0b"):rep(65), "line 1 has 130 hexadecimal digits, and a key has 64 to 128" },
		["a short second key"] = { ONE .. "\nabcd", "line 2 has 4 hexadecimal digits, and a key has 64 to 128" },
		["other characters"] = { "\n" .. ONE:sub(1, -2) .. "g", "line 2 has other characters than hexadecimal digits" },
		["32 bytes as they are"] = { ("\1\2"):rep(16), "line 1 has other characters than hexadecimal digits" },
		["zeros"] = { ("0"):rep(64), "line 1 is no random key" },
		["one key twice"] = { ONE .. "\n" .. ONE:upper(), "both of its keys are the same" },
		["three keys"] = { ONE .. "\n" .. OTHER .. "\n" .. ("0a1b"):rep(16), "it has 3 keys, and one or two are right" },
	} do
		it("is refused with " .. what, function ()
			local path = file_with(case[1])
			assert.same({ nil, form:format(path, case[2]) }, { key_file.read(path) })
		end)
	end

	it("is refused if others than its owner can use it", function ()
		for _, mode in ipairs { "0640", "0620", "0610", "0604", "0602", "0601", "0660", "0666", "0777", "0440" } do
			local path = file_with(ONE, mode)
			assert.same({ nil, ("%s has the mode %s, so that others than its owner can use it. Make it 0600 (chmod 600 %s), "
				.. "and a new key if somebody may have read it"):format(path, mode, path) }, { key_file.read(path) })
		end
		for _, mode in ipairs { "0600", "0400", "0700" } do
			assert.is_userdata(key_file.read(file_with(ONE, mode)))
		end
	end)

	it("is refused if it belongs to another user than the server's and root", function ()
		local path, user = file_with(ONE), tonumber((process.check { "id", "-u" }))
		if user ~= 0 then
			return pending "only root can give a file away"
		end
		assert.is_userdata(key_file.read(path))
		process.check { "chown", "1001", path }
		assert.same({ nil, path .. " belongs to the user 1001, and the server runs as 0. Give it to the server's user, or "
			.. "to root" }, { key_file.read(path) })
	end)

	it("is refused if it is missing, no file, or too long", function ()
		local path = pki.path ".missing"
		assert.same({ nil, ("%s is missing. Make it with: xmpp-tls-policy new-key %s"):format(path, path) },
			{ key_file.read(path) })
		assert.same({ nil, "spec: no regular file. The server's user has to be able to read it" }, { key_file.read "spec" })
		path = file_with((ONE .. "\n"):rep(64))
		assert.same({ nil, path .. ": more than 4096 bytes. The server's user has to be able to read it" },
			{ key_file.read(path) })
	end)

	it("that is a pipe does not stop the reader", function ()
		local path = pki.path ".fifo"
		process.check { "mkfifo", "-m", "600", path }
		assert.same({ nil, path .. ": no regular file. The server's user has to be able to read it" },
			{ key_file.read(path) })
	end)

	it("has the owner and the permissions of the file that a link leads to", function ()
		local link = pki.path ".keys"
		assert(lfs.link(file_with(ONE, "0644"), link, true))
		assert.matches("has the mode 0644", select(2, key_file.read(link)))
	end)

	it("is read into memory that is locked and in no core dump", function ()
		local path, is_locked = file_with(ONE .. "\n" .. OTHER), nil
		-- KiB of this process that are not dumped (dd), and locked (lo) if the limit allows it.
		local function protected()
			local sum = 0
			for size, flags in files.read("/proc/self/smaps"):gmatch "\nSize:%s+(%d+) kB\n.-\nVmFlags:([^\n]*)" do
				sum = sum + (flags:find " dd" and (is_locked == false or flags:find " lo") and tonumber(size) or 0)
			end
			return sum
		end
		-- Keys of other specs would be collected in between.
		collectgarbage()
		collectgarbage()
		local keys = assert(key_file.read(path))
		is_locked = keys:locked()
		local with_keys = protected()
		keys:close()
		assert.equal(4, with_keys - protected())
		assert.error_matches(function () keys:ids() end, "keys are closed")
	end)
end)
