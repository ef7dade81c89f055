-- Prosody's configuration file, written from Lua values.

local debian_tree = require "support.debian_tree"
local lfs = require "lfs"

local configuration = {}

configuration.services = { "c2s", "c2s_direct_tls", "s2s", "s2s_direct_tls", "http", "https" }

local default_modules = { "disco", "dialback", "ping", "posix", "roster", "saslauth", "tls" }

-- A LuaRocks tree with a sanitized core and an interpreter `lua` for it (see sanitize.sh); nil for
-- the usual ones.
configuration.sanitized = os.getenv "SANITIZED"

local here = debug.getinfo(1, "S").source:match("^@(.*/)[^/]+$"):gsub("^%./", "")
if here:sub(1, 1) ~= "/" then
	here = lfs.currentdir() .. "/" .. here
end
local checkout = here:match("^(.*/)spec/support/$")

-- The LuaRocks tree from which servers load the plugin.
configuration.tree = checkout .. (configuration.sanitized or "build")

local function is_identifier(name)
	return type(name) == "string" and name:match("^[%a_][%w_]*$") ~= nil
end

local function sorted_keys(map)
	local keys = {}
	for key in pairs(map) do
		keys[#keys + 1] = key
	end
	table.sort(keys, function(a, b)
		if type(a) == type(b) then
			return a < b
		end
		return type(a) == "number"
	end)
	return keys
end

local function number_literal(value)
	if value ~= value then
		return "(0/0)"
	elseif value == math.huge then
		return "math.huge"
	elseif value == -math.huge then
		return "-math.huge"
	elseif value == math.floor(value) and math.abs(value) < 2 ^ 53 then
		return ("%d"):format(value)
	end
	return ("%.17g"):format(value)
end

-- A Lua literal of a boolean, number, string or table of them.
function configuration.literal(value, indent)
	local kind = type(value)
	if kind == "string" then
		return (("%q"):format(value):gsub("\\\n", "\\n"):gsub("\r", "\\r"))
	elseif kind == "number" then
		return number_literal(value)
	elseif kind == "boolean" or kind == "nil" then
		return tostring(value)
	elseif kind ~= "table" then
		error("a " .. kind .. " cannot be written into a configuration file", 2)
	end
	local inner = (indent or "") .. "\t"
	local lines = { "{" }
	for _, key in ipairs(sorted_keys(value)) do
		local name = configuration.literal(key)
		lines[#lines + 1] = ("%s[%s] = %s,"):format(inner, name, configuration.literal(value[key], inner))
	end
	lines[#lines + 1] = (indent or "") .. "}"
	return table.concat(lines, "\n")
end

-- The text of a configuration: global options, hosts = { [name] = options },
-- components = { [name] = { module = "muc", options = {} } }.
function configuration.text(options, hosts, components)
	local lines = {}
	for _, name in ipairs(sorted_keys(options)) do
		if not is_identifier(name) then
			error(("%q is no name for a global option"):format(tostring(name)), 2)
		end
		lines[#lines + 1] = name .. " = " .. configuration.literal(options[name])
	end
	for _, name in ipairs(sorted_keys(hosts)) do
		lines[#lines + 1] = ("VirtualHost(%q)(%s)"):format(name, configuration.literal(hosts[name]))
	end
	for _, name in ipairs(sorted_keys(components or {})) do
		local component = components[name]
		local body = configuration.literal(component.options or {})
		lines[#lines + 1] = ("Component(%q)(%q)(%s)"):format(name, component.module, body)
	end
	return table.concat(lines, "\n") .. "\n"
end

-- A new table with the fields of all given tables; later ones win.
function configuration.merged(...)
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
	add { "admin_shell" } -- the harness asks it whether the server is ready
	if spec.with_policy then
		add { "xmpp_tls_policy" }
	end
	if spec.routes then
		add { "test_routes" }
	end
	return modules
end

local function global_options(server)
	local spec, directory = server.spec, server.directory
	local ours = spec.root and debian_tree.checkout or checkout
	local certificate = ("%s/keys/%s.crt"):format(directory, server.domain)
	local options = {
		run_as_root = true,
		data_path = directory .. "/data",
		pidfile = directory .. "/prosody.pid",
		admin_socket = directory .. "/admin.sock",
		log = { [spec.log_level or "debug"] = server.log_path },
		certificates = directory .. "/certificates", -- empty, so that no certificate is found by chance
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
	if configuration.sanitized then
		-- A cycle of the collector follows the previous one without a pause.
		options.gc = { mode = "incremental", threshold = 1, speed = 1000, step_size = 8 }
	end
	for _, service in ipairs(configuration.services) do
		options[service .. "_ports"] = { server.ports[service] }
	end
	if spec.with_policy then
		options.installer_plugin_path = spec.tree or spec.root and debian_tree.checkout .. "build" or configuration.tree
		options.xmpp_tls_policy = spec.policy
	end
	if spec.routes then
		options.plugin_paths = { ours .. "spec/support/modules" } -- mod_test_routes and mod_test_facts
		options.test_routes = spec.routes
	end
	local all = configuration.merged(options, spec.options)
	if spec.ca then
		all.ssl = configuration.merged({ cafile = spec.ca }, all.ssl)
	end
	return all
end

-- The text for a server of prosody.lua: its specification, directory, ports and domain.
function configuration.of_server(server)
	local hosts = {}
	for name, host in pairs(server.spec.hosts) do
		local certificate = host.certificate and ("%s/keys/%s.crt"):format(server.directory, name) or nil
		hosts[name] = configuration.merged({ certificate = certificate }, host.options)
	end
	return configuration.text(global_options(server), hosts, server.spec.components)
end

return configuration
