local adapter = require "support.adapter"
local new = require "xmpp_tls_policy.stream.binding_mismatches".new

describe("a channel binding that does not match", function ()
	local server, mismatches, counted, now, messages, fired, policy

	before_each(function ()
		counted, now, messages, fired, policy = {}, 1000000, {}, {}, { notify_admins = true }
		server = adapter.new {
			host = function (session) return session.host end,
			address = function (session) return session.address end,
			administrators = function () return { "admin@a.test" } end,
			send_message = function (host, jid, subject, body)
				messages[#messages + 1] = { host, jid, subject, body }
			end,
			fire = function (host, name, event)
				fired[#fired + 1] = { host, name, event.account, event.address, event.type }
			end,
			log_session = function (_, level, format, ...)
				server.log("*", level, format, ...)
			end,
		}
		mismatches = new {
			server = server, policies = { policy_for = function () return policy end },
			metrics = { binding_mismatch = function (_, name) counted[#counted + 1] = name end },
			now = function () return now end,
		}
	end)

	local function add(address, account, host)
		mismatches:add({ host = host or "a.test", address = address }, "tls-exporter", account)
	end

	it("rfc5802.6.binding-finds-interception: is logged with account, address and type, counted, and told", function ()
		add("192.0.2.1", "juliet")
		assert.matches('^warn Login of "juliet" from 192.0.2.1: the channel binding tls%-exporter does not match%. ',
			server.take_lines()[1])
		assert.same({ "tls-exporter" }, counted)
		assert.same({ { "a.test", "tls-policy/binding-mismatch", "juliet", "192.0.2.1", "tls-exporter" } }, fired)
		messages[1][4] = nil
		assert.same({ "a.test", "admin@a.test", "A channel binding does not match" }, messages[1])
	end)

	it("shows no characters of a name that a stranger chose as they are", function ()
		add("192.0.2.1", "a\27[2J\226\128\174b")
		local line = server.take_lines()[1]
		assert.is_nil(line:find("\27", 1, true))
		assert.is_nil(line:find("\226\128\174", 1, true))
	end)

	it("has a line a minute for each network, and a message an hour for each host", function ()
		for _ = 1, 5 do
			add("192.0.2.1", "juliet")
			add("192.0.2.2", nil)
		end
		assert.equal(2, #server.take_lines())
		assert.equal(1, #messages)
		assert.equal(10, #counted)
		add("192.0.2.1", "juliet", "b.test")
		assert.equal(2, #messages)
		now = now + 61
		add("192.0.2.1", "juliet")
		assert.equal(1, #server.take_lines())
		assert.equal(2, #messages)
		now = now + 3600
		add("192.0.2.1", "juliet")
		assert.equal(3, #messages)
	end)

	it("sends no message where administrators do not want any", function ()
		policy.notify_admins = false
		add("192.0.2.1", "juliet")
		assert.same({}, messages)
	end)
end)
