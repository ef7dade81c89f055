-- Chains of certificates, verified against authorities, over the product of what can be wrong.
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local pki = require "support.pki"

local DAY = 86400

local function read(pem)
	return assert(core.certificate.from_pem(pem))
end

local function kinds(result)
	local found = {}
	for _, fault in ipairs(result.faults) do
		found[fault.kind] = true
		assert.is_true(#fault.message > 0 and fault.depth >= 0)
	end
	return found
end

describe("context:verify", function ()
	local root, other, middle, now, contexts, leaves

	setup(function ()
		root, other = pki.authority { days = 365 }, pki.authority()
		middle = root:intermediate { days = 365 }
		now = os.time()
		contexts = {
			known = assert(core.context.new { role = "client", ca_file = root.certificate }),
			unknown = assert(core.context.new { role = "client", ca_file = other.certificate }),
		}
		leaves = {}
		for name, usages in pairs { none = false, server = { "serverAuth" }, client = { "clientAuth" } } do
			leaves[name] = read(middle:issue { names = { "a.test" }, days = 30, extended_key_usages = usages or nil }.pem)
		end
	end)

	teardown(pki.remove)

	local function der(certificate)
		return certificate:der()
	end

	-- What the server sends after its certificate: a function of the authorities, and whether the
	-- issuer and the root are among it.
	local sent = {
		["nothing"] = { function () return {} end },
		["its issuer"] = { function (m) return { m } end, true },
		["its issuer and the root"] = { function (m, r) return { m, r } end, true, true },
		["both in the wrong order"] = { function (m, r) return { r, m } end, true, true },
		["the root alone"] = { function (_, r) return { r } end, false, true },
		["a certificate of somebody else between"] = { function (m, r, o) return { o, m, r } end, true, true },
	}
	local times = { early = -10 * DAY, valid = DAY, late = 60 * DAY }

	for words, case in pairs(sent) do
		for trust in pairs { known = true, unknown = true } do
			for time, offset in pairs(times) do
				for _, usage in ipairs { "none", "server", "client" } do
					it(("with %s after the certificate, %s root, %s date, %s usage"):format(words, trust, time, usage), function ()
						local chain = case[1](read(middle.pem), read(root.pem), read(other.pem))
						table.insert(chain, 1, leaves[usage])
						local result = assert(contexts[trust]:verify(chain, now + offset))
						local found, expected = kinds(result), {}
						local complete = case[2] and (case[3] or trust == "known")
						expected.no_issuer = not complete or nil
						expected.unknown_root = complete and trust == "unknown" or nil
						expected.expired = time == "late" or nil
						expected.not_yet_valid = time == "early" or nil
						expected.purpose = usage == "client" or nil
						assert.same(expected, found)
						assert.equal(next(expected) == nil, result.verified)
						assert.equal(case[2] and (complete and 3 or 2) or 1, #result.path)
						assert.equal(der(leaves[usage]), der(result.path[1]))
						assert.equal(der(leaves[usage]), der(result.certificate))
					end)
				end
			end
		end
	end

	it("takes an authority that is no root as an anchor, and then none of its own", function ()
		local chain = { leaves.none, read(middle.pem) }
		local result = assert(contexts.unknown:verify(chain, now, { read(middle.pem) }))
		assert.is_true(result.verified)
		assert.equal(2, #result.path)
		assert.is_false(assert(contexts.known:verify(chain, now, { read(other.pem) })).verified)
		assert.is_false(assert(contexts.known:verify(chain, now, {})).verified)
		assert.is_true(assert(contexts.known:verify(chain, now)).verified)
	end)

	it("takes a self-signed certificate only as an anchor", function ()
		local own = read(pki.self_signed { names = { "a.test" } }.pem)
		assert.same({ self_signed = true }, kinds(assert(contexts.known:verify({ own }, now))))
		assert.is_true(assert(contexts.known:verify({ own }, now, { own })).verified)
	end)

	it("refuses a certificate that another key of the same name signed", function ()
		local forger = pki.authority { common_name = "Forged", key_name = "one" }
		local honest = pki.authority { common_name = "Forged", key_name = "two" }
		local forged = read(forger:issue { names = { "a.test" }, extensions = { "authorityKeyIdentifier=none" } }.pem)
		local context = assert(core.context.new { role = "client", ca_file = honest.certificate })
		local result = assert(context:verify({ forged }, now))
		assert.is_false(result.verified)
		assert.is_true(kinds(result).signature)
		assert.is_false(forged:is_issued_by(read(honest.pem)))
		assert.is_true(forged:is_issued_by(read(forger.pem)))
	end)

	it("keeps the name constraints of a chain that is verified", function ()
		local bound = root:intermediate { extensions = { "nameConstraints=critical,permitted;DNS:b.test" } }
		local leaf = read(bound:issue { names = {}, common_name = "x",
			srv = { "_xmpp-server.a.test", "_xmpp-server.b.test" } }.pem)
		assert.is_true(leaf:matches("a.test", "xmpp-server"))
		local result = assert(contexts.known:verify({ leaf, read(bound.pem) }, now))
		assert.is_true(result.verified)
		assert.is_false(result.certificate:matches("a.test", "xmpp-server"))
		assert.is_true(result.certificate:matches("b.test", "xmpp-server"))
	end)

	it("counts the system's authorities only if they are asked for", function ()
		local bundle = assert(io.open "/etc/ssl/certs/ca-certificates.crt"):read "*a"
		local system_root = read(bundle)
		local facts = system_root:facts()
		local then_valid = (facts.not_before + facts.not_after) / 2
		local with = assert(core.context.new { role = "client", system_authorities = true })
		local without = assert(core.context.new { role = "client" })
		-- Roots are not for servers themselves.
		local found = kinds(assert(with:verify({ system_root }, math.floor(then_valid))))
		assert.same({ purpose = true }, found)
		found = kinds(assert(without:verify({ system_root }, math.floor(then_valid))))
		assert.same({ purpose = true, self_signed = true }, found)
	end)

	it("raises an error for misuse", function ()
		local context = contexts.known
		assert.error_matches(function () context:verify({}, now) end, "empty chain")
		assert.error_matches(function () context:verify({ 1 }, now) end, "Certificate expected")
		assert.error_matches(function () context:verify({ leaves.none }, -1) end, "UTC seconds")
		assert.error_matches(function () context:verify({ leaves.none }, 0 / 0) end, "UTC seconds")
		assert.error_matches(function () context:verify({ leaves.none }) end, "number expected")
		assert.error_matches(function () context:verify({ leaves.none }, now, 1) end, "table expected")
	end)
end)

describe("connection:peer_chain", function ()
	teardown(pki.remove)

	it("has the certificates in the order in which the server sent them", function ()
		local root = pki.authority()
		local middle = root:intermediate()
		local own = middle:issue { names = { "a.test" } }
		-- The wrong order, and the same certificate twice.
		own.certificate = pki.write(pki.read(own.own) .. root.pem .. middle.pem .. root.pem)
		local expected, found = {}, {}
		for _, pem in ipairs { pki.read(own.own), root.pem, middle.pem, root.pem } do
			expected[#expected + 1] = read(pem):der()
		end
		local client = handshake.between(
			assert(core.context.new { role = "client", verify = "none" }),
			assert(core.context.new { role = "server", certificate = own.certificate, key = own.key }))
		for index, certificate in ipairs(client:peer_chain()) do
			found[index] = certificate:der()
		end
		assert.same(expected, found)
	end)
end)

describe("the digests", function ()
	teardown(pki.remove)

	it("are those of the bytes", function ()
		local function hex(bytes)
			return (bytes:gsub(".", function (byte)
				return ("%02x"):format(byte:byte())
			end))
		end
		assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", hex(core.digest("SHA256", "")))
		assert.matches("^ddaf35a193617abacc417349ae204131.*a54ca49f$", hex(core.digest("SHA512", "abc")))
		assert.error(function () core.digest("MD5", "") end)
		local certificate = read(pki.self_signed { names = { "a.test" } }.pem)
		local facts = certificate:facts()
		assert.equal(facts.sha256, hex(core.digest("SHA256", certificate:der())))
		assert.equal(facts.spki_sha256, hex(core.digest("SHA256", certificate:spki())))
	end)
end)
