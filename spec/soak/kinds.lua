-- The kinds of handshakes in the load. Each is a function(load, random), called in a task. It returns
-- the outcome in a word or two; or nil and a sentence about the failure. The load has `targets` by
-- service (see prosody.lua), `stock` (true for a server without the policy), and `certificates`: a
-- list of { domain, certificate, key } of other servers.
local client_hello = require "support.client_hello"
local core = require "xmpp_tls_policy.core"
local faults = require "soak.faults"
local offers = require "support.offers"
local ssl = require "ssl"
local tasks = require "soak.tasks"
local xmpp = require "support.xmpp"

local kinds = {}

local services = {
	{ 4, "c2s" }, { 3, "c2s_direct_tls" }, { 2, "s2s" }, { 1, "s2s_direct_tls" },
}
local versions = { "TLSv1.2", "TLSv1.3" }

-- The time that a client waits for the server, in seconds.
local PATIENCE = 120

local AWAY = "mod_tls was away"

---- Clients ------------------------------------------------------------------

local contexts = {}

-- A context for each version and certificate (nil: none).
local function context_of(version, files)
	local key = version .. (files and files.domain or "")
	if not contexts[key] then
		local context = assert(core.context.new {
			role = "client", verify = "none", certificate = files and files.certificate, key = files and files.key,
		})
		assert(context:apply { minimum_version = version, maximum_version = version })
		contexts[key] = context
	end
	return contexts[key]
end

local luasec_contexts = {}

local function luasec_context_of(version)
	if not luasec_contexts[version] then
		luasec_contexts[version] = assert(ssl.newcontext {
			mode = "client", protocol = version == "TLSv1.3" and "tlsv1_3" or "tlsv1_2", verify = "none", options = { "all" },
		})
	end
	return luasec_contexts[version]
end

-- As Peer:secure, but for a task.
local function secure_with_luasec(peer, version)
	local connection = assert(ssl.wrap(peer.socket.raw, luasec_context_of(version)))
	connection:sni(peer.domain)
	peer.socket = tasks.socket(connection)
	return peer.socket:dohandshake()
end

-- The answers of a server that has nothing to offer, or no longer knows its offer.
local answers_without_tls = {
	"No stream features to ", "<unsupported%-stanza%-type", "STARTTLS was not offered on this stream",
	"TLS is required here, and STARTTLS is not available",
}

local function is_away(answer)
	for _, pattern in ipairs(answers_without_tls) do
		if answer:find(pattern) then
			return true
		end
	end
	return false
end

-- Agrees on STARTTLS up to <proceed/>. Returns true; or nil and AWAY if it is not offered; or nil, nil
-- and the failure.
local function agree_on_tls(peer)
	local done, reason, text = peer:open()
	if done and not done:find("<starttls", 1, true) then
		return nil, AWAY
	elseif done then
		done, reason, text = peer:request_tls()
	end
	if done then
		return true
	end
	return nil, is_away(text) and AWAY or nil, ("no STARTTLS: %s %s"):format(tostring(reason), text)
end

-- A connection before the first byte of TLS. Failures are as in agree_on_tls.
local function begin(load, service, from)
	local target = load.targets[service]
	local peer = xmpp.connect(target, { from = service:find "s2s" and (from or "remote.test") or nil, timeout = PATIENCE })
	peer.socket = tasks.socket(peer.socket)
	if target.direct_tls then
		return peer
	end
	local done, outcome, problem = agree_on_tls(peer)
	if not done then
		peer:close()
		return nil, outcome, problem
	end
	return peer
end

-- The ways in which a client disconnects.
local goodbyes = {
	function (peer)
		peer:send "</stream:stream>"
		peer:read_all(PATIENCE)
	end,
	function (peer)
		if peer.socket.shutdown then
			peer.socket:shutdown()
		end
	end,
	function (peer)
		peer.socket:setoption("linger", { on = true, timeout = 0 })
	end,
	function () end,
}

local function go(peer, random)
	random:pick(goodbyes)(peer)
	peer:close()
end

-- The outcome of a stream that was closed. The module closes a stream whose handshake was made before
-- the module was loaded, because it did not observe the handshake.
local function closed(peer, text, problem, ...)
	peer:close()
	if text:find("context was not under the policy", 1, true) then
		return nil, "the module came in between"
	end
	return nil, nil, problem:format(...)
end

-- Opens the stream after the handshake. If it does not open, the peer is closed.
local function open(peer)
	local features, reason, text = peer:open()
	if features then
		return true
	end
	return closed(peer, text, "no stream after the handshake: %s %s", tostring(reason), text)
end

local function fail(peer, what, ...)
	peer:close()
	return nil, (what:format(...))
end

---- Successful handshakes ------------------------------------------------------

function kinds.full(load, random)
	local service, version = random:weighted(services), random:pick(versions)
	local peer, outcome, problem = begin(load, service)
	if not peer then
		return outcome, problem
	end
	local done, reason
	if random:below(2) == 0 then
		done, reason = secure_with_luasec(peer, version)
	else
		done, reason = peer:secure { context = context_of(version) }
	end
	if not done then
		return fail(peer, "%s on %s: %s", version, service, tostring(reason))
	end
	if random:below(4) > 0 then
		done, outcome, problem = open(peer)
		if not done then
			return outcome, problem
		end
	end
	go(peer, random)
	return "done"
end

-- Service and version -> sessions, the latest last.
local sessions = {}
local MOST_SESSIONS = 20

function kinds.resumed(load, random)
	local service, version = random:weighted(services), random:pick(versions)
	local key = service .. " " .. version
	sessions[key] = sessions[key] or {}
	local session = sessions[key][1 + random:below(math.max(1, #sessions[key]))]
	local peer, outcome, problem = begin(load, service)
	if not peer then
		return outcome, problem
	end
	local done, reason = peer:secure { context = context_of(version), session = session }
	if not done then
		return fail(peer, "%s on %s, offering a session: %s", version, service, tostring(reason))
	end
	done, outcome, problem = open(peer)
	if not done then
		return outcome, problem
	end
	local resumed, new = peer:tls_info().resumed, peer.socket:session()
	if new then
		table.insert(sessions[key], new)
		if #sessions[key] > MOST_SESSIONS then
			table.remove(sessions[key], 1)
		end
	end
	go(peer, random)
	return resumed and "resumed" or session and "not resumed" or "first"
end

-- Another server, authenticated by its certificate.
function kinds.authenticated(load, random)
	local files, version = random:pick(load.certificates), random:pick(versions)
	local peer, outcome, problem = begin(load, random:pick { "s2s", "s2s_direct_tls" }, files.domain)
	if not peer then
		return outcome, problem
	end
	local done, reason = peer:secure { context = context_of(version, files) }
	if not done then
		return fail(peer, "%s of %s: %s", version, files.domain, tostring(reason))
	end
	done, outcome, problem = open(peer)
	if not done then
		return outcome, problem
	end
	peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"
	local text, why, rest = peer:read_until("<success[^>]*>")
	if not text then
		return select(2, closed(peer, rest, "%s was not authenticated: %s %s", files.domain, tostring(why), rest))
	end
	done, outcome, problem = open(peer)
	if not done then
		return outcome, problem
	end
	go(peer, random)
	return "done"
end

---- Failing handshakes ---------------------------------------------------------

-- The client's flights are about 250 to 600 bytes, of which the last 100 finish the handshake.
function kinds.aborted(load, random)
	local service, version = random:weighted(services), random:pick(versions)
	local peer, outcome, problem = begin(load, service)
	if not peer then
		return outcome, problem
	end
	peer.socket = faults.cut(peer.socket, 1 + random:below(700), random:below(2) == 0)
	local done = peer:secure { context = context_of(version) }
	peer:close()
	return done and "after the handshake" or "in the handshake"
end

-- The answer of the server to bytes that are no handshake. The server may wait for more bytes; the
-- client then disconnects after a while.
local function answer_to(peer, random)
	local _, reason, text = peer:read_until({}, random:number(2))
	peer:close()
	return reason == "timeout" and (text == "" and "left waiting" or "answered") or "refused"
end

local garbage = {
	function (random)
		return random:bytes(1 + random:below(2000))
	end,
	-- The header of a record, and random bytes in it.
	function (random)
		local body = random:bytes(1 + random:below(600))
		return string.char(random:pick { 20, 21, 22, 22, 22, 23 }, 3, random:below(5),
			math.floor(#body / 256), #body % 256) .. body
	end,
	-- Also the header of a handshake message.
	function (random)
		local body = random:bytes(1 + random:below(600))
		local length = #body + 4
		return string.char(22, 3, 1, math.floor(length / 256), length % 256, random:pick { 1, 1, 1, 2, 11, 16, 20 },
			0, math.floor(#body / 256), #body % 256) .. body
	end,
}

-- Instead of the handshake, or after a valid ClientHello.
local function send_garbage(load, random)
	local peer, outcome, problem = begin(load, random:weighted(services))
	if not peer then
		return outcome, problem
	end
	local bytes = random:pick(garbage)(random)
	if random:below(2) == 0 then
		bytes = client_hello.build(random:pick { offers.tls12, offers.tls13 }) .. bytes
	end
	peer:send(bytes)
	return answer_to(peer, random)
end

-- Some bytes of a valid handshake are changed. It still succeeds if the bytes do not matter, such as
-- the version in the record of the ClientHello (RFC 8446 5.1).
local function send_flipped(load, random)
	local peer, outcome, problem = begin(load, random:weighted(services))
	if not peer then
		return outcome, problem
	end
	peer.timeout = random:number(2)
	peer.socket = faults.flip(peer.socket, 1 + random:below(2), random)
	local done, reason = peer:secure { context = context_of(random:pick(versions)) }
	peer:close()
	return done and "finished by the client" or reason == "timeout" and "left waiting" or "refused"
end

function kinds.garbage(load, random)
	return random:pick { send_garbage, send_flipped } (load, random)
end

local weak = {
	offers.sslv2, offers.sslv3, offers.tls10, offers.tls11, offers.null, offers.rc4, offers.anonymous,
	offers.static_rsa, offers.cbc,
}

function kinds.refused(load, random)
	local peer, outcome, problem = begin(load, random:weighted(services))
	if not peer then
		return outcome, problem
	end
	peer.buffer = ""
	peer:send(client_hello.build(random:pick(weak)))
	local text, reason, rest = peer:read_all(PATIENCE)
	peer:close()
	local answer = text or rest
	if not text then
		return nil, ("what no policy allows was left unanswered: %s"):format(tostring(reason))
	elseif answer ~= "" and answer:byte(1) ~= 21 then
		return nil, "what no policy allows was answered with no alert"
	end
	return "refused"
end

---- Slow handshakes ------------------------------------------------------------

-- Longest pause between two bytes, in seconds.
local PAUSE = 0.01

function kinds.slow(load, random)
	local peer, outcome, problem = begin(load, random:weighted(services))
	if not peer then
		return outcome, problem
	end
	peer.socket = faults.slow(peer.socket, PAUSE, random)
	local done, reason = peer:secure { context = context_of(random:pick(versions)) }
	peer:close()
	if done then
		return "done"
	elseif reason == "closed" then
		return "ended by the server"
	end
	return nil, ("byte by byte: %s"):format(tostring(reason))
end

-- Sends some bytes of a handshake, or none, and then waits until the server closes the connection.
function kinds.hanging(load, random)
	local peer, outcome, problem = begin(load, random:weighted(services))
	if not peer then
		return outcome, problem
	end
	local hello = client_hello.build(offers.tls12)
	peer:send(hello:sub(1, random:below(#hello)))
	local text, reason = peer:read_all(PATIENCE)
	peer:close()
	if not text then
		return nil, ("a client that hangs was never ended: %s"):format(tostring(reason))
	end
	return "ended by the server"
end

--- { weight, name } of each.
kinds.mixture = {
	{ 34, "full" }, { 25, "resumed" }, { 1.5, "authenticated" }, { 14, "aborted" }, { 14, "garbage" }, { 10, "refused" },
	{ 1, "slow" }, { 0.5, "hanging" },
}

return kinds
