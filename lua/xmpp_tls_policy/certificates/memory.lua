-- The memory of the certificates that other domains' servers have shown, and the verdict
-- on a new one: a renewal or a change (clause admin.change).
--
-- All records are in a storage, an object of the caller with the methods
--   get(domain)          -> record; nil: there is none; nil, message: failed
--   set(domain, record)  -> true; nil, message. A record of nil removes it
--   domains()            -> an iterator over the domains, in any order; nil, message
-- which answer at once and throw no errors. Records are plain data (see record.lua); the
-- storage may keep the table that it is given.
--
-- A domain is a key of the storage. The caller brings it into normal form
-- (rfc7622.3.2.normal-form), and calls only for domains that have authenticated: other peers
-- could fill the storage. domain_store.lua is such a storage.
local recent_records = require "xmpp_tls_policy.certificates.recent_records"
local records = require "xmpp_tls_policy.certificates.record"
local sighting = require "xmpp_tls_policy.certificates.sighting"
local text = require "xmpp_tls_policy.text"

local certificate_memory = {}

local Memory = {}
Memory.__index = Memory

-- ---- arguments -----------------------------------------------------------------

-- The error names the caller of the method that calls this; `depth`: how many functions lie between.
local function check(condition, name, wanted, value, depth)
	if not condition then
		error(("bad %s: %s expected, got %s"):format(name, wanted, text.printable(value)), 3 + (depth or 0))
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
	local record, fault = records.read(stored, now)
	if not record then
		return nil, ("the record of the certificates of %s %s"):format(text.quote(domain), fault), "damaged"
	end
	return record
end

-- The same for a record that may have been read a moment ago, and is not changed, or dropped from
-- `recent`.
local function load_recent(memory, domain, now)
	local recent = memory.recent:get(domain, now)
	if recent then
		return records.drop_unseen(recent, now)
	end
	local record, message, code = load(memory, domain, now)
	if record then
		memory.recent:put(domain, record, now)
	end
	return record, message, code
end

-- A record of nil removes it. Returns true, or nil, a message and "storage".
local function save(memory, domain, record)
	memory.recent:drop(domain)
	local done, message = memory.store:set(domain, record and records.to_store(record))
	if not done then
		return nil, "the certificate memory could not be written: " .. tostring(message), "storage"
	end
	return true
end

-- ---- sightings -----------------------------------------------------------------

-- Judges a sighting (see Memory:see). Returns the result, and the record if it has to be written, else
-- nil.
local function judge(self, domain, facts, seen, now)
	local record, message, code = load_recent(self, domain, now)
	if code == "storage" then
		return sighting.unknown(seen, message)
	elseif code == "damaged" and seen.certificate_change == "refuse" then
		return sighting.damaged(message)
	end
	-- Of a certificate that the record has, nothing but the digest is needed.
	local new = record and records.has(record, facts.sha256) and facts or records.entry(facts, seen, now)
	if not new then
		return sighting.unknown(seen, ("the certificate of %s has no SHA-256 digests"):format(text.quote(domain)))
	end
	local result, changed = sighting.judge(domain, record, new, seen, now, code == "damaged" and message or nil)
	if changed then
		self.recent:drop(domain)
	end
	return result, changed
end

-- The error names the caller of the method that calls this.
local function check_sighting(domain, facts, seen)
	check(is_domain(domain), "domain", A_DOMAIN, domain, 1)
	check(type(facts) == "table", "certificate", "a table of facts", facts, 1)
	check(type(seen) == "table", "sight", "a table", seen, 1)
	check(directions[seen.direction], "direction", '"in" or "out"', seen.direction, 1)
	check(type(seen.verified) == "boolean", "verified", "true or false", seen.verified, 1)
	check(modes[seen.certificate_change or "warn"], "certificate_change", '"warn" or "refuse"',
		seen.certificate_change, 1)
end

-- Judges and remembers the certificate that a domain's server shows.
--   facts   as certificate:facts() returns them
--   seen    { direction = "in" (the domain's server connected to us) | "out",
--           verified = whether the certificate leads to a trusted root and covers the domain,
--           certificate_change = "warn" (default) | "refuse" }
-- Returns
--   { kind      "first"       the domain is new
--               "known"       the domain has shown this certificate before
--               "renewal"     another certificate for a key that the domain had; or a new
--                             key, verified, of the same issuer, when a renewal was due
--               "verified"    the certificate is verified; the ones in use, or this one
--                             before, were not
--               "unverified"  this certificate was verified before, and no longer is
--               "change"      any other new certificate
--               "pending"     a change that was refused before, and still is
--               "unknown"     the storage failed, the record is damaged and changes are refused, or
--                             the certificate has no digests
--     severity  "info" or "warn": write a line to the log; nil: write none. A change has one
--               warning; after seven new certificates in a day there are no lines
--     message   one sentence
--     old, new  the entries compared (see record.lua), as copies, one table if they are alike; old
--               is nil for "first", both are nil for "unknown"
--     accepted  whether the certificate is now among the domain's accepted ones
--     refuse    whether to refuse the connection; only under "refuse"
--     damaged   true: the record is damaged, or of another format. It was replaced ("first") if
--               changes are only warned about; else it stays until it is forgotten, and the
--               certificate is refused ("unknown"). Else nil
--     failure   message of a storage that failed, or nil; severity is "warn" then. The
--               verdict holds, but is not remembered }
function Memory:see(domain, facts, seen)
	check_sighting(domain, facts, seen)
	local result, changed = judge(self, domain, facts, seen, time(self))
	local saved, failure = true, nil
	if changed then
		saved, failure = save(self, domain, changed)
	end
	if not saved then
		result.failure, result.severity = failure, "warn"
		result.message = result.message .. "; " .. failure
		-- A certificate that is not remembered would be new again the next time.
		result.refuse = result.refuse or seen.certificate_change == "refuse" and result.kind ~= "known"
		result.accepted = result.old ~= nil and result.old.sha256 == facts.sha256
	end
	return result
end

-- The result that `see` would return, if the storage takes the record. Nothing is written.
function Memory:would_see(domain, facts, seen)
	check_sighting(domain, facts, seen)
	return (judge(self, domain, facts, seen, time(self)))
end

-- ---- administration --------------------------------------------------------------

-- The record of a domain: { certificates = list of entries, the one seen last at the end;
-- pending = likewise, may be empty }. Or nil, a message, and "missing", "damaged" or
-- "storage".
function Memory:get(domain)
	check(is_domain(domain), "domain", A_DOMAIN, domain)
	local record, message, code = load(self, domain, time(self))
	if not record then
		return nil, message, code
	end
	return { certificates = record.certificates, pending = record.pending }
end

-- Whether anything is remembered of a domain; true, too, if it cannot be read.
function Memory:knows(domain)
	check(is_domain(domain), "domain", A_DOMAIN, domain)
	local _, _, code = load_recent(self, domain, time(self))
	return code ~= "missing"
end

-- for domain in memory:domains() do: every domain, in any order, one of which may come twice. Domains
-- may be forgotten meanwhile. Or nil, a message and "storage".
function Memory:domains()
	local iterate, state, control = self.store:domains()
	if not iterate then
		return nil, "the certificate memory could not be read: " .. tostring(state), "storage"
	end
	return function()
		control = iterate(state, control)
		return control
	end
end

-- for domain, record, message, code in memory:list() do: every domain, sorted by its
-- bytes, and the result of get for it at that moment. Or nil, a message and "storage". `pause`: is
-- called between steps of the work before that, or nil.
function Memory:list(pause)
	local iterate, message, code = self:domains()
	if not iterate then
		return nil, message, code
	end
	local domains, position = {}, 0
	for domain in iterate do
		domains[#domains + 1] = domain
		if pause then
			pause()
		end
	end
	table.sort(domains)
	return function()
		repeat
			position = position + 1
		until domains[position] ~= domains[position - 1] or not domains[position]
		if domains[position] then
			return domains[position], self:get(domains[position])
		end
	end
end

-- Accepts the pending certificates of a domain; or, with `sha256`, that one alone, so that
-- an administrator accepts no certificate that came after looking. Returns how many, or
-- nil, a message, and "missing", "damaged" or "storage".
function Memory:accept(domain, sha256)
	check(is_domain(domain), "domain", A_DOMAIN, domain)
	check(sha256 == nil or type(sha256) == "string", "certificate", "its SHA-256", sha256)
	local record, message, code = load(self, domain, time(self))
	if code == "damaged" then
		return nil, message .. "; forget it, and its next certificate is its first", code
	elseif not record then
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

-- Forgets a domain: its next certificate is its first one. Returns how many certificates
-- were forgotten (0: the record was damaged), or nil, a message, and "missing" or "storage".
function Memory:forget(domain)
	check(is_domain(domain), "domain", A_DOMAIN, domain)
	local record, message, code = load(self, domain, time(self))
	if code == "missing" then
		return nil, message, code
	end
	-- A damaged record is removed, too.
	local saved, failure, reason = save(self, domain, nil)
	if not saved then
		return nil, failure, reason
	end
	return record and #record.certificates + #record.pending or 0
end

-- A memory over a storage (see above). `options`: { store = the storage, now = function()
-- -> UTC seconds }.
function certificate_memory.new(options)
	check(type(options) == "table", "options", "a table", options)
	check(type(options.now) == "function", "now", "a function", options.now)
	check(type(options.store) == "table" or type(options.store) == "userdata", "store", "an object", options.store)
	for _, method in ipairs({ "get", "set", "domains" }) do
		check(options.store[method], "store", "an object with the method " .. method, options.store)
	end
	return setmetatable({ store = options.store, now = options.now, recent = recent_records.new() }, Memory)
end

return certificate_memory
