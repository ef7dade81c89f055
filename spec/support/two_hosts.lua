--- A Prosody with the hosts one.test and two.test, one certificate for both, and exceptions in their policies.
local date = require "xmpp_tls_policy.date"
local pki = require "support.pki"
local prosody = require "support.prosody"

local two_hosts = {}

--- An exception of level "must", or another one, that ends in some days, by default in 100; or has ended.
function two_hosts.exception(days, level)
	return { level = level or "must", expires = date.of(os.time() + (days or 100) * date.DAY), reason = "old software" }
end

--- Starts it. `users`: see support/prosody.lua, or nil. Returns { server, files }.
function two_hosts.start(users)
	local authority = pki.authority()
	local files = authority:issue { names = { "one.test", "two.test" }, key = "rsa2048" }
	return { files = files, server = prosody.start {
		hosts = { ["one.test"] = files, ["two.test"] = files }, domain = "one.test", ca = authority.certificate,
		routes = {}, with_policy = true, modules = { "test_facts", "test_clock" }, users = users,
	} }
end

--- Stops it, if it was started.
function two_hosts.stop(started)
	if started then
		started.server:stop()
	end
	pki.remove()
end

--- Reloads it with a policy for all hosts and one for one.test (nil: the same), and more global options, or nil.
-- Returns what server:reload returns.
function two_hosts.configure(started, all, one, options)
	local files = started.files
	started.server:configure { policy = all, options = options or {}, hosts = { ["two.test"] = files, ["one.test"] = {
		certificate = files.certificate, key = files.key, options = { xmpp_tls_policy = one },
	} } }
	return started.server:reload()
end

return two_hosts
