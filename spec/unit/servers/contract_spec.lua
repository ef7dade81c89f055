local contract = require "xmpp_tls_policy.servers.contract"
local lfs = require "lfs"

local function read(path)
	local file = assert(io.open(path))
	local text = file:read "*a"
	file:close()
	return text
end

-- Calls visit(path, text without comments) for each file of a folder that ends in .lua.
local function each_file(folder, visit)
	for name in lfs.dir(folder) do
		local path = folder .. "/" .. name
		if name:find "%.lua$" then
			visit(path, (read(path):gsub("%-%-[^\n]*", "")))
		elseif name:sub(1, 1) ~= "." and lfs.attributes(path, "mode") == "directory" then
			each_file(path, visit)
		end
	end
end

describe("the contract of a server's adapter", function ()
	local function complete()
		local adapter = {}
		for name in pairs(contract.functions) do
			adapter[name] = function () end
		end
		return adapter
	end

	it("is kept by an adapter with all functions", function ()
		local adapter = complete()
		adapter.more = true
		assert.same({}, contract.missing(adapter))
		assert.equal(adapter, contract.check(adapter))
	end)

	it("names the functions that an adapter lacks, sorted", function ()
		local adapter = complete()
		adapter.role, adapter.close, adapter.ask = nil, "close", nil
		assert.same({ "ask", "close", "role" }, contract.missing(adapter))
		assert.has_error(function ()
			contract.check(adapter)
		end, "the adapter of this server lacks: ask, close, role")
		for name in pairs(contract.functions) do
			local one = complete()
			one[name] = nil
			assert.same({ name }, contract.missing(one))
		end
	end)

	it("names each function's arguments, and its results or effect", function ()
		for name, text in pairs(contract.functions) do
			assert.matches("^[%l_]+$", name)
			assert.is_truthy(text:find "^%([^)]*%)$" or text:find "^%([^)]*%) %-> ." or text:find "^%([^)]*%): .", name)
		end
	end)

	-- Functions that shared code calls, and the file of each.
	local function called()
		local names = {}
		each_file("lua/xmpp_tls_policy", function (path, text)
			-- The audit looks at servers from outside.
			if path:find("/servers/", 1, true) or path:find("/audit/", 1, true) then
				return
			end
			for name in text:gmatch "%f[%w_]_?server%.([%a_]+)" do
				names[name] = path
			end
		end)
		return names
	end

	it("has every function that shared code calls", function ()
		local names = called()
		assert.truthy(next(names))
		for name, path in pairs(names) do
			assert.is_string(contract.functions[name], ("%s, in %s"):format(name, path))
		end
	end)
end)
