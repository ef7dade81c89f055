-- The policy of a host changes while streams exist, at each moment of their life: what follows is judged
-- under the new policy. Crossed here: the policy before and after, the host of the header, the suite, and
-- the moment. The outcome is computed from the rules of stream/admission.lua.
local assert_sound = require "support.assert_sound"
local date = require "xmpp_tls_policy.date"
local server_pairs = require "support.server_pairs"

local suites = server_pairs.suites

-- The host whose policy changes, and one that never has an enforced policy.
local TARGET = "should.test"
local OTHER = "report.test"

local function exception()
	return { ["a.test"] = { level = "must", expires = date.of(os.time() + 100 * 86400), reason = "x" } }
end

-- `level`: that is enforced for a.test; `refuses`: streams without a certificate.
local policies = {
	should = { level = "should", options = {} },
	must = { level = "must", options = { level = "must" } },
	report = { options = { mode = "report" } },
	disabled = { options = {} },
	exception = { level = "must", options = { exceptions = exception() } },
	refuse = { level = "should", refuses = true, options = { unauthenticated_s2s = "refuse" } },
}

local names = {}
for name in pairs(policies) do
	names[#names + 1] = name
end
table.sort(names)

-- How far a stream is when the policy changes: before dialback; before its first stanza; after it;
-- with a stanza that is parsed and not handled yet.
local moments = { "opened", "authenticated", "admitted", "waiting" }

local streams = {
	{ transport = "plain" }, { transport = "starttls", suite = "bad" }, { transport = "starttls", suite = "weak" },
	{ transport = "starttls", suite = "good" },
}

-- Whether a policy lets a stream through to its host.
local function accepts(name, stream)
	local policy = policies[name]
	if not policy.level then
		return true
	elseif stream.transport == "plain" then
		return policy.level == "must" and not policy.refuses
	end
	return not suites[stream.suite].breaks[policy.level] and not policy.refuses
end

describe("a change of a host's policy", function ()
	local world, loaded

	setup(function ()
		world = server_pairs.start { server_pairs.host("report", false), server_pairs.host("should", false) }
		loaded = true
		world:client(OTHER)
		world:client(TARGET)
	end)

	teardown(function ()
		if world then
			world:stop()
		end
	end)

	-- For one host; the shell's commands would do it for all.
	local function shell(command)
		local output, status = world.near:shell(("> require 'core.modulemanager'.%s(%q, %q)"):format(command, TARGET,
			"xmpp_tls_policy"))
		assert.equal(0, status, output)
	end

	local function set_policy(name)
		local hosts, wanted = world.near.spec.hosts, name ~= "disabled"
		if loaded and not wanted then
			shell "unload"
		end
		hosts[TARGET].options = { xmpp_tls_policy = policies[name].options }
		world.near:configure { hosts = hosts }
		world.near:reload()
		if wanted and not loaded then
			shell "load"
		end
		loaded = wanted
	end

	local function stanza(id)
		return ("<message from='a.test' to='%s' id='%s'/>"):format(TARGET, id)
	end

	-- Brings a stream to its moment. Returns whether it came there.
	local function begin(case)
		case.mark, case.number = world.near:mark(), world:number()
		local stream = case.stream
		case.peer = world:open(case.header, "a.test", { transport = stream.transport, suite = stream.suite })
		if not case.peer then
			return false
		elseif case.moment == "opened" then
			return true
		elseif not server_pairs.dialback(case.peer, "a.test", TARGET) then
			return false
		elseif case.moment == "admitted" then
			case.peer:send(stanza("before" .. case.number))
			world.near:wait_for_log("Delivered: message before" .. case.number .. " ", case.mark)
		elseif case.moment == "waiting" then
			case.peer:send(stanza("wait" .. case.number) .. stanza("m" .. case.number) .. "</stream:stream>")
			world.near:wait_for_log("Waiting: " .. case.number .. "\n", case.mark)
		end
		return true
	end

	-- What comes after the change. Returns whether the stanza arrived, and what came back.
	local function go_on(case)
		local text, answer
		if case.moment == "waiting" then
			world:client(TARGET):send(("<message to='%s' id='wake%d'/>"):format(TARGET, case.number))
			world.near:wait_for_log("Awake: " .. case.number .. "\n", case.mark)
			world:pass_turn(TARGET)
			text = case.peer:read_all()
			case.peer:close()
		else
			if case.moment == "opened" then
				answer = select(2, server_pairs.dialback(case.peer, "a.test", TARGET))
			end
			case.peer:send(stanza("m" .. case.number))
			text = (answer or "") .. server_pairs.finish(case.peer)
		end
		return world:arrived("near", "message", "m" .. case.number, case.mark), text
	end

	-- Nothing is known of a handshake, nor of dialback, from the time when the host had no policy.
	local function is_admitted(case)
		if not policies[case.after].level then
			return true
		elseif case.before == "disabled" and (case.moment ~= "opened"
			or case.header == TARGET and case.stream.transport ~= "plain") then
			return false
		end
		return accepts(case.after, case.stream)
	end

	for _, before in ipairs(names) do
		for _, after in ipairs(names) do
			if before ~= after then
				it(("counts for streams of before: from %s to %s"):format(before, after), function ()
					set_policy(before)
					local cases = {}
					for _, header in ipairs { TARGET, OTHER } do
						for _, stream in ipairs(streams) do
							for _, moment in ipairs(moments) do
								-- A stanza that had arrived before there was a policy was let through.
								if moment ~= "waiting" or before ~= "disabled" then
									local case = { header = header, stream = stream, moment = moment, before = before, after = after }
									cases[#cases + 1] = begin(case) and case or nil
								end
							end
						end
					end
					assert.is_true(#cases > 0)
					set_policy(after)
					for _, case in ipairs(cases) do
						local arrived, text = go_on(case)
						assert.equal(is_admitted(case), arrived, ("header %s, %s %s, %s: %s"):format(case.header,
							case.stream.transport, case.stream.suite or "", case.moment, tostring(text)))
					end
				end)
			end
		end
	end

	it("leaves no trace in the log but refusals", function ()
		assert_sound(world.near)
	end)
end)
