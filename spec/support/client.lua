-- Clients of other projects: `openssl s_client` and `gnutls-cli`.
--
-- Both return a plain table; unknown values are nil:
--   ok            whether the handshake was completed
--   version       "TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1"
--   cipher, suite the cipher suite as the tool names it, and its IANA name
--   group         of the server's ephemeral key, as the tool names it; group_bits (s_client: its size)
--   alert         that the server sent, by its name in RFC 8446
--   reason        of the failure, in the words of the tool
--   compression   "NONE" or the method (s_client)
--   resumed       whether the session was resumed (s_client)
--   tickets       number of session tickets (s_client; also counts the old ticket of a resumed TLS 1.2 session)
--   extended_master_secret   up to TLS 1.2
--   subject, verified, verify_error   of the server's certificate
--   stream        the XMPP received after the handshake: stream header, features or error
--   status, raw   exit status and all output

local core = require "xmpp_tls_policy.core"
local process = require "support.process"
local xmpp = require "support.xmpp"

local client = {}

local iana_names

-- All cipher suites of this OpenSSL: { [OpenSSL's name] = IANA name }.
local function iana_name(openssl_name)
	if not iana_names then
		iana_names = {}
		local list = process.check { "openssl", "ciphers", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0" }
		for iana, name in list:gmatch("(TLS_%S+)%s+%-%s+(%S+)") do
			iana_names[name] = iana
		end
	end
	return iana_names[openssl_name]
end

local gnutls_versions = {
	["TLS1.3"] = "TLSv1.3",
	["TLS1.2"] = "TLSv1.2",
	["TLS1.1"] = "TLSv1.1",
	["TLS1.0"] = "TLSv1",
}

local gnutls_hashes = {
	["AES-128-GCM"] = "SHA256",
	["AES-256-GCM"] = "SHA384",
	["CHACHA20-POLY1305"] = "SHA256",
	["AES-128-CCM"] = "SHA256",
	["AES-256-CCM"] = "SHA256",
	["CAMELLIA-128-GCM"] = "SHA256",
	["CAMELLIA-256-GCM"] = "SHA384",
}

-- "(TLS1.2-X.509)-(ECDHE-SECP256R1)-(RSA-SHA256)-(AES-128-GCM)" and the like.
-- TLS 1.2 without forward secrecy is "(TLS1.2-X.509)-(RSA)-(AES-128-CBC)-(SHA1)".
local function parse_gnutls_description(description)
	local parts = {}
	for part in description:gmatch("%(([^)]*)%)") do
		parts[#parts + 1] = part
	end
	local version = gnutls_versions[parts[1]:match("^[^-]+")]
	local exchange, group = parts[2]:match("^([^-]+)%-?(.*)$")
	local last = #parts
	local hash = gnutls_hashes[parts[last]]
	local encryption = parts[last]
	if not hash then
		encryption, hash = parts[last - 1], parts[last]:gsub("^SHA1$", "SHA")
		last = last - 1
	end
	local authentication = last > 3 and parts[3]:match("^[^-]+") or nil
	local method = exchange
	if version == "TLSv1.3" then
		method = nil
	elseif authentication then
		method = exchange .. "_" .. authentication
	end
	encryption = encryption:gsub("%-", "_")
	return {
		version = version,
		group = group ~= "" and group or nil,
		suite = ("TLS_%s%s_%s"):format(method and method .. "_WITH_" or "", encryption, hash),
	}
end

local stream_ends = { "</stream:features>", "<stream:features/>", "</stream:error>" }

local function stream_header(target, options)
	return xmpp.stream_header(target.kind, target.domain, options.from) .. "\n"
end

-- Waits until the output has a stream's features or error after position `start`.
local function wait_for_stream(child, start, timeout)
	process.poll(timeout, function()
		local output = child:output()
		for _, ending in ipairs(stream_ends) do
			if output:find(ending, start, true) then
				return true
			end
		end
		return child:status() ~= nil
	end)
end

local function append(list, more)
	for _, value in ipairs(more or {}) do
		list[#list + 1] = value
	end
	return list
end

local function parse_openssl(raw)
	-- "New, SSLv3, Cipher is AES128-SHA" names the version that introduced the suite. The version
	-- of the session is further down, except in TLS 1.3.
	local suite_version, cipher = raw:match("\n%u%l+, ([^\n]-), Cipher is (%S+)")
	local number = tonumber(raw:match("SSL alert number (%d+)"))
	local result = {
		ok = cipher ~= nil and cipher ~= "(NONE)",
		alert = number and core.alert_name(number) or nil,
		reason = raw:match("error:%x+:[^:\n]*:[^:\n]*:([^:\n]+)"),
		stream = raw:match("\n(<%?xml.*</stream:%a+>)"),
	}
	if not result.ok then
		return result
	end
	local code, text = raw:match("Verify return code: (%d+) %((.-)%)")
	local group, bits = raw:match("%u%l+ Temp Key: (.-), (%d+) bits")
	-- OpenSSL 3.5 writes hybrid groups in this form.
	group = group or raw:match("Negotiated TLS1%.3 group: (%S+)")
	local _, late_tickets = raw:gsub("Post%-Handshake New Session Ticket arrived", "")
	result.cipher, result.suite = cipher, iana_name(cipher)
	result.version = suite_version == "TLSv1.3" and suite_version or raw:match("Protocol%s*: (%S+)")
	result.group, result.group_bits = group, tonumber(bits)
	result.compression = raw:match("Compression: (%S+)")
	result.resumed = raw:find("\nReused, ", 1, true) ~= nil
	result.tickets = late_tickets
	if result.version ~= "TLSv1.3" then
		result.extended_master_secret = raw:find("Extended master secret: yes", 1, true) ~= nil
		result.tickets = raw:find("TLS session ticket:", 1, true) and 1 or 0
	end
	result.subject = raw:match("\nsubject=%s*([^\n]+)")
	result.verified = code == "0"
	result.verify_error = not result.verified and text or nil
	return result
end

-- `openssl s_client` against a target (see prosody.lua). options:
--   arguments     more arguments, such as { "-tls1_2", "-cipher", "…" }
--   server_name   for SNI; false: none; default: the target's domain
--   ca            CA file; then the certificate is also checked for the domain
--   from          domain that we claim (s2s)
--   stream        false: don't open an XMPP stream after the handshake
--   timeout       seconds (process.PATIENCE)
function client.openssl(target, options)
	options = options or {}
	local timeout = options.timeout or process.PATIENCE
	local command = { "openssl", "s_client", "-connect", "127.0.0.1:" .. target.port, "-nocommands" }
	if not target.direct_tls then
		append(command, { "-starttls", target.kind == "s2s" and "xmpp-server" or "xmpp", "-xmpphost", target.domain })
	end
	if options.server_name == false then
		append(command, { "-noservername" })
	else
		append(command, { "-servername", options.server_name or target.domain })
	end
	if options.ca then
		append(command, { "-CAfile", options.ca, "-verify_hostname", target.domain })
	end
	local child = process.spawn(append(command, options.arguments), { timeout = timeout })
	if options.stream ~= false then
		child:write(stream_header(target, options))
		wait_for_stream(child, 1, timeout)
	end
	local raw, status = child:close()
	local result = parse_openssl(raw)
	result.raw, result.status = raw, status
	return result
end

local function parse_gnutls(raw)
	local description, after = raw:match("%- Description: ([^\n]+)(.*)$")
	if not description then
		local number = tonumber(raw:match("Received alert %[(%d+)%]"))
		return {
			ok = false,
			alert = number and core.alert_name(number) or nil,
			reason = raw:match("%*%*%* Fatal error: ([^\n]+)") or raw:match("%*%*%* ([^\n]*failed[^\n]*)"),
		}
	end
	local result = parse_gnutls_description(description)
	result.ok, result.cipher = true, description
	if result.version ~= "TLSv1.3" then
		local present = after:match("%- Options:([^\n]*)") or ""
		result.extended_master_secret = present:find("extended master secret", 1, true) ~= nil
	end
	result.subject = raw:match("subject `([^']*)'")
	local status = raw:match("%- Status: ([^\n]+)")
	result.verified = status and status:find("is trusted", 1, true) ~= nil
	result.verify_error = not result.verified and status or nil
	result.stream = after:match("(<%?xml.*</stream:%a+>)")
	return result
end

-- Sends plain text up to <proceed/>; then SIGALRM makes gnutls-cli start TLS. Its option
-- --starttls-proto=xmpp uses the name that it connects to as the domain.
local function begin_gnutls(child, target, options, timeout)
	child:write(stream_header(target, options))
	wait_for_stream(child, 1, timeout)
	if not child:output():find("<starttls", 1, true) then
		return
	end
	child:write(xmpp.starttls_feature .. "\n")
	if not child:wait_for("<proceed", timeout) then
		return
	end
	process.poll(timeout, function()
		child:signal("ALRM") -- gnutls-cli loses a signal just before it waits for input
		local started, why = child:wait_for("Starting TLS handshake", 1)
		return started or why == "ended"
	end)
end

-- `gnutls-cli` against a target. options: arguments, server_name, ca, from, stream and timeout
-- as above; priority: GnuTLS's priority string.
function client.gnutls(target, options)
	options = options or {}
	local timeout = options.timeout or process.PATIENCE
	local command = { "gnutls-cli", "--port=" .. target.port }
	if not target.direct_tls then
		append(command, { "--starttls" })
	end
	if options.server_name == false then
		append(command, { "--disable-sni" })
	else
		append(command, { "--sni-hostname=" .. (options.server_name or target.domain) })
	end
	if options.ca then
		append(command, { "--x509cafile=" .. options.ca, "--verify-hostname=" .. target.domain })
	else
		append(command, { "--insecure" })
	end
	if options.priority then
		append(command, { "--priority=" .. options.priority })
	end
	append(append(command, options.arguments), { "127.0.0.1" })
	local child = process.spawn(command, { timeout = timeout })
	if not target.direct_tls then
		begin_gnutls(child, target, options, timeout)
	end
	local start = #child:output() + 1
	if options.stream ~= false then
		child:write(stream_header(target, options))
		wait_for_stream(child, start, timeout)
	end
	local raw, status = child:close()
	local result = parse_gnutls(raw)
	result.raw, result.status = raw, status
	return result
end

return client
