-- Predictions of report mode beside the outcome of enforcing.
local pki = require "support.pki"
local predictions = require "support.predictions"
local tls_policy = require "xmpp_tls_policy"

describe("a prediction of report mode #comparison", function ()
	local files, counts = {}, { compared = 0, refused = 0 }

	setup(function ()
		local authority = pki.authority()
		for _, key in ipairs(predictions.keys) do
			files[key] = authority:issue { names = { "example.test" }, key = key, key_name = key }
		end
	end)

	teardown(pki.remove)

	for _, configuration in ipairs(predictions.configurations) do
		for _, profile in ipairs(tls_policy.profile_names) do
			for _, level in ipairs(predictions.levels) do
				it(("is the outcome: %s, %s, %s"):format(configuration[1], profile, level), function ()
					local found = predictions.compare(files, configuration, profile, level)
					assert.same({}, found.wrong)
					assert.equal(found.failures[2], found.failures[1])
					-- The context in report mode is as the server made it.
					assert.same(found.settings[2], found.settings[1])
					counts.compared = counts.compared + found.compared
					counts.refused = counts.refused + found.refused
				end)
			end
		end
	end

	it("was compared with both outcomes often", function ()
		assert.is_true(predictions.offers() > 55, tostring(predictions.offers()))
		assert.is_true(counts.compared > 1500 and counts.refused > 500,
			("%d compared, %d refused"):format(counts.compared, counts.refused))
	end)
end)
