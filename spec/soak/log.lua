-- The log of a server under load: counts by source, and the lines that are wrong.
local log = {}

local Log = {}
Log.__index = Log

-- Expected warnings and errors, each with the reason.
local expected = {
	{
		source = "s2sin", level = "warn", pattern = "^No certificate provided by remote%.test$",
		reason = "other servers of the load show no certificate",
	},
	{
		source = "stanzarouter", level = "warn",
		pattern = "^Unhandled %w+_unauthed stream element or stanza: starttls; ", reason = "mod_tls was away",
	},
	{
		source = "c2s", level = "warn", pattern = "^No stream features to offer on insecure session%.",
		reason = "mod_tls was away",
	},
	{
		source = "s2sin", level = "warn", pattern = "^No stream features to offer, giving up$",
		reason = "mod_tls was away",
	},
	{
		server = "metronome", source = "s2sin", level = "warn", pattern = "^Received invalid XML: </stream:stream>$",
		reason = "the end of a stream that was not begun",
	},
	{
		server = "metronome", source = "s2sin", level = "warn", pattern = "^Problem was: not well%-formed %(invalid token%)$",
		reason = "the end of a stream that was not begun",
	},
}

--- Follows the log of a server (see support/prosody.lua) from now on.
function log.follow(server)
	local file = assert(io.open(server.log_path, "rb"))
	file:seek "end"
	return setmetatable({
		name = server.name, file = file, rest = "", lines = 0, by_source = {}, wrong = {}, expected = {},
	}, Log)
end

local function find_expected(name, source, level, text)
	for _, item in ipairs(expected) do
		if (item.server or name) == name and item.source == source and item.level == level and text:find(item.pattern) then
			return item
		end
	end
end

local function add(counts, key)
	counts[key] = (counts[key] or 0) + 1
end

local function take(self, line)
	self.lines = self.lines + 1
	local source, level, text = line:match "^%a+ +%d+ [%d:]+ (%S+)\t(%a+)\t(.*)$"
	if not source then
		-- A message of several lines; a traceback is one.
		add(self.wrong, line)
		return
	end
	-- The names of sessions contain their addresses in memory.
	source = source:gsub("%x%x%x%x%x+$", "")
	add(self.by_source, source .. " " .. level)
	if level == "info" or level == "debug" then
		return
	end
	local item = find_expected(self.name, source, level, text)
	add(item and self.expected or self.wrong, item and item.reason or ("%s %s: %s"):format(source, level, text))
end

--- Reads the new lines.
function Log:read()
	local text = self.file:read "*a"
	if text == "" then
		return
	end
	local position = 1
	text = self.rest .. text
	for line, after in text:gmatch "([^\n]*)\n()" do
		take(self, line)
		position = after
	end
	self.rest = text:sub(position)
end

return log
