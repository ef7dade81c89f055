-- The faults of the certificate of one of our own hosts, with remedies.
local date = require "xmpp_tls_policy.date"
local text = require "xmpp_tls_policy.text"

local own_certificate = {}

-- Days before the end of a certificate at which a warning begins. ACME clients renew when
-- a third of 90 days is left; at three weeks, an administrator has time to find out why this
-- one did not. One week and one day are reminders.
local EXPIRY_DAYS = { 1, 7, 21 }

-- A certificate of a few weeks or days (45 or 6 days) is renewed when a third of its life is
-- left. Until then its end is no reason for a warning.
local RENEWAL_SHARE = 1 / 3

-- RFC 9325 4.5, the clauses key.rsa2048 and key.curve224.
local LEAST_BITS = { RSA = 2048, ["RSA-PSS"] = 2048, EC = 224 }

-- RFC 9325 4.5, the clause signature.sha1, and weaker digests.
local BROKEN_DIGESTS = { "sha1", "md5", "md4", "md2" }

local severities = { error = 1, warn = 2, info = 3 }

-- ---- rules -----------------------------------------------------------------------
-- `name` names the certificate in a sentence; `prefix` comes before the kinds of its faults.

-- rfc5280.3.2.self-issued-by-name
local function is_self_signed(certificate)
	return certificate.subject == certificate.issuer
end

local function check_validity(add, prefix, name, certificate, now)
	local not_before, not_after = certificate.not_before, certificate.not_after
	if not not_before or not not_after then
		add(prefix .. "validity-unknown", "error", ("%s has no readable dates: replace it"):format(name))
		return
	end
	if now > not_after then
		add(prefix .. "expired", "error",
			("%s expired %s ago: replace it"):format(name, date.span(now - not_after)))
	end
	if now < not_before then
		add(prefix .. "not-yet-valid", "error",
			("%s becomes valid in %s: wait, or set the clock right"):format(name, date.span(not_before - now)))
	end
end

local function check_expiry(add, name, certificate, now)
	local left = certificate.not_after and certificate.not_after - now
	if not left or left < 0 then
		return
	end
	local life = certificate.not_before and certificate.not_after - certificate.not_before or math.huge
	for _, days in ipairs(EXPIRY_DAYS) do
		if left <= days * date.DAY then
			add(("expiry-%d"):format(days), left <= life * RENEWAL_SHARE and "warn" or "info",
				("%s expires in %s: renew it"):format(name, date.span(left)))
			return
		end
	end
end

local function check_names(add, name, options)
	if options.matches_any == false then
		add("not-covering-any", "info", ("%s covers no host of ours, so clients and servers refuse it: configure one with "
			.. "the DNS names of the hosts in its subjectAltName"):format(name))
	end
	if not options.domain then
		return
	end
	local needed = ("get one with the DNS name %s in its subjectAltName"):format(text.quote(options.domain))
	if options.matches_c2s == false then
		add("not-covering-c2s", "error", ("%s does not cover it, so clients (c2s) refuse it: %s"):format(name, needed))
	end
	if options.matches_s2s == false then
		add("not-covering-s2s", "error",
			("%s does not cover it, so other servers (s2s) do not authenticate us by it: %s"):format(name, needed))
	end
end

local function check_key(add, prefix, name, certificate)
	local least = LEAST_BITS[certificate.key_type]
	if least and (certificate.key_bits or 0) < least then
		add(prefix .. "weak-key", "error", ("%s has an %s key of %s bits; at least %d are needed: "
			.. "replace it by one with a new key"):format(name, certificate.key_type,
			tostring(certificate.key_bits or "unknown"), least))
	end
end

-- The signature of a self-signed certificate protects nothing.
local function check_signature(add, prefix, name, certificate)
	local digest = certificate.signature_digest or certificate.signature_algorithm or ""
	for _, broken in ipairs(is_self_signed(certificate) and {} or BROKEN_DIGESTS) do
		if digest:lower():find(broken, 1, true) then
			add(prefix .. "weak-signature", "error",
				("%s is signed with %s; SHA-256 or better is needed: have it issued again"):format(name, digest))
			return
		end
	end
end

-- rfc5280.4.2.1.12.only-listed-usages. OpenSSL looks for the usage itself; anyExtendedKeyUsage is
-- not enough for it. A server that connects to another one needs no clientAuth
-- (xep0178.1.server-auth-is-enough), and public authorities do not issue it since 2026.
local function check_usages(add, name, certificate)
	if not certificate.extended_key_usages then
		return
	end
	local has = {}
	for _, usage in ipairs(certificate.extended_key_usages) do
		has[usage] = true
	end
	if not has.serverAuth then
		add("no-server-auth", "error", ("the extended key usages of %s lack serverAuth, so clients and other "
			.. "servers refuse it: get one with serverAuth"):format(name))
	end
end

-- `breaches` of the policy's clauses on our own certificates.
local function add_breaches(add, name, breaches)
	for _, breach in ipairs(breaches or {}) do
		add(breach.clause, "warn", ("%s %s (%s %s, %s)"):format(name, breach.text, breach.document, breach.section,
			breach.level))
	end
end

-- ---- chain -----------------------------------------------------------------------

local function issuer_among(list, certificate, taken)
	for _, candidate in ipairs(list or {}) do
		if not taken[candidate] and certificate.issuer and candidate.subject == certificate.issuer then
			return candidate
		end
	end
end

-- The certificates by which the first one leads up to a root, in any order in which they are
-- sent (rfc8446.4.4.2.chain-in-any-order). Others among the chain do not matter.
local function path(certificate, chain)
	local found, taken = {}, {}
	while not is_self_signed(certificate) do
		certificate = issuer_among(chain, certificate, taken)
		if not certificate then
			break
		end
		found[#found + 1] = certificate
		taken[certificate] = true
	end
	return found
end

-- Checks that the issuer of the certificate itself is sent. Of a further issuer, nothing
-- tells whether it is a root, which need not be sent (rfc8446.4.4.2.root-left-out); and public authorities do not issue
-- the certificates of servers from a root.
local function check_chain(add, name, certificate, options)
	if not options.chain then
		return
	end
	local found = path(certificate, options.chain)
	if not found[1] and not is_self_signed(certificate) then
		local root = issuer_among(options.roots, certificate, {})
		if not root or not is_self_signed(root) then
			add("chain-incomplete", "warn", ("the certificate of its issuer %s does not follow %s, so others "
				.. "may not be able to verify it: append that to the certificate file"):format(
				text.quote(certificate.issuer or ""), name))
		end
	end
	for _, authority in ipairs(found) do
		local its_name = ("the certificate of the issuer %s that follows %s"):format(
			text.quote(authority.subject or ""), name)
		check_validity(add, "chain-", its_name, authority, options.now)
		check_key(add, "chain-", its_name, authority)
		check_signature(add, "chain-", its_name, authority)
	end
end

-- ---- all -------------------------------------------------------------------------

local function check_arguments(certificate, options)
	local function bad(name, value)
		error(("bad %s: %s"):format(name, text.printable(value)), 4)
	end
	if type(certificate) ~= "table" then
		bad("certificate", certificate)
	elseif type(options) ~= "table" then
		bad("options", options)
	elseif options.services ~= nil and type(options.services) ~= "table" then
		bad("services", options.services)
	elseif type(options.domain) ~= "string" and (options.domain ~= nil or not options.services) then
		bad("domain", options.domain)
	elseif type(options.now) ~= "number" or options.now ~= options.now then
		bad("now", options.now)
	end
end

-- The certificate in a sentence.
local function name_of(options)
	local services = options.services and table.concat(options.services, ", ")
	if not options.domain then
		return "the certificate without a server name of " .. services
	end
	return ("the certificate of %s%s"):format(text.quote(options.domain), services and (" (%s)"):format(services) or "")
end

-- The faults of a certificate.
--   certificate  facts as certificate:facts() returns them
--   options      { domain = the host as certificates name it, in A-labels; nil: the certificate is for
--                  those who ask for no host,
--                  services = list of the services that show it, for the messages; nil: all of the host,
--                  matches_c2s, matches_s2s = whether the certificate covers the host for
--                  clients and for servers, or nil: not checked,
--                  matches_any = whether it covers any host of ours, or nil: not checked; if not,
--                  nothing else is said of it: the server may have chosen it at random,
--                  chain = list of the facts of the certificates sent after it, which may
--                  be empty, or nil: not known,
--                  roots = list of the facts of authorities that need not be sent, or nil,
--                  now = UTC seconds,
--                  breaches = of the policy, as policy:judge_own_certificate returns them, or nil }
-- Returns a list of { kind, severity = "error" | "warn" | "info", message = the fault, a
-- colon, and the remedy }, worst first, then by kind. The kinds:
--   validity-unknown, expired, not-yet-valid, weak-key, weak-signature (each with chain-
--   before it for a certificate of the chain), expiry-1, expiry-7, expiry-21 (days; the
--   fewest that apply; "info" while more than a third of the certificate's life is left,
--   then "warn"), not-covering-c2s, not-covering-s2s, not-covering-any, no-server-auth,
--   chain-incomplete, and the ids of the clauses that are broken
function own_certificate.check(certificate, options)
	check_arguments(certificate, options)
	local problems = {}
	local function add(kind, severity, message)
		problems[#problems + 1] = { kind = kind, severity = severity, message = message }
	end
	local name = name_of(options)
	if options.matches_any == false then
		check_names(add, name, options)
		return problems
	end
	check_validity(add, "", name, certificate, options.now)
	check_expiry(add, name, certificate, options.now)
	check_names(add, name, options)
	check_key(add, "", name, certificate)
	check_signature(add, "", name, certificate)
	check_usages(add, name, certificate)
	check_chain(add, name, certificate, options)
	add_breaches(add, name, options.breaches)
	table.sort(problems, function(a, b)
		if a.severity ~= b.severity then
			return severities[a.severity] < severities[b.severity]
		elseif a.kind ~= b.kind then
			return a.kind < b.kind
		end
		return a.message < b.message
	end)
	return problems
end

return own_certificate
