-- On which streams our stanzas leave, where streams go both ways (XEP-0288): on one that is
-- authenticated and admitted for the very pair, otherwise on a new one, and none is lost. Crossed here:
-- the kind of the host, the certificate, and the domains that the peer authenticates as, one of which its
-- header names. The outcome is computed from the rule.
local prosody = require "support.prosody"
local server_pairs = require "support.server_pairs"

local hosts = server_pairs.hosts()

local bidi = "<bidi xmlns='urn:xmpp:bidi'/>"

-- Domain A is the one of the header. How the peer authenticates, in this order.
local ways = {
	{ "EXTERNAL A" }, { "dialback A" }, { "dialback B" }, { "dialback A", "dialback B" }, { "dialback B", "dialback A" },
	{ "EXTERNAL A", "dialback B" },
}

-- Certificate -> the domains that it names.
local certificates = {
	none = {}, out = { A = true }, other = { B = true }, both = { A = true, B = true },
}

describe("a stanza of ours", function ()
	local world, peers

	setup(function ()
		world = server_pairs.start(hosts, { "s2s_bidi" })
	end)

	before_each(function ()
		peers = {}
	end)

	teardown(function ()
		if world then
			world:stop()
		end
	end)

	-- Peers are closed at the end of a case.
	local function keep(peer)
		peers[#peers + 1] = peer
		return peer
	end

	local function close_all()
		for _, peer in ipairs(peers) do
			peer:close()
		end
		peers = {}
	end

	-- Two domains that no case had before.
	local function new_domains()
		local number = world:number()
		return { A = ("a%d.out.test"):format(number), B = ("b%d.other.test"):format(number) }
	end

	local function open(case)
		local peer, text = world:open(case.host.name, case.domains.A, {
			transport = "starttls", suite = "good", certificate = world.scripted[case.certificate],
		})
		if peer then
			keep(peer):send(bidi)
		end
		return peer, text
	end

	-- Authenticates by dialback as one of the case's domains ("A", the header's, or "B"). Near asks on a stream of its
	-- own, unless the certificate vouches for the domain and that is enough. Returns the stream on which near's stanzas
	-- to the domain leave then; nil: on a new one.
	local function dialback(case, peer, which, host)
		local both_ways = which == "A" and peer or nil
		peer:send(("<db:result from='%s' to='%s'>key</db:result>"):format(case.domains[which], host or case.host.name))
		if prosody.dialback.by_certificate and certificates[case.certificate][which] then
			assert(peer:read_until "<db:result[^>]*type=.valid.")
			return both_ways
		end
		local apart = prosody.dialback.asks_apart and which == "A"
		local accept = apart and world.accept_secured or world.accept_whole
		local asking = keep(accept(world, world.scripted.both))
		assert.equal(case.domains[which], asking.domain)
		server_pairs.vouch(asking)
		assert(peer:read_until "<db:result[^>]*type=.valid.")
		return apart and both_ways or asking
	end

	-- The same domain through another stream of near's, from start to end.
	local function read_on_new_stream(host, domain, id)
		local peer = keep(world:accept_whole(world.scripted.both))
		assert.same({ host, domain }, { peer.host, peer.domain })
		assert(peer:read_until("id='" .. id .. "'"))
	end

	local function check(case)
		local said = ("%s, certificate %s, %s"):format(case.host.name, case.certificate, table.concat(case.way, ", "))
		local named, host = certificates[case.certificate], case.host
		case.domains = new_domains()
		local peer, text = open(case)
		if host.refuses and not named.A then
			assert.is_nil(peer, said)
			assert.matches("no valid certificate vouches", text)
			return
		end
		assert.is_truthy(peer, said .. ": " .. tostring(text))
		-- Domain -> the stream on which near's stanzas to it have to leave; nil: a new one.
		local routes = {}
		for _, step in ipairs(case.way) do
			local how, which = step:match "(%S+) (%S+)"
			if how == "EXTERNAL" then
				assert(server_pairs.external(peer))
				routes.A = peer
			elseif host.refuses and not named[which] then
				peer:send(("<db:result from='%s' to='%s'>key</db:result>"):format(case.domains[which], host.name))
				local answer = assert(peer:read_all())
				assert.matches("<policy%-violation", answer, said)
				assert.is_nil(answer:find("<db:", 1, true), said)
				routes.A = routes.A ~= peer and routes.A or nil
				peer = nil
				break
			else
				routes[which] = dialback(case, peer, which)
			end
		end
		for _, which in ipairs { "A", "B" } do
			local id = world:send_from(host.name, case.domains[which])
			local expected = routes[which]
			if expected then
				assert.is_truthy(expected:read_until("id='" .. id .. "'"), said .. ": a stanza to " .. which .. " did not come")
			else
				read_on_new_stream(host.name, case.domains[which], id)
			end
		end
		local rest = peer and server_pairs.finish(peer) or ""
		assert.is_nil(rest:find("<message", 1, true), said .. ": " .. rest)
		close_all()
	end

	local function is_possible(way, named)
		local is_late = way[1] == "dialback B" and way[2] == "dialback A"
		return named.A or way[1] ~= "EXTERNAL A" and not (is_late and prosody.dialback.header_first)
	end

	for _, host in ipairs(hosts) do
		if host.level then
			it("leaves on no stream but one that is admitted for its pair: " .. host.name, function ()
				for certificate, named in pairs(certificates) do
					for _, way in ipairs(ways) do
						if is_possible(way, named) then
							check { host = host, certificate = certificate, way = way }
						end
					end
				end
			end)
		end
	end

	it("that answers one for another pair than the header's leaves on a stream of its own pair", function ()
		for _, header in ipairs(hosts) do
			for _, target in ipairs(hosts) do
				if target.level and target.name ~= header.name and header.kind ~= "disabled" then
					local case = { host = header, certificate = "both", domains = new_domains() }
					local peer = assert(open(case))
					assert(server_pairs.external(peer))
					local asking = dialback(case, peer, "B", target.name)
					peer:send(("<iq type='get' id='ping' from='%s' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>"):format(
						case.domains.B, target.name))
					local said = header.name .. ", " .. target.name
					asking = asking or keep(world:accept_whole(world.scripted.both))
					assert.same({ target.name, case.domains.B }, { asking.host, asking.domain })
					local answer = assert.is_truthy(asking:read_until "<iq[^>]*>", said)
					assert.matches("type='result'", answer)
					assert.matches("from='" .. target.name:gsub("%p", "%%%0") .. "'", answer)
					assert.is_nil(server_pairs.finish(peer):find("<iq", 1, true), said)
					close_all()
				end
			end
		end
	end)

	it("goes to no domain that only the header names, and `show` does not name it", function ()
		local case = { host = server_pairs.host("should", false), certificate = "none", domains = new_domains() }
		local peer = assert(open(case))
		dialback(case, peer, "B")
		local shown = world.near:shell [[tlspolicy:show("s2sin")]]
		assert.matches(case.domains.B:gsub("%p", "%%%0"), shown)
		assert.is_nil(shown:find(case.domains.A, 1, true), shown)
		shown = world.near:shell [[tlspolicy:show("json")]]
		local found = false
		for row in shown:gmatch "%b{}" do
			if row:find '"s2sin"' and row:find(case.domains.B, 1, true) then
				found = true
				assert.is_nil(row:find(case.domains.A, 1, true), row)
			end
		end
		assert.is_true(found, shown)
		close_all()
	end)
end)

describe("a stanza on a stream of ours that goes both ways", function ()
	local world

	setup(function ()
		world = server_pairs.start(hosts, { "s2s_bidi" })
	end)

	teardown(function ()
		if world then
			world:stop()
		end
	end)

	-- Of the remote server's certificate: whether it names its domain.
	for _, certificate in ipairs { "out", "other" } do
		for _, own in ipairs(hosts) do
			it(("reaches no host but for an admitted pair: from %s, certificate %s"):format(own.name, certificate), function ()
				for _, target in ipairs(hosts) do
					for _, is_own_domain in ipairs { true, false } do
						local mark, domain = world.near:mark(), ("d%d.out.test"):format(world:number())
						world:send_from(own.name, domain)
						local peer = world:accept()
						server_pairs.secure(peer, world.scripted[certificate])
						server_pairs.answer(peer, "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/>"
							.. "<bidi xmlns='urn:xmpp:features:bidi'/></stream:features>")
						local said = ("%s, %s, certificate %s, %s"):format(own.name, target.name, certificate,
							is_own_domain and "its own domain" or "another domain")
						local key = peer:read_until { "<db:result[^>]*>.-</db:result>", "</stream:stream>" }
						local is_refused = own.refuses and certificate ~= "out"
						local id = ("m%d"):format(world:number())
						peer:send(("<db:result from='%s' to='%s' type='valid'/>"):format(domain, own.name))
						peer:send(("<message from='%s' to='%s' id='%s'/>"):format(is_own_domain and domain or "a.test", target.name, id))
						local text = server_pairs.finish(peer)
						if is_refused then
							assert.is_nil((key or ""):find("<db:result", 1, true), said)
						end
						local is_admitted = is_own_domain and not is_refused
							and (target.name == own.name or not target.level
								or certificate == "out" and own.kind ~= "disabled")
						assert.equal(is_admitted, world:arrived("near", "message", id, mark), said .. ": " .. text)
					end
				end
			end)
		end
	end

	it("gives its peer no say in the dialback of another host, even where that host has admitted it", function ()
		for _, own in ipairs(hosts) do
			for _, target in ipairs(hosts) do
				if target.level and target.name ~= own.name and own.kind ~= "disabled" then
					local domain, id = ("d%d.out.test"):format(world:number()), ("m%d"):format(world:number())
					local mark = world.near:mark()
					world:send_from(own.name, domain)
					local peer = world:accept_whole(world.scripted.out, "<bidi xmlns='urn:xmpp:features:bidi'/>")
					-- Twice, so that the pair is known by its addresses.
					local message = ("<message from='%s' to='%s' id='%s'/>"):format(domain, target.name, id)
					peer:send(message .. message)
					world.near:wait_for_log("Delivered: message " .. id .. " ", mark)
					peer:send(("<db:verify from='%s' to='%s' id='x' type='valid'/>"):format(domain, target.name))
					assert.matches("<policy%-violation.*an element for " .. target.name:gsub("%p", "%%%0"),
						server_pairs.finish(peer))
				end
			end
		end
	end)
end)
