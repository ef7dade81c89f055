local exceptions = require "xmpp_tls_policy.policy.exceptions"
local exceptions_file = require "xmpp_tls_policy.policy.exceptions_file"
local files = require "support.files"
local json = require "dkjson"
local lfs = require "lfs"
local pki = require "support.pki"

describe("a file with exceptions", function ()
	teardown(pki.remove)

	-- `contents`: text, nil for no file, or a function that makes it.
	local function read(name, contents, decode)
		local path = pki.path(name)
		if type(contents) == "function" then
			assert(contents(path))
		elseif contents then
			files.write(path, contents)
		end
		return exceptions_file.read(path, decode or json.decode), path
	end

	local expected = { ["old.example"] = { level = "must", expires = "2099-01-01", reason = "old" } }

	it("has an absolute path that ends in .json or .lua", function ()
		for _, path in ipairs { "/a.json", "/etc/x/a.b.lua" } do
			assert.is_true(exceptions_file.is_path(path))
		end
		for _, value in ipairs {
			"a.json", "./a.lua", "/a", "/a.txt", "/json", "/a.json\n", "/a.json ", "/a\0.json", "", 1, {},
		} do
			assert.is_false(exceptions_file.is_path(value))
		end
		assert.is_false(exceptions_file.is_path(nil))
	end)

	it("is JSON or a Lua table", function ()
		for name, contents in pairs {
			["a.json"] = '{ "old.example": { "level": "must", "expires": "2099-01-01", "reason": "old" } }',
			["a.lua"] = 'return { ["old.example"] = { level = "must", expires = "2099-01-01", reason = "old" } }',
			-- A byte order mark, as some editors write it.
			["b.json"] = '\239\187\191{"old.example":{"level":"must","expires":"2099-01-01","reason":"old"}}',
			["b.lua"] = '\239\187\191{ ["old.example"] = { level = "must", expires = "2099-01-01", reason = "old" } }',
		} do
			local value = read(name, contents)
			assert.same(expected, value)
			assert.is_nil(exceptions_file.problem(value))
			assert.is_false(exceptions_file.is_unopened(value))
			local errors = {}
			assert.same(expected, exceptions.validate(value, "xmpp_tls_policy.exceptions", errors))
			assert.same({}, errors)
		end
	end)

	for what, case in pairs {
		["is not there"] = { "missing.json", nil, "missing.json: No such file or directory" },
		["is a directory"] = { "folder.lua", lfs.mkdir, "folder.lua: Is a directory" },
		["is no JSON"] = { "b.json", "{", "b.json: no JSON object: " },
		["is a JSON string"] = { "b.json", '"x"', "b.json: no JSON object, which begins with {$" },
		["is a JSON list"] = { "b.json", '[{}]', "b.json: no JSON object, which begins with {$" },
		["is null"] = { "b.json", "null", "b.json: no JSON object, which begins with {$" },
		["is empty"] = { "b.json", "", "b.json: the file is empty$" },
		["is an empty Lua file"] = { "b.lua", " \n", "b.lua: the file is empty$" },
		["is no Lua table"] = { "b.lua", "{\n{", "b.lua: line 2: a field is expected" },
		["is too long"] = { "b.lua", "{}" .. (" "):rep(256 * 1024), "b.lua: longer than 256 KiB" },
		["does not please its decoder"] = { "b.json", "{}", "b.json: no JSON object: .*too deep",
			function () error "too deep" end },
	} do
		it("is refused as a whole where it " .. what, function ()
			local value = read(case[1], case[2], case[4])
			assert.matches(case[3], exceptions_file.problem(value))
			local is_unopened = case[2] == nil or case[2] == lfs.mkdir
			assert.equal(is_unopened, exceptions_file.is_unopened(value))
			local errors = {}
			assert.is_nil(exceptions.validate(value, "xmpp_tls_policy.exceptions", errors))
			assert.equal(1, #errors)
			assert.equal("exceptions", errors[1].option)
			assert.matches("^xmpp_tls_policy.exceptions cannot be read: /.*" .. case[3], errors[1].message)
		end)
	end

	it("names the accounts of a network in both formats", function ()
		local of_network = { ["10.0.0.0/8"] = { level = "must", accounts = { "a@b.test", "c@b.test" },
			expires = "2099-01-01", reason = "old" } }
		assert.same(of_network, read("a.json", json.encode(of_network)))
		assert.same(of_network, read("a.lua", 'return { ["10.0.0.0/8"] = { level = "must", expires = "2099-01-01",'
			.. ' reason = "old", accounts = { "a@b.test", "c@b.test" } } }'))
	end)

	it("may have up to 256 KiB", function ()
		assert.same({}, read("c.lua", "{}" .. (" "):rep(256 * 1024 - 2)))
	end)
end)
