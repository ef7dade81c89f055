-- The commands `peers`, `accept` and `forget`, over real memories of certificates.
local certificate_memory = require "xmpp_tls_policy.certificates.memory"
local command_service = require "support.command_service"
local date = require "xmpp_tls_policy.date"

local START = 1767225600 -- 2026-01-01

local function sha256(number)
	return ("%064x"):format(number)
end

local function facts(number, changes)
	local made = {
		sha256 = sha256(number), spki_sha256 = sha256(number + 1000), subject = "CN=far.test",
		issuer = "CN=Authority " .. number,
		not_before = START - date.DAY, not_after = START + 300 * date.DAY,
	}
	for name, value in pairs(changes or {}) do
		made[name] = value or nil
	end
	return made
end

describe("the certificates of other servers", function ()
	local service, memories, stores, failure

	-- A storage in memory; `failure`: the message with which it fails.
	local function new_store()
		local records = {}
		return {
			records = records,
			get = function (_, domain)
				if failure then
					return nil, failure
				end
				return records[domain]
			end,
			set = function (_, domain, record)
				if failure then
					return nil, failure
				end
				records[domain] = record
				return true
			end,
			domains = function ()
				if failure then
					return nil, failure
				end
				return pairs(records)
			end,
		}
	end

	before_each(function ()
		memories, stores, failure = {}, {}, nil
		for _, host in ipairs { "a.test", "b.test" } do
			stores[host] = new_store()
			memories[host] = certificate_memory.new { store = stores[host], now = function () return START end }
		end
		service = {
			server = command_service.server {},
			certificates = {
				hosts = function ()
					return { "a.test", "b.test" }
				end,
				memory = function (_, host)
					return memories[host]
				end,
			},
		}
	end)

	-- A host has seen a certificate of a domain.
	local function see(host, domain, number, changes, direction)
		return memories[host]:see(domain, facts(number, changes), {
			direction = direction or "in", verified = true, certificate_change = "refuse",
		})
	end

	local function pending_on(host, domain)
		local list = {}
		for index, entry in ipairs(memories[host]:get(domain).pending) do
			list[index] = entry.sha256
		end
		return list
	end

	describe("peers", function ()
		before_each(function ()
			see("a.test", "far.test", 1)
			see("a.test", "far.test", 1, nil, "out")
			see("b.test", "far.test", 2)
			see("b.test", "other.test", 3)
			assert.is_true(see("a.test", "far.test", 4, { not_after = false }).refuse)
		end)

		it("lists all, with host, ways and state", function ()
			local text, done, message = command_service.run(service, "peers", "width=120")
			assert.same({ true, "4 certificates" }, { done, message })
			local rows = {}
			for line in text:gmatch "[^\n]+" do
				rows[#rows + 1] = line:gsub("%s+", " ")
			end
			assert.same({
				"Domain Host Way Verified Until First seen Last seen State", " SHA-256 Issuer",
				"far.test a.test in/out yes 2026-10-28 2026-01-01 2026-01-01", (" %s CN=Authority 1"):format(sha256(1)),
				"far.test a.test in yes 2026-01-01 2026-01-01 refused", (" %s CN=Authority 4"):format(sha256(4)),
				"far.test b.test in yes 2026-10-28 2026-01-01 2026-01-01", (" %s CN=Authority 2"):format(sha256(2)),
				"other.test b.test in yes 2026-10-28 2026-01-01 2026-01-01", (" %s CN=Authority 3"):format(sha256(3)),
			}, rows)
		end)

		it("lists those of one domain, in any case", function ()
			local list = command_service.json(service, "peers", "OTHER.test").certificates
			assert.same({
				host = "b.test", domain = "other.test", pending = false, sha256 = sha256(3), spki_sha256 = sha256(1003),
				issuer = "CN=Authority 3", subject = "CN=far.test", not_before = START - date.DAY,
				not_after = START + 300 * date.DAY, verified = true, first_seen = START, last_seen = START, times_seen = 1,
				directions = { "in" },
			}, list[1])
			assert.equal(1, #list)
		end)

		it("takes an empty domain for none", function ()
			assert.equal(4, #command_service.json(service, "peers", "").certificates)
		end)

		it("goes on after a record that cannot be read", function ()
			stores["a.test"].records["far.test"] = { format = 99 }
			local text, done = command_service.run(service, "peers", "width=120")
			assert.is_true(done)
			assert.matches("far.test +a.test +unreadable", text)
			assert.matches("other.test +b.test", text)
		end)
	end)

	it("that do not exist are reported as such", function ()
		assert.same({ "", nil, "nothing is remembered of none.test" }, { command_service.run(service, "peers", "none.test") })
		assert.same({ "", true, "0 certificates" }, { command_service.run(service, "peers") })
		assert.same({ certificates = {} }, command_service.json(service, "peers"))
	end)

	for _, command in ipairs { "peers", "accept", "forget" } do
		it("need a valid domain: " .. command, function ()
			assert.same({ "", nil, 'name the domain of a server, such as "far.example"' },
				{ command_service.run(service, command, "no domain") })
		end)

		it("cannot be used while the storage fails: " .. command, function ()
			see("a.test", "far.test", 1)
			failure = "disk full"
			local _, done, message = command_service.run(service, command, "far.test")
			assert.is_nil(done)
			assert.matches("^the certificate memory could not be %l+: disk full$", message)
			assert.same({ done, message }, { select(2, command_service.run(service, command, "far.test", "json")) })
		end)
	end

	for _, command in ipairs { "accept", "forget" } do
		it("are named by a domain: " .. command, function ()
			assert.same({ "", nil, 'name the domain of a server, such as "far.example"' },
				{ command_service.run(service, command) })
		end)

		it("of an unknown domain are none: " .. command, function ()
			assert.same({ "", nil, 'nothing is remembered of "none.test"' },
				{ command_service.run(service, command, "none.test") })
		end)
	end

	describe("accept", function ()
		before_each(function ()
			for _, host in ipairs { "a.test", "b.test" } do
				see(host, "far.test", 1)
			end
		end)

		it("accepts the one that waits, on every host", function ()
			see("a.test", "far.test", 2)
			see("b.test", "far.test", 2)
			assert.same({ "", true, "2 certificates of Far.Test accepted" },
				{ command_service.run(service, "accept", "Far.Test") })
			assert.same({}, pending_on("a.test", "far.test"))
			assert.same({}, pending_on("b.test", "far.test"))
		end)

		it("accepts none of several that wait without a choice, be they on different hosts", function ()
			see("a.test", "far.test", 2)
			see("b.test", "far.test", 3)
			for _, arguments in ipairs { { "far.test" }, { "far.test", nil, "json", n = 3 } } do
				local _, done, message = command_service.run(service, "accept",
					(table.unpack or unpack)(arguments, 1, arguments.n or #arguments))
				assert.same({ nil, "2 certificates of far.test are refused; say which one by its SHA-256, which "
					.. 'tlspolicy:peers("far.test") shows' }, { done, message })
			end
			assert.same({ { sha256(2) }, { sha256(3) } }, { pending_on("a.test", "far.test"), pending_on("b.test", "far.test") })
		end)

		it("accepts the one that is chosen, in either case", function ()
			see("a.test", "far.test", 10)
			see("a.test", "far.test", 11)
			assert.same({ accepted = 1 }, command_service.json(service, "accept", "far.test", sha256(10):upper()))
			assert.same({ sha256(11) }, pending_on("a.test", "far.test"))
		end)

		it("accepts none that does not wait", function ()
			assert.same({ "", nil, 'no certificate of "far.test" is pending' },
				{ command_service.run(service, "accept", "far.test") })
			assert.same({ "", nil, 'no such certificate of "far.test" is pending' },
				{ command_service.run(service, "accept", "far.test", sha256(9)) })
		end)
	end)

	-- rfc6125.6.4.2.compared-as-a-labels
	it("are found by either form of an internationalised domain", function ()
		for _, form in ipairs { "b\195\188cher.test", "xn--bcher-kva.test" } do
			see("a.test", "xn--bcher-kva.test", 1)
			see("a.test", "xn--bcher-kva.test", 2)
			assert.equal("xn--bcher-kva.test", command_service.json(service, "peers", form).certificates[2].domain)
			assert.same({ accepted = 1 }, command_service.json(service, "accept", form))
			assert.same({ forgotten = 2 }, command_service.json(service, "forget", form))
		end
	end)

	it("cannot be accepted while the record is damaged", function ()
		stores["a.test"].records["far.test"] = { format = 99 }
		local _, done, message = command_service.run(service, "accept", "far.test", sha256(1))
		assert.same({ nil, 'the record of the certificates of "far.test" has the format 99, which this version of the '
			.. "module does not know" }, { done, message })
	end)

	describe("forget", function ()
		it("forgets a domain on every host, and no other", function ()
			see("a.test", "far.test", 1)
			see("a.test", "far.test", 2)
			see("b.test", "far.test", 1)
			see("b.test", "other.test", 3)
			assert.same({ "", true, "3 certificates of far.test forgotten" },
				{ command_service.run(service, "forget", "far.test") })
			assert.same({ nil, "other.test" }, { next(stores["a.test"].records), (next(stores["b.test"].records)) })
		end)

		it("forgets a record that cannot be read", function ()
			stores["a.test"].records["far.test"] = { format = 99 }
			assert.same({ forgotten = 0 }, command_service.json(service, "forget", "far.test"))
			assert.is_nil(next(stores["a.test"].records))
		end)
	end)
end)
