-- Prints the refusals that are new since its last run, a line each; nothing if there are none. For a
-- timer or cron, which mails what is printed:
--
--     prosodyctl shell 'tlspolicy:refused("json")' | lua5.4 watch_refused.lua /var/lib/misc/refused.time
--
-- The file keeps the time of the latest refusal that was printed.
local json = require "dkjson"

local path = assert(arg[1], "the file for the time of the latest refusal is missing")
local file, seen = io.open(path), 0
if file then
	seen = assert(tonumber(file:read "*l"), path .. " has no time in it")
	file:close()
end

local output = io.read "*a"
local answer = json.decode((output:gsub("OK: [^\n]*%s*$", "")))
if type(answer) ~= "table" or not answer.refused then
	io.stderr:write("no list of refusals on standard input:\n", output)
	os.exit(2)
end

-- The list begins with the latest.
local latest = seen
for index = #answer.refused, 1, -1 do
	local refusal = answer.refused[index]
	if refusal.time > seen then
		latest = math.max(latest, refusal.time)
		print(("%s %s %s: %s [%s]"):format(os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(refusal.time)), refusal.role or "-",
			refusal.domain or refusal.address or "unknown", refusal.text, table.concat(refusal.clauses, " ")))
	end
end

if latest > seen then
	-- %.17g keeps every bit of the number. A new file and a rename: an interrupted run leaves the old time.
	file = assert(io.open(path .. ".new", "w"))
	assert(file:write(("%.17g\n"):format(latest)))
	assert(file:close())
	assert(os.rename(path .. ".new", path))
end
