-- For tests only: finds out later whether it vouches for the certificate of another server, as others ask
-- the web or the DNS. It vouches for domains whose names begin with "vouched".
-- luacheck: globals module

module:set_global()

local async = require "util.async"
local timer = require "util.timer"

module:hook("s2s-check-certificate", function (event)
	local session, domain = event.session, tostring(event.host)
	local wait, done = async.waiter()
	timer.add_task(0, done)
	wait()
	if domain:find "^vouched" then
		session.cert_chain_status, session.cert_identity_status = "valid", "valid"
	end
	module:log("info", "Checked the certificate of %s", domain)
end)
