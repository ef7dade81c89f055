-- Sightings of certificates, without a storage; memory_spec.lua has the stories.
local date = require "xmpp_tls_policy.date"
local records = require "xmpp_tls_policy.certificates.record"
local sighting = require "xmpp_tls_policy.certificates.sighting"

local NOW = 1767225600 -- 2026-01-01

local function seen(changes)
	local made = { direction = "in", verified = true }
	for field, value in pairs(changes or {}) do
		made[field] = value
	end
	return made
end

local function entry(number, given)
	return records.entry({ sha256 = ("%064x"):format(number), spki_sha256 = ("%064x"):format(number) },
		given or seen(), NOW)
end

describe("a sighting", function ()
	it("of a new domain makes a record", function ()
		local result, record = sighting.judge("a.example", nil, entry(1), seen(), NOW)
		assert.same({ "first", true, false, nil }, { result.kind, result.accepted, result.refuse, result.severity })
		assert.same(records.new(entry(1)), record)
	end)

	it("that replaces a damaged record is logged", function ()
		local result, record = sighting.judge("a.example", nil, entry(1), seen(), NOW, "the record is damaged")
		assert.same({ "first", "warn", true, "the record is damaged; its present certificate counts as its first" },
			{ result.kind, result.severity, result.damaged, result.message })
		assert.same(records.new(entry(1)), record)
	end)

	it("of a known certificate changes nothing until a day is over", function ()
		local record = records.new(entry(1))
		local result, changed = sighting.judge("a.example", record, entry(1), seen(), NOW + 1)
		assert.same({ "known" }, { result.kind, result.severity, changed })
		result, changed = sighting.judge("a.example", record, entry(1), seen(), NOW + date.DAY)
		assert.equal("known", result.kind)
		assert.equal(record, changed)
	end)

	it("tells when a known certificate is no longer verified, or is again", function ()
		local record = records.new(entry(1))
		local result = sighting.judge("a.example", record, entry(1), seen { verified = false }, NOW)
		assert.same({ "unverified", "warn", false }, { result.kind, result.severity, result.refuse })
		result = sighting.judge("a.example", record, entry(1), seen(), NOW + date.DAY)
		assert.same({ "verified", "info", false }, { result.kind, result.severity, result.refuse })
	end)

	it("of a changed certificate is refused only if the policy says so", function ()
		local record = records.new(entry(1))
		local result, changed = sighting.judge("a.example", record, entry(2), seen(), NOW)
		assert.same({ "change", "warn", true, false }, { result.kind, result.severity, result.accepted, result.refuse })
		assert.same({ 2, 0 }, { #changed.certificates, #changed.pending })
		result, changed = sighting.judge("a.example", record, entry(3), seen { certificate_change = "refuse" }, NOW)
		assert.same({ "change", "warn", false, true }, { result.kind, result.severity, result.accepted, result.refuse })
		assert.same({ 2, 1 }, { #changed.certificates, #changed.pending })
		result = sighting.judge("a.example", record, entry(3), seen { certificate_change = "refuse" }, NOW)
		assert.same({ "pending", nil, true }, { result.kind, result.severity, result.refuse })
	end)

	it("of a domain whose record is damaged is refused where changes are", function ()
		local result = sighting.damaged "the record is damaged"
		assert.same({ "unknown", "warn", true, true, false }, { result.kind, result.severity, result.damaged, result.refuse,
			result.accepted })
	end)

	it("that cannot be judged is refused only where changes are", function ()
		assert.is_false(sighting.unknown(seen(), "x").refuse)
		assert.is_false(sighting.unknown(seen { certificate_change = "warn" }, "x").refuse)
		local result = sighting.unknown(seen { certificate_change = "refuse" }, "x")
		assert.same({ "unknown", "warn", true, "x" }, { result.kind, result.severity, result.refuse, result.failure })
	end)
end)
