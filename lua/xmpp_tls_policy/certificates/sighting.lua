-- A sighting of a domain's certificate: the verdict on it, and the record's changes by it.
local certificate_change = require "xmpp_tls_policy.certificates.change"
local date = require "xmpp_tls_policy.date"
local records = require "xmpp_tls_policy.certificates.record"
local text = require "xmpp_tls_policy.text"

local sighting = {}

-- The most new certificates of a domain that are logged and remembered in a day, so that a server
-- with a new one for each connection fills neither the log nor the disk. A cluster whose
-- certificates fill the list is learnt in a day.
local MOST_NEWCOMERS = records.MOST_CERTIFICATES - 1

local function is_within_a_day(past, now)
	return past ~= nil and now >= past and now - past < date.DAY
end

local function first(domain, new, damage)
	local message = text.quote(domain) .. " shows a certificate for the first time"
	return {
		kind = "first", severity = damage and "warn" or nil, damaged = damage and true or nil,
		message = damage and ("%s; its present certificate counts as its first"):format(damage) or message,
		new = records.copy(new), accepted = true, refuse = false,
	}
end

-- Nodes of a cluster may send one certificate with different chains, so that it is verified
-- now and then. That is logged at once, and then not again for a day.
local function known(domain, record, index, seen, now)
	local entry = record.certificates[index]
	local result = { kind = "known", old = records.copy(entry), accepted = true, refuse = false,
		message = text.quote(domain) .. " shows a certificate that it has shown before" }
	local changed = records.seen_again(record.certificates, index, seen.direction, now)
	if entry.verified ~= seen.verified and not is_within_a_day(entry.verified_changed, now) then
		entry.verified, entry.verified_changed, changed = seen.verified, now, true
		result.kind = seen.verified and "verified" or "unverified"
		result.severity = seen.verified and "info" or "warn"
		result.message = ("%s shows a certificate that it has shown before: it %s"):format(text.quote(domain),
			seen.verified and "is verified now, and was not" or "is no longer verified")
	end
	result.new = changed and records.copy(entry) or result.old
	return result, changed
end

local function pending(domain, record, index, seen, now)
	local entry = record.pending[index]
	local result = { kind = "pending", old = records.copy(record.certificates[#record.certificates]),
		accepted = false, refuse = true,
		message = text.quote(domain) .. " shows a certificate that is refused until it is accepted" }
	local changed = records.seen_again(record.pending, index, seen.direction, now)
	if seen.certificate_change ~= "refuse" then
		-- The log had a warning when the certificate came.
		records.append(record.certificates, table.remove(record.pending, records.find(record.pending, entry.sha256)),
			records.MOST_CERTIFICATES)
		result.kind, result.severity, result.accepted, result.refuse, changed = "known", "info", true, false, true
		result.message = text.quote(domain)
			.. " shows a certificate that was refused; it is accepted now, because changes are only warned about"
	end
	result.new = records.copy(entry)
	return result, changed
end

-- The number of new certificates of today, this one included; more than MOST_NEWCOMERS are not
-- counted one by one.
local function count_newcomer(record, now)
	local newcomers = record.newcomers
	if not newcomers or not is_within_a_day(newcomers.since, now) then
		newcomers = { since = now, count = 0 }
	end
	if newcomers.count < MOST_NEWCOMERS then
		record.newcomers = { since = newcomers.since, count = newcomers.count + 1 }
	end
	return newcomers.count + 1
end

local function newcomer(domain, record, new, seen, now)
	-- The time of a clock that was set back would make the entry look unseen for long later on.
	new.first_seen = math.max(now, record.certificates[#record.certificates].last_seen)
	new.last_seen = new.first_seen
	local verdict = certificate_change.judge(record.certificates, new, now)
	local refuse = verdict.kind == "change" and seen.certificate_change == "refuse"
	local count = count_newcomer(record, now)
	local result = { kind = verdict.kind, old = records.copy(verdict.old), new = records.copy(new),
		accepted = false, refuse = refuse,
		message = ("%s %s%s"):format(text.quote(domain), verdict.reason,
			refuse and "; it is refused until it is accepted" or "") }
	if count > MOST_NEWCOMERS then
		return result, false
	end
	result.severity, result.accepted = verdict.severity, not refuse
	if count == MOST_NEWCOMERS then
		result.message = result.message .. "; more new certificates of this domain are not logged today"
	end
	if refuse then
		records.append(record.pending, new, records.MOST_PENDING)
	else
		verdict.old.replaced = true
		records.append(record.certificates, new, records.MOST_CERTIFICATES)
	end
	return result, true
end

-- The result for a certificate that cannot be judged: it is refused if changes are.
-- `failure`: the reason, a sentence.
function sighting.unknown(seen, failure)
	return { kind = "unknown", severity = "warn", message = failure, failure = failure, accepted = false,
		refuse = seen.certificate_change == "refuse" }
end

-- The result for any certificate of a domain whose record is damaged, where changes are refused:
-- a changed certificate cannot be told from a known one. `damage`: a sentence.
function sighting.damaged(damage)
	return {
		kind = "unknown", severity = "warn", damaged = true, accepted = false, refuse = true,
		message = damage .. "; its certificates are refused until the record is forgotten",
	}
end

-- Judges a sighting, and changes the record by it.
--   record  of the domain (see record.lua), nil: the domain is new, or its record is damaged
--   new     an entry of the certificate, as if it were new; its facts if the record has it
--   seen    { direction, verified, certificate_change }, see Memory:see
--   now     UTC seconds
--   damage  a message, nil: the record is not damaged
-- Returns a result (see Memory:see), and the record if it has to be written; else nil, and the record
-- was not changed.
function sighting.judge(domain, record, new, seen, now, damage)
	if not record then
		return first(domain, new, damage), records.new(new)
	end
	local judge, index = known, records.find(record.certificates, new.sha256)
	if not index then
		judge, index = pending, records.find(record.pending, new.sha256)
	end
	local result, changed
	if index then
		result, changed = judge(domain, record, index, seen, now)
	else
		result, changed = newcomer(domain, record, new, seen, now)
	end
	return result, changed and record or nil
end

return sighting
