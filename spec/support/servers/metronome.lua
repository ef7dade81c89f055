-- A real Metronome, installed below the path that the environment variable METRONOME names, with the interface of
-- prosody.lua. It has to run on the Lua that runs the specs.

local configuration = require "support.configuration"
local files = require "support.files"
local free_ports = require "support.free_ports"
local lfs = require "lfs"
local process = require "support.process"
local prosody = require "support.prosody"
local socket = require "socket"
local surface = require "support.surface"

local metronome = {}

-- nil where there is none.
metronome.path = os.getenv "METRONOME"

local Server = setmetatable({ name = "metronome" }, { __index = prosody.Server })
Server.__index = Server

local here = debug.getinfo(1, "S").source:match "^@(.*/)[^/]+$":gsub("^%./", "")
local checkout = (here:sub(1, 1) == "/" and "" or lfs.currentdir() .. "/") .. here:gsub("spec/support/servers/$", "")

-- The LuaRocks tree whose core the specs use.
local tree = checkout .. (package.cpath:match "%./(build[^;]-)/lib/lua/" or "build")

---- Configuration -----------------------------------------------------------------

-- Metronome's names of Prosody's modules; false: it has none.
local module_names = { smacks = "stream_management", s2s_bidi = "bidi", legacyauth = false,
	test_wait = false }

local default_modules = { "disco", "dialback", "ping", "posix", "roster", "saslauth", "tls", "admin_telnet" }

local function modules_of(spec)
	local list, seen = {}, {}
	for _, names in ipairs {
		spec.only_modules or default_modules, spec.modules or {}, spec.with_policy and { "xmpp_tls_policy" } or {},
		spec.routes and { "test_routes", "test_ping" } or {},
	} do
		for _, name in ipairs(names) do
			if module_names[name] ~= nil then
				name = module_names[name]
			end
			list[#list + 1] = name and not seen[name] and name or nil
			seen[name] = true
		end
	end
	return list
end

local versions = { "sslv2", "sslv3", "tlsv1", "tlsv1_1", "tlsv1_2", "tlsv1_3" }

-- Prosody's options of TLS, which are a map, as LuaSec takes them: a list.
local function luasec_options(ssl)
	local set = { no_sslv2 = true, no_sslv3 = true, no_ticket = true, no_compression = true }
	local least = type(ssl.protocol) == "string" and ssl.protocol:match "^(.*)%+$"
	if least then
		set.no_sslv3 = nil
		for _, version in ipairs(versions) do
			if version == least then
				break
			end
			set["no_" .. version] = true
		end
	end
	for name, value in pairs(ssl.options or {}) do
		if type(name) == "number" then
			set[value] = true
		else
			set[name] = value or nil
		end
	end
	local list = {}
	for name in pairs(set) do
		list[#list + 1] = name
	end
	table.sort(list)
	return list
end

local function ssl_of(server, host, ...)
	local files_of_host = ("%s/keys/%s."):format(server.directory, host)
	local ssl = configuration.merged({ cafile = server.spec.ca }, server.spec.options and server.spec.options.ssl, ...)
	ssl.options = luasec_options(ssl)
	-- Metronome's own is secp384r1, which few of the clients that are made by hand know.
	ssl.curve = ssl.curve or "prime256v1"
	if type(ssl.protocol) == "string" and ssl.protocol:find "%+$" then
		ssl.protocol = "any"
	end
	ssl.certificate, ssl.key = files_of_host .. "crt", files_of_host .. "key"
	return ssl
end

local function hosts_of(server)
	local hosts = {}
	for name, host in pairs(server.spec.hosts) do
		local ssl = (host.certificate or host.options and host.options.ssl) and ssl_of(server, name, host.options and
			host.options.ssl) or nil
		hosts[name] = configuration.merged(host.options, { ssl = ssl })
	end
	return hosts
end

metronome.services = {
	c2s = "c2s", c2s_direct_tls = "c2s_secure", s2s = "s2s", s2s_direct_tls = "s2s_secure", http = "http", https = "https",
}

local function global_options(server)
	local spec = server.spec
	local options = {
		run_as_root = true, daemonize = false,
		data_path = server.directory .. "/data",
		pidfile = server.directory .. "/prosody.pid",
		log = { [spec.log_level or "debug"] = server.log_path },
		interfaces = { "127.0.0.1" },
		console_ports = { server.ports.console },
		modules_enabled = modules_of(spec),
		plugin_paths = {
			("%s/share/lua/%s"):format(spec.tree or tree, _VERSION:match "%d+%.%d+"),
			checkout .. "spec/support/modules/metronome", checkout .. "spec/support/modules",
		},
		c2s_close_timeout = 1,
		s2s_close_timeout = 1,
		test_routes = spec.routes,
	}
	for name, service in pairs(metronome.services) do
		options[service .. "_ports"] = { server.ports[name] }
	end
	if spec.with_policy then
		options.xmpp_tls_policy = spec.policy
	end
	return configuration.merged(options, spec.options, { ssl = ssl_of(server, server.domain) })
end

-- Whether a component gets mod_s2s by itself depends on the order in which Metronome makes hosts.
local function components_of(server)
	local components = {}
	for name, component in pairs(server.spec.components or {}) do
		components[name] = {
			module = component.module, options = configuration.merged({ modules_enabled = { "s2s" } }, component.options),
		}
	end
	return components
end

function Server:write_configuration()
	self.ports.console = self.ports.console or free_ports(1)[1]
	files.replace(self.config_path, configuration.text(global_options(self), hosts_of(self), components_of(self)))
end

---- Running -----------------------------------------------------------------------------

function Server:command()
	local words = { "env" }
	for name, value in pairs(self.spec.environment or {}) do
		words[#words + 1] = name .. "=" .. value
	end
	local lua = self.spec.lua or "lua" .. _VERSION:match "%d+%.%d+"
	for _, more in ipairs {
		type(lua) == "table" and lua or { lua }, { metronome.path .. "/bin/metronome", "--config", self.config_path },
	} do
		for _, word in ipairs(more) do
			words[#words + 1] = word
		end
	end
	return words
end

-- Metronome names the two servers of an incoming stream in its header as the other server's header does.
function Server.name_in_header(_, stream)
	local attribute = stream:find("xmlns='jabber:server'", 1, true) and "to" or "from"
	return stream:match("<stream:stream[^>]-%s" .. attribute .. "=['\"]([^'\"]*)")
end

-- True once the server's main loop has answered a new connection.
function Server:round_trip(timeout)
	local connection = socket.tcp()
	connection:settimeout(timeout)
	local answer = connection:connect("127.0.0.1", self.ports.c2s)
		and connection:send "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>"
		and connection:receive(1)
	connection:close()
	return answer ~= nil and answer ~= false
end

local function encoded(name)
	return (name:gsub("%W", function (byte)
		return ("%%%02x"):format(byte:byte())
	end))
end

-- Makes an account, before the server starts.
function Server:register(user, host, password)
	local data = (self.spec.options or {}).data_path or self.directory .. "/data"
	local folder = ("%s/%s"):format(data, encoded(host))
	lfs.mkdir(folder)
	lfs.mkdir(folder .. "/accounts")
	files.write(("%s/accounts/%s.dat"):format(folder, encoded(user)), ("return { password = %q }\n"):format(password))
end

-- Reads from the console until it is ready for the next line.
local function read_console(connection)
	local bytes = {}
	repeat
		local byte = assert(connection:receive(1))
		bytes[#bytes + 1] = byte ~= "\0" and byte or nil
	until byte == "\0"
	return table.concat(bytes)
end

-- Sends a ping from a host to a domain. An answer that is addressed to us is logged by mod_test_ping.
local PING = [[> metronome.events.fire_event("route/post", metronome.hosts[%q],
	require "util.stanza".iq { from = %q, to = %q, type = "get", id = %q }:tag("ping", { xmlns = "urn:xmpp:ping" }))]]

local pings = 0

-- The only command of Prosody's shell that is begun without waiting, or that we stand in for, is a ping.
function Server:begin_shell(command)
	assert(command:find "^xmpp:ping", command)
	local from, to, seconds = command:match 'xmpp:ping%("(.-)", "(.-)",? ?(%d*)'
	pings = pings + 1
	local id, mark = ("harness%d"):format(pings), self:mark()
	self:console((PING:format(from, from, to, id):gsub("%s*\n%s*", " ")))
	return { close = function ()
		return process.poll(tonumber(seconds) or 20, function ()
			return self:log(mark):match("Answer to " .. id .. ": ([^\n]*)")
		end) or "No answer"
	end }
end

-- Runs a command of the console. Returns its output, and 1 if it failed, otherwise 0.
function Server:console(command)
	local connection = assert(socket.connect("127.0.0.1", self.ports.console))
	connection:settimeout(120)
	read_console(connection)
	assert(connection:send(command .. "\n"))
	local output = ("\n" .. read_console(connection)):gsub("\r", ""):gsub("\n| ", "\n"):sub(2)
	connection:close()
	local failed = false
	for _, sign in ipairs { "Sorry, I couldn't", "Fatal error while running", "Command completed with a problem" } do
		failed = failed or output:find(sign, 1, true) ~= nil
	end
	return output, failed and 1 or 0
end

function Server:shell(command)
	if command:find "^xmpp:ping" then
		return self:begin_shell(command):close(), 0
	end
	return self:console(command)
end

function Server:tell(signal)
	self.process:signal(signal)
end

--- See prosody.start.
function metronome.start(spec)
	return prosody.start(spec, Server)
end

--- See prosody.group.
function metronome.group()
	return prosody.group(metronome.start)
end

-- It has one, and no option.
metronome.backends = { "event" }

metronome.surface = surface.new(require "xmpp_tls_policy.servers.metronome.lacks", {
	["option.c2s_ssl"] = "its option `ssl` is one for clients and servers",
	["option.s2s_secure_auth"] = "it has no such option",
	["dialback.key"] = "it takes no key that the harness computes",
	["storage.none"] = "its driver without a storage fails to read, too",
})

-- See ssl_of.
metronome.key_group, metronome.key_groups = "secp256r1", { "secp256r1" }

-- XEP-0344; and the streams of mod_bidi.
metronome.dialback = { by_certificate = true, asks_apart = true, header_first = true }

metronome.further_names = { dns = true, xmpp_address = true }

metronome.failure = "Message: "

metronome.tree = tree

return metronome
