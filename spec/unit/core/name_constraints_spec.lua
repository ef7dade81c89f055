-- The names in a peer's certificate, where an authority of its chain is constrained to some domains.
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local pki = require "support.pki"

-- Lines of an authority's nameConstraints, and whether it may vouch for a domain.
local constraints = {
	["none"] = { nil, { ["a.test"] = true, ["b.test"] = true } },
	["one domain"] = { "permitted;DNS:a.test",
		{ ["a.test"] = true, ["x.a.test"] = true, ["y.x.a.test"] = true, ["b.test"] = false, ["xa.test"] = false } },
	["two domains"] = { "permitted;DNS:a.test,permitted;DNS:b.test",
		{ ["a.test"] = true, ["x.b.test"] = true, ["c.test"] = false } },
	["a domain in capitals"] = { "permitted;DNS:A.Test", { ["a.test"] = true, ["b.test"] = false } },
	["names below a domain"] = { "permitted;DNS:.a.test",
		{ ["x.a.test"] = true, ["a.test"] = false, ["b.test"] = false } },
	["all but one domain"] = { "excluded;DNS:a.test",
		{ ["a.test"] = false, ["x.a.test"] = false, ["b.test"] = true, ["xa.test"] = true } },
	["a domain without a part of it"] = { "permitted;DNS:a.test,excluded;DNS:x.a.test",
		{ ["a.test"] = true, ["y.a.test"] = true, ["x.a.test"] = false, ["z.x.a.test"] = false, ["b.test"] = false } },
	["every domain"] = { "DER:30:06:A0:04:30:02:82:00", { ["a.test"] = true, ["b.test"] = true } },
	["no domain"] = { "DER:30:06:A1:04:30:02:82:00", { ["a.test"] = false, ["b.test"] = false } },
	["a base that is no domain"] = { "permitted;DNS:a_b!.test", { ["a.test"] = false, ["b.test"] = false } },
	["mail addresses alone"] = { "permitted;email:a.test", { ["a.test"] = true, ["b.test"] = true } },
	["an internationalised domain"] = { "permitted;DNS:xn--bcher-kva.test",
		{ ["bücher.test"] = true, ["x.xn--bcher-kva.test"] = true, ["b.test"] = false } },
}

describe("a peer's certificate", function ()
	local root, own

	setup(function ()
		root = pki.authority()
		own = root:issue { names = { "own.test" }, key = "p256" }
	end)

	teardown(pki.remove)

	-- The certificate of a peer, as facts have it, and whether OpenSSL verified it. Our end is the client
	-- or the server.
	local function shown(files, is_client)
		local function context(role, more)
			more.role = role
			return assert(core.context.new(more))
		end
		local theirs = { certificate = files.certificate, key = files.key, verify = "none" }
		local ours = { ca_file = root.certificate, verify = "require", certificate = own.certificate, key = own.key }
		local client = context("client", is_client and ours or theirs)
		local server = context("server", is_client and theirs or ours)
		assert(client:observe(1))
		assert(server:observe(2))
		local near, far = handshake.between(client, server)
		if not near then
			return nil, far
		end
		return (is_client and near or far):facts()
	end

	local function authority(line, depth)
		local last = root:intermediate { extensions = line and { "nameConstraints=critical," .. line } or nil }
		for _ = 1, depth or 0 do
			last = last:intermediate {}
		end
		return last
	end

	local function srv_and_xmpp(domains)
		local srv, xmpp = {}, {}
		for domain in pairs(domains) do
			local ascii = core.domain_name(domain)
			srv[#srv + 1] = "_xmpp-server." .. ascii
			xmpp[#xmpp + 1] = domain
		end
		return srv, xmpp
	end

	-- rfc5280.4.2.1.10.within-dns-constraint
	for what, case in pairs(constraints) do
		for kind, index in pairs { ["SRV-IDs"] = 1, XmppAddrs = 2 } do
			it(("counts %s only within the DNS constraints of its chain: %s"):format(kind, what), function ()
				local lists = { srv_and_xmpp(case[2]) }
				local facts = assert(shown(authority(case[1]):issue {
					common_name = "peer", srv = index == 1 and lists[1] or nil, xmpp = index == 2 and lists[2] or nil,
				}, true))
				assert.is_true(facts.verified)
				for domain, expected in pairs(case[2]) do
					assert.equal(expected, facts.certificate:matches(domain, "xmpp-server"), domain)
				end
			end)
		end
	end

	it("counts within the constraints of each authority of its chain, of a client, too", function ()
		local line, options = "permitted;DNS:a.test", { common_name = "peer", srv = { "_xmpp-server.b.test" } }
		for depth = 0, 2 do
			local files = authority(line, depth):issue(options)
			for _, is_client in ipairs { true, false } do
				local facts = assert(shown(files, is_client))
				assert.is_true(facts.verified)
				assert.is_false(facts.certificate:matches("b.test", "xmpp-server"))
			end
		end
		local narrow = root:intermediate { extensions = { "nameConstraints=critical,permitted;DNS:test" } }
			:intermediate { extensions = { "nameConstraints=critical,permitted;DNS:b.test" } }
		local facts = assert(shown(narrow:issue { common_name = "peer",
			srv = { "_xmpp-server.b.test", "_xmpp-server.a.test" } }, true))
		assert.same({ true, false },
			{ facts.certificate:matches("b.test", "xmpp-server"), facts.certificate:matches("a.test", "xmpp-server") })
	end)

	it("has DNS-IDs that OpenSSL holds to the constraints", function ()
		local facts = assert(shown(authority("permitted;DNS:a.test"):issue { names = { "a.test" } }, true))
		assert.same({ true, true }, { facts.verified, facts.certificate:matches("a.test", "xmpp-server") })
		assert.is_nil((shown(authority("permitted;DNS:a.test"):issue { names = { "b.test" } }, true)))
	end)

	it("keeps the constraints when the connection is gone, until it is closed", function ()
		local facts = assert(shown(authority("permitted;DNS:a.test"):issue {
			common_name = "peer", srv = { "_xmpp-server.b.test" },
		}, true))
		collectgarbage()
		collectgarbage()
		assert.is_false(facts.certificate:matches("b.test", "xmpp-server"))
		facts.certificate:close()
		assert.has_error(function () facts.certificate:matches("b.test", "xmpp-server") end, "certificate is closed")
		facts.certificate:close()
	end)
end)
