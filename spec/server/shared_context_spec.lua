-- A context belongs to one host: no element on a stream puts it under another host's policy, and none
-- costs more than a refusal. Crossed here: the host of the stream, the host that <starttls/> is for, and
-- the role.
local files = require "support.files"
local server_pairs = require "support.server_pairs"
local xmpp = require "support.xmpp"

local hosts = server_pairs.hosts()

describe("the context of a host", function ()
	local world

	setup(function ()
		world = server_pairs.start(hosts)
	end)

	teardown(function ()
		if world then
			world:stop()
		end
	end)

	local function status()
		local output, code = world.near:shell [[tlspolicy:status("json")]]
		assert.equal(0, code, output)
		-- The days that a certificate has left may change at any moment.
		return (output:gsub('"certificate_days_left":%d+,', ""))
	end

	-- A stream that is refused: one packet, and all that comes back.
	local function refused(service, host, element)
		local peer = xmpp.connect(world.near:target(service, host), { from = service == "s2s" and "a.test" or nil })
		assert(peer:open())
		peer:send(element)
		local text = peer:read_all()
		peer:close()
		return text
	end

	local function starttls(to)
		return ("<starttls to='%s' xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"):format(to)
	end

	for _, service in ipairs { "c2s", "s2s" } do
		it("is left alone by <starttls/> for another host: " .. service, function ()
			-- Contexts that are made at the first stream are there.
			for _, host in ipairs(hosts) do
				local peer = assert(xmpp.open(world.near:target(service, host.name), { from = service == "s2s" and "a.test" or nil,
					tls = server_pairs.tls("good", world.theirs) }))
				peer:close()
			end
			local before = status()
			assert.matches("c2s", before)
			for _, own in ipairs(hosts) do
				for _, target in ipairs(hosts) do
					if own.name ~= target.name and (own.level or target.level) then
						local text = refused(service, own.name, starttls(target.name))
						assert.matches("an element for " .. target.name:gsub("%p", "%%%0") .. " came on a stream", text)
						assert.is_nil(text:find("<proceed", 1, true))
					end
				end
			end
			assert.equal(before, status())
			-- What a handshake is given is the same, too.
			for _, host in ipairs(hosts) do
				for suite, of in pairs(server_pairs.suites) do
					local peer = xmpp.open(world.near:target(service, host.name), { from = service == "s2s" and "a.test" or nil,
						tls = server_pairs.tls(suite, world.theirs) })
					assert.equal(not (host.level and of.breaks[host.level]), peer ~= nil, host.name .. " " .. suite)
					if peer then
						peer:close()
					end
				end
			end
		end)
	end

	-- CPU time of near's process so far, in ns.
	local function cpu()
		local pid = assert(files.read(world.near.directory .. "/prosody.pid")):match "%d+"
		return tonumber((assert(files.read("/proc/" .. pid .. "/schedstat")):match "^%d+"))
	end

	it("costs no more where an element for another host is refused than any refusal does", function ()
		local own, target = hosts[1], hosts[2]
		local function cost(element)
			local least = math.huge
			for _ = 1, 5 do
				local before = cpu()
				for _ = 1, 20 do
					refused("c2s", own.name, element)
				end
				world:pass_turn(own.name)
				least = math.min(least, cpu() - before)
			end
			return least
		end
		refused("c2s", own.name, starttls(target.name))
		local normal = cost "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth></stream:stream>"
		local foreign = cost(starttls(target.name))
		assert.is_true(foreign < 1.5 * normal, ("%.2f"):format(foreign / normal))
	end)
end)
