--- The shapes that the hosts of ours have seen (see shapes.lua), kept in stores of the server.
local day_counts = require "xmpp_tls_policy.fleet.day_counts"
local judgement = require "xmpp_tls_policy.fleet.judgement"
local observer = require "xmpp_tls_policy.core".observer
local shape = require "xmpp_tls_policy.fleet.shape"
local shape_stores = require "xmpp_tls_policy.fleet.shape_stores"
local shapes = require "xmpp_tls_policy.fleet.shapes"
local unwritten_records = require "xmpp_tls_policy.unwritten_records"

local fleets = {}

local methods = {}
local metatable = { __index = methods }

local function clock()
	return os.time()
end

local IN_A_TURN = 20 -- records to read, or shapes to judge

-- In place of the account of clients that get a new one at each login. A space is in no account.
local ANONYMOUS = "anonymous clients"

fleets.DAYS = day_counts.DAYS

-- ---- records -----------------------------------------------------------------------

-- A host's shapes; nil while they are read.
local function shapes_read(self, host)
	local kept = self._hosts[host]
	return kept and not kept.is_reading and kept.shapes or nil
end

--- For one load of the module. `server`: the adapter; `adopted`: see contexts/adopted_contexts.lua; `queue`: a
-- work_queue, in which records are read and written, and shapes are judged; `facts_of`: function(certificate) -> its
-- facts, nil: they are read anew; `kept`: the fleets of the load before, or nil; `now`: function() -> UTC seconds, the
-- system's by default.
function fleets.new(options)
	local kept, now = options.kept, options.now or clock
	local self = setmetatable({
		_server = options.server,
		_adopted = options.adopted,
		_queue = options.queue,
		_facts_of = options.facts_of,
		_now = now,
		_hosts = kept and kept._hosts or {}, -- host -> { shapes, stores, is_reading, is_judging }
		_key_types = setmetatable({}, { __mode = "k" }), -- entry of a context -> type of its certificate's key
	}, metatable)
	self._unwritten = unwritten_records.new {
		queue = options.queue, now = now, kept = kept and kept._unwritten, work = "storing the shapes of",
		hosts = function () return self:hosts() end,
		source_of = function (host) return shapes_read(self, host) end,
		store = function (host, key, record) return self._hosts[host].stores:set(key, record) end,
	}
	return self
end

local judge_later

-- Reads the stored records in later turns. They are no more if the host was closed meanwhile.
local function read(self, host, kept)
	kept.is_reading = true
	local stores, keys, index = kept.stores, kept.stores:keys(), 0
	local function take(key)
		local record = self._hosts[host] == kept and stores:get(key)
		if record and not kept.shapes:take(key, record) then
			stores:set(key, nil)
			self._server.log(host, "warn", "A damaged record of %s is removed", stores.name(key))
		end
	end
	self._queue:add("reading the shapes of " .. host, function ()
		for _ = 1, IN_A_TURN do
			index = index + 1
			if not keys[index] then
				kept.is_reading = nil
				-- The server may have been down for weeks.
				kept.shapes:sweep()
				judge_later(self, host, kept)
				return false
			end
			take(keys[index])
		end
		return true
	end)
end

--- Prepares the shapes of a host: goes on with those of the load before, or with the stored ones. If the load
-- before was still reading them, all are read again.
function methods:open(host)
	local kept = self._hosts[host]
	if kept and not kept.is_reading then
		kept.stores, kept.is_judging = shape_stores.open(self._server, host), nil
		-- The work of the load before is gone, and with it what it was judging.
		kept.shapes:judge_again()
		judge_later(self, host, kept)
		return kept
	end
	kept = { shapes = shapes.new { now = self._now }, stores = shape_stores.open(self._server, host) }
	self._hosts[host] = kept
	read(self, host, kept)
	return kept
end

--- Stores the changes of a host at once.
function methods:store(host)
	self._unwritten:write(host)
end

--- The same for all hosts.
function methods:store_all()
	self._unwritten:write_all()
end

--- The same in later turns, if it was not done for an hour. Forgets what is old.
function methods:store_hourly()
	self._unwritten:write_hourly()
end

--- A host has no policy any more. All that was not stored is lost.
function methods:close(host)
	self._hosts[host] = nil
	self._unwritten:drop(host)
end

--- Forgets an account of a host that was deleted.
function methods:forget_account(host, jid)
	local kept = self._hosts[host]
	if kept then
		kept.shapes:forget("client", jid)
		if kept.is_reading then
			kept.stores:set("client " .. jid, nil)
		end
		self:store(host)
	end
end

-- ---- judging -----------------------------------------------------------------------

-- Whether a policy would cut off a shape in some role. Without a judgement, it counts as if it would. A failure is
-- logged and ends the judgement of this shape alone: a peer chooses its shape.
local function is_cut_off(self, judge, waiting)
	for _, role in ipairs(waiting.roles) do
		local done, verdict = pcall(judge.of, judge, waiting.shape, role)
		if not done then
			self._server.log_limited("Internal error of the TLS policy in judging a shape", tostring(verdict))
		end
		if not done or not verdict or verdict.refuse then
			return true
		end
	end
	return false
end

-- A step judges some of the shapes that wait under one policy. It returns true while there is more.
local function judging(self, host, kept)
	local waiting, policies = kept.shapes:unjudged(), judgement.every_policy()
	local at_policy, at_shape, judge, contexts = 1, 0, nil, {}
	return function ()
		for _ = 1, IN_A_TURN do
			at_shape = at_shape + 1
			local item = waiting[at_shape]
			if not item then
				at_policy, at_shape, judge = at_policy + 1, 0, nil
				break
			end
			judge = judge or judgement.new {
				server = self._server, adopted = self._adopted, host = host, policy = policies[at_policy],
				contexts = contexts,
			}
			item.is_cut_off = item.is_cut_off or is_cut_off(self, judge, item)
		end
		if policies[at_policy] then
			return true
		end
		local verdicts = {}
		for _, item in ipairs(waiting) do
			verdicts[item.shape] = item.is_cut_off
		end
		kept.shapes:judged(verdicts)
		kept.is_judging = nil
		judge_later(self, host, kept)
		return false
	end
end

-- Judges the shapes that wait, in later turns, one host after the other.
function judge_later(self, host, kept)
	if kept.is_judging or kept.is_reading or not kept.shapes:has_unjudged() then
		return
	end
	kept.is_judging = true
	local step
	self._queue:add("judging the shapes of " .. host, function ()
		step = step or judging(self, host, kept)
		return step()
	end)
end

--- All shapes are judged anew in later turns: the server's configuration may have changed.
function methods:judge_again()
	for host, kept in pairs(self._hosts) do
		kept.shapes:judge_again()
		kept.is_judging = nil
		judge_later(self, host, kept)
	end
end

-- ---- seeing ------------------------------------------------------------------------

-- The type of the key of our certificate in a handshake, nil if it is not known.
local function key_type_of(self, connection)
	local label = observer.label(connection)
	local entry = label and self._adopted:by_label(label)
	if not entry or not entry.certificate then
		return nil
	end
	local known = self._key_types[entry]
	if not known then
		known = entry.certificate:facts().key_type
		self._key_types[entry] = known
	end
	return known
end

local function take_in(self, stream, host, packed, connection, name)
	local kept = self._hosts[host] or self:open(host)
	local key_type = connection and stream.role ~= "s2sout" and key_type_of(self, connection) or nil
	kept.shapes:see(packed, stream.role, key_type, name)
	judge_later(self, host, kept)
end

local function see_client(self, stream, host)
	local server, session = self._server, stream.session
	local connection = server.connection(session)
	local packed
	if connection then
		-- Once for a connection.
		packed = observer.take_shape(connection)
	elseif not server.is_secure(session) and not stream.has_shape then
		packed, stream.has_shape = shape.WITHOUT_TLS, true
	end
	if packed then
		local name = server.is_anonymous(host) and ANONYMOUS or server.client_bare_jid(session)
		take_in(self, stream, host, packed, connection, name)
	end
end

-- The shape of a server's stream; nil if it is not known.
local function shape_of_server(self, stream, connection)
	if not connection then
		return not stream:is_encrypted() and shape.WITHOUT_TLS or nil
	elseif stream.role == "s2sout" then
		local facts = stream.facts
		return facts and shape.of_answer(facts, facts.certificate and self._facts_of and self._facts_of(facts.certificate))
	end
	return observer.take_shape(connection)
end

local function see_server(self, stream, host, domain)
	local pairs_seen, pair = stream.shape_pairs or {}, host .. " " .. domain
	if pairs_seen[pair] then
		return
	end
	stream.shape_pairs, pairs_seen[pair] = pairs_seen, true
	local connection = self._server.connection(stream.session)
	stream.shape = stream.shape or shape_of_server(self, stream, connection)
	if stream.shape then
		take_in(self, stream, host, stream.shape, connection, domain)
	end
end

-- A failure here closes no stream; it is logged.
local function safely(self, see, ...)
	local done, problem = pcall(see, self, ...)
	if not done then
		self._server.log_limited("A connection is missing among the shapes", tostring(problem))
	end
end

--- A client of a host has authenticated. Harmless when it is called again for the same connection.
function methods:see_client(stream, host)
	safely(self, see_client, stream, host)
end

--- The same for a pair of servers.
function methods:see_server(stream, host, domain)
	safely(self, see_server, stream, host, domain)
end

-- ---- questions ---------------------------------------------------------------------

--- The shapes of a host; nil if there are none.
function methods:get(host)
	local kept = self._hosts[host]
	return kept and kept.shapes
end

--- Whether the stored shapes of a host are still being read.
function methods:is_reading(host)
	local kept = self._hosts[host]
	return kept ~= nil and kept.is_reading == true
end

--- Hosts with shapes, sorted.
function methods:hosts()
	local names = {}
	for host in pairs(self._hosts) do
		names[#names + 1] = host
	end
	table.sort(names)
	return names
end

--- The verdicts of a policy on the shapes of a host: see judgement.lua.
function methods:judgement(host, policy)
	return judgement.new { server = self._server, adopted = self._adopted, host = host, policy = policy }
end

return fleets
