-- TLS servers of other projects, which send back what they get: `openssl s_server` (lines backwards) and
-- `gnutls-serv`.
local process = require "support.process"
local socket = require "socket"

local tls_servers = {}

local function free_port()
	local listening = assert(socket.bind("127.0.0.1", 0))
	local _, port = listening:getsockname()
	listening:close()
	return tonumber(port)
end

local function is_listening(port)
	local connection = socket.connect("127.0.0.1", port)
	if connection then
		connection:close()
	end
	return connection ~= nil
end

local function start(command, port)
	local child = process.spawn(command, { timeout = 120 })
	local ready = process.poll(20, function ()
		return child:status() and "ended" or is_listening(port)
	end)
	if ready ~= true then
		error(("%s does not listen: %s"):format(command[1], child:output()), 3)
	end
	return { port = port, close = function ()
		child:signal "TERM"
		child:close()
	end, output = function ()
		return child:output()
	end }
end

local function words(command, more)
	for _, word in ipairs(more) do
		command[#command + 1] = word
	end
	return command
end

--- One that sends nothing back. `files`: of pki:issue; `arguments`: more words. Returns { port, close(),
-- output() }.
function tls_servers.silent_openssl(files, arguments)
	local port = free_port()
	return start(words({ "openssl", "s_server", "-accept", "127.0.0.1:" .. port, "-cert", files.certificate,
		"-key", files.key }, arguments), port)
end

--- One that sends lines back.
function tls_servers.openssl(files, arguments)
	return tls_servers.silent_openssl(files, words({ "-rev" }, arguments))
end

--- The same of GnuTLS. `priority`: as gnutls-serv takes it.
function tls_servers.gnutls(files, priority, arguments)
	local port = free_port()
	return start(words({ "gnutls-serv", "--port", tostring(port), "--x509certfile", files.certificate, "--x509keyfile",
		files.key, "--echo", "--priority", priority }, arguments or {}), port)
end

return tls_servers
