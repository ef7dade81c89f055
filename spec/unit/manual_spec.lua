-- The manual (README.md and doc/) agrees with the code. UPDATE_GOLDEN=1 writes its generated parts anew.
local files = require "support.files"
local lfs = require "lfs"
local manual = require "support.manual"
local metrics = require "xmpp_tls_policy.metrics"
local pictures = require "support.pictures"
local process = require "support.process"
local tls_policy = require "xmpp_tls_policy"

local sources = {}
for name in lfs.dir "c" do
	if name:find "%.c$" then
		sources[#sources + 1] = "c/" .. name
	end
end

local has_between = manual.has_between

describe("README.md", function ()
	it("has at most 250 lines", function ()
		assert.is_true(select(2, files.read "README.md":gsub("\n", "")) <= 250)
	end)

	for name, picture in pairs { ["the shell"] = pictures.shell, ["an audit"] = pictures.audit } do
		it("has a picture of " .. name .. " as the code draws it", function ()
			has_between("README.md", ("<!-- picture of %s -->\n"):format(name), "<!-- end of picture -->",
				"```\n" .. picture():gsub("\n+$", "\n") .. "```\n")
		end)
	end
end)

describe("the manual", function ()
	local linked = {}

	for _, page in ipairs(manual.pages()) do
		it("has only relative links that resolve: " .. page, function ()
			for _, link in ipairs(manual.links(page)) do
				assert.is_nil(manual.problem_of(link), link.text)
			end
		end)

		for _, link in ipairs(manual.links(page)) do
			if link.page ~= page then
				linked[link.page] = true
			end
		end
	end

	it("links every file of doc/ from a page", function ()
		for _, path in ipairs(manual.files_of_doc()) do
			assert.is_true(linked[path], path .. " is linked from no page")
		end
	end)

	it("lists every page in README.md", function ()
		local listed = {}
		for _, link in ipairs(manual.links "README.md") do
			listed[link.page] = true
		end
		for _, page in ipairs(manual.pages()) do
			assert.is_true(listed[page] or page == "README.md", page)
		end
	end)

	it("names each store of the module: what stays after an uninstallation, and what is known of people", function ()
		local count = 0
		for path in process.check({ "find", "lua", "-name", "*.lua" }):gmatch "[^\n]+" do
			for name in files.read(path):gmatch '"(tls_policy_[%l%d_]+)"' do
				for _, page in ipairs { "doc/install.md", "SECURITY.md" } do
					assert.truthy(files.read(page):find("`" .. name .. "`", 1, true), ("%s: %s"):format(page, name))
				end
				count = count + 1
			end
		end
		assert.is_true(count >= 6)
	end)

	it("has the conformance table of the default profile as the code renders it", function ()
		local name = tls_policy.profile_names[1]
		has_between("doc/profiles.md", ("<!-- conformance of %s -->\n"):format(name), "<!-- end -->",
			tls_policy.conformance(name))
	end)

	it("has the conformance tables of all profiles as the code renders them", function ()
		local parts = {}
		for _, name in ipairs(tls_policy.profile_names) do
			local profile = tls_policy.profile(name)
			parts[#parts + 1] = ("\n## %s\n\n%s\n\n%s"):format(name, profile.title, tls_policy.conformance(name))
		end
		has_between("doc/clauses.md", "<!-- clauses of all profiles -->\n", "<!-- end of clauses -->",
			table.concat(parts) .. "\n")
	end)

	it("has the metrics as the code has them", function ()
		has_between("doc/metrics.md", "<!-- metrics -->\n", "<!-- end of metrics -->", metrics.documentation())
	end)

	it("lists the options, and their values in order", function ()
		local page = files.read "doc/options.md"
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
			assert.truthy(page:find(row, 1, true), row)
		end
		local resumption = tls_policy.policy().resumption
		local row = "| `resumption` | `{ enabled = %s, lifetime = %d, memory = %d, address_share = %d }` |"
		assert.truthy(page:find(row:format(
			tostring(resumption.enabled), resumption.lifetime, resumption.memory, resumption.address_share), 1, true))
		local _, errors = tls_policy.policy { none = true }
		for option in errors[1].message:match("known: (.-);?$"):gmatch "\"([%a_]+)\"" do
			assert.truthy(page:find("\n| `" .. option .. "` |", 1, true), option)
		end
	end)

	it("lists the codes of failures that the core returns", function ()
		local found, names = {}, {}
		for _, path in ipairs(sources) do
			local text = files.read(path)
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
		local listed = files.read "doc/scripting.md":match "the codes are (.-)%."
		assert.equal(table.concat(names, ", "), listed)
	end)

	it("names make targets that there are", function ()
		local makefile = files.read "Makefile"
		for _, page in ipairs(manual.pages()) do
			local text = files.read(page)
			for _, pattern in ipairs { "`make (%l[%l-]*)", "\n    make (%l[%l-]*)" } do
				for target in text:gmatch(pattern) do
					assert.truthy(makefile:find("\n" .. target .. ":", 1, true), page .. ": " .. target)
				end
			end
		end
	end)
end)
