local audit_reports = require "support.audit_reports"
local json = require "dkjson"
local report = require "xmpp_tls_policy.audit.report"
local report_json = require "xmpp_tls_policy.audit.report_json"

local endpoint, domain, of = audit_reports.endpoint, audit_reports.domain, audit_reports.of

local function example()
	return of {
		domain("example.org", {
			endpoint { ["suites.rc4"] = { "TLS_RSA_WITH_RC4_128_SHA" }, early_data = "timed out" },
			audit_reports.unreached { service = "s2s", port = 5269 },
		}, { client = { observations = {} } }),
		domain("nothing.example", {}, { reason = "the name does not exist" }),
	}
end

describe("a report as JSON", function ()
	it("is read back as it was", function ()
		local made = example()
		assert.same(made, report_json.decode(report_json.encode(made)))
	end)

	it("is the same text at each time", function ()
		local text = report_json.encode(example())
		for _ = 1, 5 do
			assert.equal(text, report_json.encode(example()))
		end
		assert.equal(text, report_json.encode(report_json.decode(text)))
	end)

	it("has its fields in the order of the schema, and whole numbers without a point", function ()
		local text = report_json.encode(example())
		assert.matches('^{"schema":1,"tool":"xmpp%-tls%-policy [^"]+","time":"2026%-11%-26T08:00:00Z","profile":', text)
		assert.is_nil(text:find "%d%.0[,}]")
		assert.matches('"seconds":0%.42,', text)
		assert.equal("\n", text:sub(-1))
	end)

	it("has lists and maps that are empty as such", function ()
		local text = report_json.encode(example())
		assert.matches('"client":{"observations":{},"clauses":%[', text)
		assert.matches('"reason":"the name does not exist","dns":%[', text)
		assert.matches('"endpoints":%[%],', text)
	end)

	it("escapes text of strangers", function ()
		local made = of { domain("example.org", { endpoint {
			["plaintext.features"] = { "\27[2J", "\255\254", "\226\128\174" },
		} }) }
		made.domains[1].endpoints[1].certificate = { subject = "CN=\0\"</script>", names = { ["\27"] = 0 / 0 } }
		local text = report_json.encode(made)
		assert.is_nil(text:find "[%z\1-\9\11-\31\127-\255]")
		assert.same({ "\\027[2J", "\\255\\254", "\\226\\128\\174" },
			json.decode(text).domains[1].endpoints[1].observations["plaintext.features"].value)
	end)
end)

describe("a JSON text that is no report", function ()
	local function changed(change)
		local value = json.decode(report_json.encode(example()))
		change(value)
		return json.encode(value)
	end

	for message, text in pairs {
		["no JSON: no object"] = "3",
		["no JSON: nested too deep"] = ("["):rep(300000),
		["schema nil; this version reads schema 1"] = "{}",
		["schema 2; this version reads schema 1"] = changed(function (value) value.schema = 2 end),
		['schema "1"; this version reads schema 1'] = changed(function (value) value.schema = "1" end),
		["report.tool should be a string, but is nil"] = changed(function (value) value.tool = nil end),
		["report.domains should be a list of domain, but is \"x\""] = changed(function (value) value.domains = "x" end),
		["report.domains is no list"] = changed(function (value) value.domains = { a = 1 } end),
		["report.domains[1] should be a domain, but is 3"] = changed(function (value) value.domains = { 3 } end),
		["report.domains[1].clauses[2].enforced should be a boolean, but is nil"] = changed(function (value)
			value.domains[1].clauses[2].enforced = nil
		end),
		["report.domains[1].endpoints[1].observations is no map"] = changed(function (value)
			value.domains[1].endpoints[1].observations = { 1 }
		end),
		["report.domains[1].endpoints[1].observations.alpn.seen should be a boolean, but is 1"] = changed(function (value)
			value.domains[1].endpoints[1].observations.alpn.seen = 1
		end),
		["report.domains[1].endpoints[1].observations.\\027 should be a observation, but is true"] = changed(function (value)
			value.domains[1].endpoints[1].observations["\27"] = true
		end),
	} do
		it("is refused: " .. message, function ()
			local made, problem = report_json.decode(text)
			assert.is_nil(made)
			assert.equal(message, problem)
		end)
	end

	it("is refused after each way to cut a report", function ()
		local text = report_json.encode(of { domain("example.org", {}) })
		for length = 0, #text - 3, 7 do
			local made, problem = report_json.decode(text:sub(1, length))
			assert.is_nil(made)
			assert.matches("^no JSON: ", problem)
		end
	end)

	it("may have fields that the schema does not know; they are left out", function ()
		local made = report_json.decode(changed(function (value) value.new, value.domains[1].new = 1, 2 end))
		assert.is_nil(made.new)
		assert.is_nil(made.domains[1].new)
	end)
end)

describe("the schema", function ()
	it("names only shapes that it has", function ()
		local known = { string = true, number = true, boolean = true, plain = true }
		for _, shape in ipairs(report.shapes) do
			known[shape.name] = true
		end
		for _, shape in ipairs(report.shapes) do
			for _, field in ipairs(shape.fields) do
				local kind = field[2]:gsub("%?$", ""):gsub("^list of ", ""):gsub("^map of ", "")
				assert.is_true(known[kind], field[1])
			end
		end
	end)
end)
