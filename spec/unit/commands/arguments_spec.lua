-- The arguments of commands.
local arguments = require "xmpp_tls_policy.commands.arguments"

local unpack = table.unpack or unpack

local without = { name = "status" }
local with_one = { name = "show", argument = "filter" }
local with_three = { name = "what_if", argument = "profile", further = "level", third = "host" }
local with_two = { name = "accept", argument = "domain", further = "sha256" }

describe("arguments", function ()
	for _, case in ipairs {
		{ without, {}, {} },
		{ without, { "json" }, { json = true } },
		{ without, { "width=80" }, { width = 80 } },
		{ without, { "width=40", "json" }, { width = 40, json = true } },
		{ with_one, {}, {} },
		{ with_one, { "a.test" }, { argument = "a.test" } },
		{ with_one, { "a.test", "json" }, { argument = "a.test", json = true } },
		{ with_one, { "json" }, { json = true } },
		{ with_one, { "json", "json" }, { argument = "json", json = true } },
		{ with_one, { nil, "json", n = 2 }, { json = true } },
		{ with_one, { "a.test", "width=200", "json" }, { argument = "a.test", width = 200, json = true } },
		{ with_two, { "a.test", "ab" }, { argument = "a.test", further = "ab" } },
		{ with_two, { "a.test", "ab", "width=80", "json" },
			{ argument = "a.test", further = "ab", width = 80, json = true } },
		{ with_three, { "p", "must", "a.test", "json" },
			{ argument = "p", further = "must", third = "a.test", json = true } },
		{ with_three, { "p", nil, "a.test", n = 3 }, { argument = "p", third = "a.test" } },
	} do
		local command, given, expected = case[1], case[2], case[3]
		local count, words = given.n or #given, {}
		for index = 1, count do
			words[index] = tostring(given[index])
		end
		it(("of %s are read: %s"):format(command.name, table.concat(words, ", ")), function ()
			assert.same(expected, (assert(arguments.read(command, unpack(given, 1, count)))))
		end)
	end

	for _, case in ipairs {
		{ without, { "a.test" }, [[status takes no argument, then "width=80" or "json"]] },
		{ with_one, { "a", "b" }, [[show takes one argument (filter), then "width=80" or "json"]] },
		{ with_two, { "a", "b", "c" }, [[accept takes two arguments (domain, sha256), then "width=80" or "json"]] },
		{ with_three, { "a", "b", "c", "d" },
			[[what_if takes three arguments (profile, level, host), then "width=80" or "json"]] },
		{ with_one, { "json", "a", "b" }, [[show takes one argument (filter), then "width=80" or "json"]] },
		{ with_one, { "width=80", "a" }, [[show takes one argument (filter), then "width=80" or "json"]] },
		{ with_one, { "width=wide" }, [["wide" is not a width: give a number of at least 40]] },
		{ with_one, { "width=39" }, [["39" is not a width: give a number of at least 40]] },
		{ with_one, { "width=0x80" }, [["0x80" is not a width: give a number of at least 40]] },
		{ with_one, { "width=" }, [["" is not a width: give a number of at least 40]] },
		{ with_one, { 5 }, "5 is not a text in quotation marks" },
		{ with_one, { {} }, "an empty table is not a text in quotation marks" },
		{ with_two, { "a", true }, "true is not a text in quotation marks" },
	} do
		it("that are wrong get the answer: " .. case[3], function ()
			local read, message = arguments.read(case[1], unpack(case[2]))
			assert.is_nil(read)
			assert.equal(case[3], message)
		end)
	end
end)
