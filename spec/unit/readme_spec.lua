-- README.md agrees with the code.
local lfs = require "lfs"
local metrics = require "xmpp_tls_policy.metrics"
local tls_policy = require "xmpp_tls_policy"

local function read(path)
	local file = assert(io.open(path))
	local text = file:read "*a"
	file:close()
	return text
end

local sources = {}
for name in lfs.dir "c" do
	if name:find "%.c$" then
		sources[#sources + 1] = "c/" .. name
	end
end

describe("README.md", function ()
	local readme = read "README.md"

	local function has_between(before, after, expected)
		local from, to = select(2, readme:find(before, 1, true)), readme:find(after, 1, true)
		if os.getenv "UPDATE_GOLDEN" == "1" then
			readme = readme:sub(1, from) .. expected .. readme:sub(to)
			local file = assert(io.open("README.md", "w"))
			file:write(readme)
			file:close()
		else
			assert.equal(expected, readme:sub(from + 1, to - 1))
		end
	end

	it("has the conformance table of the default profile as the code renders it", function ()
		local name = tls_policy.profile_names[1]
		has_between(("<!-- conformance of %s -->\n"):format(name), "<!-- end -->", tls_policy.conformance(name))
	end)

	it("has the metrics as the code has them", function ()
		has_between("<!-- metrics -->\n", "<!-- end of metrics -->", metrics.documentation())
	end)

	it("lists the options, and their values in order", function ()
		for option, values in pairs {
			profile = tls_policy.profile_names, level = { "should", "must" },
			unauthenticated_s2s = { "dialback", "refuse" }, mode = { "enforce", "report" },
			certificate_change = { "warn", "refuse" },
		} do
			local quoted = {}
			for index, value in ipairs(values) do
				assert(tls_policy.policy { [option] = value })
				quoted[index] = "`" .. value .. "`"
			end
			local row = ("| `%s` | %s |"):format(option, table.concat(quoted, ", "))
			assert.truthy(readme:find(row, 1, true), row)
		end
		local resumption = tls_policy.policy().resumption
		local row = "| `resumption` | `{ enabled = %s, lifetime = %d, memory = %d, address_share = %d }` |"
		assert.truthy(readme:find(row:format(
			tostring(resumption.enabled), resumption.lifetime, resumption.memory, resumption.address_share), 1, true))
		local _, errors = tls_policy.policy { none = true }
		for option in errors[1].message:match("known: (.-);?$"):gmatch "\"([%a_]+)\"" do
			assert.truthy(readme:find("\n| `" .. option .. "` |", 1, true), option)
		end
	end)

	it("lists the codes of failures that the core returns", function ()
		local found, names = {}, {}
		for _, path in ipairs(sources) do
			local text = read(path)
			for _, pattern in ipairs {
				"push_failure%(%s*L,%s*(.-)\"%s*,%s*\n?%s*\"", "refuse%(%w+, (.-)\", ", "code = (.-)\";",
			} do
				for code in text:gmatch(pattern) do
					for word in (code .. "\""):gmatch "\"(%l+)\"" do
						found[word] = true
					end
				end
			end
		end
		for word in pairs(found) do
			names[#names + 1] = "`" .. word .. "`"
		end
		table.sort(names)
		local listed = readme:match "the codes are (.-)%."
		assert.equal(table.concat(names, ", "), listed)
	end)

	it("names make targets that there are", function ()
		local makefile = read "Makefile"
		for target in readme:gmatch "make (%l+)" do
			if target ~= "and" and target ~= "them" then
				assert.truthy(makefile:find("\n" .. target .. ":", 1, true), target)
			end
		end
	end)
end)
