--- TLS connections of LuaSec between two ends in this process, so that specs have real facts. Of each
-- handshake both ends stay open until tls_pairs.close().
local core = require "xmpp_tls_policy.core"
local pki = require "support.pki"
local socket = require "socket"
local ssl = require "ssl"

local tls_pairs = {}

-- By the level that they break: none, "should", or "must" as well.
local ciphers = { good = "ECDHE-RSA-AES256-GCM-SHA384", weak = "AES128-SHA", bad = "NULL-SHA256" }

local files, open = nil, {}

local function make_files()
	local authority = pki.authority()
	files = { authority = authority.certificate, ours = authority:issue { names = { "host.test" }, key = "rsa2048" } }
	files.a = authority:issue { names = { "a.test" }, key = "rsa2048", key_name = "a" }
	files.b = authority:issue { names = { "b.test" }, key = "rsa2048", key_name = "b" }
	-- The previous certificate of a.test and b.test, of another authority.
	local other = pki.authority()
	files.older = other:issue { names = { "a.test", "b.test" }, key = "rsa2048", key_name = "older" }
	files.none = pki.self_signed { names = { "nobody.test" }, key = "rsa2048", key_name = "none" }
end

local function context(mode, certificate, quality)
	return assert(ssl.newcontext {
		mode = mode, protocol = "tlsv1_2", ciphers = ciphers[quality] .. ":@SECLEVEL=0",
		certificate = certificate and certificate.certificate, key = certificate and certificate.key,
		cafile = files.authority, verify = { "peer", "client_once" }, verifyext = { "lsec_continue" },
	})
end

local function connected()
	local listener = assert(socket.bind("127.0.0.1", 0))
	local near = assert(socket.connect("127.0.0.1", (select(2, listener:getsockname()))))
	local far = assert(listener:accept())
	listener:close()
	return near, far
end

local function shake_hands(one, other)
	one:settimeout(0)
	other:settimeout(0)
	local one_done, other_done, reason
	repeat
		one_done, reason = one:dohandshake()
		assert(one_done or reason == "wantread" or reason == "wantwrite", reason)
		other_done, reason = other:dohandshake()
		assert(other_done or reason == "wantread" or reason == "wantwrite", reason)
		if not (one_done and other_done) then
			socket.select({ one, other }, nil, 0.01)
		end
	until one_done and other_done
end

-- Certificate of the peer -> role of our end -> files, or nil.
local function of_peer(name, role)
	if name == "none" and role ~= "s2sout" then
		return nil
	end
	return files[name]
end

--- Our end of a finished handshake, a connection of LuaSec's. `role` of our end: "c2s", "s2sin" or
-- "s2sout"; `quality`: "good", "weak" (breaks the level should) or "bad" (breaks the level must);
-- `certificate` of the peer: "none" (of an outgoing stream: one that leads to no trusted root), "a",
-- "b" (valid for a.test, b.test) or "older" (for both, of another authority); `observed`: whether
-- our context is observed, or function(context) that sees to it. Returns our context, second.
function tls_pairs.connection(role, quality, certificate, observed)
	if not files then
		make_files()
	end
	local is_client = role == "s2sout"
	local own = context(is_client and "client" or "server", files.ours, quality)
	local theirs = context(is_client and "server" or "client", of_peer(certificate, role), quality)
	if type(observed) == "function" then
		observed(own)
	elseif observed then
		assert(assert(core.context.adopt(own)):observe(1, true))
	end
	local near, far = connected()
	local one, other = assert(ssl.wrap(near, own)), assert(ssl.wrap(far, theirs))
	shake_hands(one, other)
	open[#open + 1] = one
	open[#open + 1] = other
	return one, own
end

--- Closes all connections and removes the certificates.
function tls_pairs.close()
	for _, connection in ipairs(open) do
		connection:close()
	end
	open, files = {}, nil
	pki.remove()
end

return tls_pairs
