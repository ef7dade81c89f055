-- A real Prosody of the system, in a throw-away directory on loopback.

local configuration = require "support.configuration"
local debian_tree = require "support.debian_tree"
local files = require "support.files"
local free_ports = require "support.free_ports"
local process = require "support.process"
local lfs = require "lfs"
local socket = require "socket"
local surface = require "support.surface"
local unix = require "socket.unix"
local versions = require "support.versions"

local prosody = {}

local services = configuration.services
local admin_header = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='xmpp:prosody.im/admin'>"
local client_header = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>"
local start_attempts = 5

local function tail(text, lines)
	local kept = {}
	for line in text:gmatch("[^\n]+") do
		kept[#kept + 1] = line
	end
	return table.concat(kept, "\n", math.max(1, #kept - (lines or 40) + 1))
end

local Server = {}
Server.__index = Server
prosody.Server = Server

local function set_ports(self)
	local ports = free_ports(#services)
	self.ports = {}
	for i, service in ipairs(services) do
		if self.spec.http or not service:match("^http") then
			self.ports[service] = ports[i]
		end
	end
end

-- The server has a copy of each host's certificate and key, so that renew() can replace them.
local function copy_certificate(self, host, from)
	for _, part in ipairs { "certificate", "key" } do
		local text = from[part] and files.read(from[part])
		if text then
			files.replace(("%s/keys/%s.%s"):format(self.directory, host, part == "key" and "key" or "crt"), text)
		end
	end
end

function Server:write_configuration()
	files.replace(self.config_path, configuration.of_server(self))
end

-- The name in the names of its files.
Server.name = "prosody"

-- Values of its option network_backend.
prosody.backends = { "epoll", "event", "select" }

-- What specs ask for beside the contract.
prosody.surface = surface.new(require "xmpp_tls_policy.servers.prosody.lacks", {})

-- Its names of the harness's services.
prosody.services = {}
for _, service in ipairs(services) do
	prosody.services[service] = service
end

-- The group of a handshake between it and another one, or a client of now, without a hybrid group; and with one if
-- both have it.
prosody.key_group = "x25519"
prosody.key_groups = versions.has_group "X25519MLKEM768" and { "X25519MLKEM768", "x25519" } or { "x25519" }

-- by_certificate: it vouches for a domain that the stream's certificate names, and asks nobody; asks_apart: it asks the
-- header's domain on a stream that serves for nothing else, if streams are to go both ways; header_first: on such a
-- stream, it completes no dialback for that domain behind the one for another.
prosody.dialback = { by_certificate = false, asks_apart = false, header_first = false }

-- Names that its own check of a certificate takes for a further domain of a stream.
prosody.further_names = { dns = true, xmpp_address = false }

-- Before a message of a command that fails.
prosody.failure = "Error: "

local function make_directory(self)
	self.process = process.keeper()
	self.directory = self.process.directory
	self.config_path = ("%s/%s.cfg.lua"):format(self.directory, self.name)
	self.log_path = ("%s/%s.log"):format(self.directory, self.name)
	for _, name in ipairs { "data", "keys", "certificates", "plugins" } do
		assert(lfs.mkdir(self.directory .. "/" .. name))
	end
	for name, host in pairs(self.spec.hosts) do
		copy_certificate(self, name, host)
	end
end

-- Prosody's advice to install lua-unbound, in a box of asterisks, is useless here.
local function without_advice(output)
	return (output:gsub("^%s*%*%*%*+\n.-\n%*%*%*+%s*", ""))
end

local function failure(self, what)
	return ("%s (%s) %s.\nIts output:\n%s\nThe end of its log:\n%s"):format(self.name,
		self.config_path, what, tail(without_advice(self.process:output())), tail(self:log()))
end

-- The network backend of the specification; nil for Prosody's default.
local function backend(self)
	return (self.spec.options or {}).network_backend
end

-- True once the server's main loop has answered a new connection.
function Server:round_trip(timeout)
	local connection, address, port, header
	-- Prosody 0.12 does not read from its admin socket under libevent.
	if backend(self) == "event" then
		connection, address, port, header = socket.tcp(), "127.0.0.1", self.ports.c2s, client_header
	else
		connection, address = (type(unix) == "table" and unix.stream or unix)(), self.directory .. "/admin.sock"
		header = admin_header
	end
	connection:settimeout(timeout)
	local answer = nil
	if connection:connect(address, port) and connection:send(header) then
		answer = connection:receive(1)
	end
	connection:close()
	return answer ~= nil
end

local function wait_until_answering(self)
	local timeout = self.spec.start_timeout or process.PATIENCE
	local answering = process.poll(timeout, function()
		return not self:alive() and "dead" or self:round_trip(timeout)
	end)
	if answering ~= true then
		return nil, answering and "died at start" or ("does not answer after %d s"):format(timeout)
	end
	return true
end

function Server:command()
	local spec, config_path = self.spec, self.config_path
	local words = { "env" }
	for name, value in pairs(spec.environment or {}) do
		words[#words + 1] = name .. "=" .. value
	end
	local lua = spec.lua or configuration.sanitized and configuration.sanitized .. "/lua"
	if lua then
		for _, word in ipairs(type(lua) == "table" and lua or { lua }) do
			words[#words + 1] = word
		end
		words[#words + 1] = process.check({ "sh", "-c", "command -v prosody" }):match("[^\n]+")
	else
		words[#words + 1] = "prosody"
	end
	for _, word in ipairs { "-F", "--config", config_path } do
		words[#words + 1] = word
	end
	return debian_tree.within(spec.root, words)
end

-- Returns whether it got all its ports: another process may take one between our asking
-- and its binding.
local function launch(self)
	set_ports(self)
	self:write_configuration()
	for address, password in pairs(self.spec.users or {}) do
		local user, host = address:match("^(.-)@(.*)$")
		self:register(user, host, password)
	end
	self.process:launch(self:command())
	local ok, problem = wait_until_answering(self)
	-- Prosody goes on without a module that does not load; a test of it would prove nothing.
	problem = problem or not self.spec.broken and self:log():match("modulemanager\terror\t([^\n]+)")
	if not ok or problem then
		error(failure(self, problem), 0)
	end
	return not self:log():find("Failed to open server port", 1, true)
end

-- The key with which one of its hosts, `from`, authenticates by dialback to another server on a stream with this id.
-- Its option dialback_secret has to be "known here".
function Server.dialback_key(_, to, from, id)
	return process.check({ "sh", "-c", ([[
		secret=$(printf 'known here' | openssl dgst -sha256 -r | cut -c -64)
		printf '%s %s %s' | openssl dgst -sha256 -hmac "$secret" -r | cut -c -64]]):format(to, from, id) }):match "%x+"
end

-- Starts a server and waits until it answers. The specification:
--   hosts         { [domain] = { certificate = path, key = path, options = { … } } }
--   components    { [domain] = { module = "muc", options = { … } } }
--   domain        whose certificate direct TLS shows without SNI (default: the first of hosts)
--   modules       more modules_enabled; only_modules: instead of the usual ones
--   options       any global options, which win over the harness's
--   users         { ["name@domain"] = password }
--   ca            a CA file that the server trusts (its ssl = { cafile })
--   with_policy   true: xmpp_tls_policy from `tree` (default: the checkout's build/), with `policy` as its option
--   routes        { [domain] = { s2s = port, s2s_direct_tls = port } }: where other domains are, instead of DNS
--   log_level     of the server's log (default: debug, which wait_for_log relies on)
--   http          true: http and https ports too
--   root          the tree of another Debian (see debian_tree.lua) to run it from, with the policy that was built there
--   broken        true: modules may fail to load
--   start_timeout seconds that it may take until it answers (default: process.PATIENCE)
--   lua           an interpreter to run it with, or a list of words; environment: { NAME = value }
-- `kind`: the class of another server, which inherits from prosody.Server.
-- Errors carry the server's output and the end of its log.
function prosody.start(spec, kind)
	local domains = {}
	for name in pairs(spec.hosts) do
		domains[#domains + 1] = name
	end
	table.sort(domains)
	for _ = 1, start_attempts do
		local self = setmetatable({ spec = spec, domain = spec.domain or domains[1] }, kind or Server)
		make_directory(self)
		local ok, result = pcall(launch, self)
		if ok and result then
			return self
		end
		self.process:close()
		if not ok then
			error(result, 2)
		end
	end
	error(("no free ports found in %d attempts"):format(start_attempts))
end

-- The command, for the server's configuration.
function Server:prosodyctl(...)
	return debian_tree.within(self.spec.root, { "prosodyctl", "--config", self.config_path, ... })
end

-- Makes an account, before the server starts.
function Server:register(user, host, password)
	self:control("register", user, host, password)
end

-- Runs `prosodyctl`. Returns its output; any failure is an error.
function Server:control(...)
	return process.check(self:prosodyctl(...))
end

-- Runs a command of the admin shell, such as "c2s:show()". Returns its output and exit status.
function Server:shell(command)
	local output, status = process.run(self:prosodyctl("shell", command))
	return without_advice(output), status
end

-- The same, without waiting: a process that the caller closes.
function Server:begin_shell(command)
	return process.spawn(self:prosodyctl("shell", command))
end

-- The target of a client for a service: "c2s", "c2s_direct_tls", "s2s" or "s2s_direct_tls".
function Server:target(service, domain)
	return {
		port = assert(self.ports[service], "no such service"),
		kind = service:sub(1, 3),
		direct_tls = service:find("direct_tls", 1, true) ~= nil,
		domain = domain or self.domain,
	}
end

-- The name of its host in the header of a stream.
function Server.name_in_header(_, stream)
	return stream:match "<stream:stream[^>]-%sfrom=['\"]([^'\"]*)"
end

function Server:alive()
	return self.process:status() == nil
end

-- The log so far, or since a position from mark().
function Server:log(mark)
	return (files.read(self.log_path) or ""):sub((mark or 0) + 1)
end

function Server:mark()
	return lfs.attributes(self.log_path, "size") or 0
end

-- Waits for a Lua pattern in the log (after `mark`). Returns the match. Raises an error with the
-- end of the log if there is none.
function Server:wait_for_log(pattern, mark, timeout)
	local found
	process.poll(timeout or process.PATIENCE, function()
		local alive = self:alive()
		found = self:log(mark):match(pattern)
		return found or not alive
	end)
	if not found then
		error(failure(self, ("never logged %q"):format(pattern)), 2)
	end
	return found
end

-- Replaces fields of the specification and rewrites the configuration, for the next reload().
function Server:configure(fields)
	self.spec = configuration.merged(self.spec, fields)
	self:write_configuration()
end

-- Replaces a host's certificate and key files, for the next reload().
function Server:renew(host, from)
	copy_certificate(self, host, from)
end

-- Calls `attempt`, for up to process.PATIENCE, until it returns something true, and returns that.
-- Prosody handles signals between two steps of its Lua. If one arrives after it has computed how
-- long to wait for events, it waits that long first. SIGSTOP and SIGCONT end the wait (signal(7)),
-- and have no other effect.
local function poll_awake(self, attempt)
	for _ = 1, process.PATIENCE do
		local result = process.poll(1, attempt)
		if result then
			return result
		end
		self.process:signal("STOP")
		self.process:signal("CONT")
	end
end

-- Prosody 13 with its select backend handles signals in a coroutine that no longer runs.
function Server:tell(signal, command)
	if backend(self) == "select" then
		self:shell(command)
	else
		self.process:signal(signal)
	end
end

-- Reloads the configuration (SIGHUP) and waits until that is done. Returns what was logged meanwhile.
function Server:reload()
	local mark = self:mark()
	self:tell("HUP", "config:reload()")
	local reloading = poll_awake(self, function()
		return self:log(mark):find("Reloading configuration file", 1, true)
	end)
	if not reloading or not self:round_trip(process.PATIENCE) then
		error(failure(self, reloading and "does not answer after a reload" or "does not reload"), 2)
	end
	return self:log(mark)
end

-- Stops the server and removes its directory. A server that had died or ends badly raises an error.
function Server:stop()
	if self.stopped then
		return
	end
	self.stopped = true
	local problem
	if not self:alive() then
		problem = "had ended"
	else
		-- Prosody 0.12 may stumble over connections that close while it stops.
		self:round_trip(process.PATIENCE)
		self:tell("TERM", "server:shutdown()")
		local status = poll_awake(self, function() return self.process:status() end)
		if status ~= 0 then
			problem = status and "did not stop well" or "did not stop"
			self.process:signal("KILL")
		end
	end
	local message = problem and failure(self, ("%s, exit status %s"):format(problem, tostring(self.process:status())))
	self.process:close()
	if message then
		error(message, 2)
	end
end

-- Kills the server (SIGKILL), and removes its directory.
function Server:kill()
	self.stopped = true
	self.process:signal("KILL")
	if not process.poll(process.PATIENCE, function() return self.process:status() end) then
		error(failure(self, "outlives SIGKILL"), 2)
	end
	self.process:close()
end

-- Servers that are stopped together, the last first: { start = function(spec), stop = function() }.
function prosody.group(start_one)
	local servers = {}
	local function start(spec)
		servers[#servers + 1] = (start_one or prosody.start)(spec)
		return servers[#servers]
	end
	local function stop()
		while #servers > 0 do
			table.remove(servers):stop()
		end
	end
	return { start = start, stop = stop }
end

return prosody
