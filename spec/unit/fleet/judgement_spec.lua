-- The verdicts on shapes beside the outcome of real handshakes under the same policy.
local judgement = require "xmpp_tls_policy.fleet.judgement"
local pki = require "support.pki"
local predictions = require "support.predictions"
local shape = require "xmpp_tls_policy.fleet.shape"
local tls_policy = require "xmpp_tls_policy"

describe("a verdict on a shape #comparison", function ()
	local files, counts = {}, { compared = 0, refused = 0 }

	setup(function ()
		local authority = pki.authority()
		for _, key in ipairs(predictions.keys) do
			files[key] = authority:issue { names = { "example.test" }, key = key, key_name = key }
		end
	end)

	teardown(pki.remove)

	for _, configuration in ipairs(predictions.configurations) do
		it("is the outcome under each profile and level: " .. configuration[1], function ()
			local shapes, luasec = predictions.shapes(files, configuration)
			for _, policy in ipairs(judgement.every_policy()) do
				local found = predictions.compare_shapes(shapes, files, configuration, policy)
				assert.same({}, found.wrong, policy:name())
				counts.compared = counts.compared + found.compared
				counts.refused = counts.refused + found.refused
			end
			assert(luasec)
		end)
	end

	it("was compared with both outcomes often", function ()
		assert.is_true(counts.compared > 1500 and counts.refused > 500,
			("%d compared, %d refused"):format(counts.compared, counts.refused))
	end)
end)

describe("a verdict on a shape", function ()
	local function judge(options, own_context)
		return judgement.new {
			policy = tls_policy.policy(options), host = "a.test",
			server = { own_context = own_context },
		}
	end

	local function broken_of(options, packed, role)
		local ids = {}
		local verdict = judge(options):of(packed, role)
		for _, breach in ipairs(verdict.broken) do
			ids[#ids + 1] = breach.enforced and breach.clause or nil
		end
		return verdict.refuse, table.concat(ids, " ")
	end

	it("refuses a login without TLS as the policy does", function ()
		for role, clause in pairs { c2s = "support.required", s2sin = "support.required", s2sout = "support.abort" } do
			assert.same({ true, clause }, { broken_of(nil, shape.WITHOUT_TLS, role) })
		end
		assert.same({ false, "" }, { broken_of({ level = "must" }, shape.WITHOUT_TLS, "c2s") })
	end)

	it("judges what another server chose", function ()
		local function answer(facts)
			facts.cipher_suite, facts.secure_renegotiation = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", true
			facts.key_exchange, facts.encryption, facts.bits = "ECDHE", "AES-128-GCM", 128
			facts.aead, facts.forward_secrecy, facts.authentication = true, true, "RSA"
			return shape.of_answer(facts)
		end
		local good = answer { version = "TLSv1.2", group = "x25519", group_bits = 253 }
		assert.same({ false, "" }, { broken_of(nil, good, "s2sout") })
		assert.same({ true, "version.only-tls13" }, { broken_of({ profile = "mozilla-modern-6.0" }, good, "s2sout") })
		local short = answer { version = "TLSv1.2", certificate = { facts = function ()
			return { key_type = "RSA", key_bits = 1024 }
		end } }
		assert.same({ true, "key.rsa2048" }, { broken_of({ profile = "rfc9325" }, short, "s2sout") })
	end)

	it("is none where the server has no context", function ()
		local verdict, message = judge(nil, function () return nil, "no certificate" end):of("\1\1\3\3\0\0\0", "c2s")
		assert.same({ nil, "no certificate" }, { verdict, message })
	end)

	it("has all profiles at all levels", function ()
		assert.equal(2 * #tls_policy.profile_names, #judgement.every_policy())
	end)
end)
