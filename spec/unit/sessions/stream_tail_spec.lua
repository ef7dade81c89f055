local loop_pauses = require "xmpp_tls_policy.sessions.loop_pauses"
local stream_tail = require "xmpp_tls_policy.sessions.stream_tail"

describe("a tail", function ()
	it("takes what came before it asks for more, and lets timers run after a few answers", function ()
		local asked, taken, last, callback, paused, pauses = 0, 0, 0, nil, nil, 0
		stream_tail.start {
			connection = {
				command = function (_, command, answered)
					assert.same({ "XREAD", "COUNT", "50" }, { command[1], command[2], command[3] })
					assert.equal(asked * 50, taken)
					asked, callback = asked + 1, answered
				end,
				flush = function () end,
			},
			name = "sessions", from = "1-0", on_broken = error,
			now = function ()
				return 0
			end,
			take = function ()
				taken = taken + 1
			end,
			on_read = function () end,
			later = function (_, _, action)
				pauses, paused = pauses + 1, action
			end,
		}
		for answers = 1, 5 * loop_pauses.ANSWERS do
			local entries = {}
			for index = 1, 50 do
				last = last + 1
				entries[index] = { ("1-%d"):format(last), { "r", "record" } }
			end
			callback({ { "sessions", entries } })
			assert.equal(math.floor(answers / loop_pauses.ANSWERS), pauses)
			if paused then
				assert.equal(answers, asked)
				paused()
				paused = nil
			end
			assert.equal(answers + 1, asked)
		end
	end)
end)
