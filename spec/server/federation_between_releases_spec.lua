-- This system's Prosody and that of another Debian release, with the policy on both or on one
-- of them.
local debian_tree = require "support.debian_tree"
local federation = require "support.federation"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local versions = require "support.versions"

local root, no_root = debian_tree.find()

local sides = { near = { name = "near" }, far = { name = "far", root = root } }
local directions = { { from = sides.near, to = sides.far }, { from = sides.far, to = sides.near } }
-- The values of unauthenticated_s2s on each side.
local answers = { "dialback", "refuse" }

if not root then
	describe("federation between releases", function ()
		it("works between this Prosody and that of Debian 13", function ()
			pending(no_root)
		end)
	end)
	return
end

local ca_signed, self_signed = federation.certificates[1], federation.certificates[2]

-- Each test has hosts of its own, so that it does not find the streams of another test.
local function host_name(side, kind, variant, direction)
	return ("%s-%s-to-%s.%s.test"):format(kind, variant, direction.to.name, side.name)
end

local tls12 = { protocol = "tlsv1_2" }
-- OpenSSL 3 negotiates TLS 1.1 only at security level 0.
local old = { protocol = "tlsv1_1", ciphers = "ALL:@SECLEVEL=0" }
local willing = { protocol = "tlsv1+", ciphers = "HIGH:!aNULL:@SECLEVEL=0" }

-- kind -> variant -> options of the host, beside a CA-signed certificate
local function special_hosts(is_under_policy)
	return {
		tls12 = { any = {}, only = { ssl = tls12 } },
		direct = { any = {} },
		old = is_under_policy and {
			should = { ssl = willing },
			must = { ssl = willing, xmpp_tls_policy = { level = "must" } },
		} or { only = { ssl = old } },
	}
end

local function names_of(side, kind, variants)
	local names = {}
	for variant in pairs(variants) do
		for _, direction in ipairs(directions) do
			names[#names + 1] = host_name(side, kind, variant, direction)
		end
	end
	return names
end

local function hosts_of(side, authority, is_under_policy)
	local hosts = {}
	local function add(kind, variants, certificate)
		local files = certificate.make(authority, names_of(side, kind, variants))
		for variant, options in pairs(variants) do
			for _, name in ipairs(names_of(side, kind, { [variant] = true })) do
				hosts[name] = { certificate = files.certificate, key = files.key, options = options }
			end
		end
	end
	for _, certificate in ipairs(federation.certificates) do
		local variants = {}
		for _, answer in ipairs(answers) do
			variants[answer] = { xmpp_tls_policy = { unauthenticated_s2s = answer } }
		end
		add(certificate.label, variants, certificate)
	end
	for kind, variants in pairs(special_hosts(is_under_policy)) do
		add(kind, variants, ca_signed)
	end
	return hosts
end

local function routes_to(server)
	local routes = {}
	for name in pairs(server.spec.hosts) do
		local service = name:match "^direct" and "s2s_direct_tls" or "s2s"
		routes[name] = { [service] = server.ports[service] }
	end
	return routes
end

-- The side that refuses, the other side, and the role in which it refuses; nil if none does. The
-- side that connects is the first to see a certificate. `certificates` and `answer`: by side.
local function refuser(direction, certificates, answer)
	for _, ends in ipairs { { direction.from, direction.to, "s2sout" }, { direction.to, direction.from, "s2sin" } } do
		if answer[ends[1].name] == "refuse" and not certificates[ends[2].name].valid then
			return ends[1], ends[2], ends[3]
		end
	end
end

local function label(side, under_policy)
	return ("Prosody %s%s"):format(versions.prosody(side.root), under_policy[side.name] and " under the policy" or "")
end

local function describe_pair(under_policy)
	local servers, group = {}, prosody.group()

	local function start(side, authority, routes)
		servers[side.name] = group.start {
			hosts = hosts_of(side, authority, under_policy[side.name]), ca = authority.certificate, root = side.root,
			routes = routes, with_policy = under_policy[side.name],
		}
	end

	setup(function ()
		local authority = pki.authority()
		start(sides.near, authority, {})
		start(sides.far, authority, routes_to(servers.near))
		servers.near:configure { routes = routes_to(servers.far) }
		servers.near:reload()
	end)

	teardown(function ()
		group.stop()
		pki.remove()
	end)

	local function ping(direction, hosts)
		local command = ("xmpp:ping(%q, %q, 20)"):format(hosts[direction.from.name], hosts[direction.to.name])
		return (servers[direction.from.name]:shell(command))
	end

	-- Calls visit(its name, the other's name) for each side under the policy.
	local function each_observer(visit)
		for here, there in pairs { near = "far", far = "near" } do
			if under_policy[here] then
				visit(here, there)
			end
		end
	end

	-- There are two streams, one in each direction. Each side under the policy shows the same of them.
	local function assert_streams(hosts, certificates, negotiated)
		each_observer(function (here, there)
			local found = federation.streams(servers[here], hosts[here], hosts[there])
			for role, sender in pairs { s2sout = here, s2sin = there } do
				local wanted = federation.row(certificates[there].valid,
					certificates[sender].valid and "EXTERNAL" or "dialback", negotiated)
				assert.same(wanted, federation.fields(found[role], wanted), ("%s of %s"):format(role, hosts[here]))
			end
		end)
	end

	local function assert_no_streams(hosts)
		each_observer(function (here, there)
			assert.same({}, federation.streams(servers[here], hosts[here], hosts[there]))
		end)
	end

	-- Failed handshakes are collected once a second.
	local function assert_kept(side, host, wanted)
		local kept = process.poll(process.PATIENCE, function ()
			return federation.refused(servers[side.name], host)[1]
		end)
		assert.same(wanted, federation.fields(kept, wanted))
	end

	local function federate(direction, certificates, answer)
		local hosts = {}
		for name, side in pairs(sides) do
			hosts[name] = host_name(side, certificates[name].label, answer[name], direction)
		end
		local reply = ping(direction, hosts)
		local by, whom, role = refuser(direction, certificates, answer)
		if not by then
			assert.matches("pong", reply:lower())
			return assert_streams(hosts, certificates)
		end
		local why = federation.no_certificate(hosts[whom.name])
		assert.is_nil(reply:lower():match "pong", reply)
		assert.matches(why, reply, nil, true)
		assert_kept(by, hosts[by.name], {
			what = "stream", role = role, domain = hosts[whom.name], clauses = { "unauth.encrypt" }, text = why,
		})
		assert_no_streams(hosts)
	end

	local function each_answer(visit)
		for _, near in ipairs(under_policy.near and answers or { "dialback" }) do
			for _, far in ipairs(under_policy.far and answers or { "dialback" }) do
				visit({ near = near, far = far }, under_policy.near and under_policy.far
					and ("%q here and %q there"):format(near, far) or ("%q"):format(under_policy.near and near or far))
			end
		end
	end

	local function way(direction)
		return ("from %s to %s, "):format(versions.prosody(direction.from.root), versions.prosody(direction.to.root))
	end

	for _, direction in ipairs(directions) do
		each_answer(function (answer, described)
			for _, one in ipairs(federation.certificates) do
				it(way(direction) .. ("%s, unauthenticated_s2s = %s"):format(one.name, described), function ()
					federate(direction, { near = one, far = one }, answer)
				end)
			end
			it(way(direction) .. ("CA-signed here, self-signed there, unauthenticated_s2s = %s"):format(described), function ()
				federate(direction, { near = ca_signed, far = self_signed }, answer)
			end)
		end)

		local both_signed = { near = ca_signed, far = ca_signed }

		-- variants[side]: the variant of its host (see special_hosts)
		local function special(kind, variants)
			local hosts = {}
			for name, side in pairs(sides) do
				hosts[name] = host_name(side, kind, variants[name], direction)
			end
			return hosts, ping(direction, hosts)
		end

		for name, variants in pairs { near = { near = "only", far = "any" }, far = { near = "any", far = "only" } } do
			it(way(direction) .. ("TLS 1.2 if %s has no other version"):format(versions.prosody(sides[name].root)), function ()
				local hosts, reply = special("tls12", variants)
				assert.matches("pong", reply:lower())
				assert_streams(hosts, both_signed, federation.tls12)
			end)
		end

		it(way(direction) .. "by direct TLS", function ()
			local hosts, reply = special("direct", { near = "any", far = "any" })
			assert.matches("pong", reply:lower())
			assert_streams(hosts, both_signed)
		end)

		if not (under_policy.near and under_policy.far) then
			local ours = under_policy.near and sides.near or sides.far
			local theirs = under_policy.near and sides.far or sides.near

			it(way(direction) .. 'TLS 1.1 is refused at level "should"', function ()
				local hosts, reply = special("old", { [ours.name] = "should", [theirs.name] = "only" })
				assert.is_nil(reply:lower():match "pong", reply)
				assert_kept(ours, hosts[ours.name], ours == direction.from and {
					what = "handshake", role = "s2sout", domain = hosts[theirs.name], alert_sent = false,
					text = "has no TLS version that is allowed here; an exception may help",
				} or {
					what = "handshake", role = "s2sin", clauses = { "version.tls12", "cipher.aead" },
					text = "offers nothing newer than TLS 1.1; needs TLS 1.2 with a cipher suite such as "
						.. "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 or an exception",
				})
				assert_no_streams(hosts)
			end)

			it(way(direction) .. 'TLS 1.1 is accepted at level "must"', function ()
				local hosts, reply = special("old", { [ours.name] = "must", [theirs.name] = "only" })
				assert.matches("pong", reply:lower())
				assert_streams(hosts, both_signed, federation.tls11)
			end)
		end
	end
end

for _, under_policy in ipairs { { near = true, far = true }, { near = true }, { far = true } } do
	describe(("%s and %s"):format(label(sides.near, under_policy), label(sides.far, under_policy)), function ()
		describe_pair(under_policy)
	end)
end
