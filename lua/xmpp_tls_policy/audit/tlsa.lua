--- TLSA records (RFC 6698, RFC 7671): their bytes, and whether a chain matches them.
local core = require "xmpp_tls_policy.core"

local tlsa = {}

local PKIX_TA, PKIX_EE, DANE_TA, DANE_EE = 0, 1, 2, 3

--- The acronyms of RFC 7218.
tlsa.usages = { [PKIX_TA] = "PKIX-TA", [PKIX_EE] = "PKIX-EE", [DANE_TA] = "DANE-TA", [DANE_EE] = "DANE-EE" }
tlsa.selectors = { [0] = "Cert", [1] = "SPKI" }
tlsa.matching_types = { [0] = "Full", [1] = "SHA2-256", [2] = "SHA2-512" }

local FULL = 0
local digests = { [1] = "SHA256", [2] = "SHA512" }
local lengths = { [1] = 32, [2] = 64 } -- bytes of a digest

--- The fields of a record from its bytes (rfc6698.2.1.tlsa-rdata): { usage, selector, matching_type,
-- data (bytes) }; or nil and the fault.
function tlsa.parse(rdata)
	if #rdata < 4 or #rdata > 65535 then
		return nil, ("a TLSA record has %d bytes"):format(#rdata)
	end
	local usage, selector, matching_type = rdata:byte(1, 3)
	return { usage = usage, selector = selector, matching_type = matching_type, data = rdata:sub(4) }
end

--- A record in words: "DANE-EE SPKI SHA2-256 (3 1 1)".
function tlsa.name(record)
	local usage, selector, matching_type = record.usage, record.selector, record.matching_type
	return ("%s %s %s (%d %d %d)"):format(tlsa.usages[usage] or "unknown", tlsa.selectors[selector] or "unknown",
		tlsa.matching_types[matching_type] or "unknown", usage, selector, matching_type)
end

-- Why nobody can use a record, or nil (rfc6698.4.1.unusable-records).
local function fault_of(record)
	local length = lengths[record.matching_type]
	if not tlsa.usages[record.usage] or not tlsa.selectors[record.selector]
		or not tlsa.matching_types[record.matching_type] then
		return "a value that is not known"
	elseif length and #record.data ~= length then
		return ("a digest of %d bytes instead of %d"):format(#record.data, length)
	end
end

local function is_of(record, certificate)
	local bytes = record.selector == 0 and certificate:der() or record.selector == 1 and certificate:spki()
	if bytes and record.matching_type ~= FULL then
		bytes = core.digest(digests[record.matching_type], bytes)
	end
	return bytes == record.data
end

local function any_of(record, list, first)
	for index = first, #list do
		if is_of(record, list[index]) then
			return list[index]
		end
	end
end

-- Whether stronger digests of the same kind make a record count for nothing
-- (rfc7671.9.strongest-digest).
local function is_outdone(record, records)
	for _, other in ipairs(records) do
		if record.matching_type == 1 and other.matching_type == 2 and other.usage == record.usage
			and other.selector == record.selector and not fault_of(other) then
			return true
		end
	end
	return false
end

-- The authority that a record with the usage DANE-TA names: one that was sent
-- (rfc7671.5.2.anchor-is-sent), or that the record holds itself.
local function anchor_of(record, chain)
	local anchor
	if record.selector == 0 and record.matching_type == FULL then
		anchor = core.certificate.from_der(record.data)
	else
		anchor = any_of(record, chain, 2)
	end
	return anchor and anchor:facts().ca and anchor or nil
end

local checks = {
	-- rfc7671.5.1.dane-ee-alone
	[DANE_EE] = function (record, chain)
		return is_of(record, chain[1]), "the server has another key or certificate"
	end,
	[DANE_TA] = function (record, chain, options)
		local anchor = anchor_of(record, chain)
		if not anchor then
			return false, "no authority that was sent matches"
		end
		local verified = options.trust:verify(chain, options.now, { anchor })
		if not verified or not verified.verified then
			return false, "the chain does not lead to the authority: "
				.. (verified and verified.faults[1] and verified.faults[1].message or "it cannot be verified")
		end
		return options.covers(verified.certificate), "the certificate does not cover the domain or the host"
	end,
	[PKIX_EE] = function (record, chain, options)
		if not is_of(record, chain[1]) then
			return false, "the server has another key or certificate"
		end
		return options.verified.verified and options.covers(options.verified.certificate),
			"the certificate is not trusted, or does not cover the domain or the host"
	end,
	[PKIX_TA] = function (record, _, options)
		if not options.verified.verified then
			return false, "the chain leads to no trusted authority"
		elseif not any_of(record, options.verified.path, 2) then
			return false, "another authority issued the certificate"
		end
		return options.covers(options.verified.certificate), "the certificate does not cover the domain or the host"
	end,
}

--- Which of the records a chain matches.
--   records  a list as of tlsa.parse
--   chain    list of Certificates as the server sent them
--   options  { trust = a Context with authorities, now = UTC seconds, verified = the result of
--            trust:verify(chain, now), covers = function(certificate) -> whether it is for the domain, or for
--            the host of the endpoint (rfc7673.4.2.both-names) }
-- Returns a list of { name = record in words, matches = boolean; nil: the record counts for nothing, reason =
-- why it does not match or count }.
function tlsa.compare(records, chain, options)
	local results = {}
	for index, record in ipairs(records) do
		local result, fault = { name = tlsa.name(record) }, fault_of(record)
		if fault then
			result.reason = fault
		elseif is_outdone(record, records) then
			result.reason = "a record with a stronger digest counts instead"
		else
			local matches, reason = checks[record.usage](record, chain, options)
			result.matches, result.reason = matches and true or false, not matches and reason or nil
		end
		results[index] = result
	end
	return results
end

return tlsa
