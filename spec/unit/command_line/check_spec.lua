-- The command `check` and the exit statuses of prosodyctl; a script takes its place.
local files = require "support.files"
local process = require "support.process"

describe("the command check", function ()
	local interpreter = require "lfs".symlinkattributes("/proc/self/exe").target
	local directory

	before_each(function ()
		directory = files.temporary_path()
		process.check { "mkdir", directory }
	end)

	after_each(function ()
		process.check { "rm", "-r", directory }
	end)

	-- `rest`: what the script does after the beginning of the check. The result: the output, and the exit status.
	local function run(rest)
		local path = directory .. "/prosodyctl"
		files.write(path, "#!/bin/sh\nfor word; do case $word in --mark=*) echo \"${word#--mark=}\";; esac; done\n" .. rest)
		process.check { "chmod", "700", path }
		return process.run {
			"env", ("PATH=%s:%s"):format(directory, os.getenv "PATH"), "LUA_PATH=./lua/?.lua", interpreter, "-e", [[
				local function print_it(text) io.stdout:write(text, "\n") end
				local function write(text) io.stdout:write(text) end
				local configuration_check = require "xmpp_tls_policy.servers.prosody.configuration_check"
				os.exit(configuration_check.check({}, { write = write, warn = print_it }))
			]],
		}
	end

	for _, status in ipairs { 0, 1, 2 } do
		it("ends as prosodyctl does: " .. status, function ()
			local output, exit = run(("echo found; exit %d"):format(status))
			assert.equal("found\n", output)
			assert.equal(status, exit)
		end)
	end

	for what, rest in pairs { ["is killed"] = "echo found; kill -9 $$", ["ends with another status"] = "exit 3" } do
		it("ends with 2 if prosodyctl " .. what, function ()
			local output, exit = run(rest)
			assert.equal(2, exit)
			assert.matches("the check did not come to its end; prosodyctl ended with the status %d+\n", output)
		end)
	end
end)
