-- A real ejabberd of the system, in a throw-away directory on loopback. It is no node of a
-- distributed Erlang, so it needs no cookie and starts no epmd.

local debian_tree = require "support.debian_tree"
local files = require "support.files"
local free_ports = require "support.free_ports"
local json = require "dkjson"
local process = require "support.process"
local xmpp = require "support.xmpp"
local lfs = require "lfs"

local ejabberd = {}

local start_attempts = 5
-- Each login creates a new user, with any name and password.
local defaults = {
	loglevel = "debug", log_rotate_count = 0,
	auth_method = { "anonymous" }, anonymous_protocol = "login_anon", allow_multiple_connections = true,
	modules = { mod_ping = { send_pings = false }, mod_s2s_dialback = { access = "all" } },
}

local Server = {}
Server.__index = Server

-- The path of Debian's Erlang libraries of ejabberd, and its version; nil without ejabberd.
local function libraries(root)
	for path in process.run({ "sh", "-c", ("ls -d %s/usr/lib/*/ejabberd-[0-9]*"):format(root or "") }):gmatch "[^\n]+" do
		if lfs.attributes(path .. "/ebin", "mode") then
			return path:sub(#(root or "") + 1):match "^(.*)/ejabberd%-([%d.]+)[^/]*$"
		end
	end
end

-- The version of ejabberd, such as "23.01", on this system or in a tree (see debian_tree.lua); or
-- nil and the reason why it cannot run.
function ejabberd.version(root)
	local path, version = libraries(root)
	if not path then
		return nil, ("ejabberd is not installed%s; `make federation` installs it"):format(root and " in " .. root or "")
	elseif process.check { "id", "-u" } ~= "0\n" then
		return nil, "only root can give ejabberd a file of hosts of its own"
	end
	return version
end

-- The domain of each host and its certificate; JSON is YAML.
local function configuration(self)
	local spec = self.spec
	local hosts, pems = {}, {}
	for domain, from in pairs(spec.hosts) do
		hosts[#hosts + 1] = domain
		pems[#pems + 1] = ("%s/%s.pem"):format(self.directory, domain)
		files.write(pems[#pems], assert(files.read(from.certificate)) .. assert(files.read(from.key)))
	end
	local clients = { port = self.ports.c2s, ip = "127.0.0.1", module = "ejabberd_c2s" }
	for name, value in pairs(spec.c2s or {}) do
		clients[name] = value
	end
	local options = {
		hosts = hosts, certfiles = pems, ca_file = spec.ca, outgoing_s2s_port = spec.peer_port,
		listen = {
			clients,
			{ port = self.ports.s2s, ip = "127.0.0.1", module = "ejabberd_s2s_in" },
		},
	}
	for _, more in ipairs { defaults, spec.options or {} } do
		for name, value in pairs(more) do
			options[name] = value
		end
	end
	return json.encode(options, { indent = true })
end

-- ejabberd asks DNS for SRV records itself, and has no nameserver here. Then it asks the system for
-- addresses, which reads them from the file of hosts.
local resolver = [[
{lookup, [file]}.
{file, hosts, "/dev/null"}.
{file, resolv, "/dev/null"}.
]]

local function hosts(spec)
	return ("127.0.0.1 localhost %s\n"):format(table.concat(spec.peers or {}, " "))
end

local function command(self)
	local directory, root = self.directory, self.spec.root
	return debian_tree.within(root, {
		"env", "HOME=" .. directory, "ERL_LIBS=" .. libraries(root), "ERL_INETRC=" .. directory .. "/inetrc",
		"ERL_CRASH_DUMP_BYTES=0",
		"EJABBERD_CONFIG_PATH=" .. directory .. "/ejabberd.yml", "EJABBERD_LOG_PATH=" .. self.log_path,
		"erl", "-noinput", "-mnesia", "dir", ("%q"):format(directory .. "/database"), "-s", "ejabberd",
	}, directory .. "/hosts")
end

local function failure(self, what)
	return ("ejabberd (%s) %s.\nIts output:\n%s\nThe end of its log:\n%s"):format(
		self.directory, what, self.process:output():sub(-4000), self:log():sub(-4000))
end

-- Whether it got its ports; another process may have taken one meanwhile.
local function launch(self)
	files.write(self.directory .. "/ejabberd.yml", configuration(self))
	files.write(self.directory .. "/inetrc", resolver)
	files.write(self.directory .. "/hosts", hosts(self.spec))
	self.process:launch(command(self))
	local state = process.poll(process.PATIENCE, function ()
		local log = self:log()
		return log:find("Failed to open socket", 1, true) and "no port"
			or log:find(":" .. self.ports.c2s .. " for ejabberd_c2s", 1, true)
			and log:find(":" .. self.ports.s2s .. " for ejabberd_s2s_in", 1, true) and "ready"
			or self.process:status() and "dead"
	end)
	if state == "no port" then
		return false
	elseif state ~= "ready" then
		error(failure(self, state and "died at start" or ("is not ready after %d s"):format(process.PATIENCE)), 0)
	end
	return true
end

-- Starts a server and waits until it accepts connections. The specification:
--   hosts      { [domain] = { certificate = path, key = path } }
--   ca         a CA file that the server trusts
--   peers      a list of other domains, and peer_port: where their server is
--   root       the tree of another Debian (see debian_tree.lua) to run it from
--   c2s        more options of the listener for clients, such as { starttls = true }
--   options    any top-level options, which replace those of the harness
-- Errors carry the server's output and the end of its log.
function ejabberd.start(spec)
	for _ = 1, start_attempts do
		local keeper = process.keeper()
		local ports = free_ports(2)
		local self = setmetatable({
			spec = spec, process = keeper, directory = keeper.directory,
			log_path = keeper.directory .. "/ejabberd.log", ports = { c2s = ports[1], s2s = ports[2] },
		}, Server)
		local ok, result = pcall(launch, self)
		if ok and result then
			return self
		end
		keeper:close()
		if not ok then
			error(result, 2)
		end
	end
	error(("no free ports found in %d attempts"):format(start_attempts))
end

-- The target of a client for a host; see prosody.lua.
function Server:target(service, domain)
	return { port = assert(self.ports[service], "no such service"), kind = service, direct_tls = false, domain = domain }
end

-- Pings another domain (XEP-0199) from a user on a host. Returns the answer, as text.
function Server:ping(host, domain)
	local client = xmpp.connect(self:target("c2s", host))
	assert(client:open())
	assert(client:login("alice", "any"))
	client:send(("<iq type='get' id='ping' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>"):format(domain))
	local answer, reason = client:read_until { "<iq[^>]*[^/]>.*</iq>", "<iq[^>]*/>" }
	client:close()
	return assert(answer, reason)
end

-- The log so far, or since a position from mark().
function Server:log(mark)
	return (files.read(self.log_path) or ""):sub((mark or 0) + 1)
end

function Server:mark()
	return lfs.attributes(self.log_path, "size") or 0
end

-- Stops the server and removes its directory. A server that had died or ends badly raises an error.
function Server:stop()
	local problem = self.process:status() and "had ended"
	if not problem then
		self.process:signal "TERM"
		local status = process.poll(process.PATIENCE, function () return self.process:status() end)
		problem = status ~= 0 and ("did not stop well, exit status %s"):format(tostring(status)) or nil
	end
	local message = problem and failure(self, problem)
	self.process:close()
	if message then
		error(message, 2)
	end
end

return ejabberd
