-- Report mode: its predictions beside the outcomes of enforcing (see support/predictions.lua).
local measure = require "bench.measure"
local predictions_of = require "support.predictions"
local tls_policy = require "xmpp_tls_policy"

local predictions = { title = "Predictions of report mode" }

function predictions.run(bench)
	local files, compared, refused, wrong = {}, 0, 0, 0
	for _, key in ipairs(predictions_of.keys) do
		files[key] = bench.certificate(key)
	end
	for _, configuration in ipairs(predictions_of.configurations) do
		for _, profile in ipairs(tls_policy.profile_names) do
			for _, level in ipairs(predictions_of.levels) do
				local found = predictions_of.compare(files, configuration, profile, level)
				compared, refused, wrong = compared + found.compared, refused + found.refused, wrong + #found.wrong
			end
		end
	end
	measure.note(("%d hellos on %d configurations, %d profiles, %d levels: compared"):format(predictions_of.offers(),
		#predictions_of.configurations, #tls_policy.profile_names, #predictions_of.levels), "predictions", compared)
	measure.note("of these, refused by enforcing", "predictions", refused)
	measure.note("of these, wrong", "predictions", wrong, 0)
end

return predictions
