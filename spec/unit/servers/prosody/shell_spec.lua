-- The section `tlspolicy` of Prosody's shell: how it is added and removed, and how it prints.
local NAME = "xmpp_tls_policy.servers.prosody.shell"
local MARK_OF_13 = "prosody.util.stanza"

-- The module as each release of Prosody loads it.
local function load_for(release)
	package.loaded[NAME] = nil
	package.preload[MARK_OF_13] = release == 13 and function ()
		return {}
	end or nil
	local shell = require(NAME)
	package.loaded[NAME], package.loaded[MARK_OF_13], package.preload[MARK_OF_13] = nil, nil, nil
	return shell
end

-- What the shell uses of the API of modules.
local function new_module()
	local module = { items = {}, hooks = {}, shared_tables = {} }
	function module:shared(path)
		self.shared_tables[path] = self.shared_tables[path] or {}
		return self.shared_tables[path]
	end
	function module:hook(event, handler)
		self.hooks[event] = handler
	end
	function module:add_item(kind, item)
		table.insert(self.items, { kind, item })
	end
	return module
end

-- A session of the shell. Prosody 13 can print without a line break at the end, by `write`.
local function new_session(release)
	local session = { printed = {}, text = "" }
	function session.print(text)
		table.insert(session.printed, text)
		session.text = session.text .. text .. "\n"
	end
	session.write = release == 13 and function (text)
		table.insert(session.printed, text)
		session.text = session.text .. text
	end or nil
	return session
end

local function size_in_xml(text)
	local escapes = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ["'"] = "&apos;", ['"'] = "&quot;" }
	return #text:gsub("[&<>'\"]", escapes)
end

describe("the section of the shell", function ()
	local service = { server = require "support.command_service".server {} }
	local lines, given

	local list = {
		{
			name = "list", argument = "filter", help = "List things",
			data = function ()
				return { fine = true }
			end,
			show = function (out, _, filter)
				given = filter
				for _, line in ipairs(lines) do
					out:print("%s", line)
				end
				if filter == "fail" then
					return nil, "it failed"
				end
				return true, "done"
			end,
		},
		{ name = "act", argument = "one", needs_argument = true, further = "two", help = "Act" },
		{ name = "plain", help = "Take no argument" },
	}

	before_each(function ()
		lines, given = { "one", "two" }, nil
	end)

	-- The handlers by name, as a shell of the release finds them, for a session of it.
	local function added(release)
		local module, session = new_module(), new_session(release)
		local remove = load_for(release).add(module, list, service)
		local handlers = {}
		if release == 13 then
			for _, item in ipairs(module.items) do
				handlers[item[2].name] = item[2].handler
			end
		else
			for name, handler in pairs(module:shared "/*/admin_shell/env".tlspolicy) do
				handlers[name] = handler
			end
		end
		return function (name, ...)
			return handlers[name]({ session = session }, ...)
		end, session, module, remove
	end

	for _, release in ipairs { 12, 13 } do
		describe(release == 12 and "of Prosody 0.12" or "of Prosody 13", function ()
			it("runs commands", function ()
				local call, session = added(release)
				assert.same({ true, "done" }, { call("list", "x") })
				assert.same({ "one\ntwo\n", "x" }, { session.text, given })
				assert.same({ nil, "it failed" }, { call("list", "fail") })
				assert.same({ true, "3 lines of JSON" }, { call("list", "json") })
				assert.same({ nil, [[list takes one argument (filter), then "width=80" or "json"]] }, { call("list", "a", "b") })
			end)

			it("prints many lines at a time, and all of them", function ()
				lines = {}
				for number = 1, 5000 do
					lines[number] = ("line %d"):format(number)
				end
				local call, session = added(release)
				assert.is_true((call "list"))
				assert.equal(table.concat(lines, "\n") .. "\n", session.text)
				assert.is_true(#session.printed < 30, #session.printed)
			end)

			it("prints lines of any length and any characters", function ()
				lines = { "short", ("\""):rep(30000), "\226\130\172" .. ("<\195\188>"):rep(5000), "", ("x"):rep(8999) }
				local call, session = added(release)
				assert.is_true((call "list"))
				assert.equal(table.concat(lines, "\n") .. "\n", session.text)
				for _, text in ipairs(session.printed) do
					-- Prosody 13 passes on no element of 10,000 bytes.
					assert.is_true(release == 12 or size_in_xml(text) < 9500, size_in_xml(text))
					-- No character is cut in two.
					assert.is_nil(text:find "^[\128-\191]")
				end
			end)
		end)
	end

	it("takes 132 columns where the shell does not say how many there are", function ()
		local widths = {}
		local wide = { {
			name = "list", help = "List",
			show = function (out)
				out:table({ "One" }, { { ("w"):rep(500) } })
				return true
			end,
		} }
		for index, width in ipairs { false, 80 } do
			local module, session = new_module(), new_session(12)
			session.width = width or nil
			load_for(12).add(module, wide, service)
			module:shared "/*/admin_shell/env".tlspolicy.list { session = session }
			widths[index] = #session.text:match "\n(w+)" + 1
		end
		assert.same({ 132, 80 }, widths)
	end)

	it("has arguments with names on Prosody 13", function ()
		local _, _, module = added(13)
		local found = {}
		for _, item in ipairs(module.items) do
			assert.equal("shell-command", item[1])
			assert.equal("tlspolicy", item[2].section)
			local names = {}
			for index, argument in ipairs(item[2].args) do
				assert.equal("string", argument.type)
				names[index] = argument.name
			end
			found[item[2].name] = { item[2].desc, table.concat(names, " ") }
		end
		assert.same({
			list = { "List things", "filter format" }, act = { "Act", "one two format" },
			plain = { "Take no argument", "format" },
		}, found)
	end)

	describe("in the help of Prosody 0.12", function ()
		local shared, module, remove, asked

		local function help(session, line)
			table.insert(asked, line)
			session.print "help of the server"
		end

		before_each(function ()
			asked, module = {}, new_module()
			shared = module:shared "/*/admin_shell/commands"
			shared.help = help
			remove = load_for(12).add(module, list, service)
		end)

		local function ask(line)
			local session = new_session(12)
			shared.help(session, line)
			return session.text
		end

		it("is listed, with its commands", function ()
			assert.matches("^help of the server\ntlspolicy | The TLS policy: [^\n]+\n$", ask "help")
			local text = ask "help tlspolicy"
			for _, line in ipairs {
				"tlspolicy:list(filter) - List things", "tlspolicy:act(one, two) - Act", "tlspolicy:plain() - Take no argument",
				"Arguments are in quotation marks, and can be left out, except the first of act.",
			} do
				assert.truthy(("\n" .. text):find("\n" .. line .. "\n", 1, true), line)
			end
			assert.same({ "help" }, asked)
			assert.equal("help of the server\n", ask "help c2s")
		end)

		it("is there again after the shell's module was loaded again", function ()
			shared.help = help
			module.hooks["module-loaded"] { module = "admin_shell" }
			assert.matches("tlspolicy:list", ask "help tlspolicy")
			module.hooks["module-loaded"] { module = "admin_shell" }
			ask "help"
			assert.same({ "help" }, asked)
		end)

		it("goes when it is removed", function ()
			remove()
			assert.equal(help, shared.help)
			assert.is_nil(module:shared "/*/admin_shell/env".tlspolicy)
		end)

		it("leaves entries alone that others have put in its place", function ()
			local other = function () end
			local section = {}
			shared.help, module:shared "/*/admin_shell/env".tlspolicy = other, section
			remove()
			assert.equal(other, shared.help)
			assert.equal(section, module:shared "/*/admin_shell/env".tlspolicy)
		end)
	end)
end)
