-- Connects real clients to a real server under the policy, and prints a table of the
-- results; then audits the server from outside. Exit status 0 only if all of them are as the draft demands. See
-- `make demo` in README.md.
local audit = require "xmpp_tls_policy.audit.audit"
local certificates = require "xmpp_tls_policy.audit.certificates"
local client = require "support.client"
local client_hello = require "support.client_hello"
local discovery = require "xmpp_tls_policy.audit.discovery"
local files_of = require "support.files"
local offers = require "support.offers"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local report = require "xmpp_tls_policy.audit.report"
local report_html = require "xmpp_tls_policy.audit.report_html"
local tasks = require "xmpp_tls_policy.audit.tasks"
local tls_policy = require "xmpp_tls_policy"
local xmpp = require "support.xmpp"

local keep = os.getenv "KEEP" == "1"
local domain, user, password = "demo.test", "juliet", "wherefore"

local function gnutls_suite(exchange, cipher)
	return ("NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:-CIPHER-ALL:+%s:+%s:+MAC-ALL"):format(exchange, cipher)
end

-- The trials: name, client, its parameters, the expected result (a suite or version, or
-- "refused"), the clause, and options.
local trials = {
	{ "TLS 1.3", "openssl", {}, "TLSv1.3", "version.latest" },
	{ "TLS 1.3", "gnutls", "NORMAL", "TLSv1.3", "version.latest" },
	{ "TLS 1.2", "openssl", { "-tls1_2" }, "TLSv1.2", "version.tls12" },
	{ "TLS 1.2", "gnutls", "NORMAL:-VERS-ALL:+VERS-TLS1.2", "TLSv1.2", "version.tls12" },
	{ "128 bits before 256", "openssl", { "-ciphersuites", "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384" },
		"TLS_AES_256_GCM_SHA384", "cipher.bits256" },
	{ "DHE before ECDHE", "openssl",
		{ "-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384" },
		"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "key.ecdhe" },
	{ "TLS 1.1", "gnutls", "NORMAL:-VERS-ALL:+VERS-TLS1.1", "refused", "version.tls11" },
	{ "TLS 1.0", "openssl", { "-tls1", "-cipher", "ALL:@SECLEVEL=0" }, "refused", "version.tls10" },
	{ "TLS 1.0", "gnutls", "NORMAL:-VERS-ALL:+VERS-TLS1.0", "refused", "version.tls10" },
	{ "3DES", "gnutls", gnutls_suite("RSA", "3DES-CBC"), "refused", "cipher.bits128" },
	{ "RC4", "gnutls", gnutls_suite("RSA", "ARCFOUR-128"), "refused", "cipher.rc4" },
	{ "no encryption", "openssl", { "-tls1_2", "-cipher", "NULL-SHA256:@SECLEVEL=0" }, "refused", "cipher.null" },
	{ "no forward secrecy", "openssl", { "-tls1_2", "-cipher", "AES256-GCM-SHA384" }, "refused", "cipher.fs" },
	{ "CBC", "openssl", { "-tls1_2", "-cipher", "ECDHE-RSA-AES256-SHA384" }, "refused", "cipher.aead" },
	{ "no server name", "openssl", {}, "TLSv1.3", "sni.harmless", { server_name = false } },
	{ "a wrong server name", "openssl", {}, "TLSv1.3", "sni.harmless", { server_name = "wrong.test" } },
	{ "SSLv3", "bytes", "sslv3", "refused", "version.sslv3" },
	{ "SSLv2", "bytes", "sslv2", "refused", "version.sslv2" },
	{ "export-grade", "bytes", "export", "refused", "cipher.export" },
	{ "DEFLATE", "bytes", "deflate", "no compression", "compress.tls" },
}

for _, exchange in ipairs { "DHE", "ECDHE" } do
	for _, cipher in ipairs { { "128", "SHA256" }, { "256", "SHA384" } } do
		local suite = ("TLS_%s_RSA_WITH_AES_%s_GCM_%s"):format(exchange, cipher[1], cipher[2])
		table.insert(trials, 5, { suite, "openssl",
			{ "-tls1_2", "-cipher", ("%s-RSA-AES%s-GCM-%s"):format(exchange, cipher[1], cipher[2]) }, suite,
			"cipher.recommended" })
		table.insert(trials, 6, { suite, "gnutls", gnutls_suite(exchange .. "-RSA", "AES-" .. cipher[1] .. "-GCM"), suite,
			"cipher.recommended" })
	end
end

local function send_bytes(target, name)
	local answer = client_hello.send(target, offers[name])
	if answer.kind == "server_hello" then
		return answer.compression == "null" and "no compression" or "compressed"
	end
	return "refused", answer.description or answer.kind
end

local function ask_client(name, target, how, more)
	local options = { ca = more.ca, server_name = more.server_name }
	options[name == "gnutls" and "priority" or "arguments"] = how
	local answer = client[name](target, options)
	if not answer.ok then
		return "refused", answer.alert or answer.reason, answer.raw
	elseif not answer.verified then
		return "certificate not verified", answer.verify_error
	elseif not (answer.stream or ""):find("<mechanisms", 1, true) then
		return "no login offered", answer.stream
	end
	return answer.version, answer.suite
end

local function try(target, trial, ca)
	local _, tool, how, wanted = table.unpack(trial)
	local outcome, detail
	if tool == "bytes" then
		outcome, detail = send_bytes(target, how)
	else
		outcome, detail = ask_client(tool, target, how, { ca = ca, server_name = (trial[6] or {}).server_name })
	end
	-- A refusal has to be an answer of the server. A client that cannot make the offer does not count.
	local good = outcome == wanted or detail == wanted
	if wanted == "refused" then
		good = outcome == "refused" and detail ~= nil
	end
	return good, detail and ("%s, %s"):format(outcome, detail) or outcome
end

local function log_in(target, ca)
	local peer, features, text = xmpp.open(target, { tls = { cafile = ca, verify = { "peer" } } })
	if not peer then
		return false, text or features
	end
	local address = peer:login(user, password)
	peer:close()
	return address ~= nil, address or "no login"
end

local function offers_starttls(target)
	local peer = xmpp.connect(target)
	local features = peer:open() or ""
	peer:close()
	local required = features:find("<required/>", 1, true) ~= nil
	return required and not features:find("<mechanisms", 1, true), required and "mandatory" or "not mandatory"
end

local columns = "%-4s %-15s %-40s %-8s %-52s %s\n"

local function show(good, service, what, how, outcome, clause)
	io.write(columns:format(good and "ok" or "BAD", service, what, how, outcome, clause))
	io.flush()
	return good
end

local function run(server, ca)
	local bad, count = 0, 0
	local function note(...)
		count = count + 1
		bad = bad + (show(...) and 0 or 1)
	end
	io.write(columns:format("", "service", "tried", "client", "result", "clause"))
	local good, outcome = offers_starttls(server:target "c2s")
	note(good, "c2s", "STARTTLS in the offer", "script", outcome, "support.required")
	for _, service in ipairs { "c2s", "c2s_direct_tls" } do
		for _, trial in ipairs(trials) do
			good, outcome = try(server:target(service), trial, ca)
			note(good, service, trial[1], trial[2], outcome, assert(tls_policy.policy():explain(trial[5])).id)
		end
		good, outcome = log_in(server:target(service), ca)
		note(good, service, "a login", "script", outcome, "support.offer")
	end
	return bad, count
end

-- The file that the audit's report is written to.
local page = "build/demo-audit.html"

-- Audits all four ports of the server from outside, prints a line for each, and writes the report. Returns whether no
-- enforced clause is broken.
local function audit_server(server, ca)
	local function discover(name)
		local endpoints = {}
		for _, service in ipairs { "c2s", "c2s_direct_tls", "s2s", "s2s_direct_tls" } do
			local target = server:target(service)
			endpoints[#endpoints + 1] = discovery.fixed("127.0.0.1", target.port, target.kind, target.direct_tls)(name)
				.endpoints[1]
		end
		return { endpoints = endpoints }
	end
	local time = os.time()
	local made = report.of(tls_policy.policy(), time, tasks.run(function ()
		return audit.run({ domain }, {
			discover = discover, endpoint = { trust = assert(certificates.authorities(ca)) },
		})
	end))
	io.write "\nThe audit of the same server, from outside:\n"
	local is_good = true
	for _, endpoint in ipairs(made.domains[1].endpoints) do
		local count = endpoint.count
		local good = endpoint.reached and count.broken == 0
		is_good = is_good and good
		io.write(("%-4s %-30s %2d clauses hold, %d broken, %d not tested; grade %s; %d connections, %.2f s\n"):format(
			good and "ok" or "BAD", report.describe(endpoint), count.holds, count.broken, count.not_tested,
			endpoint.grade, endpoint.connections, endpoint.seconds))
	end
	files_of.write(page, report_html.of(made))
	io.write(("The report, with the evidence for each clause: %s\n"):format(page))
	return is_good
end

-- The server of the harness ends with this process, so a new one is started from a copy
-- of its directory.
local function leave_running(server, authority)
	local directory = process.check({ "mktemp", "-d" }):match "[^\n]+"
	process.check { "cp", "-a", server.directory .. "/.", directory }
	process.check { "cp", authority.certificate, directory .. "/ca.crt" }
	process.check { "sed", "-i", ("s|%s|%s|g"):format(server.directory, directory), directory .. "/prosody.cfg.lua" }
	server:stop()
	process.check { "prosody", "-D", "--config", directory .. "/prosody.cfg.lua" }
	io.write(([[

The server keeps running as %s, on 127.0.0.1:
  c2s, STARTTLS    openssl s_client -connect 127.0.0.1:%d -starttls xmpp -xmpphost %s -CAfile %s/ca.crt
  c2s, direct TLS  openssl s_client -connect 127.0.0.1:%d -servername %s -CAfile %s/ca.crt
  account          %s@%s, password %s
  its log          %s/prosody.log
  its shell        prosodyctl --config %s/prosody.cfg.lua shell
To stop it and remove its files:
  kill $(cat %s/prosody.pid) && rm -r %s
]]):format(domain, server.ports.c2s, domain, directory, server.ports.c2s_direct_tls, domain, directory, user, domain,
		password, directory, directory, directory, directory))
end

local authority = pki.authority()
local files = authority:issue { names = { domain }, key = "rsa2048" }
local server = prosody.start {
	hosts = { [domain] = files },
	users = { [user .. "@" .. domain] = password },
	-- The operator allows everything that OpenSSL can do, so every refusal comes from the policy.
	options = { ssl = {
		protocol = "sslv3+", ciphers = "ALL:COMPLEMENTOFALL:@SECLEVEL=0",
		options = { cipher_server_preference = false },
	} },
	with_policy = true,
}
local bad, count = run(server, authority.certificate)
if bad == 0 then
	io.write(("\nAll %d results are as %s demands.\n"):format(count, tls_policy.policy():name()))
else
	io.write(("\n%d of %d results are not as %s demands.\n"):format(bad, count, tls_policy.policy():name()))
end
local audited = audit_server(server, authority.certificate)
if keep then
	leave_running(server, authority)
else
	server:stop()
end
pki.remove()
os.exit(bad == 0 and audited and 0 or 1, true)
