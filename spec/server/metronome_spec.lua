-- The specs of Prosody on a Metronome: wherever METRONOME names the path of an installed one. What the adapter
-- declares missing (servers/metronome/lacks.lua) is left out by that declaration alone.
local lacks = require "xmpp_tls_policy.servers.metronome.lacks"
local metronome = require "support.servers.metronome"

-- Specs that know no server but by the interface of support/prosody.lua.
local shared = os.getenv "ONLY" and { os.getenv "ONLY" } or { "handshake", "resumption" }

if not metronome.path then
	describe("Metronome", function ()
		it("runs no spec: METRONOME names no installed one", function ()
			pending "set METRONOME=/path/to/an/installed/metronome"
		end)
	end)
	return
end

-- The reason why a spec with this title cannot run; nil: it can.
local function reason_for(title)
	for what, reason in pairs(lacks) do
		if title:sub(1, #what) == what then
			return ("%s: %s"):format(what, reason)
		end
	end
end

local function load_spec(name)
	local env = setmetatable({}, { __index = getfenv and getfenv(1) or _ENV })
	function env.it(title, action)
		local reason = reason_for(title)
		it(title, reason and function ()
			pending(reason)
		end or action)
	end
	local path = ("spec/server/%s_spec.lua"):format(name)
	local chunk
	if setfenv then
		chunk = setfenv(assert(loadfile(path)), env)
	else
		chunk = assert(loadfile(path, "t", env))
	end
	local prosody = package.loaded["support.prosody"]
	package.loaded["support.prosody"] = metronome
	chunk()
	package.loaded["support.prosody"] = prosody
end

for _, name in ipairs(shared) do
	describe("on Metronome, " .. name .. ":", function ()
		load_spec(name)
	end)
end
