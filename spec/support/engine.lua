-- A real Redis or Valkey, in a throw-away directory on loopback and on a socket of the file system.
local files = require "support.files"
local free_ports = require "support.free_ports"
local process = require "support.process"

local engine = {}

local methods = {}
local metatable = { __index = methods }

-- The names of the server and of its client, or nil.
local function programs()
	for _, name in ipairs { "valkey", "redis" } do
		local _, status = process.run { "sh", "-c", ("command -v %s-server && command -v %s-cli"):format(name, name) }
		if status == 0 then
			return name .. "-server", name .. "-cli"
		end
	end
end

local server, client

--- Why the specs of shared sessions cannot run here, or nil.
function engine.missing()
	local found, redis = pcall(require, "xmpp_tls_policy.redis")
	if not found or not redis.connect then
		return "xmpp-tls-policy was built without hiredis: libhiredis-dev is missing"
	end
	server, client = programs()
	return not server and "neither valkey-server nor redis-server is installed: run `make deps-test`" or nil
end

local function launch(self)
	self.process = process.keeper()
	local command = {
		server, "--port", ("%d"):format(self.port), "--bind", "127.0.0.1", "--unixsocket", self.path,
		"--save", "", "--appendonly", "no", "--dir", self.process.directory,
	}
	for name, value in pairs(self.options) do
		command[#command + 1] = "--" .. name
		command[#command + 1] = value
	end
	self.process:launch(command)
	assert(process.poll(process.PATIENCE, function ()
		return self.process:status() or self:cli("PING"):find "PONG"
	end), "the engine does not answer")
	assert(not self.process:status(), self.process:output())
end

--- Starts one. `options`: more of its configuration, such as { requirepass = "…" }; `certificate`: with one it
-- speaks TLS, too. Fields: port, path, url, tls_port.
function engine.start(options, certificate)
	local missing = engine.missing()
	assert(not missing, missing)
	local ports = free_ports(2)
	local self = setmetatable({
		options = options or {}, port = ports[1], path = process.scratch "engine.sock",
	}, metatable)
	if certificate then
		self.tls_port = ports[2]
		self.options["tls-port"], self.options["tls-auth-clients"] = ("%d"):format(ports[2]), "no"
		self.options["tls-cert-file"], self.options["tls-key-file"] = certificate.certificate, certificate.key
		self.options["tls-ca-cert-file"] = certificate.certificate
	end
	self.url = "unix:" .. self.path
	self.password = self.options.requirepass
	launch(self)
	return self
end

--- Runs a command by its own client. Returns the output.
function methods:cli(...)
	local words = { client, "--no-auth-warning", "-s", self.path, ... }
	if self.password then
		table.insert(words, 2, "-a")
		table.insert(words, 3, self.password)
	end
	return (process.run(words))
end

--- Sends commands of a file, in the engine's protocol, at once.
function methods:pipe(path)
	process.check { "sh", "-c", ("exec %s -s %s --pipe <%s"):format(client, self.path, path) }
end

--- All keys and what is in them, as bytes.
function methods:dump()
	self:cli "SAVE"
	return files.read(self.process.directory .. "/dump.rdb")
end

function methods:signal(name)
	self.process:signal(name)
end

--- Ends it as a crash does; its data are gone.
function methods:kill()
	if self.process then
		self.process:signal "KILL"
		process.poll(process.PATIENCE, function ()
			return self.process:status()
		end)
		self.process:close()
		self.process = nil
	end
end

--- Starts it again on the same port and path, with nothing in it.
function methods:start_again()
	os.remove(self.path)
	launch(self)
end

methods.stop = methods.kill

return engine
