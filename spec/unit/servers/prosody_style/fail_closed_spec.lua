-- How it starts, where a call into the server fails; spec/server/fail_closed_spec.lua has all else.
local NAME = "xmpp_tls_policy.servers.prosody_style.fail_closed"

-- Modules of a server, as far as the start needs them.
local modules = {
	["util.jid"] = {},
	["util.logger"] = { init = function () return function () end end },
	["util.timer"] = { add_task = function () end },
	[NAME] = false,
}

describe("a start of fail_closed", function ()
	local before, server, fail_closed

	-- Counts the calls into the server. The one with the number `fails_at` fails.
	local function fake_server()
		local self = { handlers = {}, hooks = {}, filters = {}, calls = 0 }
		local function called()
			self.calls = self.calls + 1
			if self.calls == self.fails_at then
				error "injected"
			end
		end
		-- As the server's own: it keeps each handler of an event once.
		local function events_of(object)
			return {
				add_handler = function (event, handler)
					called()
					self.handlers[object .. " " .. event] = self.handlers[object .. " " .. event] or {}
					self.handlers[object .. " " .. event][handler] = true
				end,
				remove_handler = function (event, handler)
					(self.handlers[object .. " " .. event] or {})[handler] = nil
				end,
			}
		end
		self.root = {
			events = events_of "*",
			hosts = { ["a.test"] = { events = events_of "a.test" }, ["b.test"] = { events = events_of "b.test" } },
		}
		self.filter_functions = {
			add = function (session)
				called()
				self.filters[session] = true
			end,
			add_hook = function (hook)
				called()
				self.hooks[#self.hooks + 1] = hook
			end,
			remove_hook = function (hook)
				for index = #self.hooks, 1, -1 do
					if self.hooks[index] == hook then
						table.remove(self.hooks, index)
					end
				end
			end,
		}
		self.sessions = { all = function ()
			called()
			return { "first", "second" }
		end }
		return self
	end

	-- The names of the events with the numbers of their handlers, sorted, and the numbers of hooks and filters.
	local function installed()
		local list = {}
		for name, handlers in pairs(server.handlers) do
			local count = 0
			for _ in pairs(handlers) do
				count = count + 1
			end
			list[#list + 1] = count > 0 and ("%s: %d"):format(name, count) or nil
		end
		table.sort(list)
		local filtered = 0
		for _ in pairs(server.filters) do
			filtered = filtered + 1
		end
		return { list, #server.hooks, filtered }
	end

	local module = { event_handlers = { iter = function () return function () end end } }

	local function new()
		server = fake_server()
		package.loaded[NAME] = nil
		fail_closed = require(NAME) {
			root = server.root, filters = server.filter_functions, sessions = server.sessions, events = { "features" },
			hosts = { wants_module = function () return true end, option = function () end },
		}
	end

	before_each(function ()
		before = {}
		for name, stand_in in pairs(modules) do
			before[name], package.loaded[name] = package.loaded[name] or false, stand_in or nil
		end
		new()
	end)

	after_each(function ()
		for name in pairs(modules) do
			package.loaded[name] = before[name] or nil
		end
	end)

	it("has all handlers, which the end removes", function ()
		assert.is_false(fail_closed.has_started())
		fail_closed.start(module)
		assert.is_true(fail_closed.has_started())
		assert.same({
			{ "* config-reloaded: 1", "* host-activated: 1", "* host-deactivated: 1", "a.test features: 1",
				"a.test s2s-authenticated: 1", "b.test features: 1", "b.test s2s-authenticated: 1" }, 1, 2,
		}, installed())
		local calls = server.calls
		fail_closed.start(module)
		assert.equal(calls, server.calls)
		fail_closed.stop()
		assert.same({ {}, 0 }, { installed()[1], installed()[2] })
	end)

	-- The server tries again to load the module. Nothing may be missing then, wherever the start before had failed.
	it("after one that failed, at whatever step, has all handlers once", function ()
		fail_closed.start(module)
		local whole, calls = installed(), server.calls
		assert.equal(11, calls)
		for step = 1, calls do
			new()
			server.fails_at = step
			assert.is_false((pcall(fail_closed.start, module)))
			assert.is_false(fail_closed.has_started())
			fail_closed.start(module)
			assert.is_true(fail_closed.has_started())
			assert.same(whole, installed(), "step " .. step)
		end
	end)

	it("that fails again takes back that one had finished", function ()
		fail_closed.start(module)
		fail_closed.stop()
		server.fails_at = server.calls + 1
		assert.is_false((pcall(fail_closed.start, module)))
		assert.is_false(fail_closed.has_started())
	end)
end)
