-- Predictions of report mode beside the outcome of enforcing: two contexts from one configuration,
-- one in report mode and one enforced, and the same client on both.
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local client_hello = require "support.client_hello"
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local pki = require "support.pki"
local ssl = require "ssl"
local table_of_hellos = require "support.hello_table"
local tls_policy = require "xmpp_tls_policy"

local ALL = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"

-- name -> { options of LuaSec; key of the certificate; lists that the operator wrote }
local configurations = {
	{ "Prosody's intermediate preset", { protocol = "any", options = { "no_sslv3", "no_tlsv1", "no_tlsv1_1" },
		ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
			.. "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
			.. "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384",
		curveslist = "X25519:P-256:P-384" }, "rsa2048", {} },
	{ "Prosody's own preset", { protocol = "any", curveslist = "P-384:P-256:X25519:X448:P-521",
		ciphers = "HIGH+kEECDH:HIGH+kEDH:HIGH:!PSK:!SRP:!3DES:!aNULL" }, "rsa2048", {} },
	{ "all that OpenSSL can do", { protocol = "any", ciphers = ALL }, "rsa2048", { ciphers = true } },
	{ "all that OpenSSL can do, with ECDSA", { protocol = "any", ciphers = ALL }, "p256", {} },
	{ "an own list without AES-128-GCM", { protocol = "any",
		ciphers = "ECDHE-RSA-AES256-GCM-SHA384:AES256-SHA:AES128-SHA:@SECLEVEL=0" }, "rsa2048", { ciphers = true } },
	{ "an own list of which nothing is left", { protocol = "tlsv1_2",
		ciphers = "ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES256-SHA:AES256-SHA" }, "rsa2048", { ciphers = true } },
	{ "TLS 1.2 alone, and own groups", { protocol = "tlsv1_2", ciphers = ALL, curveslist = "brainpoolP256r1:P-521" },
		"rsa2048", { groups = true } },
	{ "TLS 1.3 alone, with ECDSA", { protocol = "tlsv1_3", ciphers = ALL }, "p384", {} },
}

describe("a prediction of report mode", function ()
	local files = {}

	setup(function ()
		local authority = pki.authority()
		for _, key in ipairs { "rsa2048", "p256", "p384" } do
			files[key] = authority:issue { names = { "example.test" }, key = key, key_name = key }
		end
	end)

	teardown(pki.remove)

	-- The entry and the core's Context of a new context under a policy.
	local function adopt(contexts, configuration, policy)
		local options = { mode = "server", verify = "none", certificate = files[configuration[3]].certificate,
			key = files[configuration[3]].key }
		for name, value in pairs(configuration[2]) do
			options[name] = value
		end
		local luasec = assert(ssl.newcontext(options))
		local entry = contexts:enforce(luasec, { policy = policy, host = "example.test", role = "c2s",
			operator = configuration[4] })
		return entry, assert(core.context.adopt(luasec)), luasec
	end

	local clients = {}
	for _, row in ipairs(table_of_hellos.clients) do
		local context = assert(core.context.new { role = "client", verify = "none" })
		-- This OpenSSL may lack a suite or a group.
		if context:apply(row[2]) then
			clients[#clients + 1] = { row[1], context }
		end
	end

	-- Whether a context under an enforced policy lets a client in.
	local function is_let_in(policy, context, client)
		local one, other = handshake.between(client, context, nil, { role = "server" })
		if not one then
			return false
		end
		return not policy:judge(other:facts()).refuse
	end

	-- The same of a context in report mode, by its prediction; nil if the client does not even get there.
	local function is_foreseen(contexts, entry, policy, context, client)
		local one, other = handshake.between(client, context, nil, { role = "server" })
		if not one then
			return nil
		end
		assert.equal(entry.label, other:label())
		local verdict = contexts:enforcement(entry, policy):judge(other:facts(), nil, assert(other:offer()))
		-- A refusal has a reason.
		assert.is_true(not verdict.refuse or verdict.broken[1].text ~= nil)
		return not verdict.refuse
	end

	-- Whether the server answers a hello with its own.
	local function is_answered(context, offer)
		local connection = assert(core.connection.new(context, { role = "server" }))
		assert(connection:feed(client_hello.build(offer)))
		connection:handshake()
		local answer = connection:take()
		connection:close()
		return answer:byte(1) == 22
	end

	-- The hello of an offer as the core reads it. The records of ends that Lua collects may come before.
	local function read(context, offer)
		is_answered(context, offer)
		local records = core.observer.refusals()
		return assert(records[#records].offer)
	end

	local counts = { compared = 0, refused = 0 }

	local function compare(what, expected, foreseen)
		if foreseen ~= nil then
			counts.compared = counts.compared + 1
			counts.refused = counts.refused + (expected and 0 or 1)
			assert.equal(expected, foreseen, what)
		end
	end

	for _, configuration in ipairs(configurations) do
		for _, profile in ipairs(tls_policy.profile_names) do
			for _, level in ipairs { "should", "must" } do
				it(("is the outcome: %s, %s, %s"):format(configuration[1], profile, level), function ()
					local report = tls_policy.policy { profile = profile, level = level, mode = "report" }
					local enforced = tls_policy.policy { profile = profile, level = level }
					local contexts = adopted_contexts.new()
					local entry, seen, first = adopt(contexts, configuration, report)
					local of_enforced, strict, second = adopt(contexts, configuration, enforced)
					assert.equal(of_enforced.failure, contexts:enforcement(entry, report).failure)
					for _, client in ipairs(clients) do
						compare(client[1], is_let_in(enforced, strict, client[2]),
							is_foreseen(contexts, entry, report, seen, client[2]))
					end
					for _, row in ipairs(of_enforced.failure and {} or table_of_hellos.hellos) do
						local missing = contexts:enforcement(entry, report):of_hello(read(seen, row[2])).missing
						compare(row[1], is_answered(strict, row[2]), missing == nil)
					end
					-- The context in report mode is as the server made it.
					local _, fresh, third = adopt(adopted_contexts.new(), configuration, report)
					assert.same(fresh:settings(), seen:settings())
					assert.same({}, contexts:release())
					assert(first and second and third)
				end)
			end
		end
	end

	it("was compared with both outcomes often", function ()
		assert.is_true(counts.compared > 1500 and counts.refused > 500,
			("%d compared, %d refused"):format(counts.compared, counts.refused))
	end)
end)
