-- Prosody's own modules are not there in unit specs: a digest that is good enough to tell keys apart.
package.loaded["util.hashes"] = package.loaded["util.hashes"] or {
	sha256 = function (text)
		local sum = 0
		for index = 1, #text do
			sum = (sum * 31 + text:byte(index)) % 2 ^ 32
		end
		return ("%064x"):format(sum)
	end,
}
local storagemanager = package.loaded["core.storagemanager"] or {}
package.loaded["core.storagemanager"] = storagemanager
local files = require "support.files"
local storage = require "xmpp_tls_policy.servers.prosody.storage"

describe("a store of a host", function ()
	local now, stored, opened, fault, lines, module, stores, store
	local driver_name, path -- of the driver that the configuration names, and of the file for a key

	before_each(function ()
		driver_name, path = "test", "/nowhere"
		storagemanager.get_driver = function (host, name)
			assert.same({ "a.test", "things" }, { host, name })
			return {}, driver_name
		end
		storagemanager.olddm = { getpath = function (key, host, name)
			assert.same({ "b.test", "a.test", "things" }, { key, host, name })
			return path
		end }
		now, stored, opened, fault, lines = 1800000000, {}, 0, nil, {}
		local driver = { remove = {} }
		local function checked(result)
			if fault == "throws" then
				error "injected"
			elseif fault == "fails" then
				return nil, "injected"
			end
			return result
		end
		function driver.get(_, key) return checked(stored[key or ""]) end
		function driver.set(_, key, value)
			stored[key or ""] = checked(true) and value
			return checked(true)
		end
		function driver.set_keys(_, key, fields)
			if checked(true) then
				stored[key or ""] = stored[key or ""] or {}
				for field, value in pairs(fields) do
					stored[key or ""][field] = value ~= driver.remove and value or nil
				end
			end
			return checked(true)
		end
		function driver.users()
			return checked(function (_, key) return (next(stored, key)) end)
		end
		module = { host = "a.test" }
		function module.open_store()
			opened = opened + 1
			if fault == "missing" then
				return nil, "no driver"
			end
			return driver
		end
		function module.log(_, level, format, ...)
			lines[#lines + 1] = level .. " " .. format:format(...)
		end
		stores = storage.new(function () return now end)
		store = stores:open(module, "things", "The things")
	end)

	local function keys()
		local list = {}
		for key in store:keys() do
			list[#list + 1] = key
		end
		table.sort(list)
		return list
	end

	it("keeps tables under keys", function ()
		assert.is_nil(store:get "a.test")
		assert.is_true(store:set("a.test", { x = 1 }))
		assert.same({ x = 1 }, store:get "a.test")
		assert.is_true(store:set("a.test", nil))
		assert.is_nil(store:get "a.test")
	end)

	-- Prosody's own driver reads an empty file as if there were none.
	it("tells an empty file from none, with the driver that has files", function ()
		path = files.temporary_path()
		for _, case in ipairs {
			{ "internal", true, {} }, { "internal", false, nil }, { "sql", true, nil }, { "sql", false, nil },
		} do
			driver_name = case[1]
			if case[2] then
				files.write(path, "")
			end
			assert.same({ case[3] }, { store:get "b.test" })
			os.remove(path)
		end
		assert.same({}, lines)
	end)

	it("keeps keys that are too long for the name of a file", function ()
		local long = { ("x-"):rep(60) .. "a.test", ("x-"):rep(60) .. "b.test" }
		for index, key in ipairs(long) do
			assert.is_true(store:set(key, { index = index }))
		end
		store:set("short.test", { index = 0 })
		assert.equal(2, store:get(long[2]).index)
		assert.same({ "short.test", long[1], long[2] }, keys())
		for key in pairs(stored) do
			assert.is_true(#key:gsub("%W", "%%00") <= 200)
		end
		store:set(long[1], nil)
		assert.same({ "short.test", long[2] }, keys())
	end)

	-- Every method, with each fault; each is said once, and that it works again, too.
	for _, kind in ipairs { "throws", "fails", "missing" } do
		it("never throws, and says once that it fails, and that it works again: " .. kind, function ()
			store:set("a.test", { x = 1 })
			now = now + 60
			fault = kind
			for _ = 1, 3 do
				assert.same({ "nil", "string" }, { type((store:get "a.test")), type((select(2, store:get "a.test"))) })
				assert.same({ "nil", "string" }, { type((store:set("a.test", {}))), type((select(2, store:set("a.test", {})))) })
				assert.same({ "nil", "string" }, { type((store:keys())), type((select(2, store:keys()))) })
			end
			assert.equal(2, #lines)
			assert.matches("^error The things cannot be read: ", lines[1])
			assert.matches("^error The things cannot be stored: ", lines[2])
			now, fault = now + 60, nil
			store:get "a.test"
			store:set("a.test", {})
			assert.same({ "info The things can be read again", "info The things can be stored again" }, { lines[3], lines[4] })
			-- It fails and works in turns: that is not said again for ten minutes.
			fault = kind
			store:get "a.test"
			assert.equal(4, #lines)
		end)
	end

	it("is opened anew after a minute, and when the configuration was loaded", function ()
		for _, step in ipairs { { 0, false, 1 }, { 59, false, 1 }, { 1, false, 2 }, { 0, true, 3 }, { 0, false, 3 } } do
			now = now + step[1]
			if step[2] then
				stores:reopen()
			end
			store:get "a.test"
			assert.equal(step[3], opened)
		end
	end)
end)
