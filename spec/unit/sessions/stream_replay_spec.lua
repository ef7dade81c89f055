local loop_pauses = require "xmpp_tls_policy.sessions.loop_pauses"
local stream_replay = require "xmpp_tls_policy.sessions.stream_replay"

describe("a replay", function ()
	-- answer(command) -> entries. Returns the commands, the number of entries that were taken, whether it is done, and
	-- how many had been taken at each command and at each pause.
	local function replay_of(answer, most)
		local commands, taken, is_done = {}, 0, false
		local waiting, paused, at_command, at_pause = {}, {}, {}, {}
		stream_replay.start {
			connection = {
				command = function (_, command, callback)
					commands[#commands + 1] = command
					at_command[#commands] = taken
					waiting[#waiting + 1] = callback
				end,
				flush = function () end,
			},
			name = "sessions", oldest = "1-0",
			take = function ()
				taken = taken + 1
			end,
			on_newest = function () end,
			on_done = function ()
				is_done = true
			end,
			on_broken = error,
			later = function (_, _, action)
				at_pause[#at_pause + 1] = taken
				paused[#paused + 1] = action
			end,
		}
		while (waiting[1] or paused[1]) and #commands < (most or 10) do
			if waiting[1] then
				table.remove(waiting, 1)(answer(commands[#commands]))
			else
				table.remove(paused, 1)()
			end
		end
		return commands, taken, is_done, at_command, at_pause
	end

	for name, id in pairs {
		["the same entries"] = "5-7", ["IDs that are not exact"] = "5-18446744073709551615",
		["times that are not exact"] = "18446744073709551615-0",
	} do
		it("ends though the engine answers again and again with " .. name, function ()
			local commands, taken, is_done = replay_of(function ()
				local entries = {}
				for index = 1, 50 do
					entries[index] = { id, { "r", "record" } }
				end
				return entries
			end)
			assert.is_true(is_done)
			assert.is_true(#commands <= 3, ("%d commands"):format(#commands))
			assert.equal(50 * #commands, taken)
		end)
	end

	it("asks for the part before the one that came", function ()
		local commands, taken, is_done = replay_of(function (command)
			local entries, newest = {}, tonumber(command[3]:match "%-(%d+)$") or 119
			for number = newest, math.max(1, newest - 49), -1 do
				entries[#entries + 1] = { ("7-%d"):format(number), { "r", "record" } }
			end
			return entries
		end)
		assert.is_true(is_done)
		assert.same({ "+", "7-69", "7-19" }, { commands[1][3], commands[2][3], commands[3][3] })
		assert.equal(119, taken)
	end)

	it("ends after twice as many entries as the stream may have", function ()
		local number = 2 ^ 40
		local part = {}
		local _, taken, is_done = replay_of(function ()
			for index = 1, 50 do
				number = number - 1
				part[index] = { ("7-%.0f"):format(number), { "r", "record" } }
			end
			return part
		end, 20000)
		assert.same({ true, 500000 }, { is_done, taken })
	end)

	it("handles a part before it asks for the next, and lets timers run after a few", function ()
		local number = 5000
		local commands, _, _, at_command, at_pause = replay_of(function ()
			local entries = {}
			for index = 1, 50 do
				number = number - 1
				entries[index] = { ("7-%d"):format(number), { "r", "record" } }
			end
			return entries
		end, 50)
		assert.equal(50, #commands)
		for index, taken in ipairs(at_command) do
			assert.equal((index - 1) * 50, taken)
		end
		assert.equal(math.floor(49 / loop_pauses.ANSWERS), #at_pause)
		for index, taken in ipairs(at_pause) do
			assert.equal(index * loop_pauses.ANSWERS * 50, taken)
		end
	end)
end)
