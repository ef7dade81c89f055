--- `xmpp-tls-policy audit`: audits XMPP servers from outside.
local command = {
	name = "audit",
	summary = "Audit XMPP servers from outside: their TLS, certificates and streams, clause by clause.",
}

-- EX_USAGE and EX_IOERR of sysexits.h
local WRONG_USE, NOT_WRITTEN = 64, 74

-- Format -> the module that makes its text.
local formats = { "text", "json", "html", "metrics" }

local function positive(word)
	local number = tonumber(word)
	return number and number > 0 and number == math.floor(number) and number
		or nil, ("%s is no positive number"):format(word)
end

--- See init.lua.
function command.define(parser)
	local tls_policy = require "xmpp_tls_policy"
	parser:argument("domain", "Domains to audit."):args "*"
	parser:option("--file", "A file with more domains, one a line; - is the standard input.")
	parser:option("--connect", "Audit one endpoint, HOST:PORT, instead of those that DNS has.")
	parser:option("--service", "The service of --connect."):choices { "c2s", "s2s" }
	parser:flag("--direct", "With --connect: direct TLS instead of STARTTLS.")
	parser:option("--profile", "The document to judge by."):choices(tls_policy.profile_names)
		:default(tls_policy.profile_names[1])
	parser:option("--level", "How strictly."):choices { "should", "must" }:default "should"
	parser:option("--format", "What to print."):choices(formats):default "text"
	parser:option("--output", "A file to write instead of the standard output.")
	parser:option("--compare", "An older report (JSON): list the changes since then.")
	parser:option("--expect-key", "The SHA-256 digest of a public key that a certificate may have (repeatable).")
		:count "*":target "keys"
	parser:option("--expect-certificate", "A file with a certificate that a server may show (repeatable).")
		:count "*":target "certificates"
	parser:option("--callback", "A domain of yours: ask each server to connect to it, and audit the server as a client.")
	parser:option("--listen", "With --callback: PORT or ADDRESS:PORT where the server finds that domain.")
		:argname "<port>"
	parser:option("--our-certificate", "With --callback: a valid certificate of that domain (PEM).")
	parser:option("--our-key", "With --callback: the key of that certificate (PEM).")
	parser:option("--authorities", "A file with the authorities to trust (PEM) instead of the system's.")
	parser:option("--resolver", "A name server to ask, ADDRESS or ADDRESS@PORT, instead of the system's (repeatable).")
		:count "*":target "resolvers"
	parser:option("--trust-anchors", "A file with the keys of DNS's root instead of the system's.")
	parser:flag("--ipv4", "Only IPv4 addresses.")
	parser:flag("--ipv6", "Only IPv6 addresses.")
	parser:option("--jobs", "How many domains to audit at a time."):convert(positive):default "4"
	parser:option("--connections", "How many connections to have at a time."):convert(positive):default "8"
	parser:option("--timeout", "Seconds for each answer."):convert(positive):default "10"
end

-- ---- the parts of a run ---------------------------------------------------------------

-- The domains of the command line and of the file, each once; or nil and a message.
local function domains_of(options)
	local domain_list = require "xmpp_tls_policy.audit.domain_list"
	local domains, problem = domain_list.of(options.domain, options.file)
	if domains and not domains[1] then
		return nil, "no domain to audit"
	elseif domains and options.connect and #domains > 1 then
		return nil, "--connect audits one endpoint of one domain"
	end
	return domains, problem
end

-- Host and port of "HOST:PORT" or "[ADDRESS]:PORT"; or nil.
local function host_and_port(word)
	local host, port = word:match "^%[([%x:.]+)%]:(%d+)$"
	if not host then
		host, port = word:match "^([^:%s]+):(%d+)$"
	end
	port = tonumber(port)
	if host and port > 0 and port < 65536 then
		return host, port
	end
end

-- The `discover` of audit.run; or nil and a message.
local function discovery_of(options)
	local discovery = require "xmpp_tls_policy.audit.discovery"
	if options.connect then
		local host, port = host_and_port(options.connect)
		if not host then
			return nil, "--connect takes HOST:PORT"
		elseif not options.service then
			return nil, "--connect needs --service"
		end
		return discovery.fixed(host, port, options.service, options.direct == true)
	elseif options.service or options.direct then
		return nil, "--service and --direct belong to --connect"
	elseif options.ipv4 and options.ipv6 then
		return nil, "--ipv4 and --ipv6 exclude each other"
	end
	local resolver, problem = require "xmpp_tls_policy.audit.dns".new {
		servers = options.resolvers[1] and options.resolvers or nil, trust_file = options.trust_anchors,
	}
	if not resolver then
		return nil, problem
	end
	return discovery.by_dns(resolver, { ipv4 = not options.ipv6, ipv6 = not options.ipv4 })
end

-- All addresses of IPv4.
local ANY = "0.0.0.0"

-- The `callback` of audit.run, nil without --callback; or nil and a message.
local function callback_of(options)
	local core = require "xmpp_tls_policy.core"
	if not options.callback then
		return nil, (options.listen or options.our_certificate or options.our_key)
			and "--listen, --our-certificate and --our-key belong to --callback" or nil
	elseif not core.domain_name(options.callback) then
		return nil, "--callback takes a domain"
	elseif not options.our_certificate ~= not options.our_key then
		return nil, "--our-certificate and --our-key belong together"
	end
	local loaded, fault = core.context.new {
		role = "client", verify = "none", certificate = options.our_certificate, key = options.our_key,
	}
	if not loaded then
		return nil, fault
	end
	local address, port = host_and_port((options.listen or ""):find "^%d+$" and ANY .. ":" .. options.listen
		or options.listen or "")
	if not address then
		return nil, "--callback needs --listen PORT"
	end
	local callback = require "xmpp_tls_policy.audit.callback"
	return function (point)
		return callback.examine(point, {
			address = address, port = port, certificate = options.our_certificate, key = options.our_key,
		})
	end
end

-- The fields of all endpoints, nil, and the `callback` of audit.run; or nil and a message.
local function fields_of(options)
	local trust, trust_problem = require "xmpp_tls_policy.audit.certificates".authorities(options.authorities)
	if not trust then
		return nil, trust_problem
	end
	local expected, problem = require "xmpp_tls_policy.audit.expected".new(options.keys, options.certificates)
	if not expected then
		return nil, problem
	end
	local callback, callback_problem = callback_of(options)
	if callback_problem then
		return nil, callback_problem
	end
	return {
		timeout = options.timeout, trust = trust, expected = expected, from = options.callback,
		own_certificate = options.our_certificate, own_key = options.our_key,
	}, nil, callback
end

-- The report of --compare, nil without it; or nil and a message.
local function old_report_of(options)
	if not options.compare then
		return nil
	end
	local file, problem = io.open(options.compare)
	if not file then
		return nil, problem
	end
	local contents, failure = file:read "*a"
	file:close()
	if not contents then
		return nil, ("%s: %s"):format(options.compare, failure)
	end
	local old, fault = require "xmpp_tls_policy.audit.report_json".decode(contents)
	return old, not old and ("%s: %s"):format(options.compare, fault) or nil
end

-- The file of --output, nil without it; or nil and a message.
local function output_of(options)
	if options.output then
		return require "xmpp_tls_policy.command_line.output_file".new(options.output)
	end
end

-- Format -> function(report, out, whether it goes to a file) -> text
local writers = {
	text = function (made, out, to_file)
		local screen = not to_file and out.terminal and out.terminal "stdout" or {}
		return require "xmpp_tls_policy.audit.report_text".of(made, { colours = screen.colours, width = screen.columns })
	end,
	json = function (made)
		return require "xmpp_tls_policy.audit.report_json".encode(made)
	end,
	html = function (made)
		return require "xmpp_tls_policy.audit.report_html".of(made)
	end,
	metrics = function (made)
		return require "xmpp_tls_policy.audit.report_metrics".of(made)
	end,
}

-- The `progress` of audit.run, and a function that removes it from the terminal.
local function progress_of(domains, out)
	local screen = out.terminal and out.terminal "stderr"
	if not screen then
		return nil, function () end
	end
	local probes = require "xmpp_tls_policy.audit.probes"
	local now = require "xmpp_tls_policy.audit.tasks".now
	return require "xmpp_tls_policy.audit.progress".new(#domains, #probes, out.draw, screen.columns, now)
end

-- ---- the run -----------------------------------------------------------------------------

-- Audits the domains. Returns the report.
local function report_of(domains, discover, fields, callback, options, out)
	local audit = require "xmpp_tls_policy.audit.audit"
	local policy = assert(require "xmpp_tls_policy".policy { profile = options.profile, level = options.level })
	local progress, remove_progress = progress_of(domains, out)
	local ignore_interrupt = out.on_interrupt and out.on_interrupt(remove_progress) or function () end
	local time = os.time()
	local results = require "xmpp_tls_policy.audit.tasks".run(function ()
		return audit.run(domains, {
			discover = discover, jobs = options.jobs, connections = options.connections, endpoint = fields,
			progress = progress, callback = callback,
		})
	end)
	ignore_interrupt()
	remove_progress()
	for _, domain in ipairs(results) do
		for _, endpoint in ipairs(domain.endpoints) do
			for _, fault in ipairs(endpoint.faults or {}) do
				out.warn(("%s: please report this: %s"):format(domain.domain, fault))
			end
		end
	end
	return require "xmpp_tls_policy.audit.report".of(policy, time, results)
end

-- Says what has changed since an old report (nil: none was given): below the text, and otherwise as warnings, so that
-- the result stays what its format says.
local function say_changes(old, made, options, out)
	if not old then
		return
	end
	local compare = require "xmpp_tls_policy.audit.report_compare"
	local found = compare.of(old, made)
	if options.format == "text" and not options.output then
		local screen = out.terminal and out.terminal "stdout" or {}
		out.write("\n" .. compare.text(found, { colours = screen.colours }))
	else
		for line in compare.text(found):gmatch "[^\n]+" do
			out.warn(line)
		end
	end
end

-- Audits, and prints the report or writes it to its file. `parts`: what the options say, see command.run. Returns the
-- exit status.
local function audit_and_report(parts, options, out)
	local made = report_of(parts.domains, parts.discover, parts.fields, parts.callback, options, out)
	local contents = writers[options.format](made, out, options.output)
	if parts.file then
		local written, problem = parts.file:write(contents)
		if not written then
			out.warn(problem)
			return NOT_WRITTEN
		end
	else
		out.write(contents)
	end
	say_changes(parts.old, made, options, out)
	return require "xmpp_tls_policy.audit.report".exit_status(made)
end

--- See init.lua. The exit status is that of audit/report.lua, 64 for a wrong use, or 74 if the file is not written.
function command.run(options, out)
	local old, problem = old_report_of(options)
	local parts = { old = old }
	if not problem then
		parts.file, problem = output_of(options)
	end
	if not problem then
		parts.domains, problem = domains_of(options)
	end
	if parts.domains then
		parts.discover, problem = discovery_of(options)
	end
	if parts.discover then
		parts.fields, problem, parts.callback = fields_of(options)
	end
	if parts.fields then
		return audit_and_report(parts, options, out)
	end
	out.warn(problem)
	return WRONG_USE
end

return command
