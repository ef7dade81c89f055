--- What may pass on a stream: products of states, of which the outcome is worked out by
-- support/stream_rules.lua.
local core = require "xmpp_tls_policy.core"
local stream_rules = require "support.stream_rules"
local stream_world = require "support.stream_world"
local tls_pairs = require "support.tls_pairs"

local element = stream_world.element

local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"
local xmlns_sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
local xmlns_streams = "http://etherx.jabber.org/streams"
local xmlns_dialback = "jabber:server:dialback"

local roles = { "c2s", "s2sin", "s2sout" }
local server_roles = { "s2sin", "s2sout" }
local kinds = { "should", "must", "report", "disabled", "unknown" }
local states = { "plain", "awaited", "spoofed", "unobserved", "bad", "weak", "good" }

-- `leads`: to TLS, by the role of our end.
local elements = {
	{ name = "starttls", xmlns = xmlns_tls, leads = { c2s = true, s2sin = true, s2sout = true } },
	{ name = "proceed", xmlns = xmlns_tls, leads = { s2sout = true } },
	{ name = "auth", xmlns = xmlns_sasl, leads = {} },
	{ name = "iq", leads = {} },
	{ name = "message", leads = {} },
	{ name = "presence", leads = {} },
	{ name = "features", xmlns = xmlns_streams, leads = { s2sout = true } },
	{ name = "bidi", xmlns = "urn:xmpp:bidi", leads = {} },
	{ name = "compress", xmlns = "http://jabber.org/protocol/compress", leads = {} },
	{ name = "starttls", xmlns = "urn:example:unknown", leads = {} },
	{ name = "result", xmlns = xmlns_dialback, is_dialback = true, leads = {} },
	{ name = "verify", xmlns = xmlns_dialback, is_dialback = true, leads = {} },
}
local by_name = {}
for _, one in ipairs(elements) do
	by_name[one.name] = by_name[one.name] or one
end

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

-- What is remembered of a domain: the certificate that the connection shows, or another one.
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
	local shown = case.memory == "changed"
		or case.memory == "same" and is_encrypted(case.tls) and core.observer.facts(connection).certificate
	for _, kind in ipairs(shown and { "should", "must" } or {}) do
		for number = 1, 2 do
			world.certificates.records[host_of(kind, number)] = {
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
		session.authed[domain] = true
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

-- Whether a stream was ended, once, with all that belongs to it, or not at all.
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
	for _, written in ipairs(world.certificates.written) do
		local domain = written:match "^%S+ (%S+)$"
		local refused = case.role == "s2sout" and domain == "a.test" and case.memory == "changed" and session.closed
		check(true, refused ~= nil and refused ~= false or (authenticated or case.authed)[domain] or false, case,
			"authenticated as " .. domain)
	end
	-- The pair of the header, and that of the element, each time that it is judged.
	local is_one_pair = not case.is_foreign and (case.from or "a.test") == "a.test"
	check(true, (session.published or 0) <= (is_one_pair and 1 or 4), case, "published once at most")
	check(true, #world.handshakes <= 1, case, "counted once at most")
end

local function run_element(case, to)
	local world, session = world_of(case)
	local given = element(case.element.name, case.element.xmlns, to, case.from)
	local expected = stream_rules.may_pass(case) and true or false
	check(expected, world.admission:may_pass(session, given), case, "may pass")
	if expected then
		check(true, world.admission:may_pass(session, given), case, "may pass again")
	end
	check_ending(world, session, not expected, case)
	if not expected then
		check(not stream_rules.ends_silently(case), session.condition ~= nil, case, "ended with an error")
	end
	check_effects(world, session, case)
end

-- Where an element is for: what its `to` is, the kind of that host as far as it is ours, and whether
-- it is another than the header's.
local function targets(header)
	local list = { {} }
	if header then
		list[2] = { to = host_of(header, 1), kind = header ~= "unknown" and header or nil }
	end
	for _, kind in ipairs(kinds) do
		list[#list + 1] = {
			to = host_of(kind, 2), kind = kind ~= "unknown" and kind or nil, is_foreign = kind ~= "unknown",
		}
	end
	return list
end

local function each_header(visit)
	for _, kind in ipairs(kinds) do
		visit(kind, "should")
	end
	visit(nil, "should")
	visit(nil, "report")
end

describe("an element", function ()
	teardown(function ()
		connections, records = {}, {}
		tls_pairs.close()
	end)

	-- Crossed: host of the header, host that the element is for, role, state of TLS, element.
	for _, role in ipairs(roles) do
		it("before authentication passes on a stream that keeps the policies of its hosts: " .. role, function ()
			each_header(function (header, others)
				each({ targets(header), states, elements }, function (target, tls, one)
					run_element({
						role = role, header = header, others = others, target = target.kind, is_foreign = target.is_foreign,
						tls = tls, element = one, certificate = "none", authed = {},
						from = role ~= "c2s" and "a.test" or nil,
					}, target.to)
				end)
			end)
		end)
	end

	-- Crossed: both hosts, role, state of TLS, element, domain that it is from, domains that are
	-- authenticated.
	for _, role in ipairs(server_roles) do
		it("after authentication passes where its own pair keeps the policy: " .. role, function ()
			local authed = { { ["a.test"] = true } }
			if role == "s2sin" then
				authed[2], authed[3] = { ["b.test"] = true }, { ["a.test"] = true, ["b.test"] = true }
			end
			each_header(function (header, others)
				each({ targets(header), states, { by_name.message, by_name.bidi, by_name.result, by_name.verify }, authed,
					{ "a.test", "b.test", "" } }, function (target, tls, one, of, from)
					run_element({
						role = role, header = header, others = others, target = target.kind, is_foreign = target.is_foreign,
						tls = tls, element = one, certificate = "none", authed = of, from = from ~= "" and from or nil,
					}, target.to)
				end)
			end)
		end)
	end

	it("of a client that has authenticated passes", function ()
		each_header(function (header)
			each({ targets(header), states, elements }, function (target, tls, one)
				local case = {
					role = "c2s", header = header, target = target.kind, tls = tls, element = one, certificate = "none", authed = {},
				}
				local world, session = world_of(case)
				session.authenticated = true
				check(true, world.admission:may_pass(session, element(one.name, one.xmlns, target.to)), case, "may pass")
				check_ending(world, session, false, case)
			end)
		end)
	end)

	-- Crossed: both hosts, as far as their level counts, role, state of TLS, certificate,
	-- unauthenticated_s2s, certificate memory, element, domain that it is from, domains that are
	-- authenticated.
	for _, role in ipairs(server_roles) do
		for _, memory in ipairs { "nothing", "same", "changed" } do
			it(("passes where certificates are as the policies demand: %s, %s is remembered"):format(role, memory), function ()
				local authed = { {}, { ["a.test"] = true } }
				if role == "s2sin" then
					authed[3], authed[4] = { ["b.test"] = true }, { ["a.test"] = true, ["b.test"] = true }
				end
				local headers, places = { "should", "must", "disabled" }, {
					{ is_foreign = false }, { kind = "should", is_foreign = true }, { kind = "disabled", is_foreign = true },
				}
				each({ headers, places, { "plain", "weak", "good" }, { "none", "a", "b" }, { true, false },
					{ by_name.bidi, by_name.message, by_name.result }, { "a.test", "b.test" }, authed },
				function (header, place, tls, certificate, needs_certificate, one, from, of)
					local kind = place.kind or header
					run_element({
						role = role, header = header, target = kind, is_foreign = place.is_foreign, tls = tls, element = one,
						certificate = certificate, needs_certificate = needs_certificate, memory = memory, authed = of,
						from = one ~= by_name.bidi and from or nil,
					}, host_of(kind, place.is_foreign and 2 or 1))
				end)
			end)
		end
	end
end)
