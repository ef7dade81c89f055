local files = require "support.files"
local lfs = require "lfs"
local output_file = require "xmpp_tls_policy.command_line.output_file"
local pki = require "support.pki"
local run = require "support.command_run"

describe("the file of a result", function ()
	teardown(pki.remove)

	it("is written, and written again, without a trace of another", function ()
		local path = pki.path ".txt"
		for _, contents in ipairs { "first", "second" } do
			assert.is_true(assert(output_file.new(path)):write(contents))
			assert.equal(contents, files.read(path))
			assert.is_nil(lfs.attributes(path .. ".new"))
		end
	end)

	it("stays as it was until the result is there", function ()
		local path = pki.write("old", ".txt")
		assert(output_file.new(path))
		assert.equal("old", files.read(path))
		assert.is_nil(lfs.attributes(path .. ".new"))
	end)

	it("may be a device, which stays one", function ()
		assert.is_true(assert(output_file.new "/dev/null"):write "text")
		assert.equal("char device", lfs.attributes("/dev/null", "mode"))
		assert.same({ nil, "/dev/full: No space left on device" }, { assert(output_file.new "/dev/full"):write "text" })
	end)

	it("is refused if it is a folder, or in none", function ()
		assert.same({ nil, "spec: Is a directory" }, { output_file.new "spec" })
		assert.same({ nil, "/none/file.new: No such file or directory" }, { output_file.new "/none/file" })
	end)

	it("is looked at before the audit", function ()
		assert.same({ 64, "", "spec: Is a directory" }, { run("audit", "a.test", "--resolver", "ns", "--output", "spec") })
	end)

	it("says that it could not be written after the audit", function ()
		assert.same({ 74, "", "/dev/full: No space left on device" },
			{ run("audit", "a.test", "--connect", "127.0.0.1:1", "--service", "c2s", "--output", "/dev/full") })
	end)
end)
