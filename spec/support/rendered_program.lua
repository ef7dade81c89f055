--- Real programs on loopback, under the configuration that render/ makes of a policy.
local ejabberd = require "support.ejabberd"
local free_ports = require "support.free_ports"
local lfs = require "lfs"
local pki = require "support.pki"
local process = require "support.process"
local program = require "support.program"
local prosody = require "support.prosody"
local render = require "xmpp_tls_policy.render"
local socket = require "socket"
local versions = require "support.versions"

local rendered_program = {}

-- Shared by all: the host, and files for it.
rendered_program.domain = "host.test"

--- The certificate of the host (RSA) as pki's issue makes it, and `authority` (path), `both` (path: certificate,
-- chain and key) and `dhparam` (path).
function rendered_program.files()
	local authority = pki.authority()
	local made = authority:issue { names = { rendered_program.domain }, key = "rsa2048" }
	made.dhparam = pki.path ".dh"
	pki.run { "openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe3072", "-out", made.dhparam }
	made.authority = authority.certificate
	made.both = pki.write(made.pem .. pki.read(made.key))
	return made
end

local nginx_configuration = [[
daemon off;
pid DIRECTORY/pid-of-nginx;
error_log DIRECTORY/error.log;
include /etc/nginx/modules-enabled/*-mod-stream.conf;
events { }
include DIRECTORY/rendered.conf;
]]

local starters = {}

function starters.nginx(text, given)
	local server = program.run(given.ports.c2s, { ["rendered.conf"] = text, ["nginx.conf"] = nginx_configuration },
		{ "nginx", "-e", "DIRECTORY/error.log", "-c", "DIRECTORY/nginx.conf" })
	server.target = { port = given.ports.c2s, kind = "c2s", direct_tls = true, domain = rendered_program.domain }
	return server
end

function starters.haproxy(text, given)
	local server = program.run(given.ports.c2s, { ["rendered.cfg"] = text },
		{ "haproxy", "-db", "-f", "DIRECTORY/rendered.cfg" })
	server.target = { port = given.ports.c2s, kind = "c2s", direct_tls = true, domain = rendered_program.domain }
	return server
end

-- A server that uses OpenSSL's defaults.
function starters.openssl(text, given, certificate)
	local server = program.run(given.ports.c2s, { ["openssl.cnf"] = text }, {
		"env", "OPENSSL_CONF=DIRECTORY/openssl.cnf", "openssl", "s_server", "-www",
		"-accept", "127.0.0.1:" .. given.ports.c2s, "-cert", certificate.own, "-key", certificate.key,
	})
	server.target = { port = given.ports.c2s, kind = "c2s", direct_tls = true, domain = rendered_program.domain }
	return server
end

-- The options in the text of a configuration of Prosody.
local function options_of(text)
	local options = {}
	local chunk = assert((loadstring or load)(text, "=rendered", "t", options)) -- luacheck: globals loadstring
	if setfenv then
		setfenv(chunk, options) -- luacheck: globals setfenv
	end
	chunk()
	-- The ports are the harness's.
	options.c2s_direct_tls_ports, options.s2s_direct_tls_ports = nil, nil
	return options
end

function starters.prosody(text, _, certificate)
	local server = prosody.start {
		hosts = { [rendered_program.domain] = { certificate = certificate.certificate, key = certificate.key } },
		options = options_of(text),
	}
	return {
		server = server,
		target = { port = server.ports.c2s, kind = "c2s", direct_tls = false, domain = rendered_program.domain },
		stop = function () server:stop() end,
	}
end

function starters.ejabberd(text, _, certificate)
	local path = pki.write(text, ".yml")
	local server = ejabberd.start {
		hosts = { [rendered_program.domain] = { certificate = certificate.certificate, key = certificate.key } },
		ca = certificate.certificate,
		options = { include_config_file = { path } },
		c2s = { starttls = true, starttls_required = true },
	}
	return {
		server = server, target = server:target("c2s", rendered_program.domain),
		stop = function () server:stop() end,
	}
end

local commands = { nginx = "nginx", haproxy = "haproxy" }

--- The lines of a configuration that are no comments, as one text.
function rendered_program.lines(text)
	local lines = {}
	for line in text:gmatch "[^\n]+" do
		lines[#lines + 1] = not line:find "^%s*#" and not line:find "^%s*%-%-" and line or nil
	end
	return table.concat(lines, "\n")
end

--- Why a target cannot be run here; nil if it can.
function rendered_program.missing(name)
	if name == "ejabberd" then
		return select(2, ejabberd.version())
	elseif commands[name] and process.run { "sh", "-c", "command -v " .. commands[name] } == "" then
		return name .. " is not installed; `make deps-test` installs it"
	elseif name == "nginx" and not lfs.attributes("/usr/lib/nginx/modules/ngx_stream_module.so") then
		return "nginx has no stream module; `make deps-test` installs it"
	end
end

-- In the place of an XMPP server: the system accepts the connections, and nobody reads from them.
local function silent_server()
	local listener = assert(socket.bind("127.0.0.1", 0, 256))
	local _, port = listener:getsockname()
	return listener, ("127.0.0.1:%d"):format(port)
end

--- Starts a target, by name, under a policy. `certificate`: of rendered_program.files; `behind`: address and
-- port of the XMPP server behind nginx or HAProxy (nil: one that says nothing). Returns { target (see
-- prosody.lua), rendered (see render.of), stop = function }; for prosody and ejabberd also `server`.
function rendered_program.start(name, policy, certificate, behind)
	local ports, silent, address = free_ports(2), silent_server()
	local given = {
		openssl = versions.openssl, dhparam = certificate.dhparam, certificate = certificate.both,
		ports = { c2s = ports[1], s2s = ports[2] }, servers = { c2s = behind or address, s2s = behind or address },
	}
	local rendered = render.of(policy, name, given)
	local started = starters[name](rendered.text, given, certificate)
	started.rendered, started.silent = rendered, silent
	return started
end

return rendered_program
