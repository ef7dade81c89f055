-- The record of one domain's certificates, as plain data: strings, whole numbers,
-- booleans, and tables and lists of these.
--
--   { format = 1,
--     certificates  list of the accepted entries, at least one; the one seen last is the
--                   last
--     pending       list of the entries that an administrator has to accept, or nil
--     newcomers     nil, or { since = UTC seconds, count = number of new certificates
--                   since then } }
--
-- An entry is one certificate:
--   { sha256, spki_sha256   of the certificate, and of its SubjectPublicKeyInfo
--                           (RFC 5280), in lower-case hex
--     issuer, subject       in the form of RFC 4514; nil: empty, or too long to keep
--     not_before, not_after UTC seconds; nil: not known
--     verified              whether it led to a trusted root and covered the domain
--     verified_changed      UTC seconds of the last change of `verified`, or nil
--     first_seen, last_seen UTC seconds
--     times_seen            how many sightings were written
--     directions            { ["in"] = true, out = true }, or one of the two
--     replaced              true: another one replaced it, and it was not seen since }
--
-- last_seen and times_seen are written at most once a day, unless something else has to be
-- written: last_seen may be a day behind, and the sightings of one day count as one.
local copy = require "xmpp_tls_policy.copy"
local date = require "xmpp_tls_policy.date"
local text = require "xmpp_tls_policy.text"

local records = {}

local FORMAT = 1

-- Enough for the nodes of a large cluster, each of which has its own certificate.
records.MOST_CERTIFICATES = 8

-- Few, because an administrator has to decide about each.
records.MOST_PENDING = 4

-- Seconds after which a certificate that was not seen is forgotten: the longest life of
-- those that ACME clients renew, and a day more, because last_seen may be a day behind.
local UNSEEN_LONGEST = (90 + 1) * date.DAY

-- Bounds the storage that peers can fill: the attributes of a name have at most 64 to 200
-- characters each (rfc5280.A.1.length-of-names).
local LONGEST_NAME = 1024 -- bytes

-- ---- parts -------------------------------------------------------------------

local function is_name(value)
	return type(value) == "string" and #value <= LONGEST_NAME
end

-- Databases and JSON take UTF-8 only. Other bytes are escaped (rfc4514.2.4.escapes).
local function name_to_keep(name)
	if not is_name(name) then
		return nil
	elseif name:find "%c" or not text.is_utf8(name) then
		name = name:gsub("[%c\128-\255]", function(byte)
			return ("\\%02X"):format(byte:byte())
		end)
	end
	return is_name(name) and name or nil
end

local function is_digest(value)
	return type(value) == "string" and #value == 64 and not value:find("[^%da-f]")
end

-- Whether a number is whole, and exact in every Lua and every storage.
local function is_whole(value)
	return type(value) == "number" and value % 1 == 0 and value <= 2 ^ 53 and value >= -2 ^ 53
end

local function is_boolean(value)
	return type(value) == "boolean"
end

local function is_directions(value)
	if type(value) ~= "table" then
		return false
	end
	for direction, seen in pairs(value) do
		if direction ~= "in" and direction ~= "out" or seen ~= true then
			return false
		end
	end
	return true
end

-- Name of a field -> predicate of its value, and whether the field is required.
local fields_of_entry = {
	sha256 = { is_digest, true }, spki_sha256 = { is_digest, true },
	issuer = { is_name }, subject = { is_name },
	not_before = { is_whole }, not_after = { is_whole },
	verified = { is_boolean, true }, verified_changed = { is_whole },
	first_seen = { is_whole, true }, last_seen = { is_whole, true }, times_seen = { is_whole, true },
	directions = { is_directions, true },
	replaced = { is_boolean },
}

local fields_of_newcomers = { since = { is_whole, true }, count = { is_whole, true } }

-- The known fields as a new table; nil if one is wrong or missing.
local function read_fields(given, fields)
	if type(given) ~= "table" then
		return nil
	end
	local read = {}
	for name, field in pairs(fields) do
		local is_right, required = field[1], field[2]
		local value = given[name]
		if value ~= nil and not is_right(value) or value == nil and required then
			return nil
		end
		read[name] = value
	end
	return read
end

local function read_entry(given)
	local entry = read_fields(given, fields_of_entry)
	if entry then
		entry.directions = { ["in"] = entry.directions["in"], out = entry.directions.out }
	end
	return entry
end

local function read_list(given, most)
	if type(given) ~= "table" then
		return nil
	end
	local list, count = {}, 0
	for index, value in ipairs(given) do
		list[index] = read_entry(value)
		if not list[index] or index > most then
			return nil
		end
	end
	for _ in pairs(given) do
		count = count + 1
	end
	return count == #list and list or nil
end

-- ---- records -----------------------------------------------------------------

-- A record as it came from a storage, as a new table without the certificates that were not
-- seen for 90 days; the one seen last stays in any case. `pending` is always a list, which may be
-- empty. For anything that is not a whole record of this format nil and the fault, which goes on
-- from "the record".
function records.read(given, now)
	if type(given) == "table" and is_whole(given.format) and given.format ~= FORMAT then
		return nil, ("has the format %d, which this version of the module does not know"):format(given.format)
	elseif type(given) ~= "table" or given.format ~= FORMAT then
		return nil, "is damaged"
	end
	local record = {
		format = FORMAT,
		certificates = read_list(given.certificates, records.MOST_CERTIFICATES),
		pending = given.pending == nil and {} or read_list(given.pending, records.MOST_PENDING),
	}
	if given.newcomers ~= nil then
		record.newcomers = read_fields(given.newcomers, fields_of_newcomers)
	end
	if not record.certificates or not record.certificates[1] or not record.pending
		or record.newcomers == nil and given.newcomers ~= nil then
		return nil, "is damaged"
	end
	return records.drop_unseen(record, now)
end

-- Drops the certificates that were not seen for 90 days from a record, but not the one seen last.
-- Returns the record.
function records.drop_unseen(record, now)
	local list = record.certificates
	for index = #list - 1, 1, -1 do
		if now - list[index].last_seen > UNSEEN_LONGEST then
			table.remove(list, index)
		end
	end
	return record
end

-- The record as a storage gets it: without an empty list, which may come back as anything.
function records.to_store(record)
	if not record.pending[1] then
		record.pending = nil
	end
	return record
end

-- A record that holds one entry.
function records.new(entry)
	return { format = FORMAT, certificates = { entry }, pending = {} }
end

-- ---- entries -----------------------------------------------------------------

-- The entry of a new certificate. `facts`: as certificate:facts() returns them; `seen`:
-- { direction = "in" | "out", verified = boolean }; `now`: UTC seconds. nil if the facts
-- have no digests.
function records.entry(facts, seen, now)
	if not is_digest(facts.sha256) or not is_digest(facts.spki_sha256) then
		return nil
	end
	return {
		sha256 = facts.sha256, spki_sha256 = facts.spki_sha256,
		issuer = name_to_keep(facts.issuer), subject = name_to_keep(facts.subject),
		not_before = facts.not_before, not_after = facts.not_after,
		verified = seen.verified,
		first_seen = now, last_seen = now, times_seen = 1,
		directions = { [seen.direction] = true },
	}
end

-- A copy of an entry for callers, which must not change a record.
records.copy = copy

-- The index of a certificate in a list, or nil.
function records.find(list, sha256)
	for index, entry in ipairs(list) do
		if entry.sha256 == sha256 then
			return index
		end
	end
end

-- Whether a record has a certificate, accepted or pending.
function records.has(record, sha256)
	return (records.find(record.certificates, sha256) or records.find(record.pending, sha256)) ~= nil
end

-- Appends an entry, and removes those unseen for longest while there are more than `most`.
function records.append(list, entry, most)
	list[#list + 1] = entry
	while #list > most do
		table.remove(list, 1)
	end
end

-- Whether the certificate was verified at any time. An expired certificate is not, but its
-- issuer counts.
function records.was_verified(entry)
	return entry.verified or entry.verified_changed ~= nil
end

-- Notes that a certificate was seen again, and returns whether the record has to be
-- written. While the clock is behind last_seen, nothing is noted.
function records.seen_again(list, index, direction, now)
	local entry = list[index]
	if now - entry.last_seen < date.DAY and entry.directions[direction] and not entry.replaced then
		return false
	end
	table.remove(list, index)
	list[#list + 1] = entry
	entry.last_seen = math.max(entry.last_seen, now)
	entry.times_seen = entry.times_seen + 1
	entry.directions[direction] = true
	entry.replaced = nil
	return true
end

return records
