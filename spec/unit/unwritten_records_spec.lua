local adapter = require "support.adapter"
local unwritten_records = require "xmpp_tls_policy.unwritten_records"
local work_queue = require "xmpp_tls_policy.work_queue"

describe("records that wait to be written", function ()
	local server, sources, stored, fails, now, records

	-- A source with changes, which counts its sweeps.
	local function source()
		local changed = {}
		return {
			changed = changed, sweeps = 0,
			changes = function ()
				local changes = {}
				for key, record in pairs(changed) do
					changes[key], changed[key] = record, nil
				end
				return next(changes) ~= nil and changes or nil
			end,
			restore = function (_, key) changed[key] = "restored" end,
			sweep = function (self) self.sweeps = self.sweeps + 1 end,
		}
	end

	local function new(kept)
		return unwritten_records.new {
			hosts = function ()
				local names = {}
				for name in pairs(sources) do
					names[#names + 1] = name
				end
				table.sort(names)
				return names
			end,
			source_of = function (host) return sources[host] or nil end,
			store = function (host, key, record)
				if fails[key] then
					return nil
				end
				stored[#stored + 1] = ("%s %s %s"):format(host, key, tostring(record))
				return true
			end,
			queue = work_queue.new { server = server }, work = "storing for", kept = kept, now = function () return now end,
		}
	end

	before_each(function ()
		server, sources, stored, fails, now = adapter.new(), { a = source(), b = source() }, {}, {}, 1000000
		records = new()
	end)

	local function assert_stored(expected)
		table.sort(stored)
		assert.same(expected, stored)
	end

	it("are written at once, for a host or for all; one that is forgotten is removed", function ()
		sources.a.changed.one, sources.b.changed.two = "1", false
		records:write "a"
		assert_stored { "a one 1" }
		records:write_all()
		assert_stored { "a one 1", "b two nil" }
		records:write_all()
		assert.equal(2, #stored)
		assert.same({ 0, 0 }, { sources.a.sweeps, sources.b.sweeps })
	end)

	it("are written in turns once an hour has gone by, or the clock was set back; then the old is forgotten", function ()
		for number = 1, 50 do
			sources.a.changed[number] = "x"
		end
		now = now + 3599
		records:write_hourly()
		assert.equal(0, server.run_timers())
		assert.equal(0, sources.a.sweeps)
		for _, step in ipairs { 1, -7200 } do
			now = now + step
			records:write_hourly()
			assert.is_true(server.run_timers() > 0)
		end
		assert.equal(50, #stored)
		assert.same({ 2, 2 }, { sources.a.sweeps, sources.b.sweeps })
	end)

	it("that cannot be written are changes again, and end the writing", function ()
		fails.one = true
		sources.a.changed.one = "1"
		records:write "a"
		assert_stored {}
		assert.same({ one = "restored" }, sources.a.changed)
		fails.one = nil
		records:write "a"
		assert_stored { "a one restored" }
	end)

	it("are not written while the stored ones are read", function ()
		sources.a.changed.one = "1"
		local reading = sources.a
		sources.a = false
		records:write_all()
		now = now + 3600
		records:write_hourly()
		server.run_timers()
		assert_stored {}
		assert.same({ one = "1" }, reading.changed)
		assert.equal(0, reading.sweeps)
	end)

	it("are not written after they are dropped", function ()
		sources.a.changed.one, sources.b.changed.two = "1", "2"
		now = now + 3600
		records:write_hourly()
		records:drop "a"
		server.run_timers()
		assert_stored { "b two 2" }
	end)

	it("are written by the next load of the module, which goes on with the hour", function ()
		sources.a.changed.one = "1"
		now = now + 3600
		records:write_hourly()
		-- The queue of the load before is gone.
		server.timers = {}
		local after = new(records)
		now = now + 3599
		after:write_hourly()
		server.run_timers()
		assert_stored {}
		after:write "a"
		assert_stored { "a one 1" }
	end)
end)
