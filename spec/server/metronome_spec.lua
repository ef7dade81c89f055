-- The specs of Prosody on a Metronome: wherever METRONOME names the path of an installed one. What the adapter
-- declares missing (servers/metronome/lacks.lua), or the harness of the server's own surface (support/surface.lua), is
-- left out by that declaration alone.
local metronome = require "support.servers.metronome"

-- Specs that know no server but by the interface of support/prosody.lua.
local shared = {
	"certificate_change", "certificate_identity", "dhe_limit", "early_close", "early_data", "exceptions",
	"federation", "foreign_answer", "foreign_element", "foreign_route", "handshake", "own_certificate",
	"plaintext", "queued_element", "refused", "report", "resumption", "shared_context", "shared_sessions",
	"shared_sessions_faults", "shared_sessions_tls", "shell", "status", "stream", "unjudged_stream",
}

-- Modules that start servers by support/prosody.lua, which is Metronome's meanwhile.
local of_a_server = { "support.prosody", "support.population", "support.server_pairs", "support.sharing_servers" }

if not metronome.path then
	describe("Metronome", function ()
		it("runs no spec: METRONOME names no installed one", function ()
			pending "set METRONOME=/path/to/an/installed/metronome"
		end)
	end)
	return
end

local function load_spec(name)
	local before = {}
	for _, module in ipairs(of_a_server) do
		before[module] = package.loaded[module] or false
		package.loaded[module] = nil
	end
	package.loaded["support.prosody"] = metronome
	local path = ("spec/server/%s_spec.lua"):format(name)
	local env = getfenv and getfenv(1) or _ENV
	local chunk = setfenv and setfenv(assert(loadfile(path)), env) or assert(loadfile(path, "t", env))
	chunk()
	for module, of_prosody_itself in pairs(before) do
		package.loaded[module] = of_prosody_itself or nil
	end
end

-- A line for each part that is missing: how many specs were left out for want of it.
local function print_left_out()
	local lines = {}
	for part, count in pairs(metronome.surface.left_out) do
		lines[#lines + 1] = ("%3d left out: %s: %s"):format(count, part, metronome.surface.reason(part))
	end
	table.sort(lines)
	print("\n" .. table.concat(lines, "\n"))
end

-- METRONOME_SPEC: one of them alone.
describe("on Metronome,", function ()
	teardown(print_left_out)

	for _, name in ipairs(shared) do
		if (os.getenv "METRONOME_SPEC" or name) == name then
			describe(name .. ":", function ()
				load_spec(name)
			end)
		end
	end
end)
