--- The report of the audit of one endpoint, by the command `xmpp-tls-policy audit`.
local command_run = require "support.command_run"
local json = require "dkjson"

--- Audits a target (see prosody.lua). `options`: those of the command of the same names, or nil: profile, level,
-- authorities (path of trusted certificates), timeout (seconds for each answer), connections (at a time). Returns the
-- endpoint of the report (doc/audit-report.md), and the exit status.
return function (target, options)
	options = options or {}
	local words = {
		"audit", target.domain, "--connect", "127.0.0.1:" .. target.port, "--service", target.kind, "--format", "json",
	}
	for _, name in ipairs { "profile", "level", "authorities", "timeout", "connections" } do
		if options[name] then
			words[#words + 1], words[#words + 2] = "--" .. name, tostring(options[name])
		end
	end
	words[#words + 1] = target.direct_tls and "--direct" or nil
	local status, written, warned = command_run((unpack or table.unpack)(words))
	local report = assert(json.decode(written), warned)
	return assert(report.domains[1].endpoints[1], report.domains[1].reason), status
end
