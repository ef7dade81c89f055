-- Rule 1 of stream/admission.lua on real servers: nothing reaches a host where a policy is enforced
-- until the pair that it concerns was admitted under that host's policy. Crossed here: the host of the
-- header, the host that is meant, the transport, the suite, the certificate, and how the peer
-- authenticated. The outcome is computed from the rule.
local assert_sound = require "support.assert_sound"
local prosody = require "support.prosody"
local server_pairs = require "support.server_pairs"

local suites = server_pairs.suites

local transports = {
	{ transport = "plain" },
	{ transport = "starttls", suite = "bad" }, { transport = "starttls", suite = "weak" },
	{ transport = "starttls", suite = "good" },
	{ transport = "direct", suite = "bad" }, { transport = "direct", suite = "weak" },
	{ transport = "direct", suite = "good" },
}

-- Whether a stream comes into being. Of direct TLS, the policy for all holds on hosts without one. The
-- level must does not demand TLS.
local function can_open(case)
	local header, level = case.header, case.header.level
	if case.transport == "plain" then
		return level ~= "should"
	elseif case.transport == "direct" and header.kind == "disabled" then
		level = "should"
	end
	return not suites[case.suite].breaks[level] and (not header.refuses or case.is_certified)
end

-- Whether a host admits the pair of a stream that is there.
local function admits(host, case)
	if not host.level then
		return true
	elseif case.transport == "plain" then
		return host.level == "must" and not host.refuses
	elseif case.transport == "starttls" and case.header.kind == "disabled" then
		-- Nothing is known of that handshake.
		return false
	end
	return not suites[case.suite].breaks[host.level] and (not host.refuses or case.is_certified)
end

local function named(name)
	for _, host in ipairs(server_pairs.hosts()) do
		if host.name == name then
			return host
		end
	end
end

-- Whether the rules let a stanza through to its host. It needs dialback for its own pair, or a
-- certificate and some dialback.
local function is_admitted(case)
	return can_open(case) and admits(named(case.dialback_to), case) and admits(case.target, case)
		and (not case.target.level or case.dialback_to == case.target.name or case.is_certified)
end

describe("a stream of another server", function ()
	local world

	setup(function ()
		world = server_pairs.start(server_pairs.hosts())
	end)

	teardown(function ()
		if world then
			world:stop()
		end
	end)

	-- Sends a stanza, and returns whether it arrived, with all that came back.
	local function deliver(case)
		local mark, id = world.near:mark(), ("m%d"):format(world:number())
		local peer, text = world:open(case.header.name, "a.test", {
			transport = case.transport, suite = case.suite, certificate = case.is_certified and world.theirs or nil,
		})
		if not peer then
			return false, text
		end
		local _, answer = server_pairs.dialback(peer, "a.test", case.dialback_to)
		peer:send(("<message from='a.test' to='%s' id='%s'/>"):format(case.target.name, id))
		answer = (answer or "") .. server_pairs.finish(peer)
		return world:arrived("near", "message", id, mark), answer
	end

	local function check(case)
		local arrived, text = deliver(case)
		assert.equal(is_admitted(case), arrived, ("header %s, dialback to %s, stanza to %s, %s %s%s: %s"):format(
			case.header.name, case.dialback_to, case.target.name, case.transport, case.suite or "",
			case.is_certified and ", with a certificate" or "", text))
	end

	for _, how in ipairs(transports) do
		for _, is_certified in ipairs(how.transport == "plain" and { false } or { false, true }) do
			local name = ("%s%s, %s"):format(how.transport, how.suite and " with suite " .. how.suite or "",
				is_certified and "a valid certificate" or "no certificate")
			it("reaches no host that has not admitted its pair: " .. name, function ()
				if how.transport == "direct" then
					prosody.surface.need("sni.contexts", pending)
				end
				for _, header in ipairs(server_pairs.hosts()) do
					for _, target in ipairs(server_pairs.hosts()) do
						for _, dialback_to in ipairs(header.name == target.name and { target.name } or { target.name, header.name }) do
							check {
								header = header, target = target, dialback_to = dialback_to, transport = how.transport, suite = how.suite,
								is_certified = is_certified,
							}
						end
					end
				end
			end)
		end
	end

	it("leaves no trace in the log but its refusals", function ()
		assert_sound(world.near)
	end)
end)
