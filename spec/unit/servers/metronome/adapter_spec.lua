-- Metronome's adapter against the recorded interface.
local contract = require "xmpp_tls_policy.servers.contract"
local recorded = require "support.servers.recorded_metronome"

local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"

local function ours(name)
	return require("xmpp_tls_policy.servers.metronome" .. (name and "." .. name or ""))
end

describe("Metronome's adapter", function ()
	local remove

	before_each(function ()
		remove = recorded.install {
			["*"] = { modules_enabled = { "xmpp_tls_policy" }, ssl = { certificate = "none.crt" }, speed = 1 },
			["own.test"] = { speed = 2, ssl = { ciphers = "HIGH" } },
			["a.own.test"] = { modules_disabled = { "xmpp_tls_policy" } },
		}
		for _, host in ipairs { "own.test", "a.own.test", "b.test" } do
			rawget(_G, "metronome").hosts[host] = { type = "local", s2sout = {}, events = { _handlers = {} } }
		end
	end)

	after_each(function ()
		remove()
	end)

	it("keeps the contract", function ()
		assert.same({}, contract.missing(ours().new {}))
	end)

	describe("watches a descriptor on Metronome's loop:", function ()
		local loop, calls, watch

		before_each(function ()
			loop, calls = require "net.server", {}
			watch = ours().new({}).watch(7, function ()
				calls[#calls + 1] = "readable"
			end, function ()
				calls[#calls + 1] = "writable"
				watch:want_to_write(false)
			end)
		end)

		-- What is watched, as { { descriptor, event }, … }.
		local function watched()
			local list = {}
			for index, one in ipairs(loop.events) do
				list[index] = { one.descriptor, one.event }
			end
			return list
		end

		it("for bytes until it is closed, and for room while that is wanted", function ()
			assert.same({ { 7, 2 } }, watched())
			watch:want_to_write(true)
			watch:want_to_write(true)
			assert.same({ { 7, 2 }, { 7, 4 } }, watched())
			loop.events[1].run()
			loop.events[1].run()
			loop.events[2].run()
			assert.same({ "readable", "readable", "writable" }, calls)
			assert.same({ { 7, 2 } }, watched())
			watch:want_to_write(true)
			watch:close()
			watch:close()
			watch:want_to_write(true)
			assert.same({}, watched())
		end)

		it("a callback that fails is logged, and called again", function ()
			local lines, failing = {}, ours().new {}
			function failing.log_limited(kind, problem)
				lines[#lines + 1] = ("%s: %s"):format(kind, problem:match "[^\n]*")
			end
			failing.watch(8, function () error("broken", 0) end)
			loop.events[2].run()
			loop.events[2].run()
			assert.same({
				"Internal error of the TLS policy on a watched descriptor: broken",
				"Internal error of the TLS policy on a watched descriptor: broken",
			}, lines)
		end)

		it("nothing where lua-event refuses it", function ()
			loop.addevent = function () end
			assert.same({ nil, "lua-event does not watch the descriptor" }, { ours().new({}).watch(9, function () end) })
		end)
	end)

	it("resolves a name to all its addresses, or says why there is none", function ()
		local answers = {}
		for _, name in ipairs { "engine.test", "nowhere.test" } do
			ours().new({}).resolve(name, function (addresses, message)
				answers[#answers + 1] = addresses or message
			end)
		end
		assert.same({
			{ "192.0.2.1", "192.0.2.2", "2001:db8::1" }, "no address of nowhere.test is known (timeout)",
		}, answers)
	end)

	it("logs strings and numbers alone, which is all that Metronome's log takes with Lua 5.1", function ()
		local lines = {}
		local module = {}
		function module:context()
			return self
		end
		function module.log(_, _, format, ...)
			lines[#lines + 1] = format:format(...)
		end
		ours().new(module).log("*", "info", "%s %s %s %d", nil, true, "a\nb", 5)
		assert.same({ "nil true a\\010b 5" }, lines)
	end)

	it("takes an option from the host, then from the top, as Metronome's API of modules does", function ()
		local hosts = ours "hosts"
		assert.equal(2, hosts.option("own.test", "speed"))
		assert.equal(1, hosts.option("b.test", "speed"))
		assert.equal(1, hosts.option("*", "speed"))
		assert.is_true(hosts.wants_module("b.test", "xmpp_tls_policy"))
		assert.is_false(hosts.wants_module("a.own.test", "xmpp_tls_policy"))
	end)

	it("marks the lists of a host's own TLS options, or of its parent domain's", function ()
		local contexts = ours "contexts"
		assert.is_true(contexts.operator_lists("a.own.test", "c2s").ciphers)
		assert.is_falsy(contexts.operator_lists("b.test", "c2s").ciphers)
	end)

	it("gives servers another context than clients", function ()
		local contexts = ours "contexts"
		rawget(_G, "metronome").hosts["own.test"].ssl_ctx_in = { of = "Metronome" }
		local by_role = {}
		for _, entry in ipairs(contexts.current_contexts "own.test") do
			by_role[entry.role] = entry.context
		end
		assert.equal("Metronome", by_role.c2s.of)
		assert.same({ host = "own.test", mode = "server" }, by_role.s2sin)
		assert.equal(by_role.s2sin, contexts.current_contexts("own.test")[2].context)
		assert.is_nil(contexts.current_contexts "b.test")
	end)

	it("offers no context to a server's stream without version 1.0", function ()
		local contexts = ours "contexts"
		rawget(_G, "metronome").hosts["own.test"].ssl_ctx_in = {}
		local session = { type = "s2sin_unauthed", direction = "incoming", to_host = "own.test", version = 0 }
		assert.is_nil(contexts.starttls_context(session))
		session.version = 1
		assert.is_table(contexts.starttls_context(session))
	end)

	it("starts TLS with the session's own context, as long as it is active", function ()
		local contexts, given = ours "contexts", {}
		local connection = setmetatable({}, { __index = { starttls = function (_, context)
			given[#given + 1] = context
		end } })
		local session = { type = "s2sout_unauthed", direction = "outgoing", from_host = "own.test", conn = connection }
		rawget(_G, "metronome").hosts["own.test"].ssl_ctx = "the host's"
		contexts.take_over(session)
		contexts.take_over(session)
		connection:starttls { certificate = "options" }
		contexts.set_active(true)
		connection:starttls { certificate = "options" }
		contexts.set_starttls_context(session, "the exception's")
		connection:starttls "another"
		assert.same({ { certificate = "options" }, "the host's", "the exception's" }, given)
	end)

	it("calls filters of a higher priority first, and adds each once", function ()
		local filters, session = ours "filters", {}
		local function first() end
		local function last() end
		filters.add(session, "stanzas/in", last, 1)
		filters.add(session, "stanzas/in", first, 2)
		filters.add(session, "stanzas/in", first, 2)
		assert.same({ first, last }, { session.filters["stanzas/in"][1], session.filters["stanzas/in"][2] })
		assert.is_nil(session.filters["stanzas/in"][3])
	end)

	it("sends nothing more on a stream that it closed, through whatever function", function ()
		local sent, session = {}, { type = "c2s_unauthed", log = function () end }
		ours "filters".add(session, "stanzas/out", function (element) return element end, 0)
		local of_session = session.filters
		local function send(element)
			for _, filter in ipairs(of_session["stanzas/out"]) do
				element = element and filter(element)
			end
			sent[#sent + 1] = element
		end
		function session:close(reason)
			send(reason.condition)
			self.filters = nil
		end
		ours "sessions".close(session, "policy-violation", "no")
		send "features"
		assert.same({ "policy-violation" }, sent)
	end)

	it("leaves STARTTLS alone in the features, as mandatory, wherever it stood", function ()
		local offer = recorded.element("starttls", { xmlns = xmlns_tls })
		for position = 1, 3 do
			local features = recorded.element "features"
			for index = 1, 3 do
				features:add_child(index == position and offer or recorded.element("other", { xmlns = "urn:other" }))
			end
			ours "elements".offer_only_starttls(features)
			assert.same({ 1, 1 }, { #features, #features.tags })
			assert.is_table(features.tags[1]:get_child "required")
		end
		assert.is_nil(offer:get_child "required")
	end)

	it("takes a certificate for the header's domain alone, whatever domain was checked last", function ()
		local sessions = ours "sessions"
		local socket = { dohandshake = function () end, getpeercertificate = function ()
			return { names = { ["other.test"] = true } }
		end }
		local session = {
			type = "s2sin_unauthed", direction = "incoming", from_host = "far.test", cert_chain_status = "valid",
			cert_identity_status = "valid", conn = { ssl = function () return true end, socket = function () return socket end },
		}
		assert.is_false(sessions.has_valid_certificate(session))
		session.from_host = "other.test"
		assert.is_true(sessions.has_valid_certificate(session))
		sessions.set_identity_invalid(session)
		assert.is_false(sessions.has_valid_certificate(session))
	end)

	it("knows no connection that is not encrypted yet, though Metronome calls it so", function ()
		local socket = {}
		local session = { type = "c2s_unauthed", conn = {
			ssl = function () return true end, socket = function () return socket end,
		} }
		assert.is_nil(ours "sessions".connection(session))
		socket.dohandshake = function () end
		assert.equal(socket, ours "sessions".connection(session))
		-- Of a session that waits for its client, the connection is closed.
		session.halted = 1
		assert.is_nil(ours "sessions".connection(session))
	end)

	-- Lua 5.1 has no ephemerons: a weak table keeps a key to which its value leads.
	it("keeps no session whose certificate was checked, in Lua 5.1 either", function ()
		local checks = ours "certificate_checks".new {
			server = {}, admission = {
				certificate_names = function () end, certificate_checked = function () end, ended = function () end,
			},
		}
		local weak = setmetatable({}, { __mode = "v" })
		local function check_one()
			local function original() end
			local socket = { dohandshake = original, getpeercertificate = function ()
				return { names = { ["far.test"] = false } }
			end }
			local session = {
				type = "s2sin_unauthed", direction = "incoming", to_host = "own.test", from_host = "far.test", close = original,
				secure = true, cert_chain_status = "valid", cert_identity_status = "valid", conn = {
					ondisconnect = original, socket = function () return socket end, ssl = function () return true end,
				},
			}
			-- The connection of LuaSec leads to the session, too.
			socket.interface = session.conn
			rawget(_G, "metronome").hosts["own.test"].events.fire_event = function (_, checked)
				checks:looked_at(checked)
			end
			checks:opened(session)
			ours "sessions".set_identity_invalid(session)
			weak.session = session
		end
		check_one()
		collectgarbage()
		collectgarbage()
		assert.is_nil(weak.session)
	end)

	it("tells the present load alone of the end of a stream that it has in common with those before", function ()
		local ended = {}
		local function original() end
		local session = {
			type = "s2sin_unauthed", direction = "incoming", to_host = "own.test", from_host = "far.test", close = original,
			conn = { ondisconnect = original, ssl = function () return true end, socket = function ()
				return { dohandshake = original }
			end },
		}
		local weak = setmetatable({}, { __mode = "v" })
		local function load(number)
			local admission = {
				certificate_names = function () end, ended = function () ended[#ended + 1] = number end,
			}
			local checks = ours "certificate_checks".new { server = {}, admission = admission }
			local stop = checks:follow_ends()
			checks:looked_at(session)
			weak[number] = admission
			return stop
		end
		load(1)()
		local stop = load(2)
		load(3)
		-- A load that began meanwhile goes on.
		stop()
		collectgarbage()
		collectgarbage()
		assert.is_nil(weak[1])
		session:close()
		assert.same({ 3 }, ended)
	end)

	-- Metronome has events for the end of authenticated streams alone.
	for what, finish in pairs {
		["that Metronome ends"] = function (session) session:close() end,
		["whose peer goes away"] = function (session) session.conn:ondisconnect "closed" end,
	} do
		it("notices the end of a server's stream whose certificate was looked at, once: one " .. what, function ()
			local ended, called = {}, 0
			local checks = ours "certificate_checks".new {
				server = {}, admission = {
					certificate_names = function () end,
					ended = function (_, session) ended[#ended + 1] = session end,
				},
			}
			local function original()
				called = called + 1
			end
			local socket = { dohandshake = original }
			local session = {
				type = "s2sin_unauthed", direction = "incoming", to_host = "own.test", from_host = "far.test", close = original,
				conn = {
					ondisconnect = original, socket = function () return socket end, ssl = function () return true end,
				},
			}
			checks:follow_ends()
			checks:looked_at(session)
			checks:looked_at(session)
			assert.same({}, ended)
			finish(session)
			assert.equal(1, called)
			finish(session)
			assert.equal(1, #ended)
			assert.equal(session, ended[1])
		end)
	end
end)
