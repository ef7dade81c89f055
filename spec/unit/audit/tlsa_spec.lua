-- TLSA records against chains, over the product of usages, selectors, matching types and chains.
local core = require "xmpp_tls_policy.core"
local pki = require "support.pki"
local tlsa = require "xmpp_tls_policy.audit.tlsa"

local function read(pem)
	return assert(core.certificate.from_pem(pem))
end

describe("tlsa.parse", function ()
	it("rfc6698.2.1.tlsa-rdata: reads three numbers and the data", function ()
		assert.same({ usage = 3, selector = 1, matching_type = 1, data = "abc" }, tlsa.parse "\3\1\1abc")
		assert.same({ usage = 255, selector = 254, matching_type = 253, data = "\0" }, tlsa.parse "\255\254\253\0")
		assert.equal("DANE-EE SPKI SHA2-256 (3 1 1)", tlsa.name(tlsa.parse "\3\1\1abc"))
		assert.equal("unknown unknown unknown (255 254 253)", tlsa.name(tlsa.parse "\255\254\253\0"))
	end)

	it("takes nothing shorter or longer than a record", function ()
		for _, rdata in ipairs { "", "\3", "\3\1\1", ("\3"):rep(65536) } do
			local record, message = tlsa.parse(rdata)
			assert.is_nil(record)
			assert.matches("has %d+ bytes", message)
		end
		assert.is_truthy(tlsa.parse(("\3"):rep(65535)))
	end)
end)

describe("tlsa.compare", function ()
	local root, middle, other, own, now, contexts

	setup(function ()
		root, other = pki.authority { days = 100 }, pki.authority()
		middle = root:intermediate { days = 100 }
		own = read(middle:issue { names = { "a.test" } }.pem)
		now = os.time()
		contexts = {
			["true"] = assert(core.context.new { role = "client", ca_file = root.certificate }),
			["false"] = assert(core.context.new { role = "client", ca_file = other.certificate }),
		}
	end)

	teardown(pki.remove)

	local function data(certificate, selector, matching_type)
		local bytes = selector == 0 and certificate:der() or certificate:spki()
		return matching_type == 0 and bytes or core.digest(matching_type == 1 and "SHA256" or "SHA512", bytes)
	end

	-- `case`: { named = which certificate the record has, trusted, covers, late = booleans }
	local function compare(records, chain, case)
		local trust, time = contexts[tostring(case.trusted or false)], now + (case.late and 60 or 1) * 86400
		return tlsa.compare(records, chain, {
			trust = trust, now = time, verified = assert(trust:verify(chain, time)),
			covers = function (certificate)
				return certificate ~= nil and case.covers
			end,
		})
	end

	-- RFC 6698 2.1.1 and RFC 7671 5, in a table: what each usage asks for beside the record.
	local function expected(usage, selector, matching_type, case)
		local valid = not case.late and case.covers
		if usage == 3 then
			return case.named == "own"
		elseif usage == 2 then
			-- An authority that was sent; or, as a whole, in the record.
			local is_there = case.named == "middle" or case.named == "root" and selector == 0 and matching_type == 0
			return is_there and valid
		elseif usage == 1 then
			return case.named == "own" and valid and case.trusted
		end
		return (case.named == "middle" or case.named == "root") and valid and case.trusted
	end

	for usage = 0, 3 do
		it(("rfc7671.5.1.dane-ee-alone, rfc7671.5.2.anchor-is-sent: usage %d, all selectors, types, chains"):format(usage),
			function ()
				local count = 0
				for selector = 0, 1 do
					for matching_type = 0, 2 do
						for named, certificate in pairs {
							own = own, middle = read(middle.pem), root = read(root.pem), other = read(other.pem),
						} do
							for bits = 0, 7 do
								local case = {
									named = named, trusted = bits % 2 == 1, covers = math.floor(bits / 2) % 2 == 1,
									late = bits >= 4,
								}
								local record = { usage = usage, selector = selector, matching_type = matching_type,
									data = data(certificate, selector, matching_type) }
								local result = compare({ record }, { own, read(middle.pem) }, case)[1]
								assert.equal(expected(usage, selector, matching_type, case), result.matches,
									("%s %s %s"):format(tlsa.name(record), named, bits))
								assert.equal(result.matches, result.reason == nil)
								count = count + 1
							end
						end
					end
				end
				assert.equal(2 * 3 * 4 * 8, count)
			end)
	end

	it("DANE-TA needs no authority of the system's, and no root", function ()
		local record = { usage = 2, selector = 1, matching_type = 1, data = data(read(middle.pem), 1, 1) }
		assert.is_true(compare({ record }, { own, read(middle.pem) }, { covers = true })[1].matches)
	end)

	it("rfc6698.4.1.unusable-records: a record that nobody can use counts for nothing", function ()
		local good = { usage = 3, selector = 1, matching_type = 1, data = data(own, 1, 1) }
		for field, value in pairs { usage = 4, selector = 2, matching_type = 3, data = good.data .. "\0" } do
			local record = {}
			for name, part in pairs(good) do
				record[name] = part
			end
			record[field] = value
			local results = compare({ record, good }, { own }, { covers = true })
			assert.is_nil(results[1].matches, field)
			assert.is_string(results[1].reason)
			assert.is_true(results[2].matches)
		end
	end)

	it("rfc7671.9.strongest-digest: of one kind, only the strongest digest counts, and the whole data", function ()
		local function record(matching_type, certificate, selector)
			return { usage = 3, selector = selector or 1, matching_type = matching_type,
				data = data(certificate, selector or 1, matching_type) }
		end
		local wrong = read(other.pem)
		local function matches(records)
			local list = {}
			for index, result in ipairs(compare(records, { own }, {})) do
				list[index] = tostring(result.matches)
			end
			return table.concat(list, " ")
		end
		assert.equal("nil false", matches { record(1, own), record(2, wrong) })
		assert.equal("true false", matches { record(0, own), record(2, wrong) })
		assert.equal("true false", matches { record(1, own), record(2, wrong, 0) })
		local damaged = record(2, wrong)
		damaged.data = "short"
		assert.equal("true nil", matches { record(1, own), damaged })
	end)
end)
