-- doc/audit-report.md agrees with the code. UPDATE_GOLDEN=1 writes its tables anew.
local files = require "support.files"
local findings = require "xmpp_tls_policy.audit.findings"
local grade = require "xmpp_tls_policy.audit.grade"
local report = require "xmpp_tls_policy.audit.report"
local report_metrics = require "xmpp_tls_policy.audit.report_metrics"

local PATH = "doc/audit-report.md"

describe(PATH, function ()
	for name, made in pairs {
		grade = grade.documentation(), findings = findings.documentation(), schema = report.documentation(),
		metrics = report_metrics.documentation(),
	} do
		it("has the " .. name .. " as the code has it", function ()
			local document = assert(files.read(PATH))
			local from = select(2, document:find(("<!-- %s -->\n"):format(name), 1, true))
			local to = document:find(("<!-- end of %s -->"):format(name), 1, true)
			if os.getenv "UPDATE_GOLDEN" == "1" then
				files.write(PATH, document:sub(1, from) .. made .. document:sub(to))
			else
				assert.equal(made, document:sub(from + 1, to - 1))
			end
		end)
	end

	it("explains each exit status, and each result", function ()
		local document = assert(files.read(PATH))
		for _, word in ipairs { "| 0 |", "| 1 |", "| 2 |", "- `holds`", "- `broken`", "- `not offered`", "- `not tested`" } do
			assert.truthy(document:find(word, 1, true), word)
		end
	end)
end)
