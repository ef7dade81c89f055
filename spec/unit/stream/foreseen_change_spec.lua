-- What report mode foresees of certificate_change = "refuse" is what enforcing does with the same streams: all
-- combinations of the states that matter.
local cutoff_reports = require "xmpp_tls_policy.stream.cutoff_reports"
local date = require "xmpp_tls_policy.date"
local stream_world = require "support.stream_world"
local tls_pairs = require "support.tls_pairs"
local work_queue = require "xmpp_tls_policy.work_queue"

local policy = stream_world.policy

local EXCEPTIONS = { ["a.test"] = { level = "must", expires = date.of(os.time() + 30 * date.DAY), reason = "old" } }

describe("a server's changed certificate in report mode", function ()
	local connections = {}

	setup(function ()
		for _, name in ipairs { "a", "older", "none" } do
			connections[name] = {
				good = tls_pairs.connection("s2sin", "good", name, true),
				weak = tls_pairs.connection("s2sin", "weak", name, true),
			}
		end
	end)

	teardown(tls_pairs.close)

	-- What is remembered of a.test before.
	local memories = {
		nothing = function () end,
		known = function (certificate)
			return stream_world.record_of(certificate, "a.test")
		end,
		changed = function (_, other)
			return stream_world.record_of(other, "a.test")
		end,
		pending = function (certificate, other)
			local record = stream_world.record_of(other, "a.test")
			record.pending = stream_world.record_of(certificate, "a.test").certificates
			return record
		end,
		damaged = function ()
			return { format = 1 }
		end,
	}
	local is_refused = { changed = true, pending = true, damaged = true }

	local function certificate_of(world, connection)
		local stream = world.admission:stream(world:session {
			role = "s2sin", host = "host.test", peer = "a.test", secure = true, connection = connection, chain_valid = true,
			identity_valid = true,
		})
		return assert(stream:read_facts()).certificate
	end

	-- A world with what is remembered, and a stream whose peer has authenticated. One that was resumed has no
	-- certificate of the peer, and dialback vouches for it.
	local function new_world(case, mode)
		local world = stream_world.new {
			["host.test"] = policy {
				mode = mode, certificate_change = case.option, exceptions = case.exception and EXCEPTIONS or nil,
			},
		}
		local certificate = certificate_of(world, connections.a.good)
		world.records["host.test"] = {
			["a.test"] = memories[case.memory](certificate, certificate_of(world, connections.older.good)),
		}
		local vouched = not case.is_resumed or nil
		local session = world:session {
			role = "s2sin", host = "host.test", peer = "a.test", secure = true, chain_valid = vouched, identity_valid = vouched,
			connection = connections[case.is_resumed and "none" or "a"][case.quality],
		}
		local stream = world.admission:stream(session)
		stream:read_facts()
		return world, session, stream
	end

	-- The clauses of the refusal where the policy is enforced; {} if there is none. Then what is remembered.
	local function enforced(case)
		local world, session = new_world(case, "enforce")
		world:authenticate(session, "a.test")
		world.admission:authenticated(session, "host.test", "a.test")
		local clauses = world.refusals[1] and world.refusals[1].clauses or {}
		assert.equal(clauses[1] ~= nil, session.closed ~= nil)
		return clauses, world.records["host.test"]["a.test"]
	end

	local function foreseen(case)
		local world, _, stream = new_world(case, "report")
		local counted
		world.server.is_anonymous = function () return false end
		world.server.demands_certificate = function () return false end
		world.server.log_limited = function (_, problem) error(problem, 0) end
		local open_store = world.server.open_store
		world.server.open_store = function (host, name)
			local store = open_store(host, name)
			if name ~= "tls_policy_certificates" then
				store.get = function () end
				store.keys = function () return function () end end
			end
			return store
		end
		local reports = cutoff_reports.new {
			server = world.server, certificates = world.certificates, queue = work_queue.new { server = world.server },
			metrics = {
				would_refuse = function (_, _, clauses)
					counted = clauses
				end,
			},
		}
		reports:see(world.policies:policy_for("host.test", "a.test"), stream, "host.test", "a.test")
		local entry = reports:get("host.test"):list()[1]
		assert.equal(counted ~= nil, entry ~= nil)
		assert.is_nil(stream.session.closed)
		if counted and counted[1] == "admin.change" then
			assert.same({ false, false }, { entry.kept_by_level, entry.kept_by_exception })
			assert.equal("admin.change", entry.clauses[1].clause)
		end
		return counted or {}, world.records["host.test"]["a.test"]
	end

	-- Times of sightings may differ by a second.
	local function certificates_of(record)
		local list = {}
		for _, part in ipairs { "certificates", "pending" } do
			for _, entry in ipairs(record and record[part] or {}) do
				list[#list + 1] = part .. " " .. entry.sha256
			end
		end
		return list
	end

	local function cases()
		local list = {}
		for memory in pairs(memories) do
			for _, option in ipairs { "warn", "refuse" } do
				for _, quality in ipairs { "good", "weak" } do
					for _, exception in ipairs { false, true } do
						for _, is_resumed in ipairs { false, true } do
							list[#list + 1] = {
								memory = memory, option = option, quality = quality, exception = exception, is_resumed = is_resumed,
							}
						end
					end
				end
			end
		end
		return list
	end

	it("is foreseen where enforcing would refuse it, and only there", function ()
		local count = 0
		for _, case in ipairs(cases()) do
			local what = ("%s, %s, %s, exception %s, resumed %s"):format(case.memory, case.option, case.quality,
				tostring(case.exception), tostring(case.is_resumed))
			local clauses, remembered = enforced(case)
			local counted, learnt = foreseen(case)
			assert.same(clauses, counted, what)
			local is_weak = case.quality == "weak" and not case.exception
			if is_weak then
				assert.not_equal("admin.change", clauses[1], what)
			else
				local refused = case.option == "refuse" and not case.is_resumed and is_refused[case.memory] or false
				assert.same(refused and { "admin.change" } or {}, clauses, what)
			end
			if case.option == "refuse" then
				assert.same(certificates_of(remembered), certificates_of(learnt), what)
			end
			count = count + 1
		end
		assert.equal(80, count)
	end)
end)
