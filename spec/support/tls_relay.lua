--- An interception on loopback: a relay that ends TLS of clients with a certificate of its own, and speaks TLS to the
-- server. In between it hands on all bytes unchanged.
local lfs = require "lfs"
local process = require "support.process"

local tls_relay = {}

--- Starts one for STARTTLS with the c2s port `port`. `options`: { port, domain, files = of pki:issue, version = of
-- both handshakes, such as "TLSv1.3" }. Returns { port, stop = function }.
function tls_relay.start(options)
	local child = process.spawn({
		"env", "LUA_PATH=" .. package.path, "LUA_CPATH=" .. package.cpath, lfs.symlinkattributes("/proc/self/exe").target,
		"spec/support/tls_relay_program.lua", tostring(options.port), options.domain, options.files.certificate,
		options.files.key, options.version,
	}, { timeout = 600 })
	local port = child:wait_for "listens on (%d+)\n"
	if not port then
		error("the relay did not start: " .. child:close(), 2)
	end
	return { port = tonumber(port), stop = function ()
		local output, status = child:close()
		assert(status == 0 and not output:find "traceback", output)
	end }
end

return tls_relay
