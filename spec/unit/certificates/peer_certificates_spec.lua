local adapter = require "support.adapter"
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local core = require "xmpp_tls_policy.core"
local metrics = require "xmpp_tls_policy.metrics"
local peer_certificates = require "xmpp_tls_policy.certificates.peer_certificates"
local pki = require "support.pki"
local tls_policy = require "xmpp_tls_policy"

local DAY = 86400
local STORE = "tls_policy_certificates"

describe("the certificates of other servers", function ()
	local certificates, server, counted, peers, now
	local policies = {
		warn = tls_policy.policy(), refuse = tls_policy.policy { certificate_change = "refuse" },
		report = tls_policy.policy { certificate_change = "refuse", mode = "report" },
		notify = tls_policy.policy { notify_admins = true },
	}

	setup(function ()
		local authority = pki.authority()
		certificates = {}
		for _, name in ipairs { "first", "second" } do
			local files = authority:issue { names = { "far.test" }, key_name = name, days = 300 }
			certificates[name] = assert(core.certificate.from_pem(files.pem))
		end
	end)

	teardown(pki.remove)

	before_each(function ()
		now = 1800000000
		server = adapter.new()
		counted = metrics.new { adopted = adopted_contexts.new(), server = server }
		peers = peer_certificates.new { server = server, metrics = counted, now = function () return now end }
		peers:open "a.test"
	end)

	-- A stream with a certificate (nil: none). `vouched`: whether an authority vouches for the domain.
	local function stream(name, more)
		local one = {
			session = {}, role = "s2sin", facts = { certificate = name and certificates[name] },
			is_encrypted = function () return true end,
			vouched = function () return true end,
		}
		for field, value in pairs(more or {}) do
			one[field] = value
		end
		return one
	end

	local unvouched = { vouched = function () return false end }

	local function changes()
		for _, metric in ipairs(counted:list()) do
			if metric.name == "certificate_changes_total" then
				local found = {}
				for _, one in ipairs(metric.series) do
					found[one.values[1]] = one.value > 0 and one.value or nil
				end
				return found
			end
		end
	end

	local function remembered(domain)
		local record = peers:memory("a.test"):get(domain or "far.test")
		local list = {}
		for _, entry in ipairs(record and record.certificates or {}) do
			list[#list + 1] = entry.sha256
		end
		for _, entry in ipairs(record and record.pending or {}) do
			list[#list + 1] = "pending " .. entry.sha256
		end
		return list
	end

	local function sha256(name)
		return certificates[name]:facts().sha256
	end

	it("are remembered of an authenticated stream", function ()
		assert.is_nil(peers:see(policies.refuse, stream "first", "a.test", "far.test"))
		assert.same({ sha256 "first" }, remembered())
		assert.same({ first = 1 }, changes())
		assert.same({}, server.take_lines())
		assert.is_nil(peers:see(policies.refuse, stream "first", "a.test", "far.test"))
		assert.same({ first = 1 }, changes())
	end)

	it("are read once, if the same is shown again, for the latest hundred", function ()
		local read = 0
		-- A certificate of its own, with the facts of another.
		local function shown(digest, text)
			local facts = {}
			for field, value in pairs(certificates.first:facts()) do
				facts[field] = value
			end
			facts.sha256 = digest
			return stream(nil, { facts = { certificate = setmetatable({
				facts = function ()
					read = read + 1
					return facts
				end,
			}, { __tostring = function () return text or "certificate " .. digest end }) } })
		end
		local function digest_of(number)
			return ("%064x"):format(number)
		end
		local function see(number, times, text)
			local before = read
			peers:see(policies.warn, shown(digest_of(number), text), "a.test", "far.test")
			assert.equal(times, read - before)
			local list = remembered()
			assert.equal(digest_of(number), list[#list])
		end
		see(1, 1)
		see(1, 0)
		see(2, 1)
		see(2, 0)
		for number = 3, 5 do
			see(number, 1, "certificate (unknown)")
		end
		see(1, 0)
		for number = 1001, 1100 do
			peers:see(policies.warn, shown(digest_of(number)), "a.test", "other.test")
		end
		see(1, 1)
	end)

	it("are not remembered of a stream without TLS, without facts or without a certificate", function ()
		local plain = stream("first", { is_encrypted = function () return false end })
		local unknown = stream("first")
		unknown.facts = nil
		for _, one in ipairs { plain, unknown, stream() } do
			assert.is_nil(peers:see(policies.refuse, one, "a.test", "far.test"))
			assert.is_nil(peers:would_refuse(policies.refuse, one, "a.test", "far.test"))
		end
		assert.same({}, remembered())
	end)

	-- What is known of the domain, under each policy, for each certificate that is shown now. A
	-- change is refused where the policy says so, and a trial changes nothing.
	local known = { nothing = {}, first = { "first" }, second = { "second" }, both = { "first", "second" } }
	for policy_name, policy in pairs(policies) do
		for known_name, before in pairs(known) do
			it(("are judged under %s with %s known"):format(policy_name, known_name), function ()
				for _, shows in ipairs { "first", "second" } do
					peers = peer_certificates.new { server = server, metrics = counted, now = function () return now end }
					server.stores = {}
					peers:open "a.test"
					local is_known = not before[1]
					for _, name in ipairs(before) do
						peers:see(policies.warn, stream(name), "a.test", "far.test")
						is_known = is_known or name == shows
					end
					local list, lines, fired = remembered(), #server.lines, #server.events
					local count = changes()
					local refused = policy_name == "refuse" and not is_known
					local trial = peers:would_refuse(policy, stream(shows), "a.test", "far.test")
					assert.equal(refused, trial ~= nil)
					assert.same({ list, lines, fired, count }, { remembered(), #server.lines, #server.events, changes() })
					local message = peers:see(policy, stream(shows), "a.test", "far.test")
					assert.equal(trial, message)
					assert.equal(refused, message ~= nil and message:find "it is refused until it is accepted" ~= nil)
					list = remembered()
					assert.equal((refused and "pending " or "") .. sha256(shows), list[#list])
				end
			end)
		end
	end

	it("that change are reported in the log, by an event and, if the policy says so, to administrators", function ()
		peers:see(policies.notify, stream "first", "a.test", "far.test")
		peers:see(policies.notify, stream "second", "a.test", "far.test")
		local lines = server.take_lines()
		assert.matches("^warn The certificate of far.test: ", lines[1])
		assert.equal(("warn SHA-256: %s (before: %s)"):format(sha256 "second", sha256 "first"), lines[2])
		local event = server.events[1]
		assert.same({ "a.test", "tls-policy/certificate-changed", "far.test", "change" },
			{ event[1], event[2], event[3].domain, event[3].result.kind })
		local message = server.messages[1]
		assert.same({ "a.test", "admin@example.test", "The certificate of far.test" }, { message[1], message[2], message[3] })
		assert.truthy(message[4]:find(lines[2]:gsub("^warn ", ""), 1, true))
		assert.equal(1, #server.messages)
	end)

	it("that change are reported to administrators, within bounds for verified and for other certificates", function ()
		for _, verified in ipairs { true, false } do
			server.messages = {}
			for number = 1, 24 do
				local domain = ("%s%d.test"):format(tostring(verified), number)
				peers:see(policies.notify, stream("first", not verified and unvouched or nil), "a.test", domain)
				peers:see(policies.notify, stream("second", not verified and unvouched or nil), "a.test", domain)
			end
			assert.equal(20, #server.messages)
		end
		now = now + 3600
		peers:see(policies.notify, stream "first", "a.test", "later.test")
		peers:see(policies.notify, stream "second", "a.test", "later.test")
		assert.equal(21, #server.messages)
	end)

	-- How many of so many domains are remembered, which come with the fields that make(number) returns.
	local function count_remembered(prefix, domains, make)
		local count = 0
		for number = 1, domains do
			local domain = ("%s%d.test"):format(prefix, number)
			assert.is_nil(peers:see(policies.refuse, make(number), "a.test", domain))
			count = count + #remembered(domain)
		end
		return count
	end

	-- Another certificate each time.
	local function any_certificate(number, more)
		local one = stream("first", more)
		local facts = {}
		for field, value in pairs(certificates.first:facts()) do
			facts[field] = value
		end
		facts.sha256 = ("%064x"):format(number)
		one.facts = { certificate = { facts = function () return facts end } }
		return one
	end

	describe("that are new are bounded a day", function ()
		it("by the certificate, for all hosts together", function ()
			local function same() return stream "first" end
			assert.equal(50, count_remembered("x", 60, same))
			peers:see(policies.warn, stream "first", "b.test", "further.test")
			assert.same({}, remembered "further.test")
			assert.same({
				("warn Memory of certificates: the certificate with the SHA-256 %s has come with 50 new domains today; the "
					.. "certificates of further ones are not remembered before tomorrow"):format(sha256 "first"),
			}, { server.take_lines()[1] })
			-- Those that are known are judged all the same.
			assert.truthy(peers:see(policies.refuse, stream "second", "a.test", "x1.test"))
			assert.same({ sha256 "second" }, (function ()
				peers:see(policies.refuse, stream "second", "a.test", "other.test")
				return remembered "other.test"
			end)())
			now = now + DAY
			assert.equal(50, count_remembered("y", 60, same))
		end)

		it("by the network of the address", function ()
			for _, address in ipairs { "192.0.2.1", "2001:db8::%x" } do
				assert.equal(100, count_remembered(address:sub(1, 3), 110, function (number)
					return any_certificate(number, { session = { address = address:format(number) } })
				end))
			end
			-- One line a day.
			assert.matches("the network 192.0.2.1 has come with 100 new domains", server.take_lines()[1])
			assert.same({}, server.take_lines())
		end)

		it("by the host, without a valid certificate", function ()
			assert.equal(250, count_remembered("x", 260, function (number)
				return any_certificate(number, unvouched)
			end))
			assert.equal(1, count_remembered("y", 1, any_certificate))
			assert.matches("a.test has met 250 new domains without a valid certificate today", server.take_lines()[1])
		end)

		it("by the host, in all", function ()
			assert.equal(2000, count_remembered("x", 2010, any_certificate))
			assert.matches("a.test has met 2000 new domains today", server.take_lines()[1])
			assert.same({}, server.take_lines())
		end)

		it("also over a reload of the module", function ()
			local function same() return stream "first" end
			count_remembered("x", 50, same)
			peers = peer_certificates.new { server = server, metrics = counted, kept = peers, now = function () return now end }
			assert.is_nil(peers:see(policies.refuse, stream "first", "a.test", "51.test"))
			assert.same({}, remembered "51.test")
			assert.truthy(server.stores[STORE]["x1.test"])
		end)
	end)

	it("are refused where the store fails and changes are refused", function ()
		peers:see(policies.refuse, stream "first", "a.test", "far.test")
		server.open_store = function ()
			return { get = function () return nil, "disk full" end, set = function () return nil, "disk full" end }
		end
		peers:open "a.test"
		for policy_name, refused in pairs { warn = false, refuse = true, report = false } do
			assert.equal(refused, peers:see(policies[policy_name], stream "first", "a.test", "far.test") ~= nil)
			assert.equal(refused, peers:would_refuse(policies[policy_name], stream "first", "a.test", "far.test") ~= nil)
		end
		-- The store has logged that itself.
		assert.same({}, server.take_lines())
	end)

	-- The record of a domain, with one part of it spoilt.
	local damages = {
		["nothing in it"] = function () return {} end,
		["text in its place"] = function () return "text" end,
		["false in its place"] = function () return false end,
		["an empty list"] = function (record) record.certificates = {} return record end,
		["a wrong type"] = function (record) record.certificates[1].last_seen = "today" return record end,
		["another format"] = function (record) record.format = 2 return record end,
		["no format"] = function (record) record.format = nil return record end,
	}
	for damage, spoil in pairs(damages) do
		it("are refused while the record has " .. damage .. " and changes are refused", function ()
			peers:see(policies.refuse, stream "first", "a.test", "far.test")
			local store = server.stores[STORE]
			store["far.test"] = spoil(store["far.test"])
			for _ = 1, 3 do
				for _, shows in ipairs { "first", "second" } do
					local trial = peers:would_refuse(policies.refuse, stream(shows), "a.test", "far.test")
					assert.matches("its certificates are refused until the record is forgotten$", trial)
					assert.equal(trial, peers:see(policies.refuse, stream(shows), "a.test", "far.test"))
				end
			end
			-- One line, with the remedy, on each day.
			local function lines()
				local found = server.take_lines()
				for _, line in ipairs(found) do
					assert.matches('^warn The certificate of far.test: .*: tlspolicy:forget%("far.test"%)$', line)
				end
				return #found
			end
			assert.equal(1, lines())
			now = now + DAY
			peers:see(policies.refuse, stream "second", "a.test", "far.test")
			assert.equal(1, lines())
			assert.same({ first = 1, unknown = 7 }, changes())
			assert.equal(0, peers:memory("a.test"):forget "far.test")
			assert.is_nil(peers:see(policies.refuse, stream "second", "a.test", "far.test"))
			assert.same({ sha256 "second" }, remembered())
		end)

		it("replace a record with " .. damage .. " where changes are only warned about", function ()
			for _, policy in ipairs { policies.warn, policies.report } do
				peers:see(policies.warn, stream "first", "a.test", "far.test")
				local store = server.stores[STORE]
				store["far.test"] = spoil(store["far.test"])
				server.take_lines()
				assert.is_nil(peers:see(policy, stream "second", "a.test", "far.test"))
				assert.same({ sha256 "second" }, remembered())
				assert.matches("its present certificate counts as its first$", server.take_lines()[1])
			end
		end)
	end

	-- rfc6125.6.4.2.compared-as-a-labels
	it("have one record for the A-labels and the U-labels of a domain", function ()
		local forms = { "b\195\188cher.test", "xn--bcher-kva.test" }
		for _, first in ipairs(forms) do
			for _, second in ipairs(forms) do
				server.stores = {}
				peers:open "a.test"
				assert.is_nil(peers:see(policies.refuse, stream "first", "a.test", first))
				assert.truthy(peers:would_refuse(policies.refuse, stream "second", "a.test", second))
				assert.truthy(peers:see(policies.refuse, stream "second", "a.test", second))
				assert.same({ sha256 "first", "pending " .. sha256 "second" }, remembered(first))
				assert.same(remembered(first), remembered(second))
				assert.equal("xn--bcher-kva.test", (next(server.stores[STORE])))
				assert.equal(1, peers:memory("a.test"):accept(first))
				assert.equal(2, peers:memory("a.test"):forget(second))
				assert.is_nil((next(server.stores[STORE])))
			end
		end
	end)

	it("are remembered by each host of ours on its own", function ()
		peers:open "b.test"
		assert.same({ "a.test", "b.test" }, peers:hosts())
		peers:close "a.test"
		assert.same({ "b.test" }, peers:hosts())
		assert.is_nil(peers:memory "a.test")
		-- A host whose memory was not opened is not let off.
		peers:see(policies.refuse, stream "first", "a.test", "far.test")
		assert.same({ sha256 "first" }, remembered())
	end)

	-- Hosts, domains of each; runs the timers that a sweep sets. Returns the longest of them, in seconds.
	local function run_sweep()
		local longest = 0
		while server.timers[1] do
			local began = server.time
			table.remove(server.timers, 1)[2]()
			longest = math.max(longest, server.time - began)
		end
		return longest
	end

	it("that were not seen for long are forgotten, once a day", function ()
		local store = server.open_store("a.test", STORE)
		for number = 1, 40 do
			peers:see(policies.warn, stream "first", "a.test", ("%03d.test"):format(number))
		end
		now = now + 93 * DAY
		peers:see(policies.warn, stream "first", "a.test", "new.test")
		store:set("broken.test", { format = 1 })
		assert.same({ sha256 "first" }, { server.stores[STORE]["040.test"].certificates[1].sha256 })
		peers:sweep()
		run_sweep()
		local left = {}
		for domain in pairs(server.stores[STORE]) do
			left[#left + 1] = domain
		end
		table.sort(left)
		assert.same({ "broken.test", "new.test" }, left)
		peers:sweep()
		assert.same({}, server.timers)
		now = now + DAY
		peers:sweep()
		assert.equal(1, #server.timers)
	end)

	-- Times as a slow disk has them; the bench (make bench ROWS=sweep) has a real one.
	it("are swept in turns of 20 ms at most, whatever their number #large", function ()
		local domains, seen = 20000, 0
		local record = peers:memory "a.test" and (function ()
			peers:see(policies.warn, stream "first", "a.test", "far.test")
			return server.stores[STORE]["far.test"]
		end)()
		for _, cost in ipairs { 0.00005, 0.0002, 0.005 } do
			server.open_store = function ()
				local position = 0
				return {
					keys = function ()
						position = 0
						return function ()
							position = position + 1
							server.time = server.time + cost / 10
							return position <= domains and position .. ".test" or nil
						end
					end,
					get = function ()
						server.time, seen = server.time + cost, seen + 1
						return record
					end,
				}
			end
			peers:open "a.test"
			now, seen = now + DAY, 0
			peers:sweep()
			-- A sweep that has not ended goes on, and no second one begins.
			for _ = 1, 3 do
				table.remove(server.timers, 1)[2]()
			end
			peers:sweep()
			local longest = run_sweep()
			assert.equal(domains, seen)
			assert.is_true(longest > 0 and longest <= 0.02, ("%f s"):format(longest))
		end
	end)

	it("are swept again after a failure, and not for a host that is gone", function ()
		peers:sweep()
		peers:close "a.test"
		run_sweep()
		peers:open "a.test"
		peers:see(policies.warn, stream "first", "a.test", "far.test")
		now = now + 93 * DAY
		local fault = true
		local open_store = server.open_store
		server.open_store = function (...)
			local store = open_store(...)
			local keys = store.keys
			store.keys = function ()
				assert(not fault, "injected")
				return keys()
			end
			return store
		end
		peers:open "a.test"
		peers:sweep()
		run_sweep()
		assert.equal(1, #server.failures)
		fault = false
		peers:sweep()
		run_sweep()
		assert.is_nil((next(server.stores[STORE])))
	end)
end)
