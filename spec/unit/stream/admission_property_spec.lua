--- Random sequences of moments on one stream, each compared with support/stream_rules.lua. SEED in the
-- environment repeats a run; SEQUENCES is how many there are.
local stream_cases = require "support.stream_cases"
local stream_rules = require "support.stream_rules"
local stream_world = require "support.stream_world"

local element, host_of = stream_world.element, stream_cases.host_of

local LENGTH = 4

-- The same numbers on every Lua (Park and Miller).
local function random_from(seed)
	local state = seed % 2147483646 + 1
	return function (most)
		state = state * 16807 % 2147483647
		return state % most + 1
	end
end

local elements = {
	{ name = "starttls", xmlns = "urn:ietf:params:xml:ns:xmpp-tls", leads = { c2s = true, s2sin = true, s2sout = true } },
	{ name = "auth", xmlns = "urn:ietf:params:xml:ns:xmpp-sasl", leads = {} },
	{ name = "message", leads = {} },
	{ name = "bidi", xmlns = "urn:xmpp:bidi", leads = {} },
	{ name = "result", xmlns = "jabber:server:dialback", is_dialback = true, leads = {} },
}

local kinds = { "should", "must", "report", "disabled" }
local domains = { "a.test", "b.test" }

-- A kind of host, more often than not the one that the sequence is about.
local function pick_kind(world, pick)
	return pick { world.favourite, world.favourite, pick(kinds) }
end

-- What may happen on a stream. Each is function(case, world, session, pick) -> the expected outcome,
-- what was found; the case follows what happens. nil: it cannot happen now.
local steps = {}

function steps.element(case, world, session, pick)
	local kind, is_foreign = pick_kind(world, pick), pick { true, true, false }
	case.element, case.from = pick(elements), case.role ~= "c2s" and pick(domains) or nil
	case.target, case.is_foreign = is_foreign and kind or case.header, is_foreign
	local to = host_of(case.target, is_foreign and 2 or 1)
	local expected = stream_rules.may_pass(case) and true or false
	-- Stanzas are looked up by their addresses first.
	if not case.element.xmlns and world.admission:is_known(session.stream, "in", to, case.from) then
		return expected, true
	end
	return expected, world.admission:may_pass(session, element(case.element.name, case.element.xmlns, to, case.from))
end

function steps.opened(case, world, session)
	return stream_rules.opened(case) and true or false, not world.admission:opened(session)
end

function steps.secured(case, _, session, pick)
	if case.tls ~= "plain" and case.tls ~= "awaited" then
		return nil
	end
	case.tls, case.certificate = pick { "bad", "weak", "weak", "good", "good", "good" }, pick { "none", "a", "b" }
	session.secure, session.connection = true, stream_cases.connection_of(case.role, case.tls, case.certificate)
	session.chain_valid, session.identity_valid = case.certificate ~= "none", case.certificate == "a"
end

function steps.starttls(case, world, session)
	if case.tls == "plain" then
		case.tls, session.secure = "awaited", false
		world.admission:starttls_agreed(session)
	end
end

function steps.header(case, _, session)
	if case.tls == "awaited" then
		case.tls, session.secure = "spoofed", true
	end
end

function steps.certificate(case, world, session)
	if case.role == "c2s" or not session.connection then
		return nil
	end
	return stream_rules.certificate_checked(case) and true or false,
		not world.admission:certificate_checked(session, "a.test")
end

function steps.authenticated(case, world, session, pick)
	local kind, domain = pick_kind(world, pick), case.role == "s2sin" and pick(domains) or "a.test"
	if case.role == "c2s" then
		return nil
	elseif case.role == "s2sout" then
		kind = case.header
	end
	local host = host_of(kind, case.role == "s2sout" and 1 or 2)
	local may = stream_rules.pair(case, kind, domain) and true or false
	local ended = world.admission:authenticated(session, host, domain, "dialback")
	if may then
		case.authed[domain] = true
		world:authenticate(session, domain)
	end
	return may, not ended
end

function steps.send(case, world, session, pick)
	local kind, domain = pick_kind(world, pick), pick(domains)
	if case.role == "c2s" then
		return nil
	end
	local may, ended = stream_rules.may_send(case, kind, domain)
	local host = host_of(kind, 2)
	local found
	if pick { true, false } then
		found = world.admission:may_send(session, host, domain)
	else
		found = world.admission:is_known(session.stream, "out", host, domain)
			or world.admission:may_send_stanza(session, element("message", nil, domain, host))
	end
	stream_cases.check(may and true or false, found, case, "may send")
	return not ended, not session.closed
end

local function set(case, world, kind, becomes, is_counted)
	case.now = case.now or {}
	case.now[kind] = becomes
	for number = 1, 2 do
		local host, given = host_of(kind, number), stream_cases.policy_of(becomes, case) or nil
		if is_counted then
			world.policies:set(host, given)
		else
			world.policies.by_host[host] = given
		end
	end
end

-- All hosts of a kind get the policy of another kind, or none.
function steps.policies(case, world, _, pick)
	set(case, world, pick_kind(world, pick), pick(kinds), true)
end

-- Hosts without a policy get one that other hosts have already: the generation stays.
function steps.covered(case, world)
	if case.now and case.now.disabled then
		return nil
	end
	set(case, world, "disabled", "should", false)
end

-- Whether each domain that is authenticated may use the stream for a host of a kind.
local function holds(case, kind)
	for domain in pairs(case.authed) do
		if not stream_rules.pair(case, kind, domain) then
			return false
		end
	end
	return true
end

-- The hosts that it was used for are judged, too.
function steps.judged_again(case, world, session)
	if case.role == "c2s" or not next(case.authed) then
		return nil
	end
	world.admission:policies_changed()
	local all = true
	for _, kind in ipairs(kinds) do
		all = all and holds(case, kind)
	end
	if all or not holds(case, case.header) then
		return all, not session.closed
	end
	return not session.closed, not session.closed
end

function steps.reload(_, world)
	world:load_again()
end

local names = {}
for name in pairs(steps) do
	names[#names + 1] = name
end
table.sort(names)

describe("no pair passes that the rules forbid,", function ()
	teardown(stream_cases.close)

	local seed = tonumber(os.getenv "SEED") or os.time()
	local sequences = tonumber(os.getenv "SEQUENCES") or 6000

	it(("in any sequence of moments (SEED=%d)"):format(seed), function ()
		local random = random_from(seed)
		local function pick(list)
			return list[random(#list)]
		end
		for number = 1, sequences do
			local case = {
				role = pick { "c2s", "s2sin", "s2sin", "s2sin", "s2sout" }, header = pick(kinds), others = "should",
				tls = pick { "plain", "bad", "weak", "good", "good", "good" }, certificate = pick { "none", "a", "b" }, authed = {},
				needs_certificate = pick { true, false, false }, memory = pick { "nothing", "nothing", "changed" },
			}
			if case.tls == "plain" then
				case.certificate = "none"
			end
			local world, session = stream_cases.world_of(case)
			world.favourite = pick(kinds)
			if case.role ~= "c2s" and pick { true, false } then
				case.authed["a.test"] = true
				world:authenticate(session, "a.test")
			end
			local done = {}
			for _ = 1, LENGTH do
				local name = pick { pick(names), "element" }
				done[#done + 1] = name
				local expected, found = steps[name](case, world, session, pick)
				stream_cases.check(expected, found, case, ("sequence %d, %s"):format(number, table.concat(done, ", ")))
				stream_cases.check(not session.closed, expected ~= false, case, "goes on")
				if session.closed then
					break
				end
			end
			stream_cases.check(session.closed or 0, world.refusal_log:total(), case, "refusals")
		end
	end)
end)
