--- `xmpp-tls-policy render TARGET`: a policy as configuration for a program that cannot load the module.
local policy_options = require "xmpp_tls_policy.command_line.policy_options"
local render = require "xmpp_tls_policy.render"

local command = { name = "render", summary = "Print the policy as configuration for another program." }

-- A path or an address stands in a configuration without quotes.
local function plain(text)
	if text:find "^[%w%._/~+@%%:%[%]-]+$" then
		return text
	end
	return nil, ("%q has characters that no configuration takes without quotes"):format(text)
end

local function port(text)
	local number = tonumber(text:match "^%d+$")
	if number and number >= 1 and number <= 65535 then
		return number
	end
	return nil, ("%q is no port"):format(text)
end

local function openssl_version(text)
	return text:match "^%d+%.%d+" or nil, ("%q is no version, such as 3.5"):format(text)
end

--- See init.lua.
function command.define(parser)
	parser:argument("target", "The program."):choices(render.names)
	policy_options.define(parser)
	local defaults = render.defaults
	parser:option("--openssl", "The OpenSSL that the program uses: an older one does not know all groups.")
		:convert(openssl_version):default(defaults.openssl)
	parser:option("--dhparam", "A file of DH parameters, which DHE needs in most programs."):convert(plain)
	parser:option("--certificate", "haproxy, nginx: a file of the certificate, its chain and its key.")
		:convert(plain):default(defaults.certificate)
	for _, service in ipairs { "c2s", "s2s" } do
		parser:option(("--%s-port"):format(service), "The port for direct TLS."):convert(port)
			:default(tostring(defaults.ports[service]))
		parser:option(("--%s-server"):format(service), "haproxy, nginx: address and port of the XMPP server.")
			:convert(plain):default(defaults.servers[service])
	end
end

--- See init.lua.
function command.run(options, out)
	out.write(render.of(policy_options.policy(options), options.target, {
		openssl = options.openssl, dhparam = options.dhparam, certificate = options.certificate,
		ports = { c2s = options.c2s_port, s2s = options.s2s_port },
		servers = { c2s = options.c2s_server, s2s = options.s2s_server },
	}).text)
	return 0
end

return command
