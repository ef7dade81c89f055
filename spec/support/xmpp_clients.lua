--- Clients of other projects that log in with SCRAM, with STARTTLS: a list of {
--   name        the Debian package
--   version     its version here, without Debian's revision; nil: it is not installed
--   begin       function(target) -> a process that logs in and stays until its input ends; target: { address,
--               password, port, ca = file of authorities that it trusts }
-- }
local process = require "support.process"

local directory = "spec/support/xmpp_clients/"

local function version_of(package)
	local output, status = process.run { "dpkg-query", "-W", "-f=${db:Status-Abbrev} ${Version}", package }
	return status == 0 and output:match "^ii%s+([%d.]+)" or nil
end

-- Debian's Python, which has Debian's modules.
local function with_python(script)
	return function (target)
		return process.spawn({
			"/usr/bin/python3", directory .. script, target.address, target.password, tostring(target.port), target.ca,
		}, { timeout = 600 })
	end
end

local function go_sendxmpp(target)
	return process.spawn({
		"env", "SSL_CERT_FILE=" .. target.ca, "HOME=/nonexistent", "go-sendxmpp", "--debug", "--timeout=600",
		"--username=" .. target.address, "--password=" .. target.password, "--jserver=127.0.0.1:" .. target.port,
		"--interactive", target.address,
	}, { timeout = 600 })
end

local clients = {
	{ name = "go-sendxmpp", begin = go_sendxmpp },
	{ name = "libstrophe0", begin = with_python "strophe_client.py", needs = "python3" },
	{ name = "python3-slixmpp", begin = with_python "slixmpp_client.py" },
}

for _, client in ipairs(clients) do
	client.version = (not client.needs or version_of(client.needs)) and version_of(client.name) or nil
end

return clients
