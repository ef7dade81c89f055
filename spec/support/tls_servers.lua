-- TLS servers of other projects, which send back what they get: `openssl s_server` (lines backwards) and
-- `gnutls-serv`.
local free_ports = require "support.free_ports"
local process = require "support.process"
local socket = require "socket"

local tls_servers = {}

local function is_listening(port)
	local connection = socket.connect("127.0.0.1", port)
	if connection then
		connection:close()
	end
	return connection ~= nil
end

-- Somebody else may take a port between its choice and its use.
local ATTEMPTS = 5

-- `command_of(port)`: the words of the command.
local function start(command_of)
	local child, command
	for _ = 1, ATTEMPTS do
		local port = free_ports(1)[1]
		command = command_of(port)
		child = process.spawn(command, { timeout = 600 })
		local ready = process.poll(process.PATIENCE, function ()
			return child:status() and "ended" or is_listening(port)
		end)
		if ready == true then
			return { port = port, close = function ()
				child:signal "TERM"
				child:close()
			end, output = function ()
				return child:output()
			end }
		elseif ready ~= "ended" then
			child:signal "TERM"
		end
	end
	error(("%s does not listen: %s"):format(command[1], child:output()), 3)
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
	return start(function (port)
		return words({ "openssl", "s_server", "-accept", "127.0.0.1:" .. port, "-cert", files.certificate,
			"-key", files.key }, arguments)
	end)
end

--- One that sends lines back.
function tls_servers.openssl(files, arguments)
	return tls_servers.silent_openssl(files, words({ "-rev" }, arguments))
end

--- The same of GnuTLS. `priority`: as gnutls-serv takes it.
function tls_servers.gnutls(files, priority, arguments)
	return start(function (port)
		return words({ "gnutls-serv", "--port", tostring(port), "--x509certfile", files.certificate, "--x509keyfile",
			files.key, "--echo", "--priority", priority }, arguments or {})
	end)
end

return tls_servers
