-- The specs of Prosody on a Metronome: wherever METRONOME names the path of an installed one. What the adapter
-- declares missing (servers/metronome/lacks.lua) is left out by that declaration alone.
local lacks = require "xmpp_tls_policy.servers.metronome.lacks"
local metronome = require "support.servers.metronome"

-- Specs that know no server but by the interface of support/prosody.lua.
local shared = {
	"certificate_change", "certificate_identity", "dhe_limit", "early_close", "early_data", "exceptions", "federation",
	"foreign_answer", "foreign_element", "handshake", "own_certificate", "plaintext", "queued_element", "refused",
	"report", "resumption", "shared_context", "shared_sessions", "shared_sessions_faults", "shared_sessions_tls", "status",
	"stream", "unjudged_stream",
}

-- Words in the title of a spec -> the part of the contract (see servers/contract.lua) without which it cannot hold.
local needs = {
	["is accepted, and called refused nowhere"] = "peers.gone",
	["starttls, over plain: is for the host of its stream"] = "starttls.timeout",
	["silence after <starttls/>"] = "starttls.timeout",
	["a stanza of megabytes"] = "stanza.limit",
	["does not outlive a change of the certificate"] = "certificates.reload",
	["direct with suite"] = "sni.contexts",
	["is looked at for direct TLS, too, and the service and port are named"] = "sni.contexts",
	["is still reported if it was renewed on disk only"] = "sni.contexts",
	["of an internationalised host is found by its A-labels"] = "sni.contexts",
	["offers only what the policy allows"] = "groups.list",
	["is authenticated by a certificate that names the domain"] = "groups.list",
	["prefers X25519MLKEM768"] = "groups.list",
	["shows the settings of each context"] = "groups.list",
}

-- Words in the title of a spec that looks for a sentence of Prosody's own log, or for a name of its service.
local of_prosody = {
	["unauth.encrypt: is accepted by dialback"] = "a sentence of mod_s2s",
	["another domain that dialback vouches for on the same stream"] = "the key that it makes for dialback",
	["is not remembered if the storage fails"] = "the option `storage` at the top; Metronome's belongs under a host",
	["cert.identity: is not authenticated by a certificate of another domain"] = "a sentence of mod_s2s",
	["plain text after <proceed/> ends the stream"] = "a sentence of mod_s2s",
	["judges against the operator's own lists"] = "the name of the service",
	["does not report a server with a Common Name alone"] = "its option s2s_secure_auth",
	["and the log says why, if its TLS context cannot be brought under the policy"] = "the name of the service",
	["counted and published: an outgoing stream"] = "its option s2s_secure_auth",
	["an incoming stream that the server closes"] = "its option s2s_secure_auth",
	["as in its header: a DNS-ID"] = "a sentence of mod_dialback",
	["as in its header: an XmppAddr"] = "a check that does not take this name; Metronome's does",
	["is checked in c2s_ssl and s2s_ssl, too"] = "its options c2s_ssl and s2s_ssl",
	["of a component need not cover it for clients"] = "the services of a component",
	["shows contexts that could not be brought under the policy"] = "its option c2s_ssl",
	["shows options of the configuration that have no effect"] = "its option s2s_ssl",
}

-- Modules that start servers by support/prosody.lua, which is Metronome's meanwhile.
local of_a_server = { "support.prosody", "support.server_pairs", "support.sharing_servers" }

if not metronome.path then
	describe("Metronome", function ()
		it("runs no spec: METRONOME names no installed one", function ()
			pending "set METRONOME=/path/to/an/installed/metronome"
		end)
	end)
	return
end

-- The reason why a spec with this title cannot run; nil: it can.
local function reason_for(title)
	for words, part in pairs(needs) do
		if lacks[part] and title:find(words, 1, true) then
			return ("%s: %s"):format(part, lacks[part])
		end
	end
	for words, what in pairs(of_prosody) do
		if title:find(words, 1, true) then
			return "it looks for words of Prosody's own: " .. what
		end
	end
end

local function load_spec(name)
	local env = setmetatable({}, { __index = getfenv and getfenv(1) or _ENV })
	function env.it(title, action)
		local reason = reason_for(title)
		it(title, reason and function ()
			pending(reason)
		end or action)
	end
	local path = ("spec/server/%s_spec.lua"):format(name)
	local chunk
	if setfenv then
		chunk = setfenv(assert(loadfile(path)), env)
	else
		chunk = assert(loadfile(path, "t", env))
	end
	local before = {}
	for _, module in ipairs(of_a_server) do
		before[module] = package.loaded[module] or false
		package.loaded[module] = nil
	end
	package.loaded["support.prosody"] = metronome
	chunk()
	for module, of_prosody_itself in pairs(before) do
		package.loaded[module] = of_prosody_itself or nil
	end
end

-- METRONOME_SPEC: one of them alone.
for _, name in ipairs(shared) do
	if (os.getenv "METRONOME_SPEC" or name) == name then
		describe("on Metronome, " .. name .. ":", function ()
			load_spec(name)
		end)
	end
end
