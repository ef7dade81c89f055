--- Exceptions from a file, which a reload reads again: formats, broken files, and a host's own file.
local date = require "xmpp_tls_policy.date"
local files = require "support.files"
local pki = require "support.pki"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

-- Allowed at level "must", refused at "should".
local old_tls = { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES128-SHA" }

describe("a file with exceptions", function ()
	local server, paths
	local last_day = date.of(os.time() + 100 * date.DAY)

	local json_text = ('{ "127.0.0.9/32": { "level": "must", "expires": "%s", "reason": "old phones" } }'):format(last_day)
	local lua_text = ([[
-- Written by a program.
return {
	["127.0.0.8/32"] = { level = "must", accounts = { "juliet@two.test" }, expires = "%s", reason = "old phones" },
}
]]):format(last_day)

	setup(function ()
		local authority = pki.authority()
		local certificate = authority:issue { names = { "one.test", "two.test" }, key = "rsa2048" }
		paths = { json = pki.path ".json", lua = pki.path ".lua" }
		files.write(paths.json, "{ broken")
		server = prosody.start {
			hosts = {
				["one.test"] = certificate,
				["two.test"] = { certificate = certificate.certificate, key = certificate.key,
					options = { xmpp_tls_policy = { exceptions = paths.lua } } },
			},
			ca = authority.certificate, routes = {}, with_policy = true, policy = { exceptions = paths.json },
		}
	end)

	teardown(function ()
		if server then
			server:stop()
		end
		pki.remove()
	end)

	-- Which of the two clients each host accepts: a list of hosts and last bytes of addresses.
	local function accepted()
		local list = {}
		for _, host in ipairs { "one.test", "two.test" } do
			for _, last in ipairs { 8, 9 } do
				local client = xmpp.open(server:target("c2s", host), { tls = old_tls, address = "127.0.0." .. last })
				if client then
					list[#list + 1] = ("%s %d"):format(host, last)
					client:close()
				end
			end
		end
		return list
	end

	local function reload(contents)
		for kind, text in pairs(contents) do
			if text == "" then
				assert(os.remove(paths[kind]))
			else
				files.write(paths[kind], text)
			end
		end
		return server:reload()
	end

	it("has no exceptions where it is broken at the start, and the rest stays strict", function ()
		local log = server:log()
		assert.matches("error%s+configuration: xmpp_tls_policy.exceptions cannot be read: [^\n]*%.json: no JSON object"
			.. "[^\n]*; in force: no exceptions", log)
		assert.matches("error%s+two.test: xmpp_tls_policy.exceptions cannot be read: [^\n]*%.lua: No such file or directory",
			log)
		assert.same({}, accepted())
		local client = assert(xmpp.open(server:target("c2s", "one.test"), { tls = { protocol = "any" } }))
		client:close()
	end)

	it("is read again by a reload", function ()
		assert.is_nil((reload { json = json_text, lua = lua_text }:match "error[^\n]*exceptions"))
		assert.same({ "one.test 9", "two.test 8" }, accepted())
		reload { json = json_text:gsub("0%.9/32", "0.8/32") }
		assert.same({ "one.test 8", "two.test 8" }, accepted())
		reload { json = "{}" }
		assert.same({ "two.test 8" }, accepted())
	end)

	for what, contents in pairs {
		["is broken"] = { json = "{ broken", lua = "return {" },
		["is not there"] = { json = "", lua = "" },
		["is too long"] = { json = "{" .. (" "):rep(256 * 1024) .. "}", lua = "{" .. (" "):rep(256 * 1024) .. "}" },
		["has a wrong exception"] = { json = json_text:gsub("must", "none"), lua = lua_text:gsub("must", "none") },
		["has code"] = { json = "os.exit()", lua = "os.exit()" },
	} do
		it("leaves the exceptions in force where it " .. what .. " at a reload", function ()
			reload { json = json_text, lua = lua_text }
			local log = reload(contents)
			assert.matches("error%s+configuration: [^\n]*; in force: the exceptions of before", log)
			assert.matches("error%s+two.test: [^\n]*; in force: the exceptions of before", log)
			assert.same({ "one.test 9", "two.test 8" }, accepted())
		end)
	end
end)
