-- The longest turn of the event loop while a server looks through a large memory of certificates: in a
-- whole sweep, which begins a minute after the start.
local files = require "support.files"
local lfs = require "lfs"
local measure = require "bench.measure"
local process = require "support.process"
local prosody = require "support.prosody"

local sweep = { title = "Sweep of the certificate memory" }

local DOMAINS = 300000

-- File systems allow some tens of thousands of names for a file.
local LINKS = 20000

-- Every hundredth domain was not seen for long.
local OLD_EACH = 100

local DAY = 86400

local record = [[
return {
	["format"] = 1;
	["certificates"] = {
		{
			["sha256"] = "%s";
			["spki_sha256"] = "%s";
			["issuer"] = "CN=R10,O=Authority,C=US";
			["subject"] = "CN=far.example";
			["not_before"] = 1767225600;
			["not_after"] = 1775001600;
			["verified"] = true;
			["first_seen"] = %d;
			["last_seen"] = %d;
			["times_seen"] = 1;
			["directions"] = {
				["in"] = true;
			};
		};
	};
};
]]

local function write_record(path, seen)
	files.write(path, record:format(("a"):rep(64), ("b"):rep(64), seen, seen))
end

-- The files of a host's memory, as Prosody's storage has them: names of a few files.
local function fill(folder)
	local now, linked = os.time(), {}
	for number = 1, DOMAINS do
		local age = number % OLD_EACH == 0 and "old" or "new"
		local path = ("%s/server%d%%2eexample.dat"):format(folder, number)
		local source = linked[age]
		if not source or source.links == LINKS then
			write_record(path, age == "old" and now - 200 * DAY or now)
			linked[age] = { path = path, links = 1 }
		else
			assert(lfs.link(source.path, path))
			source.links = source.links + 1
		end
	end
end

local function ask(server, expression)
	local output, status = server:shell("> require'core.modulemanager'.get_module('*', 'test_turns')." .. expression)
	assert(status == 0, output)
	return output
end

local function count_files(folder)
	local count = 0
	for name in lfs.dir(folder) do
		count = count + (name:find "%.dat$" and 1 or 0)
	end
	return count
end

function sweep.run(bench)
	local data = process.scratch "data"
	local folder = data .. "/example%2etest/tls_policy_certificates"
	for _, path in ipairs { data, data .. "/example%2etest", folder } do
		assert(lfs.mkdir(path))
	end
	fill(folder)
	local server = prosody.start {
		hosts = { ["example.test"] = bench.certificate "rsa2048" }, with_policy = true, options = { data_path = data },
		modules = { "test_turns" }, routes = {},
	}
	local done, problem = pcall(function ()
		local mark = server:mark()
		ask(server, "begin()")
		server:wait_for_log("The memory of certificates was swept", mark, 1200)
		local longest = tonumber(ask(server, "longest_turn()"):match "Result: ([%d.e-]+)")
		assert(count_files(folder) == DOMAINS - DOMAINS / OLD_EACH, "the old records were not forgotten")
		measure.note(("the longest turn, with %d domains"):format(DOMAINS), "ms CPU", longest * 1000, 20)
	end)
	server:stop()
	assert(done, problem)
end

return sweep
