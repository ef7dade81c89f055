-- Tells the renewal of a certificate from a change that an administrator has to look at.
local date = require "xmpp_tls_policy.date"
local records = require "xmpp_tls_policy.certificates.record"
local text = require "xmpp_tls_policy.text"

local certificate_change = {}

-- A renewal is due in the last third of a certificate's life, when ACME clients renew, or
-- in its last 30 days, when people do; whichever is longer.
local RENEWAL_SHARE = 1 / 3
local RENEWAL_LEAST = 30 * date.DAY

-- A week, in which each node of a cluster in use is met at least once; and a day more,
-- because last_seen may be a day behind.
local IN_USE = (7 + 1) * date.DAY

-- ---- issuers -----------------------------------------------------------------

-- The organizationName in a name of the form of RFC 4514, or nil.
local function organization(name)
	local without_escapes = name:gsub("\\(.)", function(character)
		return ("\\%02x"):format(character:byte())
	end)
	for attribute in without_escapes:gmatch("[^,+]+") do
		local value = attribute:match("^O=(.+)$")
		if value then
			return value
		end
	end
end

-- For verified certificates only: anybody can write any issuer into another one. Public
-- authorities change the issuing certificate at random from one renewal to the next (Let's
-- Encrypt: R12, R13 ...), so the organisation counts, which they have to name (CA/Browser
-- Forum, Baseline Requirements 7.1.2.10.2). A self-signed certificate with a new key has a
-- new issuer.
local function have_same_issuer(old, new)
	if not old.issuer or not new.issuer or new.issuer == new.subject then
		return false
	elseif old.issuer == new.issuer then
		return true
	end
	local name = organization(new.issuer)
	return name ~= nil and name == organization(old.issuer)
end

local function issuer_of(entry)
	return entry.issuer and text.quote(entry.issuer) or "one without a name"
end

-- ---- the certificate to compare with -------------------------------------------

local function is_due(entry, now)
	if not entry.not_after then
		return false
	end
	local life = entry.not_before and entry.not_after - entry.not_before or 0
	return entry.not_after - now <= math.max(life * RENEWAL_SHARE, RENEWAL_LEAST)
end

-- Of the entries that fulfil the predicate the one seen last, or nil.
local function last(entries, fulfils)
	for index = #entries, 1, -1 do
		if fulfils(entries[index], index) then
			return entries[index]
		end
	end
end

-- The entry seen last is always in use. Another one is if it was seen in the last days and
-- no certificate has replaced it: so each node of a cluster renews its own certificate, and
-- a certificate that is due has one successor only.
local function in_use(entries, now)
	return function(entry, index)
		return index == #entries or not entry.replaced and now - entry.last_seen <= IN_USE
	end
end

-- ---- verdicts ------------------------------------------------------------------

local function verdict(kind, old, reason)
	return { kind = kind, severity = kind == "change" and "warn" or "info", old = old, reason = reason }
end

local function same_key(old, new)
	if old.verified and not new.verified then
		return verdict("change", old,
			"has a new certificate for the same key: it is not verified, and the old one was")
	end
	return verdict("renewal", old, "has a new certificate for the same key")
end

local function unverified(old)
	if records.was_verified(old) then
		return verdict("change", old, "has changed its certificate and key: the new one is not verified, "
			.. "and the old one was")
	end
	return verdict("change", old, "has changed its certificate and key, and neither certificate is verified")
end

local function left_of(old, now)
	if not old.not_after then
		return "the end of the old certificate is not known"
	end
	return ("the old certificate is valid for another %s"):format(date.span(old.not_after - now))
end

local function verified(old, new, now)
	if not have_same_issuer(old, new) then
		return verdict("change", old, ("has changed its certificate and key: the issuer is %s; it was %s"):format(
			issuer_of(new), issuer_of(old)))
	elseif not is_due(old, now) then
		return verdict("change", old,
			"has changed its certificate and key ahead of time: " .. left_of(old, now))
	end
	return verdict("renewal", old, "has renewed its certificate, with a new key")
end

-- Judges an entry that is new to the domain. `entries`: as in record.lua, at least one;
-- `now`: UTC seconds. Returns
--   { kind = "renewal" | "verified" | "change", severity = "info" | "warn",
--     old = the entry that it was compared with,
--     reason = a sentence that goes on from the domain }
-- "verified": the new certificate is, and none that the domain has in use ever was.
function certificate_change.judge(entries, new, now)
	local of_same_key = last(entries, function(entry) return entry.spki_sha256 == new.spki_sha256 end)
	if of_same_key then
		return same_key(of_same_key, new)
	end
	local used = in_use(entries, now)
	local trusted = last(entries, function(entry, index) return used(entry, index) and records.was_verified(entry) end)
	if not new.verified then
		return unverified(trusted or entries[#entries])
	elseif not trusted then
		return verdict("verified", entries[#entries], "has a new certificate that is verified; the old one was not")
	end
	local due = last(entries, function(entry, index)
		return used(entry, index) and records.was_verified(entry) and have_same_issuer(entry, new)
			and is_due(entry, now)
	end)
	return verified(due or trusted, new, now)
end

return certificate_change
