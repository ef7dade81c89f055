-- Two real servers: "near", under the policy, with hosts of many kinds; and "far", stock Prosody that
-- vouches by dialback for its domains, a.test and b.test. And scripted servers: they say that they are
-- one of these, or listen for any other domain below out.test and other.test.
local pki = require "support.pki"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

local server_pairs = {}

local World = {}
World.__index = World

--- Suites that a scripted server has. `breaks`: the levels that do not allow it.
server_pairs.suites = {
	good = { ciphers = "ECDHE-RSA-AES256-GCM-SHA384", breaks = {} },
	weak = { ciphers = "ECDHE-RSA-AES128-SHA", breaks = { should = true } },
	bad = { ciphers = "NULL-SHA256", breaks = { should = true, must = true } },
}

--- Kinds of hosts: how a host treats the policy.
server_pairs.kinds = {
	should = { level = "should", options = { level = "should" } },
	must = { level = "must", options = { level = "must" } },
	report = { options = { mode = "report" } },
	disabled = {},
}

--- The host of a kind, with or without unauthenticated_s2s = "refuse": { name, level (nil: nothing is
-- enforced), refuses, kind }.
function server_pairs.host(kind, refuses)
	return {
		name = (refuses and "refuse-" or "") .. kind .. ".test", kind = kind, refuses = refuses,
		level = server_pairs.kinds[kind].level,
	}
end

--- Hosts of each kind; an enforced one twice, for both values of unauthenticated_s2s.
function server_pairs.hosts()
	local list = {}
	for kind, of in pairs(server_pairs.kinds) do
		list[#list + 1] = server_pairs.host(kind, false)
		list[#list + 1] = of.level and server_pairs.host(kind, true) or nil
	end
	table.sort(list, function (one, other) return one.name < other.name end)
	return list
end

local function options_of(host)
	if host.kind == "disabled" then
		return { modules_disabled = { "xmpp_tls_policy" } }
	end
	local options = { unauthenticated_s2s = host.refuses and "refuse" or nil }
	for name, value in pairs(server_pairs.kinds[host.kind].options) do
		options[name] = value
	end
	return { xmpp_tls_policy = options }
end

--- Starts both servers. `hosts`: as server_pairs.hosts has them; `modules`: more of near's.
function server_pairs.start(hosts, modules)
	local self = setmetatable({ hosts = hosts, count = 0, clients = {}, servers = prosody.group() }, World)
	local authority, names, near, users = pki.authority(), {}, {}, {}
	for _, host in ipairs(hosts) do
		names[#names + 1] = host.name
	end
	local files = authority:issue { names = names, key = "rsa2048" }
	self.theirs = authority:issue { names = { "a.test", "b.test" }, key = "rsa2048" }
	self.scripted = {
		out = authority:issue { names = { "*.out.test" }, key = "rsa2048" },
		other = authority:issue { names = { "*.other.test" }, key = "rsa2048" },
		both = authority:issue { names = { "*.out.test", "*.other.test" }, key = "rsa2048" },
	}
	self.listener = xmpp.listen "s2s"
	for _, host in ipairs(hosts) do
		near[host.name] = { certificate = files.certificate, key = files.key, options = options_of(host) }
		users["juliet@" .. host.name] = "secret"
	end
	local far_modules = { "test_vouch", "test_delivered" }
	local near_modules = { "test_delivered", "test_wait" }
	for _, name in ipairs(modules or {}) do
		near_modules[#near_modules + 1] = name
	end
	-- What the policy does not forbid is possible.
	local open = {
		s2s_require_encryption = false, c2s_require_encryption = false, s2s_secure_auth = false, limits = {},
		ssl = { ciphers = "ALL:eNULL:!aNULL:@SECLEVEL=0" },
	}
	self.far = self.servers.start {
		hosts = { ["a.test"] = self.theirs, ["b.test"] = self.theirs }, ca = authority.certificate, routes = {},
		modules = far_modules, options = open,
	}
	local to_far = { s2s = self.far.ports.s2s }
	self.routes = { ["a.test"] = to_far, ["b.test"] = to_far, ["*"] = { s2s = self.listener.port } }
	self.near = self.servers.start {
		hosts = near, users = users, domain = hosts[1].name, ca = authority.certificate, with_policy = true,
		modules = near_modules, options = open, routes = self.routes,
	}
	local to_near = {}
	for _, host in ipairs(hosts) do
		to_near[host.name] = { s2s = self.near.ports.s2s }
	end
	self.far:configure { routes = to_near }
	self.far:reload()
	return self
end

function World:stop()
	for _, client in pairs(self.clients) do
		client:close()
	end
	self.listener:close()
	self.servers.stop()
	pki.remove()
end

--- A number that no stanza before had.
function World:number()
	self.count = self.count + 1
	return self.count
end

--- Parameters of TLS for a scripted server. `suite`: a name in suites; `certificate`: files, or nil.
function server_pairs.tls(suite, certificate)
	return {
		protocol = "tlsv1_2", ciphers = server_pairs.suites[suite].ciphers .. ":@SECLEVEL=0",
		certificate = certificate and certificate.certificate, key = certificate and certificate.key,
	}
end

--- Opens a stream to a host as a server that says it is `from`. options: transport ("plain",
-- "starttls", "direct"), suite, certificate. Returns the peer and the features; or nil and the text
-- that came instead.
function World:open(host, from, options)
	local transport = options.transport
	local target = self.near:target(transport == "direct" and "s2s_direct_tls" or "s2s", host)
	if transport ~= "plain" then
		local peer, features, text = xmpp.open(target, {
			from = from, tls = server_pairs.tls(options.suite, options.certificate),
		})
		return peer, peer and features or tostring(text or features)
	end
	local peer = xmpp.connect(target, { from = from })
	local features, reason, text = peer:open()
	if not features then
		peer:close()
		return nil, tostring(text or reason)
	end
	return peer, features
end

--- Authenticates a scripted server as `from` for a host by dialback. Returns true; or false and what
-- came instead.
function server_pairs.dialback(peer, from, host)
	peer:send(("<db:result from='%s' to='%s'>key</db:result>"):format(from, host))
	local text, reason, rest = peer:read_until { "<db:result[^>]*type=.valid.[^>]*>.-</db:result>", "</stream:stream>" }
	if text and text:find "type=.valid." then
		return true
	end
	return false, text or rest or reason
end

--- By SASL EXTERNAL as the domain of the header. Returns the new features; or nil and what came
-- instead.
function server_pairs.external(peer)
	peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"
	local text, reason, rest = peer:read_until { "<success[^>]*>", "<failure", "</stream:stream>" }
	if not text or not text:find "<success" then
		return nil, text or rest or reason
	end
	return peer:open()
end

--- Ends a stream. Returns all that came on it since.
function server_pairs.finish(peer)
	peer:send "</stream:stream>"
	local text, _, rest = peer:read_all()
	peer:close()
	return text or rest or ""
end

--- Whether a stanza arrived at a server ("near" or "far") after a mark.
function World:arrived(server, kind, id, mark)
	return self[server]:log(mark):find(("Delivered: %s %s from"):format(kind, id), 1, true) ~= nil
end

--- A client of a host of near's, logged in.
function World:client(host)
	if not self.clients[host] then
		local client = assert(xmpp.open(self.near:target("c2s", host)))
		assert(client:login("juliet", "secret"))
		self.clients[host] = client
	end
	return self.clients[host]
end

--- Has a host of near's send a message to a domain. Returns its id.
function World:send_from(host, domain)
	local id = ("m%d"):format(self:number())
	self:client(host):send(("<message to='%s' id='%s'/>"):format(domain, id))
	return id
end

--- Returns when near has handled all that it had to, at the time of the call.
function World:pass_turn(host)
	for _ = 1, 2 do
		local id = ("turn%d"):format(self:number())
		self:client(host):send(("<iq type='get' id='%s'><ping xmlns='urn:xmpp:ping'/></iq>"):format(id))
		assert(self:client(host):read_until("id='" .. id .. "'"))
	end
end

--- Accepts a stream of near's, up to its header. Returns the peer, which knows the pair as host and
-- domain.
function World:accept()
	local peer = assert(self.listener:accept())
	local header = assert(peer:read_until "<stream:stream[^>]*>")
	peer.host, peer.domain = header:match "%sfrom=['\"]([^'\"]*)", header:match "%sto=['\"]([^'\"]*)"
	return peer
end

--- Answers the header of a stream of near's: with ours, and text behind it.
function server_pairs.answer(peer, text)
	peer:send(xmpp.stream_header("s2s", peer.host, peer.domain, "test") .. text)
end

--- Encrypts a stream of near's, up to its next header. `certificate`: files.
function server_pairs.secure(peer, certificate)
	server_pairs.answer(peer, ("<stream:features>%s</stream:features>"):format(xmpp.starttls_feature))
	assert(peer:proceed())
	assert(peer:secure { mode = "server", certificate = certificate.certificate, key = certificate.key })
	assert(peer:read_until "<stream:stream[^>]*>")
end

--- Accepts a stream of near's, encrypts it, and offers dialback and more features, as text.
function World:accept_secured(certificate, features)
	local peer = self:accept()
	server_pairs.secure(peer, certificate)
	server_pairs.answer(peer, ("<stream:features><dialback xmlns='urn:xmpp:features:dialback'/>%s</stream:features>")
		:format(features or ""))
	return peer
end

--- The same, and lets it authenticate by dialback.
function World:accept_whole(certificate, features)
	local peer = self:accept_secured(certificate, features)
	assert(peer:read_until "<db:result[^>]*>.-</db:result>")
	peer:send(("<db:result from='%s' to='%s' type='valid'/>"):format(peer.domain, peer.host))
	return peer
end

--- Vouches for a dialback key that near asks about on a stream of its own.
function server_pairs.vouch(peer, type)
	local query = assert(peer:read_until "<db:verify[^>]*>")
	peer:send(("<db:verify from='%s' to='%s' id='%s' type='%s'/>"):format(peer.domain, peer.host,
		query:match "%sid=['\"]([^'\"]*)", type or "valid"))
end

return server_pairs
