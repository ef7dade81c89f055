--- Cases of support/stream_rules.lua made real: a world, a stream in the state of the case, and the
-- checks of a case.
local core = require "xmpp_tls_policy.core"
local stream_world = require "support.stream_world"
local tls_pairs = require "support.tls_pairs"

local stream_cases = {}

stream_cases.kinds = { "should", "must", "report", "disabled", "unknown" }
stream_cases.states = { "plain", "awaited", "spoofed", "unobserved", "bad", "weak", "good" }

-- Calls visit with each combination of one value of each list.
local function each(lists, visit, values, depth)
	values, depth = values or {}, depth or 1
	if depth > #lists then
		return visit((unpack or table.unpack)(values, 1, #lists)) -- luacheck: ignore 143
	end
	for _, value in ipairs(lists[depth]) do
		values[depth] = value
		each(lists, visit, values, depth + 1)
	end
end

-- Role, state and certificate -> connection, each made once.
local connections = {}

local function connection_of(role, tls, certificate)
	local key = role .. tls .. certificate
	if not connections[key] then
		local is_observed = tls ~= "unobserved"
		connections[key] = tls_pairs.connection(role, is_observed and tls or "good", certificate, is_observed)
	end
	return connections[key]
end

local function is_encrypted(tls)
	return tls ~= "plain" and tls ~= "awaited" and tls ~= "spoofed"
end

-- Two hosts of each kind.
local function host_of(kind, number)
	return ("%s-%d.test"):format(kind, number)
end

local function policy_of(kind, case)
	if kind == "disabled" or kind == "unknown" then
		return false
	end
	return stream_world.policy {
		level = kind == "must" and "must" or "should", mode = kind == "report" and "report" or nil,
		unauthenticated_s2s = case.needs_certificate and "refuse" or nil,
		certificate_change = case.memory and "refuse" or nil,
	}
end

local records = {}

-- The remembered certificate of a domain: the one that the connection shows, or another one.
local function record_of(case, connection, domain)
	local certificate = connection
	if case.memory == "changed" then
		certificate = connection_of("s2sin", "good", "older")
	end
	records[certificate] = records[certificate] or {}
	records[certificate][domain] = records[certificate][domain]
		or stream_world.record_of(core.observer.facts(certificate).certificate, domain)
	return records[certificate][domain]
end

local function fill_memories(world, case, connection)
	local facts = connection and core.observer.facts(connection)
	local shown = case.memory == "changed" or case.memory == "same" and facts and facts.certificate
	for _, kind in ipairs(shown and { "should", "must", "report", "disabled" } or {}) do
		for number = 1, 2 do
			world.records[host_of(kind, number)] = {
				["a.test"] = record_of(case, connection, "a.test"), ["b.test"] = record_of(case, connection, "b.test"),
			}
		end
	end
end

-- A world with the stream of a case.
local function world_of(case)
	local hosts = { ["*"] = policy_of(case.others or "should", case) or nil }
	for _, kind in ipairs { "should", "must", "report", "disabled" } do
		hosts[host_of(kind, 1)], hosts[host_of(kind, 2)] = policy_of(kind, case), policy_of(kind, case)
	end
	local world = stream_world.new(hosts)
	local connection = is_encrypted(case.tls) and connection_of(case.role, case.tls, case.certificate) or nil
	local secure = case.tls ~= "plain"
	if case.tls == "awaited" then
		secure = false
	elseif case.tls == "plain" then
		secure = nil
	end
	local session = world:session {
		role = case.role, host = case.header and host_of(case.header, 1), connection = connection, secure = secure,
		peer = case.role ~= "c2s" and "a.test" or nil, chain_valid = connection and case.certificate ~= "none",
		identity_valid = connection and case.certificate == "a", authed = {},
	}
	for domain in pairs(case.authed) do
		world:authenticate(session, domain)
	end
	if case.tls == "awaited" or case.tls == "spoofed" then
		world.admission:starttls_agreed(session)
	end
	fill_memories(world, case, connection)
	return world, session
end

local function described(case)
	local parts = {}
	for name, value in pairs(case) do
		if name == "element" then
			value = ("%s (%s)"):format(value.name, value.xmlns or "stanza")
		elseif type(value) == "table" then
			local list = {}
			for key in pairs(value) do
				list[#list + 1] = tostring(key)
			end
			table.sort(list)
			value = table.concat(list, "+")
		end
		parts[#parts + 1] = ("%s = %s"):format(name, tostring(value))
	end
	table.sort(parts)
	return table.concat(parts, ", ")
end

local function check(expected, found, case, what)
	if expected ~= found then
		error(("%s: expected %s, found %s where %s"):format(what, tostring(expected), tostring(found), described(case)), 0)
	end
end

-- Checks that a stream was ended once, with all consequences; or not at all.
local function check_ending(world, session, ended, case)
	local times = ended and 1 or 0
	check(times, session.closed or 0, case, "closed")
	check(times, world.refusal_log:total(), case, "refusals")
	check(times, #world.refusals, case, "refusals counted")
	check(times, #world.fired, case, "events")
end

-- Nothing is remembered of a domain that is not authenticated, and nothing is published twice. The
-- one exception is a certificate that was refused on an outgoing stream.
local function check_effects(world, session, case, authenticated)
	for _, written in ipairs(world.written) do
		local domain = written:match "^%S+ (%S+)$"
		local refused = case.role == "s2sout" and domain == "a.test" and case.memory == "changed" and session.closed
		check(true, refused ~= nil and refused ~= false or (authenticated or case.authed)[domain] or false, case,
			"authenticated as " .. domain)
	end
	-- The pair of the header, and that of the element, each time that it is judged.
	local is_one_pair = not case.is_foreign and (case.from or "a.test") == "a.test" and not case.authed["b.test"]
	check(true, (session.published or 0) <= (is_one_pair and 1 or 4), case, "published once at most")
	check(true, #world.handshakes <= 1, case, "counted once at most")
end

-- The target of an element: its `to`, the kind of that host if it is ours, and whether it differs from
-- the host of the header.
function stream_cases.targets(header)
	local list = { {} }
	if header then
		list[2] = { to = host_of(header, 1), kind = header ~= "unknown" and header or nil }
	end
	for _, kind in ipairs(stream_cases.kinds) do
		list[#list + 1] = {
			to = host_of(kind, 2), kind = kind ~= "unknown" and kind or nil, is_foreign = kind ~= "unknown",
		}
	end
	return list
end

-- Calls visit(kind of the header's host or nil, kind of the policy for a header without one).
function stream_cases.each_header(visit)
	for _, kind in ipairs(stream_cases.kinds) do
		visit(kind, "should")
	end
	visit(nil, "should")
	visit(nil, "report")
end

--- Closes all connections.
function stream_cases.close()
	connections, records = {}, {}
	tls_pairs.close()
end

stream_cases.each, stream_cases.connection_of, stream_cases.host_of = each, connection_of, host_of
stream_cases.world_of, stream_cases.policy_of, stream_cases.is_encrypted = world_of, policy_of, is_encrypted
stream_cases.check, stream_cases.check_ending, stream_cases.check_effects = check, check_ending, check_effects

return stream_cases
