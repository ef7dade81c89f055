-- What Metronome 4.0.5 offers to a module, as far as our adapter calls it: facts about calls and shapes, observed on
-- a running one. No test of the adapter alone needs Metronome.
local recorded = {}

-- Filters of a session: called in the order of ascending priority; a hook is called for each new session, and again
-- before each attempt to connect; nothing keeps a callback from being added twice.
local function new_filters()
	local hooks = {}
	return {
		add_filter = function (session, kind, callback, priority)
			session.filters = session.filters or {}
			local list = session.filters[kind] or {}
			session.filters[kind] = list
			local place = 1
			while list[place] and list[list[place]] < priority do
				place = place + 1
			end
			table.insert(list, place, callback)
			list[callback] = priority
		end,
		remove_filter = function () end,
		add_filter_hook = function (hook)
			hooks[#hooks + 1] = hook
		end,
		remove_filter_hook = function () end,
		hooks = hooks,
	}
end

-- An element: { name, attr, tags = list of its elements, [1…] = its children }.
local stanza_metatable = {}
stanza_metatable.__index = stanza_metatable

function stanza_metatable:get_child(name, xmlns)
	for _, child in ipairs(self.tags) do
		if child.name == name and (child.attr.xmlns or self.attr.xmlns) == (xmlns or self.attr.xmlns) then
			return child
		end
	end
end

function stanza_metatable:add_child(child)
	table.insert(self, child)
	table.insert(self.tags, child)
	return self
end

function stanza_metatable:tag(name, attr)
	self:add_child(recorded.element(name, attr or {}))
	return self
end

function stanza_metatable:up()
	return self
end

function stanza_metatable:reset()
	return self
end

function recorded.element(name, attr)
	return setmetatable({ name = name, attr = attr or {}, tags = {} }, stanza_metatable)
end

local function clone(element)
	local copy = recorded.element(element.name, element.attr)
	for _, child in ipairs(element.tags) do
		copy:add_child(clone(child))
	end
	return copy
end

-- lua-event, as net.server hands it out: a callback is called with the event, and goes on with what it returns; -1
-- ends it. `events`: those that are there, a list of { descriptor, event, run = function() }.
local function new_loop()
	local events = {}
	local function remove(one)
		for index, present in ipairs(events) do
			if present == one then
				table.remove(events, index)
			end
		end
	end
	return {
		events = events, event = { EV_READ = 2, EV_WRITE = 4 },
		addevent = function (descriptor, event, callback)
			local one = { descriptor = descriptor, event = event, close = remove }
			function one.run()
				if callback(one.event) == -1 then
					remove(one)
				end
			end
			events[#events + 1] = one
			return one
		end,
	}
end

-- The resolver calls back at once where it knows the answer: with a list of records, with nothing, or with nil and a
-- message. `records`: type -> name -> list.
local function new_resolver(records)
	return { lookup = function (callback, name, type)
		local list = (records[type] or {})[name]
		callback(list, not list and "timeout" or nil)
	end }
end

-- The options of a host are its own alone; those of the top are under "*".
local function new_modules(options)
	local function quiet() end
	return {
		["util.filters"] = new_filters(),
		["util.stanza"] = { stanza_mt = stanza_metatable, stanza = recorded.element, clone = clone },
		["util.encodings"] = {
			stringprep = { nameprep = string.lower }, idna = { to_unicode = function (name) return name end },
		},
		["util.jid"] = { prepped_split = function (jid) return nil, jid, nil end },
		["util.logger"] = { init = function () return quiet end },
		["util.array"] = setmetatable({}, { __call = function (_, items)
			return setmetatable(items or {}, recorded.array_metatable)
		end }),
		["util.json"] = { encode_ordered = quiet },
		["util.x509"] = { verify_identity = function (domain, _, certificate) return certificate.names[domain] == true end },
		["util.certmanager"] = { create_context = function (host, mode) return { host = host, mode = mode } end },
		["util.hashes"] = { sha256 = function (text) return text end },
		["net.server"] = new_loop(),
		["net.adns"] = new_resolver {
			A = { ["engine.test"] = { { a = "192.0.2.1" }, { a = "192.0.2.2" } } },
			AAAA = { ["engine.test"] = { { aaaa = "2001:db8::1" } } },
		},
		["util.timer"] = { add_task = quiet },
		["core.modulemanager"] = { is_loaded = quiet, get_module = quiet },
		["core.configmanager"] = {
			getconfig = function () return options end, resolve_relative_path = function (_, path) return path end,
		},
		["core.portmanager"] = { get_active_services = function () return { iter = function () return quiet end } end },
		["core.storagemanager"] = { open = quiet, get_driver = quiet, olddm = {} },
	}
end

recorded.array_metatable = {}

local PREFIXES = { "^xmpp_tls_policy%.servers%.metronome", "^xmpp_tls_policy%.servers%.prosody_style" }

local function forget_ours()
	for name in pairs(package.loaded) do
		for _, prefix in ipairs(PREFIXES) do
			package.loaded[name] = not name:find(prefix) and package.loaded[name] or nil
		end
	end
end

--- Stands in for Metronome until the returned function is called. `options`: host or "*" -> options.
function recorded.install(options)
	local before, real = {}, rawget(_G, "metronome")
	for name, module in pairs(new_modules(options)) do
		before[name] = package.loaded[name] or false
		package.loaded[name] = module
	end
	forget_ours()
	rawset(_G, "metronome", {
		hosts = {}, full_sessions = {}, incoming_s2s = {}, paths = { config = "." }, version = "4.0.5",
		events = { _handlers = {}, fire_event = function () end },
	})
	return function ()
		for name, module in pairs(before) do
			package.loaded[name] = module or nil
		end
		forget_ours()
		rawset(_G, "metronome", real)
	end
end

return recorded
