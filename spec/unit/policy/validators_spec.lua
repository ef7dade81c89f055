-- Validators of options; options_spec.lua and exceptions_spec.lua have the messages.
local validators = require "xmpp_tls_policy.policy.validators"

local function faults(validator, value)
	local errors = {}
	validator(value, "top.key", errors)
	return errors
end

describe("a validator", function()
	it("reports the option, a printable value and a message", function()
		assert.are.same({ { option = "key", value = '"\\010"', message = 'top.key is "\\010"; accepted: true, false' } },
			faults(validators.boolean, "\n"))
	end)

	it("names the option by its path without the first name, unless that is all", function()
		for path, option in pairs({
			["top"] = "top", ["top.key"] = "key", ["top.a.b"] = "a.b", ['top["a b"]'] = '["a b"]',
		}) do
			local errors = {}
			validators.report(errors, path, nil, "message")
			assert.are.equal(option, errors[1].option)
		end
	end)

	it("accepts the limits of a range, and whole numbers alone", function()
		local range = validators.number_of("seconds", 1, 10)
		for _, value in ipairs({ 1, 10, 5.0 }) do
			assert.are.same({}, faults(range, value))
		end
		for _, value in ipairs({ 0, 11, 1.5, "5", 0 / 0, math.huge, -math.huge }) do
			assert.are.equal(1, #faults(range, value))
		end
	end)

	it("of a table reports every fault in it, in an order that is the same each time", function()
		local validator = validators.table_of({ a = validators.boolean, b = validators.boolean }, "{ a = true }")
		local options = {}
		for index, fault in ipairs(faults(validator, { b = 1, a = 2, c = 3, [1] = 4 })) do
			options[index] = fault.option
		end
		assert.are.same({ "key[1]", "key.a", "key.b", "key.c" }, options)
		assert.are.same({}, faults(validator, {}))
	end)

	it("of names tells a superseded one from an unknown one", function()
		local validator = validators.one_of({ "new" }, { old = "new" })
		assert.are.same({}, faults(validator, "new"))
		assert.are.equal('top.key is "old", which is superseded; use "new"', faults(validator, "old")[1].message)
		assert.are.equal('top.key is "odd"; accepted: "new"', faults(validator, "odd")[1].message)
	end)

	it("writes keys of a path as Lua does", function()
		assert.are.equal("a.b_1", validators.path_of("a", "b_1"))
		assert.are.equal('a["1b"]', validators.path_of("a", "1b"))
		assert.are.equal("a[1]", validators.path_of("a", 1))
	end)
end)
