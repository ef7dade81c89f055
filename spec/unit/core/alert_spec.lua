local core = require "xmpp_tls_policy.core"

describe("the name of an alert", function ()
	-- rfc8446.6.alert-numbers
	it("is the registered one, or its number", function ()
		for number, name in pairs {
			[0] = "close_notify", [40] = "handshake_failure", [86] = "inappropriate_fallback", [116] = "certificate_required",
			[121] = "ech_required", [1] = "alert_1", [122] = "alert_122", [255] = "alert_255",
		} do
			assert.equal(name, core.alert_name(number))
		end
	end)

	it("is asked for with a byte", function ()
		for _, number in ipairs { -1, 256, 2 ^ 40 } do
			assert.has_error(function ()
				core.alert_name(number)
			end, "bad argument #1 to 'alert_name' (no integer from 0 to 255)")
		end
	end)
end)
