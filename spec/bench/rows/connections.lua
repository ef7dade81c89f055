-- The shell's list of connections on a server with many of them: how long it takes, and how
-- long others wait meanwhile.
local clients = require "bench.clients"
local files = require "support.files"
local measure = require "bench.measure"
local prosody = require "support.prosody"
local socket = require "socket"
local unix = require "socket.unix"

local connections = { title = "The shell's list of connections" }

local USER = "juliet"

-- How many descriptors this process may have, after it asked for as many as it can get.
local function descriptor_limit()
	os.execute(("prlimit --pid %s --nofile=:$(ulimit -Hn) 2>/dev/null"):format(files.read "/proc/self/stat":match "^%d+"))
	return tonumber(files.read "/proc/self/limits":match "Max open files%s+(%d+)")
end

-- Descriptors that neither the server nor we have for connections.
local SPARE = 200

local function fill(server, count)
	local options, peers = { context = clients.context "TLSv1.2" }, {}
	for number = 1, count do
		peers[number] = clients.log_in(server, USER, options)
	end
	return peers
end

local admin_header = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='xmpp:prosody.im/admin'>"

-- A shell without prosodyctl, which would be measured, too.
local function open_shell(server)
	local connection = (type(unix) == "table" and unix.stream or unix)()
	connection:settimeout(60)
	assert(connection:connect(server.directory .. "/admin.sock"))
	assert(connection:send(admin_header))
	connection:settimeout(0)
	return { socket = connection, tail = "", lines = 0 }
end

-- Takes what has come, and counts lines. True once the command has ended.
local function advance(shell)
	local data, reason, partial = shell.socket:receive(65536)
	data = data or partial
	assert(data ~= "" or reason == "timeout", reason)
	shell.lines = shell.lines + select(2, data:gsub("\n", "")) + select(2, data:gsub("<repl%-output", ""))
	shell.tail = (shell.tail .. data):sub(-1000)
	return shell.tail:find("<repl%-result.*</repl%-result>") ~= nil
end

-- Runs a command while a client asks the server the same over and over. Returns seconds to
-- the last row, how many lines came, and the longest that an answer took.
local function run(server, client, command)
	local shell = open_shell(server)
	local start, longest, done = socket.gettime(), 0, false
	shell.socket:settimeout(60)
	assert(shell.socket:send(("<repl-input>%s</repl-input>"):format((command:gsub("&", "&amp;")))))
	shell.socket:settimeout(0)
	local took
	while not done do
		local asked = socket.gettime()
		assert(client:send "<iq type='get' id='p' to='example.test'><ping xmlns='urn:xmpp:ping'/></iq>")
		local text = ""
		repeat
			done = done or advance(shell)
			took = took or done and socket.gettime() - start
			client.socket:settimeout(0.001)
			local byte, reason, partial = client.socket:receive(1)
			assert(byte or reason == "timeout" or reason == "wantread", reason)
			text = text .. (byte or partial or "")
		until text:find("</iq>", 1, true) or text:find("<iq[^>]*/>")
		longest = math.max(longest, socket.gettime() - asked)
	end
	shell.socket:close()
	return took, shell.lines, longest
end

-- With so many connections of clients, or as many as there may be.
function connections.run(bench)
	local wanted = tonumber(os.getenv "CONNECTIONS") or 10000
	local count = math.min(wanted, descriptor_limit() - SPARE)
	if count < wanted then
		print(("Only %d connections instead of %d, because of the limit of open files"):format(count, wanted))
	end
	local server = prosody.start {
		hosts = { ["example.test"] = bench.certificate "p256" }, log_level = "info", with_policy = true,
		users = { [USER .. "@example.test"] = clients.password }, options = { limits = {} },
	}
	local peers = fill(server, count)
	local client = clients.log_in(server, USER, { context = clients.context() })
	run(server, client, "tlspolicy:show()") -- warm
	for _, command in ipairs { 'tlspolicy:show()', 'tlspolicy:show("json")' } do
		local times, waits = {}, {}
		for turn = 1, 5 do
			local took, lines, longest = run(server, client, command)
			assert(lines > count, ("%d lines for %d connections"):format(lines, count))
			times[turn], waits[turn] = took * 1000, longest * 1000
		end
		local what, limited = ("%s, %d connections"):format(command, count + 1), not command:find "json"
		measure.note(what .. ", to the last row", "ms", measure.median(times), limited and 1000 or nil)
		measure.note(what .. ", another client waits at most", "ms", measure.largest(waits), limited and 250 or nil)
	end
	client:close()
	clients.close(peers)
	server:stop()
end

return connections
