-- doc/servers.md agrees with what the adapters declare.
local clauses = require "xmpp_tls_policy.policy.clauses"
local commands = require "xmpp_tls_policy.commands"
local contract = require "xmpp_tls_policy.servers.contract"
local files = require "support.files"

local function lacks_of(folder)
	return require(("xmpp_tls_policy.servers.%s.lacks"):format(folder))
end

local function sorted(names)
	table.sort(names)
	return names
end

local clause_ids, command_names = {}, {}
for id in pairs(clauses) do
	clause_ids[#clause_ids + 1] = id
end
for _, command in ipairs(commands.list) do
	command_names[#command_names + 1] = command.name
end

describe("doc/servers.md", function ()
	it("has the table of servers as the adapters declare it", function ()
		local page = assert(files.read "doc/servers.md")
		local from = select(2, page:find("<!-- servers -->\n", 1, true))
		local to = page:find("<!-- end of servers -->", 1, true)
		local expected = contract.documentation(sorted(clause_ids), sorted(command_names), lacks_of)
		if os.getenv "UPDATE_GOLDEN" == "1" then
			files.write("doc/servers.md", page:sub(1, from) .. expected .. page:sub(to))
		else
			assert.equal(expected, page:sub(from + 1, to - 1))
		end
	end)
end)

describe("what an adapter declares missing", function ()
	local known = {}
	for _, id in ipairs(clause_ids) do
		known[id] = true
	end
	for _, name in ipairs(command_names) do
		known["command " .. name] = true
	end
	for name in pairs(contract.parts) do
		known[name] = true
	end

	for _, server in ipairs(contract.servers) do
		it("is a clause, a command or a part that there is: " .. server.folder, function ()
			for name, reason in pairs(lacks_of(server.folder)) do
				assert.is_true(known[name], name)
				assert.is_string(reason)
			end
		end)
	end
end)
