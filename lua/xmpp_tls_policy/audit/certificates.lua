--- What the certificates that a server sent tell an outsider: as observations, and as plain data for reports.
local caa = require "xmpp_tls_policy.audit.caa"
local core = require "xmpp_tls_policy.core"
local date = require "xmpp_tls_policy.date"
local observations = require "xmpp_tls_policy.audit.observations"
local text = require "xmpp_tls_policy.text"
local tlsa = require "xmpp_tls_policy.audit.tlsa"

local made, untested = observations.made, observations.untested

local certificates = {}

-- Certificates, and names of each kind in one of them, that are shown and compared with each other.
local MOST_CERTIFICATES, MOST_NAMES = 10, 50

--- The authorities to trust, as a Context. `ca_file`: their file, PEM; nil: the system's. Or nil, message.
function certificates.authorities(ca_file)
	return core.context.new { role = "client", ca_file = ca_file, system_authorities = not ca_file or nil }
end

-- ---- plain data -----------------------------------------------------------------

local function shown(name)
	return name and text.shown(#name > 300 and name:sub(1, 300) .. "..." or name)
end

local function shown_list(names, show)
	local list = {}
	for index = 1, math.min(#names, MOST_NAMES) do
		list[index] = show(names[index])
	end
	return list
end

local function shown_srv(identity)
	return shown(("_%s.%s"):format(identity.service, identity.name))
end

local function described(facts)
	return {
		subject = shown(facts.subject), issuer = shown(facts.issuer), serial = shown(facts.serial),
		not_before = facts.not_before, not_after = facts.not_after,
		key = { type = facts.key_type, bits = facts.key_bits, curve = facts.curve },
		signature = facts.signature_algorithm,
		usages = facts.extended_key_usages and shown_list(facts.extended_key_usages, shown),
		sha256 = facts.sha256, spki_sha256 = facts.spki_sha256,
		names = {
			dns = shown_list(facts.identities.dns, shown), xmpp = shown_list(facts.identities.xmpp, shown),
			srv = shown_list(facts.identities.srv, shown_srv),
		},
	}
end

-- ---- chain -----------------------------------------------------------------------

local function name_of(facts)
	return text.quote(facts.subject or "")
end

local function has_fault(verified, kind)
	for _, fault in ipairs(verified.faults) do
		if fault.kind == kind then
			return true
		end
	end
	return false
end

local function observe_trusted(subject)
	local verified, messages = subject.verified, {}
	if verified.verified then
		return made(true, "the chain leads to a trusted authority, " .. name_of(verified.path[#verified.path]:facts()))
	end
	for index, fault in ipairs(verified.faults) do
		messages[index] = ("%s (certificate %d)"):format(fault.message, fault.depth + 1)
	end
	return made(false, text.short_list(messages))
end

-- rfc8446.4.4.2.root-left-out
local function observe_complete(subject)
	local path = subject.verified.path
	if has_fault(subject.verified, "no_issuer") then
		local last = path[#path]:facts()
		return made(false, ("the issuer of %s, %s, was neither sent nor is it a trusted authority"):format(name_of(last),
			text.quote(last.issuer or "")))
	end
	return made(true, "the issuer of every certificate was sent or is a trusted authority")
end

-- Each certificate is issued by the next one (rfc5246.7.4.2.chain-in-order).
local function observe_ordered(subject)
	local chain = subject.chain
	for index = 1, math.min(#chain, MOST_CERTIFICATES) - 1 do
		if not chain[index]:is_issued_by(chain[index + 1]) then
			return made(false, ("certificate %d, %s, is not issued by the next one, %s"):format(index,
				name_of(chain[index]:facts()), name_of(chain[index + 1]:facts())))
		end
	end
	return made(true, #chain == 1 and "one certificate was sent" or "each certificate is issued by the next one")
end

-- ---- the certificate itself ---------------------------------------------------------

local function covers(subject, certificate)
	return certificate:matches(subject.domain, subject.xmpp_service)
end

local function observe_domain(subject)
	local seen, names, all = covers(subject, subject.verified.certificate), subject.data.names, {}
	for _, kind in ipairs { "dns", "srv", "xmpp" } do
		for _, name in ipairs(names[kind]) do
			all[#all + 1] = name
		end
	end
	return made(seen, ("the certificate %s %s for %s; its names: %s"):format(seen and "covers" or "does not cover",
		text.quote(subject.domain), subject.xmpp_service, text.short_list(all)), names)
end

-- The value has what clauses need to judge.
local function observe_key(subject)
	local key = subject.data.key
	if not key.type then
		return untested "the key of the certificate is of a kind that is not known"
	end
	local size = key.bits and (", %d bits"):format(key.bits) or ""
	return made(true, ("the key: %s%s"):format(key.curve or key.type, size), key)
end

local broken_digests = { "sha1", "md5", "md4", "md2" }

-- The signature of a certificate that is issued by itself protects nothing: of those after the first, the value does
-- not have it.
local function observe_signature(subject)
	local algorithms = {}
	for index = 1, math.min(#subject.chain, MOST_CERTIFICATES) do
		local facts = subject.chain[index]:facts()
		local digest = (facts.signature_digest or facts.signature_algorithm or ""):lower()
		local algorithm = shown(facts.signature_algorithm or "unknown")
		algorithms[#algorithms + 1] = (index == 1 or not facts.self_issued) and algorithm or nil
		for _, broken in ipairs(facts.self_issued and {} or broken_digests) do
			if digest:find(broken, 1, true) then
				return made(false, ("%s is signed with %s"):format(name_of(facts), algorithm), algorithms)
			end
		end
	end
	return made(true, "no certificate is signed with SHA-1 or MD5", algorithms)
end

-- rfc5280.4.2.1.12.only-listed-usages, xep0178.1.server-auth-is-enough
local function observe_usages(subject)
	local usages = subject.facts.extended_key_usages
	for _, usage in ipairs(usages or {}) do
		if usage == "serverAuth" then
			return made(true, "the extended key usages have serverAuth", subject.data.usages)
		end
	end
	if usages then
		return made(false, "the extended key usages lack serverAuth", subject.data.usages)
	end
	return made(true, "the certificate has no extended key usages, so that it is good for all")
end

local function observe_days_left(subject)
	local from, to = subject.facts.not_before, subject.facts.not_after
	if not from or not to or to <= from then
		return untested "the dates of the certificate cannot be read"
	end
	local left = to - subject.now
	local value = {
		days = math.floor(left / date.DAY), life = math.floor((to - from) / date.DAY), share = left / (to - from),
	}
	if subject.now < from then
		return made(false, ("it becomes valid in %s"):format(date.span(from - subject.now)), value)
	elseif left < 0 then
		return made(false, ("it expired %s ago"):format(date.span(-left)), value)
	end
	return made(true, ("%s of %s are left"):format(date.span(left), date.span(to - from)), value)
end

local function observe_expected(subject)
	if not subject.expected or subject.expected:is_empty() then
		return untested "no key or certificate was expected"
	end
	local seen = subject.expected:has(subject.facts)
	return made(seen, ("%s: certificate %s, key %s"):format(seen and "as expected" or "another one than expected",
		subject.facts.sha256, subject.facts.spki_sha256))
end

-- ---- DNS ---------------------------------------------------------------------------

local function first_status(records, status)
	for _, record in ipairs(records) do
		if record.dnssec ~= status then
			return record.dnssec or "unknown"
		end
	end
	return status
end

local function observe_tlsa(subject, observed)
	local records = subject.tlsa
	local status = records and (records[1] and first_status(records, "secure"))
	if records and records[1] and status == "secure" and subject.host_dnssec ~= "secure" then
		status = subject.host_dnssec or "unknown" -- rfc7673.3.1.secure-srv
	end
	local reason = not records and "TLSA records were not looked up"
		or not records[1] and "there are no TLSA records"
		or status ~= "secure" and ("the DNSSEC status of the TLSA records, or of the SRV record, is %s"):format(status)
	if not records or status == "unknown" then
		observed["certificate.tlsa_secure"] = untested(reason)
	else
		observed["certificate.tlsa_secure"] = made(not reason, reason or "TLSA records are secured by DNSSEC")
	end
	if reason then
		return untested(reason .. "; so there is nothing to compare")
	end
	local results = tlsa.compare(records, subject.chain, {
		trust = subject.trust, now = subject.now, verified = subject.verified,
		covers = function (certificate)
			return covers(subject, certificate) or certificate:matches(subject.host, subject.xmpp_service)
		end,
	})
	local counting
	for _, result in ipairs(results) do
		if result.matches then
			return made(true, result.name .. " matches", results)
		end
		counting = counting or result.matches == false and result
	end
	if not counting then
		return untested(("no TLSA record counts: %s"):format(results[1].reason))
	end
	return made(false, ("no TLSA record matches; %s: %s"):format(counting.name, counting.reason), results)
end

-- Whether only a wildcard of the certificate covers the domain.
local function is_wildcard(subject)
	local domain = core.domain_name(subject.domain)
	for _, name in ipairs(subject.facts.identities.dns) do
		if core.domain_name(name) == domain then
			return false
		end
	end
	for _, name in ipairs(subject.facts.identities.dns) do
		if name:sub(1, 2) == "*." then
			return true
		end
	end
	return false
end

local function issuers_of(permitted)
	local names = {}
	for index, issue in ipairs(permitted) do
		names[index] = shown(issue.issuer)
	end
	return names
end

local function observe_caa_issuer(subject, permitted)
	local names, issuer = caa.names_of(subject.facts.issuer or ""), text.quote(subject.facts.issuer or "")
	if not permitted[1] then
		return made(false, ("CAA permits nobody to issue certificates, and this one is of %s"):format(issuer))
	elseif not names then
		return untested(("it is not known under which name CAA has %s"):format(issuer))
	end
	for _, issue in ipairs(permitted) do
		for _, name in ipairs(names) do
			if issue.issuer == name then
				return made(true, ("CAA permits %s, the issuer %s"):format(name, issuer))
			end
		end
	end
	return made(false, ("CAA permits %s, and the certificate is of %s"):format(
		text.short_list(issuers_of(permitted)), issuer))
end

-- rfc8657.3.accounturi
local function observe_caa_account(permitted)
	local unbound = {}
	for _, issue in ipairs(permitted) do
		unbound[#unbound + 1] = not issue.account and shown(issue.issuer) or nil
	end
	if unbound[1] then
		return made(false, "any account may get certificates of " .. text.short_list(unbound))
	end
	return made(true, permitted[1] and "each permitted issuer may serve one account alone" or "no issuer is permitted")
end

local function observe_caa(subject, observed)
	local reason = not subject.caa and "CAA records were not looked up"
	local permitted = subject.caa and caa.permitted(subject.caa, is_wildcard(subject))
	if not reason and not permitted then
		reason = "no CAA record restricts who may issue certificates"
	end
	observed["certificate.caa_issuer"] = reason and untested(reason) or observe_caa_issuer(subject, permitted)
	observed["certificate.caa_account"] = reason and untested(reason) or observe_caa_account(permitted)
	if not subject.caa then
		return untested(reason)
	end
	return made(not reason, reason or "CAA permits " .. text.short_list(issuers_of(permitted)), permitted
		and { issuers = issuers_of(permitted), dnssec = first_status(subject.caa, "secure") })
end

-- ---- all --------------------------------------------------------------------------

local observers = {
	trusted = observe_trusted, complete = observe_complete, ordered = observe_ordered, domain = observe_domain,
	key = observe_key, signature = observe_signature, usages = observe_usages, days_left = observe_days_left,
	expected = observe_expected, tlsa = observe_tlsa, caa = observe_caa,
}

--- All observations, each untested for the same reason.
function certificates.untested(reason)
	local observed = {}
	for name in pairs(observations.statements) do
		if name:find "^certificate%." then
			observed[name] = untested(reason)
		end
	end
	return observed
end

--- Examines the certificates that a server sent.
--   chain    list of Certificates, as connection:peer_chain() returns it
--   options  { domain, service = "c2s" or "s2s", trust = as certificates.authorities returns it,
--            now = UTC seconds,
--            host = the target of the SRV record, host_dnssec = the DNSSEC status of that record (without one: the
--            domain, and the status of its addresses),
--            tlsa, caa = lists of records as tlsa.parse and caa.parse return them, each with `dnssec`; empty: there
--            are none; nil: not looked up,
--            expected = as expected.new returns it, or nil }
-- Returns observations (name -> observation); and plain data for reports: { subject, issuer, serial,
-- not_before, not_after (UTC seconds), key = { type, bits, curve }, signature, usages (nil: all), sha256,
-- spki_sha256 (hexadecimal), names = { dns, srv, xmpp }, chain = list of such tables without `chain`, of the
-- certificates after the first }, or nil without a certificate.
function certificates.examine(chain, options)
	if not chain[1] then
		return certificates.untested "the server sent no certificate"
	end
	local verified, problem = options.trust:verify(chain, options.now)
	if not verified then
		return certificates.untested(problem)
	end
	local facts = chain[1]:facts()
	local subject = {
		chain = chain, verified = verified, facts = facts, data = described(facts),
		domain = options.domain, xmpp_service = options.service == "c2s" and "xmpp-client" or "xmpp-server",
		host = options.host or options.domain, host_dnssec = options.host_dnssec,
		trust = options.trust, now = options.now, tlsa = options.tlsa, caa = options.caa, expected = options.expected,
	}
	local observed = {}
	for name, observe in pairs(observers) do
		observed["certificate." .. name] = observe(subject, observed)
	end
	subject.data.chain = {}
	for index = 2, math.min(#chain, MOST_CERTIFICATES) do
		subject.data.chain[index - 1] = described(chain[index]:facts())
	end
	return observed, subject.data
end

--- Whether all endpoints of a domain show the same certificate. `list`: of { where = such as "c2s 192.0.2.1 5222",
-- sha256 = of its certificate, or nil }. Returns the observation certificate.same.
function certificates.same(list)
	local found, places = {}, {}
	for _, entry in ipairs(list) do
		local digest = entry.sha256
		if not digest then
			return untested("the certificate of " .. shown(entry.where) .. " is not known")
		elseif not places[digest] then
			places[digest] = {}
			found[#found + 1] = { sha256 = digest, where = places[digest] }
		end
		table.insert(places[digest], shown(entry.where))
	end
	if not list[2] then
		return untested "there is no other endpoint to compare with"
	end
	return made(#found == 1, #found == 1 and ("%d endpoints show the same certificate"):format(#list)
		or ("%d endpoints show %d different certificates"):format(#list, #found), found)
end

return certificates
