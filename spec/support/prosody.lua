-- A real Prosody, as the system installed it, in a throw-away directory on loopback.

local configuration = require "support.configuration"
local process = require "support.process"
local lfs = require "lfs"
local socket = require "socket"
local unix = require "socket.unix"

local prosody = {}

local here = debug.getinfo(1, "S").source:match("^@(.*)[^/]+$")
if here:sub(1, 1) ~= "/" then
	here = lfs.currentdir() .. "/" .. here
end
local checkout = here:gsub("%./", ""):match("^(.*/)spec/support/$")

local services = { "c2s", "c2s_direct_tls", "s2s", "s2s_direct_tls", "http", "https" }
local default_modules = { "disco", "dialback", "ping", "posix", "roster", "saslauth", "tls" }
local start_timeout = 60
local start_attempts = 5

local function read_file(path)
	local file = io.open(path, "rb")
	if not file then
		return nil
	end
	local text = file:read("*a")
	file:close()
	return text
end

local function write_file(path, text)
	local file = assert(io.open(path, "wb"))
	assert(file:write(text))
	assert(file:close())
end

local function tail(text, lines)
	local kept = {}
	for line in text:gmatch("[^\n]+") do
		kept[#kept + 1] = line
	end
	return table.concat(kept, "\n", math.max(1, #kept - (lines or 40) + 1))
end

-- `count` different TCP ports that nothing listens on.
function prosody.free_ports(count)
	local sockets, ports = {}, {}
	for i = 1, count do
		sockets[i] = assert(socket.bind("127.0.0.1", 0))
		local _, port = sockets[i]:getsockname()
		ports[i] = math.floor(tonumber(port))
	end
	for _, bound in ipairs(sockets) do
		bound:close()
	end
	return ports
end

local Server = {}
Server.__index = Server

local function set_ports(self)
	local ports = prosody.free_ports(#services)
	self.ports = {}
	for i, service in ipairs(services) do
		if self.spec.http or not service:match("^http") then
			self.ports[service] = ports[i]
		end
	end
end

-- The server has a copy of each host's certificate and key, so that renew() can replace them.
local function copy_certificate(self, host, files)
	for _, part in ipairs { "certificate", "key" } do
		local text = files[part] and read_file(files[part])
		if text then
			write_file(("%s/keys/%s.%s"):format(self.directory, host, part == "key" and "key" or "crt"), text)
		end
	end
end

local function merged(...)
	local result = {}
	for i = 1, select("#", ...) do
		for key, value in pairs((select(i, ...)) or {}) do
			result[key] = value
		end
	end
	return result
end

local function module_list(spec)
	local modules, seen = {}, {}
	local function add(names)
		for _, name in ipairs(names or {}) do
			if not seen[name] then
				seen[name] = true
				modules[#modules + 1] = name
			end
		end
	end
	add(spec.only_modules or default_modules)
	add(spec.modules)
	add { "admin_shell" } -- readiness is asked there
	if spec.with_policy then
		add { "xmpp_tls_policy" }
	end
	if spec.routes then
		add { "test_routes" }
	end
	return modules
end

local function global_options(self)
	local spec, directory = self.spec, self.directory
	local certificate = ("%s/keys/%s.crt"):format(directory, self.domain)
	local options = {
		run_as_root = true,
		data_path = directory .. "/data",
		pidfile = directory .. "/prosody.pid",
		admin_socket = directory .. "/admin.sock",
		log = { debug = self.log_path },
		certificates = directory .. "/certificates", -- empty: nothing is found by chance
		c2s_direct_tls_certificate = certificate,
		s2s_direct_tls_certificate = certificate,
		https_certificate = certificate,
		interfaces = { "127.0.0.1" },
		local_interfaces = { "127.0.0.1" },
		modules_enabled = module_list(spec),
		installer_plugin_path = directory .. "/plugins",
		c2s_close_timeout = 1,
		s2s_close_timeout = 1,
	}
	for _, service in ipairs(services) do
		options[service .. "_ports"] = { self.ports[service] }
	end
	if spec.with_policy then
		options.installer_plugin_path = spec.tree or checkout .. "build"
		options.xmpp_tls_policy = spec.policy
	end
	if spec.routes then
		options.plugin_paths = { here .. "modules" }
		options.test_routes = spec.routes
	end
	if spec.ca then
		options.ssl = { cafile = spec.ca }
	end
	return merged(options, spec.options)
end

local function write_configuration(self)
	local hosts = {}
	for name, host in pairs(self.spec.hosts) do
		local certificate = host.certificate and ("%s/keys/%s.crt"):format(self.directory, name) or nil
		hosts[name] = merged({ certificate = certificate }, host.options)
	end
	write_file(self.config_path, configuration.text(global_options(self), hosts, self.spec.components))
end

local function make_directory(self)
	self.directory = process.temporary_directory()
	self.config_path = self.directory .. "/prosody.cfg.lua"
	self.log_path = self.directory .. "/prosody.log"
	for _, name in ipairs { "data", "keys", "certificates", "plugins" } do
		assert(lfs.mkdir(self.directory .. "/" .. name))
	end
	for name, host in pairs(self.spec.hosts) do
		copy_certificate(self, name, host)
	end
end

local function failure(self, what)
	return ("prosody (%s) %s.\nIts output:\n%s\nThe end of its log:\n%s"):format(
		self.config_path, what, tail(self.process:output()), tail(self:log()))
end

-- True once the server's main loop has answered a connection that was made now.
local function round_trip(self, timeout)
	local connection = (type(unix) == "table" and unix.stream or unix)()
	connection:settimeout(timeout)
	local answer = nil
	if connection:connect(self.directory .. "/admin.sock")
		and connection:send("<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='xmpp:prosody.im/admin'>") then
		answer = connection:receive(1)
	end
	connection:close()
	return answer ~= nil
end

local function wait_until_answering(self)
	local answering = process.poll(start_timeout, function()
		return not self:alive() and "dead" or round_trip(self, start_timeout)
	end)
	if answering ~= true then
		return nil, answering and "died at start" or ("does not answer after %d s"):format(start_timeout)
	end
	return true
end

local function launch(self)
	local command = { "env" }
	for name, value in pairs(self.spec.environment or {}) do
		command[#command + 1] = name .. "=" .. value
	end
	if self.spec.lua then
		command[#command + 1] = self.spec.lua
		command[#command + 1] = process.check({ "sh", "-c", "command -v prosody" }):match("[^\n]+")
	else
		command[#command + 1] = "prosody"
	end
	for _, word in ipairs { "-F", "--config", self.config_path } do
		command[#command + 1] = word
	end
	self.process = process.keep(command, self.directory)
	local ok, problem = wait_until_answering(self)
	if not ok then
		local message = failure(self, problem)
		self.process:close()
		error(message, 0)
	end
	return not self:log():find("Failed to open server port", 1, true)
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
--   http          true: http and https ports too
--   lua           an interpreter to run it with; environment: { NAME = value }
-- Errors carry the server's output and the end of its log.
function prosody.start(spec)
	local domains = {}
	for name in pairs(spec.hosts) do
		domains[#domains + 1] = name
	end
	table.sort(domains)
	for _ = 1, start_attempts do
		local self = setmetatable({ spec = spec, domain = spec.domain or domains[1] }, Server)
		make_directory(self)
		set_ports(self)
		write_configuration(self)
		for address, password in pairs(spec.users or {}) do
			local user, host = address:match("^(.-)@(.*)$")
			self:control("register", user, host, password)
		end
		if launch(self) then
			return self
		end
		self:stop() -- someone else took a port between our asking and its binding
	end
	error(("no free ports found in %d attempts"):format(start_attempts))
end

-- Runs `prosodyctl`. Returns its output; any failure is an error.
function Server:control(...)
	return process.check({ "prosodyctl", "--config", self.config_path, ... })
end

-- Runs a command of the admin shell, such as "c2s:show()". Returns its output and exit status.
function Server:shell(command)
	local output, status = process.run { "prosodyctl", "--config", self.config_path, "shell", command }
	-- prosodyctl's advice to install lua-unbound, in a box of asterisks
	return (output:gsub("^%s*%*%*%*+\n.-\n%*%*%*+%s*", "")), status
end

-- The same, without waiting: a process that the caller closes.
function Server:begin_shell(command)
	return process.spawn { "prosodyctl", "--config", self.config_path, "shell", command }
end

-- Where and how a client meets a service: "c2s", "c2s_direct_tls", "s2s" or "s2s_direct_tls".
function Server:target(service, domain)
	return {
		port = assert(self.ports[service], "no such service"),
		kind = service:sub(1, 3),
		direct_tls = service:find("direct_tls", 1, true) ~= nil,
		domain = domain or self.domain,
	}
end

function Server:alive()
	return self.process:status() == nil
end

-- The log so far, or what came after a position that mark() gave.
function Server:log(mark)
	return (read_file(self.log_path) or ""):sub((mark or 0) + 1)
end

function Server:mark()
	return lfs.attributes(self.log_path, "size") or 0
end

-- Waits until a Lua pattern stands in the log (after `mark`). Returns what it finds;
-- that it never comes is an error with the log's end.
function Server:wait_for_log(pattern, mark, timeout)
	local found = process.poll(timeout or 30, function()
		return self:log(mark):match(pattern) or (not self:alive() and self:log(mark):match(pattern))
	end)
	if not found then
		error(failure(self, ("never logged %q"):format(pattern)), 2)
	end
	return found
end

-- Replaces fields of the specification and rewrites the configuration; reload() makes it count.
function Server:configure(fields)
	self.spec = merged(self.spec, fields)
	write_configuration(self)
end

-- Replaces a host's certificate and key files in place.
function Server:renew(host, files)
	copy_certificate(self, host, files)
end

-- Reloads the configuration (SIGHUP) and waits until that is done. Returns what was logged meanwhile.
function Server:reload()
	local mark = self:mark()
	self.process:signal("HUP")
	self:wait_for_log("Reloading configuration file", mark)
	if not round_trip(self, start_timeout) then
		error(failure(self, "does not answer after a reload"), 2)
	end
	return self:log(mark)
end

-- Stops the server and removes its directory. That it had died, or did not end well, is an error.
function Server:stop()
	if self.stopped then
		return
	end
	self.stopped = true
	local problem
	if not self:alive() then
		problem = "had ended"
	else
		self.process:signal("TERM")
		if not process.poll(30, function() return self.process:status() end) then
			problem = "did not stop"
			self.process:signal("KILL")
		elseif self.process:status() ~= 0 then
			problem = "did not stop well"
		end
	end
	local message = problem and failure(self, ("%s, exit status %s"):format(problem, tostring(self.process:status())))
	self.process:close()
	if message then
		error(message, 2)
	end
end

return prosody
