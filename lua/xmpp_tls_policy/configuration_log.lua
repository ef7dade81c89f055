--- Sentences about the configuration for the log. Many contexts are made from one configuration, so
-- each distinct sentence is one line, with the hosts and ports that it concerns.
local configuration_log = {}

-- Places that a line names. The others are counted; the command status has them.
local MOST_PLACES = 6

local methods = {}
local metatable = { __index = methods }

--- `server`: the adapter.
function configuration_log.new(server)
	return setmetatable({
		_server = server,
		_known = {}, -- level and sentence -> item: { level, sentence, places, is_logged }
		_waiting = {}, -- items that are to be logged, in their order
		_is_due = false,
	}, metatable)
end

local function list_of(places)
	local more = #places - MOST_PLACES
	local named = table.concat(places, "; ", 1, math.min(#places, MOST_PLACES))
	return more > 0 and ("%s and %d more"):format(named, more) or named
end

local function write(self)
	for _, item in ipairs(self._waiting) do
		self._server.log("*", item.level, "%s: %s", list_of(item.places), item.sentence)
		item.is_logged = true
	end
	self._waiting = {}
end

local function write_later(self)
	if self._is_due then
		return
	end
	self._is_due = true
	self._server.later(0, "the log of the configuration", function ()
		self._is_due = false
		write(self)
	end)
end

--- Adds a sentence, without the place that it concerns, such as "a.test, c2s". It is logged when the
-- event that is being handled is over, in which other places may come. Places that come after that are
-- logged at level debug, since a server makes most contexts with the first stream; those of errors are
-- logged as errors.
function methods:add(level, place, sentence)
	local key = level .. "\0" .. sentence
	local item = self._known[key]
	if item and item.is_logged and level ~= "error" then
		self._server.log("*", "debug", "%s: %s", place, sentence)
		return
	elseif not item or item.is_logged then
		item = { level = level, sentence = sentence, places = {} }
		self._known[key] = item
		self._waiting[#self._waiting + 1] = item
		write_later(self)
	end
	for _, known in ipairs(item.places) do
		if known == place then
			return
		end
	end
	item.places[#item.places + 1] = place
end

--- The configuration was loaded: its sentences are logged again.
function methods:forget()
	self._known = {}
end

return configuration_log
