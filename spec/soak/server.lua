-- The server under load: the changes meanwhile, the lasting connections, and its memory and
-- descriptors. It is a Metronome if the environment variable METRONOME names an installed one.
local engine = require "support.engine"
local files = require "support.files"
local lfs = require "lfs"
local metronome = require "support.servers.metronome"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local sharing_servers = require "support.sharing_servers"
local socket = require "socket"
local xmpp = require "support.xmpp"

local Subject = {}
Subject.__index = Subject

-- After this time, in seconds, Prosody closes connections without a login. Until then its timers
-- also refer to the sessions of the others. Metronome makes more of less than its least.
local TIMEOUT, METRONOMES_LEAST = 10, 60

local USER, PASSWORD = "juliet", "secret"

-- Used in turn. All of them accept the TLS of the residents. Another lifetime would begin the sharing of sessions anew,
-- and so another writer of records: the others keep a window of 128 KiB for each (see record_writers.c).
local policies = {
	{ profile = "draft-saintandre-xmpp-tls-02", resumption = { memory = 1, lifetime = 3600 } },
	{ profile = "rfc9325", resumption = { memory = 1, lifetime = 3600 } },
}

-- Sessions are shared where an engine is installed, unless the server cannot. Each load of the policy begins the
-- sharing anew.
local function share(self)
	if self.stock or self.lacks["sessions.shared"] or engine.missing() then
		return
	end
	self.engine = engine.start()
	local shared = { url = self.engine.url, key_file = sharing_servers.new_key(), name = "soak" }
	for _, policy in ipairs(policies) do
		policy.resumption.shared = shared
	end
end

local function start_servers(self)
	share(self)
	local root = pki.authority()
	local authority = root:intermediate { common_name = "Test Intermediate" }
	self.turns = {}
	for index, key in ipairs { "p256", "rsa2048" } do
		self.turns[index] = {
			certificate = authority:issue { names = { "near.test" }, key = key }, policy = policies[index],
		}
	end
	self.certificates = {}
	for index = 1, 10 do
		local domain = ("far%d.test"):format(index)
		local issued = authority:issue { names = { domain }, key = "p256" }
		self.certificates[index] = { domain = domain, certificate = issued.certificate, key = issued.key }
	end
	self.near = self.servers.start {
		hosts = { ["near.test"] = self.turns[1].certificate }, ca = root.certificate, routes = {},
		with_policy = not self.stock, policy = policies[1], log_level = "info",
		users = { [USER .. "@near.test"] = PASSWORD },
		options = {
			limits = {}, c2s_timeout = TIMEOUT, s2s_timeout = TIMEOUT,
			network_settings = { ssl_handshake_timeout = TIMEOUT },
			-- While the policy is unloaded, too, the server refuses what no policy allows.
			ssl = { protocol = "tlsv1_2+", ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20" },
		},
	}
	self.far = self.servers.start {
		hosts = { ["far.test"] = authority:issue { names = { "far.test" }, key = "p256" } }, ca = root.certificate,
		routes = { ["near.test"] = { s2s = self.near.ports.s2s } }, log_level = "info",
	}
	self.near:configure { routes = { ["far.test"] = { s2s = self.far.ports.s2s } } }
	self.near:reload()
	self.pid = assert(files.read(self.near.directory .. "/prosody.pid"):match "%d+")
end

---- Residents ----------------------------------------------------------------

local function connect_residents(self)
	self.residents = {}
	for _, service in ipairs { "c2s", "c2s_direct_tls" } do
		for _, version in ipairs { "tlsv1_2", "tlsv1_3" } do
			local name = ("%s %s"):format(service, version)
			local peer, reason, text = xmpp.open(self.near:target(service), { tls = { protocol = version } })
			assert(peer, ("%s: %s %s"):format(name, tostring(reason), tostring(text)))
			assert(peer:login(USER, PASSWORD))
			table.insert(self.residents, { name = name, peer = peer })
		end
	end
end

local pings = 0

-- Seconds until the answer; or nil and the reason why there is none.
local function ping(peer, domain)
	pings = pings + 1
	local id, start = "ping" .. pings, socket.gettime()
	local sent, problem = peer:send(
		("<iq type='get' id='%s' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>"):format(id, domain))
	if not sent then
		return nil, problem
	end
	local answer, reason, rest = peer:read_until(("<iq[^>]-id=['\"]%s['\"][^>]*>"):format(id))
	if not answer then
		return nil, ("%s %s"):format(reason, rest)
	elseif not answer:find "type=['\"]result['\"]" then
		return nil, answer
	end
	return socket.gettime() - start
end

--- Pings through each lasting connection: from clients to the server, and from the first client to
-- the other server, through the streams in both directions. Returns the longest time of an answer,
-- and a list of the lost pings.
function Subject:ping()
	local longest, lost = 0, {}
	local function try(name, peer, domain)
		local took, problem = ping(peer, domain)
		longest = math.max(longest, took or 0)
		if not took then
			lost[#lost + 1] = ("%s: no answer from %s: %s"):format(name, domain, problem)
		end
	end
	for _, resident in ipairs(self.residents) do
		try(resident.name, resident.peer, "near.test")
	end
	try("s2s", self.residents[1].peer, "far.test")
	return longest, lost
end

--- The sessions of the streams between the two servers, as one text.
function Subject:streams()
	return self:evaluate(([[
		local server = %s
		local ids = { tostring(server.hosts["near.test"].s2sout["far.test"]) }
		for session in pairs(server.incoming_s2s) do
			ids[#ids + 1] = session.from_host == "far.test" and tostring(session) or nil
		end
		return table.concat(ids, " ")
	]]):format(self.near.name))
end

---- Changes ------------------------------------------------------------------

--- Runs Lua in the server, which returns a text.
function Subject:evaluate(code)
	local output = self.near:shell("> " .. code:gsub("%s+", " "))
	return assert(output:match "Result: ([^\n]*)", output)
end

local function unload_and_load(name)
	return function (self)
		self.near:shell(("module:unload(%q)"):format(name))
		local longest, lost = self:ping()
		self.near:shell(("module:load(%q)"):format(name))
		return longest, lost
	end
end

local function reload(name)
	return function (self)
		self.near:shell(("module:reload(%q)"):format(name))
		return self:ping()
	end
end

local upheavals = {
	{ "mod_tls unloaded and loaded", unload_and_load "tls" },
	{ "the policy unloaded and loaded", unload_and_load "xmpp_tls_policy", of_policy = true },
	{ "mod_tls reloaded", reload "tls" },
	{ "the policy reloaded", reload "xmpp_tls_policy", of_policy = true },
}

-- One of them is done each time after this many changes.
local UPHEAVAL_EVERY = 5

-- The server makes contexts at any time: it moves both files itself, so that it never finds one of them half written,
-- or one of each pair.
local function renew(self, from)
	local moves = {}
	for part, ending in pairs { certificate = "crt", key = "key" } do
		local path = ("%s/keys/near.test.%s"):format(self.near.directory, ending)
		files.write(path .. ".new", assert(files.read(from[part])))
		moves[#moves + 1] = ("assert(os.rename(%q, %q))"):format(path .. ".new", path)
	end
	self:evaluate(table.concat(moves, " ") .. " return 'renewed'")
end

--- Changes certificate and configuration, and sometimes unloads and loads modules. Returns the
-- results of ping(), which runs meanwhile and afterwards.
function Subject:shake()
	self.shakes = self.shakes + 1
	local turn = self.turns[1 + self.shakes % 2]
	renew(self, turn.certificate)
	self.near:configure { policy = turn.policy }
	self.near:reload()
	self.upheavals["reloaded, with another certificate"] = self.shakes
	local upheaval = self.shakes % UPHEAVAL_EVERY == 0
		and upheavals[1 + math.floor(self.shakes / UPHEAVAL_EVERY) % #upheavals]
	if upheaval and not (self.stock and upheaval.of_policy) then
		self.upheavals[upheaval[1]] = (self.upheavals[upheaval[1]] or 0) + 1
		return upheaval[2](self)
	end
	return self:ping()
end

---- Memory and descriptors ---------------------------------------------------

function Subject:descriptors()
	local count = 0
	for name in lfs.dir(("/proc/%s/fd"):format(self.pid)) do
		count = count + (tonumber(name) and 1 or 0)
	end
	return count
end

--- Waits until it has at most that many descriptors. Returns their number, also if it stays higher.
function Subject:settled_descriptors(expected)
	process.poll(3 * self.longest, function ()
		return self:descriptors() <= expected
	end)
	return self:descriptors()
end

--- Its memory when only the residents are connected: { resident, allocated (by malloc and not
-- freed), lua (of that, Lua's) }, in bytes.
function Subject:memory()
	-- Its timers have to end. All that a finalised userdata leads to is freed in the cycle after that.
	socket.sleep(self.longest + 1)
	local allocated, lua = self:evaluate(([[
		local malloc = assert(package.loadlib(%q, "luaopen_malloc"))()
		local before
		repeat
			before = malloc.in_use()
			collectgarbage()
			collectgarbage()
		until malloc.in_use() >= before
		malloc.trim()
		return ("%%d %%d"):format(malloc.in_use(), math.floor(collectgarbage "count" * 1024))
	]]):format(self.malloc)):match "(%d+) (%d+)"
	local resident = files.read(("/proc/%s/status"):format(self.pid)):match "VmRSS:%s+(%d+) kB"
	return { resident = resident * 1024, allocated = tonumber(allocated), lua = tonumber(lua) }
end

--- Whether the same process still runs.
function Subject:lives()
	return self.near:alive() and files.read(self.near.directory .. "/prosody.pid"):match "%d+" == self.pid
end

--- The number of records that the server shared; nil where no engine is installed.
function Subject:shared()
	return self.engine and tonumber(self.engine:cli("XLEN", "soak"):match "%d+")
end

function Subject:stop()
	for _, resident in ipairs(self.residents or {}) do
		resident.peer:close()
	end
	self.servers.stop()
	if self.engine then
		self.engine:stop()
	end
	pki.remove()
end

local server = {}

local kind = metronome.path and {
	start = metronome.start, lacks = require "xmpp_tls_policy.servers.metronome.lacks", longest = METRONOMES_LEAST,
} or {
	start = prosody.start, lacks = require "xmpp_tls_policy.servers.prosody.lacks", longest = TIMEOUT,
}

--- Starts it, and one that it federates with, and connects the residents. options: stock
-- (true: without the policy), malloc (path of the module made of malloc.c).
function server.start(options)
	local self = setmetatable({
		stock = options.stock, malloc = options.malloc, shakes = 0, upheavals = {}, lacks = kind.lacks,
		longest = kind.longest, servers = prosody.group(kind.start),
	}, Subject)
	local done, problem = pcall(function ()
		start_servers(self)
		connect_residents(self)
	end)
	if not done then
		self:stop()
		error(problem, 0)
	end
	return self
end

return server
