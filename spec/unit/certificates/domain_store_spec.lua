-- The storage of a certificate memory over a store of a server: one record for a domain.
local domain_store = require "xmpp_tls_policy.certificates.domain_store"

local A_LABELS, U_LABELS = "xn--bcher-kva.test", "b\195\188cher.test"

describe("the storage of certificates", function ()
	local stored, fault, store

	before_each(function ()
		stored, fault = {}, {}
		local function failing(method, action)
			return function (_, key, ...)
				if fault[method] ~= nil and (fault[method] == true or fault[method] == key) then
					return nil, "disk full"
				end
				return action(key, ...)
			end
		end
		store = domain_store.new {
			store = {
				get = failing("get", function (key) return stored[key] end),
				-- As servers' storages do, takes an empty table for none.
				set = failing("set", function (key, value)
					stored[key] = value and next(value) and value or nil
					return true
				end),
				keys = failing("keys", function () return pairs(stored) end),
			},
			unicode_form = function (domain)
				return domain == A_LABELS and U_LABELS or domain
			end,
		}
	end)

	for given, name in pairs {
		["far.test"] = "far.test", [U_LABELS] = A_LABELS, [A_LABELS] = A_LABELS, ["192.0.2.1"] = "192.0.2.1",
		["[2001:db8::1]"] = "[2001:db8::1]", ["under_score.test"] = "under_score.test",
	} do
		-- rfc6125.6.4.2.compared-as-a-labels
		it("keeps a record under " .. name .. ", for " .. given, function ()
			assert.equal(name, domain_store.name_of(given))
			assert.is_nil(store:get(given))
			assert.is_true(store:set(given, { x = 1 }))
			assert.same({ [name] = { x = 1 } }, stored)
			assert.same({ x = 1 }, store:get(name))
			assert.same({ x = 1 }, store:get(given))
			assert.equal(name, (store:domains())())
			assert.is_true(store:set(given, nil))
			assert.same({}, stored)
		end)
	end

	for _, asked in ipairs { A_LABELS, U_LABELS } do
		it("finds the record that an earlier version kept under U-labels, for " .. asked, function ()
			stored[U_LABELS] = { x = 1 }
			assert.equal(A_LABELS, (store:domains())())
			assert.same({ x = 1 }, store:get(asked))
			assert.same({ [A_LABELS] = { x = 1 } }, stored)
		end)

		it("forgets that record, too, for " .. asked, function ()
			stored[U_LABELS] = { x = 1 }
			assert.is_true(store:set(asked, nil))
			assert.same({}, stored)
		end)

		it("loses no such record that is empty, which is damaged, for " .. asked, function ()
			stored[U_LABELS] = {}
			assert.same({}, store:get(asked))
			assert.same({ [U_LABELS] = {} }, stored)
		end)

		for _, failing in ipairs { { "get", true }, { "get", U_LABELS }, { "set", A_LABELS }, { "set", U_LABELS } } do
			it(("says that %s failed, for %s and %s"):format(failing[1], asked, tostring(failing[2])), function ()
				stored[U_LABELS] = { x = 1 }
				fault[failing[1]] = failing[2]
				assert.same({ nil, "disk full" }, { store:get(asked) })
				assert.same({ x = 1 }, stored[U_LABELS])
			end)
		end
	end

	it("prefers the record under A-labels", function ()
		stored[U_LABELS], stored[A_LABELS] = { x = 1 }, { x = 2 }
		assert.same({ x = 2 }, store:get(U_LABELS))
	end)

	it("says that it cannot be written or listed", function ()
		stored[U_LABELS] = { x = 1 }
		fault.set, fault.keys = U_LABELS, true
		assert.same({ nil, "disk full" }, { store:set(A_LABELS, nil) })
		assert.same({ nil, "disk full" }, { store:domains() })
	end)
end)
