-- Predictions of report mode beside the outcome of enforcing: two contexts from one configuration,
-- one in report mode and one enforced, and the same clients on both.
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local client_hello = require "support.client_hello"
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local judgement = require "xmpp_tls_policy.fleet.judgement"
local ssl = require "ssl"
local table_of_hellos = require "support.hello_table"
local tls_policy = require "xmpp_tls_policy"

local predictions = {}

local ALL = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"

-- Rows of { name, options of LuaSec, key of the certificate, lists that the operator wrote }
predictions.configurations = {
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


-- The kinds of keys that the configurations have.
predictions.keys = { "rsa2048", "p256", "p384" }

-- The third is an exception for one peer, of a policy at the level should.
predictions.levels = { "should", "must", "exception" }

-- A new LuaSec context, as a server makes it.
local function new_luasec(files, configuration)
	local options = {
		mode = "server", verify = "none",
		certificate = files[configuration[3]].certificate, key = files[configuration[3]].key,
	}
	for name, value in pairs(configuration[2]) do
		options[name] = value
	end
	return assert(ssl.newcontext(options))
end

-- The entry of a new context under a policy, the core's Context, and LuaSec's, which has to be kept.
local function adopt(contexts, files, configuration, policy)
	local luasec = new_luasec(files, configuration)
	local entry = contexts:enforce(luasec, {
		policy = policy, host = "example.test", role = "c2s", operator = configuration[4],
	})
	return entry, assert(core.context.adopt(luasec)), luasec
end

local clients

-- A list of { name, Context of a client }. This OpenSSL may lack a suite or a group of some.
local function all_clients()
	if not clients then
		clients = {}
		for _, row in ipairs(table_of_hellos.clients) do
			local context = assert(core.context.new { role = "client", verify = "none" })
			clients[#clients + 1] = context:apply(row[2]) and { row[1], context } or nil
		end
	end
	return clients
end

-- How many clients and hellos are compared.
function predictions.offers()
	return #all_clients() + #table_of_hellos.hellos
end

-- Whether a context under an enforced policy lets a client in.
local function is_let_in(policy, context, client)
	local one, other = handshake.between(client, context, nil, { role = "server" })
	return one ~= nil and not policy:judge(other:facts()).refuse
end

-- The same of a context in report mode, by its prediction; nil if the client does not even get there.
local function is_foreseen(contexts, entry, policy, context, client)
	local one, other = handshake.between(client, context, nil, { role = "server" })
	if not one then
		return nil
	end
	assert(entry.label == other:label())
	local verdict = contexts:enforcement(entry, policy):judge(other:facts(), nil, assert(other:offer()))
	assert(not verdict.refuse or verdict.broken[1].text, "a refusal has a reason")
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

-- Compares all offers on one configuration. `files`: key -> files of its certificate. Returns { compared,
-- refused = how many of these enforcing refuses, wrong = list of the offers of which the prediction is
-- wrong, failures = { of the prediction, of enforcing }, settings = { of the context in report mode, of a
-- fresh one } }.
function predictions.compare(files, configuration, profile, level)
	local report = tls_policy.policy { profile = profile, level = level ~= "exception" and level or nil, mode = "report" }
	local enforced = tls_policy.policy { profile = profile, level = report.level }
	-- The policy that is judged in report mode, whose context has `report`.
	local judged = report
	if level == "exception" then
		judged, enforced = report:mildest_exception(), enforced:mildest_exception()
	end
	local contexts, found = adopted_contexts.new(), { compared = 0, refused = 0, wrong = {} }
	local entry, seen, first = adopt(contexts, files, configuration, report)
	local of_enforced, strict, second = adopt(contexts, files, configuration, enforced)
	local function compare(name, is_in, foreseen)
		found.compared = found.compared + 1
		found.refused = found.refused + (is_in and 0 or 1)
		found.wrong[#found.wrong + 1] = is_in ~= foreseen and name or nil
	end
	for _, client in ipairs(all_clients()) do
		local foreseen = is_foreseen(contexts, entry, judged, seen, client[2])
		if foreseen ~= nil then
			compare(client[1], is_let_in(enforced, strict, client[2]), foreseen)
		end
	end
	for _, row in ipairs(of_enforced.failure and {} or table_of_hellos.hellos) do
		local missing = contexts:enforcement(entry, judged):of_hello(read(seen, row[2])).missing
		compare(row[1], is_answered(strict, row[2]), missing == nil)
	end
	local _, fresh, third = adopt(adopted_contexts.new(), files, configuration, report)
	found.failures = { contexts:enforcement(entry, judged).failure or false, of_enforced.failure or false }
	found.settings = { seen:settings(), fresh:settings() }
	contexts:release()
	assert(first and second and third)
	return found
end

---- Shapes ----------------------------------------------------------------------

-- The shape of a hello that the core has read: as client_hello_push_shape makes it.
local function packed(hello)
	local present, parts = 64, {}
	for index, field in ipairs { "versions", "suites", "groups", "signature_schemes" } do
		local numbers = hello[field] or {}
		present = present + (hello[field] and 2 ^ (index - 1) or 0)
		parts[#parts + 1] = string.char(#numbers)
		for _, number in ipairs(numbers) do
			parts[#parts + 1] = string.char(math.floor(number / 256), number % 256)
		end
	end
	return string.char(present) .. table.concat(parts)
end

-- The shapes that come through to one configuration without a policy: a list of { name, shape, client =
-- Context, offer = of client_hello.lua }; the last two: the one that there is.
function predictions.shapes(files, configuration)
	local luasec, list = new_luasec(files, configuration), {}
	local context = assert(core.context.adopt(luasec))
	assert(context:observe(1))
	for _, client in ipairs(all_clients()) do
		local one, other = handshake.between(client[2], context, nil, { role = "server" })
		if one then
			list[#list + 1] = { name = client[1], shape = assert(other:take_shape()), client = client[2] }
		end
	end
	for _, row in ipairs(table_of_hellos.hellos) do
		list[#list + 1] = { name = row[1], shape = packed(read(context, row[2])), offer = row[2] }
	end
	return list, luasec
end

-- The verdicts of fleet/judgement.lua on shapes (see predictions.shapes) beside the outcome of enforcing.
-- Returns { compared, refused, wrong }, as predictions.compare.
function predictions.compare_shapes(shapes, files, configuration, policy)
	local contexts, found = adopted_contexts.new(), { compared = 0, refused = 0, wrong = {} }
	local judge = judgement.new {
		adopted = contexts, host = "example.test", policy = policy,
		server = {
			own_context = function () return new_luasec(files, configuration) end,
			luasec_context = function (context) return context end,
			operator_lists = function () return configuration[4] end,
		},
	}
	local entry, strict, kept = adopt(contexts, files, configuration, policy)
	for _, row in ipairs(shapes) do
		if row.client or not entry.failure then
			local is_in = row.client and is_let_in(policy, strict, row.client) or row.offer and is_answered(strict, row.offer)
			local verdict = assert(judge:of(row.shape, "c2s"))
			assert(not verdict.refuse or verdict.broken[1].text, "a refusal has a reason")
			found.compared = found.compared + 1
			found.refused = found.refused + (is_in and 0 or 1)
			found.wrong[#found.wrong + 1] = is_in == verdict.refuse and row.name or nil
		end
	end
	core.observer.refusals()
	contexts:release()
	assert(kept)
	return found
end

return predictions
