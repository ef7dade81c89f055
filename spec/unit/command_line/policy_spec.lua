-- `xmpp-tls-policy policy`.
local command_line = require "xmpp_tls_policy.command_line"
local compare = require "unit.golden.compare"
local json = require "dkjson"
local tls_policy = require "xmpp_tls_policy"
local version = require "xmpp_tls_policy.version"

local function run(...)
	local written = {}
	local status = command_line.run({ "policy", ... }, {
		write = function (text) written[#written + 1] = text end,
		warn = error,
	})
	assert.equal(0, status)
	return table.concat(written)
end

local function names(list)
	local result = {}
	for index, item in ipairs(list) do
		result[index] = item.name
	end
	return result
end

describe("xmpp-tls-policy policy", function ()
	it("prints the same text each time, as in spec/unit/golden", function ()
		compare("policy.json", (run():gsub(version:gsub("%p", "%%%0"), "VERSION")))
	end)

	for _, profile in ipairs(tls_policy.profile_names) do
		for _, level in ipairs { "should", "must" } do
			it(("has all of %s, level %s"):format(profile, level), function ()
				local policy = tls_policy.policy { profile = profile, level = level }
				local settings = policy:settings()
				local data = assert(json.decode(run("--profile", profile, "--level", level)))
				assert.same({ 1, profile, level }, { data.schema, data.profile, data.level })
				for _, list in ipairs { "ciphers", "ciphersuites", "groups" } do
					assert.same(settings[list] or {}, names(data[list]))
				end
				assert.equal(settings.minimum_version, data.versions[1])
				assert.equal("TLSv1.3", data.versions[#data.versions])
				assert.equal(settings.dh_bits, data.dh_bits)
				assert.equal(settings.security_level, data.security_level)
				assert.equal(settings.no_early_data or false, data.switches.no_early_data)
				for index, entry in ipairs(policy.clauses) do
					local printed = data.clauses[index]
					assert.equal(policy:explain(entry.id).statement, printed.statement)
					for field, value in pairs { id = entry.id, document = entry.document, section = entry.section,
						level = entry.level, enforced_at = entry.at, enforced = entry.enforced } do
						assert.equal(value, printed[field])
					end
				end
				assert.equal(#policy.clauses, #data.clauses)
			end)
		end
	end
end)
