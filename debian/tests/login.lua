-- Logs in to Prosody on this machine with STARTTLS and SASL PLAIN, and prints the cipher suite.
--
--     login.lua once
--     login.lua wait                   until the server accepts connections, at most a minute
--     login.lua repeatedly DIRECTORY   until there is DIRECTORY/stop; a line for each login in
--                                      DIRECTORY/logins, and for each failure in DIRECTORY/failures
local socket = require "socket"
local ssl = require "ssl"

local DEADLINE, TIMEOUT = 60, 20

local function read_until(connection, pattern)
	local text = ""
	while not text:find(pattern) do
		local part, problem, rest = connection:receive(1)
		text = text .. (part or rest or "")
		assert(part or problem == "wantread", problem)
	end
	return text
end

local header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
	.. "to='localhost' version='1.0'>"

local function login()
	local connection = assert(socket.connect("127.0.0.1", 5222))
	connection:settimeout(TIMEOUT)
	assert(connection:send(header))
	read_until(connection, "</stream:features>")
	assert(connection:send "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
	read_until(connection, "<proceed")
	read_until(connection, ">")
	local secured = assert(ssl.wrap(connection, {
		mode = "client", protocol = "any", verify = "none", options = "all",
		ciphersuites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384",
	}))
	secured:settimeout(TIMEOUT)
	assert(secured:dohandshake())
	assert(secured:send(header))
	read_until(secured, "</stream:features>")
	-- NUL someone NUL secret
	assert(secured:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHNvbWVvbmUAc2VjcmV0</auth>")
	read_until(secured, "<success")
	local suite = secured:info "cipher"
	secured:close()
	return suite
end

local function exists(path)
	local file = io.open(path)
	return file and file:close()
end

local function append(path, text)
	local file = assert(io.open(path, "a"))
	assert(file:write(text, "\n"))
	file:close()
end

local commands = {}

function commands.once()
	print(login())
end

function commands.wait()
	local deadline = socket.gettime() + DEADLINE
	local connection
	repeat
		connection = socket.connect("127.0.0.1", 5222)
		assert(connection or socket.gettime() < deadline, "nobody listens on port 5222")
		socket.sleep(connection and 0 or 0.1)
	until connection
	connection:close()
end

function commands.repeatedly(directory)
	while not exists(directory .. "/stop") do
		local done, result = pcall(login)
		append(directory .. (done and "/logins" or "/failures"), tostring(result))
	end
end

commands[arg[1]](arg[2])
