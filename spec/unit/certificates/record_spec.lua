-- Records of one domain's certificates, as a storage has them; memory_spec.lua has the rest.
local date = require "xmpp_tls_policy.date"
local records = require "xmpp_tls_policy.certificates.record"

local NOW = 1767225600 -- 2026-01-01

local function digest(number)
	return ("%064x"):format(number)
end

local function entry(number, changes)
	local made = assert(records.entry({ sha256 = digest(number), spki_sha256 = digest(number) },
		{ direction = "in", verified = true }, NOW))
	for field, value in pairs(changes or {}) do
		made[field] = value
	end
	return made
end

describe("a record", function ()
	it("comes back from a storage as it was, without an empty list", function ()
		local stored = records.to_store(records.new(entry(1)))
		assert.is_nil(stored.pending)
		assert.same({ format = 1, certificates = { entry(1) }, pending = {} }, records.read(stored, NOW))
	end)

	for name, damage in pairs {
		["of another format"] = function (record) record.format = 2 end,
		["without certificates"] = function (record) record.certificates = {} end,
		["with a hole in a list"] = function (record) record.certificates[3] = entry(3) end,
		["with too many certificates"] = function (record)
			for number = 2, records.MOST_CERTIFICATES + 1 do
				record.certificates[number] = entry(number)
			end
		end,
		["with a digest that is none"] = function (record) record.certificates[1].sha256 = "AB" end,
		["with a time that is no whole number"] = function (record) record.certificates[1].last_seen = 1.5 end,
		["with a direction that is none"] = function (record) record.certificates[1].directions.up = true end,
		["without a field that it needs"] = function (record) record.certificates[1].verified = nil end,
		["with newcomers that are none"] = function (record) record.newcomers = { since = NOW } end,
		["with a pending list that is none"] = function (record) record.pending = "x" end,
	} do
		it("is none " .. name, function ()
			local record = records.new(entry(1))
			assert.is_table(records.read(record, NOW))
			damage(record)
			assert.is_nil(records.read(record, NOW))
		end)
	end

	it("drops the certificates unseen for 90 days, but not the last one", function ()
		local record = records.new(entry(1))
		records.append(record.certificates, entry(2), records.MOST_CERTIFICATES)
		assert.equal(2, #records.read(record, NOW + 91 * date.DAY).certificates)
		local kept = records.read(record, NOW + 91 * date.DAY + 1).certificates
		assert.same({ digest(2), nil }, { kept[1].sha256, kept[2] })
	end)
end)

describe("an entry", function ()
	it("needs both digests", function ()
		local seen = { direction = "in", verified = true }
		assert.is_nil(records.entry({ sha256 = digest(1) }, seen, NOW))
		assert.is_nil(records.entry({ spki_sha256 = digest(1) }, seen, NOW))
	end)

	for name, given in pairs {
		[""] = "", ["O=B\195\188cher"] = "O=B\195\188cher", ["O=\\FF"] = "O=\255", ["O=a\\0Ab\\C3"] = "O=a\nb\195",
	} do
		-- rfc4514.2.4.escapes
		it(("keeps names as UTF-8 without control characters: %q"):format(name), function ()
			local made = records.entry({ sha256 = digest(1), spki_sha256 = digest(1), issuer = given, subject = given },
				{ direction = "in", verified = true }, NOW)
			assert.same({ name, name }, { made.issuer, made.subject })
		end)
	end

	-- rfc5280.A.1.length-of-names
	it("keeps no name that is too long, escaped or not", function ()
		for _, long in ipairs { ("x"):rep(1025), ("\1"):rep(400) } do
			assert.is_nil(records.entry({ sha256 = digest(1), spki_sha256 = digest(1), issuer = long },
				{ direction = "in", verified = true }, NOW).issuer)
		end
	end)

	it("counts one sighting a day, and moves to the end of its list", function ()
		local list = { entry(1), entry(2) }
		assert.is_false(records.seen_again(list, 1, "in", NOW + date.DAY - 1))
		assert.is_true(records.seen_again(list, 1, "out", NOW + 1))
		assert.same({ digest(2), digest(1) }, { list[1].sha256, list[2].sha256 })
		assert.is_true(records.seen_again(list, 2, "in", NOW + 2 * date.DAY))
		assert.same({ 3, NOW + 2 * date.DAY }, { list[2].times_seen, list[2].last_seen })
		-- A clock that was set back changes nothing.
		assert.is_false(records.seen_again(list, 2, "in", NOW))
		assert.equal(NOW + 2 * date.DAY, list[2].last_seen)
	end)

	it("goes when the list is full and it was unseen the longest", function ()
		local list = {}
		for number = 1, 4 do
			records.append(list, entry(number), 3)
		end
		assert.same({ nil, 1, 3 }, { records.find(list, digest(1)), records.find(list, digest(2)),
			records.find(list, digest(4)) })
	end)
end)
