-- Which certificates the servers of other domains have shown, and whether a new
-- one is a renewal or a change (clause admin.change).
--
-- Nothing is kept here: every record is in the storage, an object of the caller's
-- with the methods
--   get(domain)          -> record; nil: there is none; nil, message: failed
--   set(domain, record)  -> true; nil, message. A record of nil removes it
--   domains()            -> an iterator over the domains, in any order; nil, message
-- which answer at once and throw nothing. Records are plain data, see
-- certificate_record.lua; the storage may keep the very table that it is given.
--
-- A domain is a string that the storage can use as a key, the same for the same
-- domain: the caller brings it into normal form (RFC 7622 3.2), and remembers only
-- domains that have proved to be what they say, or strangers fill the storage.
local certificate_change = require "xmpp_tls_policy.certificates.change"
local date = require "xmpp_tls_policy.date"
local records = require "xmpp_tls_policy.certificates.record"
local text = require "xmpp_tls_policy.text"

local certificate_memory = {}

local Memory = {}
Memory.__index = Memory

-- Of certificates that are new to a domain only so many are told of and remembered
-- in a day: a server that makes one for each connection fills neither the log nor
-- the disk. Enough to learn a cluster in a day whose certificates fill the list.
local MOST_NEWCOMERS = records.MOST_CERTIFICATES - 1

-- ---- arguments -----------------------------------------------------------------

-- The error is that of who called the method that calls this.
local function check(condition, name, wanted, value)
	if not condition then
		error(("bad %s: %s expected, got %s"):format(name, wanted, text.printable(value)), 3)
	end
end

local function is_domain(value)
	return type(value) == "string" and value ~= ""
end

local A_DOMAIN = "a string that is not empty"

local directions = { ["in"] = true, out = true }
local modes = { warn = true, refuse = true }

-- ---- storage -------------------------------------------------------------------

local function time(memory)
	local now = memory.now()
	if type(now) ~= "number" or now ~= now or math.abs(now) > 2 ^ 53 then
		error(("bad clock: UTC seconds expected, got %s"):format(text.printable(now)), 3)
	end
	return math.floor(now)
end

-- The record, or nil, a message, and "missing", "damaged" or "storage".
local function load(memory, domain, now)
	local stored, message = memory.store:get(domain)
	if stored == nil and message ~= nil then
		return nil, "the certificate memory could not be read: " .. tostring(message), "storage"
	elseif stored == nil then
		return nil, ("nothing is remembered of %s"):format(text.quote(domain)), "missing"
	end
	local record = records.read(stored, now)
	if not record then
		return nil, ("what was remembered of %s cannot be made sense of"):format(text.quote(domain)), "damaged"
	end
	return record
end

-- A record of nil removes it. Returns true, or nil, a message and "storage".
local function save(memory, domain, record)
	local done, message = memory.store:set(domain, record and records.to_store(record))
	if not done then
		return nil, "the certificate memory could not be written: " .. tostring(message), "storage"
	end
	return true
end

-- ---- sightings -----------------------------------------------------------------
-- Each returns a result, and whether the record has to be written.

local function is_within_a_day(past, now)
	return past ~= nil and now >= past and now - past < date.DAY
end

-- Nothing can be told of the certificate. What cannot be judged is not taken for
-- good where changes are refused.
local function unknown(seen, failure)
	return { kind = "unknown", severity = "warn", message = failure, failure = failure, accepted = false,
		refuse = seen.certificate_change == "refuse" }
end

local function first(domain, new, damage)
	local message = text.quote(domain) .. " shows a certificate for the first time"
	return {
		kind = "first", severity = damage and "warn" or nil, damaged = damage and true or nil,
		message = damage and ("%s; its certificate is taken for its first"):format(damage) or message,
		new = records.copy(new), accepted = true, refuse = false,
	}, true
end

-- Nodes of a cluster may send other chains with one certificate, so that it is
-- verified now and then: that is told of at once, and then not for a day.
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
			seen.verified and "is verified now, and was not" or "is not verified any more")
	end
	result.new = records.copy(entry)
	return result, changed
end

local function pending(domain, record, index, seen, now)
	local entry = record.pending[index]
	local result = { kind = "pending", old = records.copy(record.certificates[#record.certificates]),
		accepted = false, refuse = true,
		message = text.quote(domain) .. " shows a certificate that is refused until it is accepted" }
	local changed = records.seen_again(record.pending, index, seen.direction, now)
	if seen.certificate_change ~= "refuse" then
		-- It was warned of when it came.
		records.append(record.certificates, table.remove(record.pending, records.find(record.pending, entry.sha256)),
			records.MOST_CERTIFICATES)
		result.kind, result.severity, result.accepted, result.refuse, changed = "known", "info", true, false, true
		result.message = text.quote(domain)
			.. " shows a certificate that was refused; it is taken now, as changes are only warned about"
	end
	result.new = records.copy(entry)
	return result, changed
end

-- How many certificates are new today, this one included.
local function count_newcomer(record, now)
	if not record.newcomers or not is_within_a_day(record.newcomers.since, now) then
		record.newcomers = { since = now, count = 0 }
	end
	record.newcomers.count = record.newcomers.count + 1
	return record.newcomers.count
end

local function newcomer(domain, record, new, seen, now)
	-- With the time of a clock that was set back it would be dropped when that is put right.
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
		result.message = result.message .. "; further new certificates of it are not told of today"
	end
	if refuse then
		records.append(record.pending, new, records.MOST_PENDING)
	else
		verdict.old.replaced = true
		records.append(record.certificates, new, records.MOST_CERTIFICATES)
	end
	return result, true
end

-- What to make of a certificate that a domain's server shows.
--   facts   as certificate:facts() returns them
--   seen    { direction = "in" (the domain's server connected to us) | "out",
--           verified = whether the certificate leads to a trusted root and covers the domain,
--           certificate_change = "warn" (default) | "refuse" }
-- Returns
--   { kind      "first"       the domain is new
--               "known"       it has shown this certificate before
--               "renewal"     another certificate for a key that it had; or a new key,
--                             verified, of the issuer that it had, when that was due
--               "verified"    the certificate is verified; the ones in use, or this one
--                             before, were not
--               "unverified"  this certificate was verified before, and is not any more
--               "change"      any other new certificate
--               "pending"     a change that was refused before, and is refused still
--               "unknown"     the storage failed, or the certificate has no digests
--     severity  "info", "warn", or nil: needs no word, or has had it. A change is warned
--               of once; of more than seven new certificates in a day nothing is said
--     message   one sentence
--     old, new  the entries compared (certificate_record.lua), as copies; old is
--               nil for "first", both are for "unknown"
--     accepted  whether the certificate now is among those that the domain is known by
--     refuse    whether the connection is to be refused; only under "refuse"
--     damaged   true: the storage had a record that was none; it was replaced. Else nil;
--               only for "first"
--     failure   message of a storage that failed, or nil; severity is "warn" then.
--               What was judged holds, but is not remembered }
function Memory:see(domain, facts, seen)
	check(is_domain(domain), "domain", A_DOMAIN, domain)
	check(type(facts) == "table", "certificate", "a table of facts", facts)
	check(type(seen) == "table", "sight", "a table", seen)
	check(directions[seen.direction], "direction", '"in" or "out"', seen.direction)
	check(type(seen.verified) == "boolean", "verified", "true or false", seen.verified)
	check(modes[seen.certificate_change or "warn"], "certificate_change", '"warn" or "refuse"', seen.certificate_change)
	local now = time(self)
	local new = records.entry(facts, seen, now)
	if not new then
		return unknown(seen, ("the certificate of %s has no SHA-256 digests"):format(text.quote(domain)))
	end
	local record, message, code = load(self, domain, now)
	if code == "storage" then
		return unknown(seen, message)
	end
	local result, changed
	if not record then
		record = records.new(new)
		result, changed = first(domain, new, code == "damaged" and message or nil)
	elseif records.find(record.certificates, new.sha256) then
		result, changed = known(domain, record, records.find(record.certificates, new.sha256), seen, now)
	elseif records.find(record.pending, new.sha256) then
		result, changed = pending(domain, record, records.find(record.pending, new.sha256), seen, now)
	else
		result, changed = newcomer(domain, record, new, seen, now)
	end
	local saved, failure = true, nil
	if changed then
		saved, failure = save(self, domain, record)
	end
	if not saved then
		result.failure, result.severity = failure, "warn"
		result.message = result.message .. "; " .. failure
		-- What is not remembered is new again the next time.
		result.refuse = result.refuse or seen.certificate_change == "refuse" and result.kind ~= "known"
		result.accepted = result.old ~= nil and result.old.sha256 == new.sha256
	end
	return result
end

-- ---- administration --------------------------------------------------------------

-- What is remembered of a domain: { certificates = list of entries, the one seen
-- last at the end, pending = likewise, be it empty }. Or nil, a message, and
-- "missing", "damaged" or "storage".
function Memory:get(domain)
	check(is_domain(domain), "domain", A_DOMAIN, domain)
	local record, message, code = load(self, domain, time(self))
	if not record then
		return nil, message, code
	end
	return { certificates = record.certificates, pending = record.pending }
end

-- for domain, record, message, code in memory:list() do: every domain, sorted by
-- the bytes, and what get returns for it at that moment. Or nil, a message and
-- "storage".
function Memory:list()
	local iterate, state, control = self.store:domains()
	if not iterate then
		return nil, "the certificate memory could not be read: " .. tostring(state), "storage"
	end
	local domains, position = {}, 0
	for domain in iterate, state, control do
		domains[#domains + 1] = domain
	end
	table.sort(domains)
	return function()
		position = position + 1
		if domains[position] then
			return domains[position], self:get(domains[position])
		end
	end
end

-- Takes what is pending for good; or, with `sha256`, that certificate alone, so that
-- none is accepted that came after an administrator looked. Returns how many, or
-- nil, a message, and "missing", "damaged" or "storage".
function Memory:accept(domain, sha256)
	check(is_domain(domain), "domain", A_DOMAIN, domain)
	check(sha256 == nil or type(sha256) == "string", "certificate", "its SHA-256", sha256)
	local record, message, code = load(self, domain, time(self))
	if not record then
		return nil, message, code
	end
	local accepted, still_pending = 0, {}
	for _, entry in ipairs(record.pending) do
		if sha256 == nil or entry.sha256 == sha256 then
			accepted = accepted + 1
			records.append(record.certificates, entry, records.MOST_CERTIFICATES)
		else
			still_pending[#still_pending + 1] = entry
		end
	end
	if accepted == 0 then
		return nil, ("no %s of %s is pending"):format(sha256 and "such certificate" or "certificate",
			text.quote(domain)), "missing"
	end
	record.pending = still_pending
	local saved, failure, reason = save(self, domain, record)
	if not saved then
		return nil, failure, reason
	end
	return accepted
end

-- Forgets a domain; what it shows next is its first certificate. Returns how many
-- certificates were forgotten (0: what there was could not be read), or nil, a
-- message, and "missing" or "storage".
function Memory:forget(domain)
	check(is_domain(domain), "domain", A_DOMAIN, domain)
	local record, message, code = load(self, domain, time(self))
	if code == "missing" then
		return nil, message, code
	end
	-- What cannot be read may yet be removed.
	local saved, failure, reason = save(self, domain, nil)
	if not saved then
		return nil, failure, reason
	end
	return record and #record.certificates + #record.pending or 0
end

-- A memory over a storage (above) and a clock: { store = object, now = function()
-- -> UTC seconds }.
function certificate_memory.new(options)
	check(type(options) == "table", "options", "a table", options)
	check(type(options.now) == "function", "now", "a function", options.now)
	check(type(options.store) == "table" or type(options.store) == "userdata", "store", "an object", options.store)
	for _, method in ipairs({ "get", "set", "domains" }) do
		check(options.store[method], "store", "an object with the method " .. method, options.store)
	end
	return setmetatable({ store = options.store, now = options.now }, Memory)
end

return certificate_memory
