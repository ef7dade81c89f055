-- Elements that are parsed while a handler waits, and handled later: what the pair of each had at the
-- moment of parsing counts, and what became of the stream since. Crossed here: the order of a stanza
-- that waits, the dialback of another domain, and that domain's stanza; how they are packed; the hosts.
-- The outcome is computed from the rules of stream/admission.lua.
local assert_sound = require "support.assert_sound"
local process = require "support.process"
local server_pairs = require "support.server_pairs"

local hosts = {}
for _, kind in ipairs { "should", "must", "report", "disabled" } do
	hosts[#hosts + 1] = server_pairs.host(kind, false)
end

-- W: a stanza of A that waits; D: dialback of B for the host of the stanza; H: the same for the
-- header's host; S: the stanza of B. A comma: what follows is sent when the answer to D or H has come.
local orders = {
	"WDS", "WSD", "DWS", "DSW", "SDW", "SWD", "WHS", "HWS", "HSW", "WS", "S", "DS", "HS",
	"D,WS", "D,S", "H,WS", "H,S",
}

describe("a stanza of another server that is handled later", function ()
	local world

	setup(function ()
		world = server_pairs.start(hosts)
	end)

	teardown(function ()
		if world then
			world:stop()
		end
	end)

	-- A stream to a host that is authenticated as a.test for it, by dialback.
	local function open(host, suite)
		local peer, text = world:open(host.name, "a.test", { transport = "starttls", suite = suite })
		if not peer then
			return nil, text
		end
		assert(server_pairs.dialback(peer, "a.test", host.name))
		return peer
	end

	local function elements_of(case)
		local key = "<db:result from='b.test' to='%s'>key</db:result>"
		return {
			W = ("<message from='a.test' to='%s' id='wait%d'/>"):format(case.header.name, case.number),
			D = key:format(case.target.name), H = key:format(case.header.name),
			S = ("<message from='b.test' to='%s' id='m%d'/>"):format(case.target.name, case.number),
		}
	end

	-- Wakes the stanza that waits, if it comes to that before the stream ends. Afterwards all is handled.
	local function wake(case, peer, mark)
		local waiting = "Waiting: " .. case.number .. "\n"
		local is_over = false
		process.poll(process.PATIENCE, function ()
			is_over = is_over or peer:read_until("</stream:stream>", 0.02) ~= nil or peer.over ~= nil
			return is_over or world.near:log(mark):find(waiting, 1, true)
		end)
		if world.near:log(mark):find(waiting, 1, true) then
			world:client(case.header.name):send(("<message to='%s' id='wake%d'/>"):format(case.header.name, case.number))
			world.near:wait_for_log("Awake: " .. case.number .. "\n", mark)
		end
		world:pass_turn(case.header.name)
	end

	local function packets(order)
		local list = {}
		for packet in order:gmatch "[^,]+" do
			list[#list + 1] = packet
		end
		return list
	end

	-- Whether the stanza of B arrives, and all that came back.
	local function deliver(case)
		local mark = world.near:mark()
		local peer, text = open(case.header, case.suite)
		if not peer then
			return false, text
		end
		case.number = world:number()
		local elements, list = elements_of(case), packets(case.order)
		for index, packet in ipairs(list) do
			local bytes = packet:gsub(".", elements)
			peer:send(index == #list and bytes .. "</stream:stream>" or bytes)
			if index < #list then
				local answer = peer:read_until { "<db:result[^>]*type=.valid.", "</stream:stream>" }
				if not answer or not answer:find "valid" then
					peer:close()
					return false, answer
				end
			end
		end
		if case.order:find "W" then
			wake(case, peer, mark)
		end
		text = peer:read_all()
		peer:close()
		return world:arrived("near", "message", "m" .. case.number, mark), text
	end

	-- B has to be authenticated for its pair when its stanza is parsed; the answer to dialback comes from
	-- another connection, and thus after all that is in the same packet.
	local function is_admitted(case)
		local breaks = server_pairs.suites[case.suite].breaks
		if case.header.level and breaks[case.header.level] then
			return false
		elseif case.header.kind == "disabled" or breaks[case.target.level] then
			return false
		end
		return case.order:sub(1, 2) == "D," or case.order:sub(1, 2) == "H," and case.header.name == case.target.name
	end

	for _, suite in ipairs { "good", "weak" } do
		for _, order in ipairs(orders) do
			it(("reaches no host that had not admitted its pair: %s, suite %s"):format(order, suite), function ()
				for _, header in ipairs(hosts) do
					for _, target in ipairs(hosts) do
						if target.level then
							local case = { header = header, target = target, order = order, suite = suite }
							local arrived, text = deliver(case)
							assert.equal(is_admitted(case), arrived, ("header %s, stanza to %s: %s"):format(header.name, target.name,
								tostring(text)))
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
