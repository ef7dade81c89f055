-- The row of a connection in `show`. A server's stream has only names that were authenticated.
local command_service = require "support.command_service"
local connection_row = require "xmpp_tls_policy.commands.connection_row"
local core = require "xmpp_tls_policy.core"
local date = require "xmpp_tls_policy.date"
local files = require "support.files"
local observed_connection = require "support.observed_connection"
local pki = require "support.pki"
local stream = require "xmpp_tls_policy.stream.stream"
local tls_policy = require "xmpp_tls_policy"

local HOST = "host.test"
local A, B = "a.test", "b.test"

local good = { refuse = false, broken = {} }

local function policy_of(mode, with_exception)
	return assert(tls_policy.policy {
		mode = mode, unauthenticated_s2s = "refuse",
		exceptions = with_exception and { [A] = {
			unauthenticated_s2s = "dialback", expires = date.of(os.time() + 100 * date.DAY), reason = "being replaced",
		} } or nil,
	})
end

local function contains(list, wanted)
	for _, item in ipairs(list) do
		if item == wanted then
			return true
		end
	end
	return false
end

-- Whether any string of a value has a text in it.
local function mentions(value, text)
	if type(value) == "string" then
		return value:find(text, 1, true) ~= nil
	elseif type(value) ~= "table" then
		return false
	end
	for _, item in pairs(value) do
		if mentions(item, text) then
			return true
		end
	end
	return false
end

local subsets = { {}, { A }, { B }, { A, B } }

local function named(list)
	return list[1] and table.concat(list, " and ") or "none"
end

describe("a row of show", function ()
	local certificates, connection, close = {}, nil, nil

	setup(function ()
		local authority = pki.authority()
		local own = authority:issue { names = { HOST }, key = "p256" }
		for _, names in ipairs(subsets) do
			local issued = authority:issue { names = names[1] and names or { "other.test" }, key = "p256" }
			certificates[named(names)] = assert(core.certificate.from_pem(files.read(issued.certificate)))
		end
		connection, close = observed_connection.open({ certificate = own.certificate, key = own.key },
			{ protocol = "tlsv1_2", ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384" })
	end)

	teardown(function ()
		close()
		pki.remove()
	end)

	local function service_of(policy)
		return {
			server = command_service.server {},
			policies = command_service.policies { ["*"] = policy, [HOST] = policy },
		}
	end

	local function row_of(service, session)
		local row = {}
		assert.is_true(connection_row.fill(row, service, session))
		return row
	end

	-- A server's stream over TLS whose certificate names some domains, and whose header claims A.
	local function server_stream(service, role, authenticated, certified)
		local policy = service.policies:policy_for(HOST, A)
		local session = {
			role = role, host = HOST, peer = A, domains = authenticated, address = "192.0.2.1", secure = true,
			connection = connection, valid_chain = true, valid_certificate = contains(certified, A),
			vouched_by = contains(certified, A) and "PKIX" or nil,
		}
		local known = stream.new(service.server, session)
		known.connection, known.mechanism = connection, "dialback"
		known.facts = assert(core.observer.facts(connection))
		-- What the handshake had if the client had shown this certificate.
		known.facts.certificate, known.facts.verified, known.facts.verify_error = certificates[named(certified)], true, nil
		if policy.mode ~= "report" then
			known.verdict, known.policy_name, known.exception = good, policy:name(), policy.exception
		end
		session.stream = known
		return session
	end

	for _, role in ipairs { "s2sin", "s2sout" } do
		for _, authenticated in ipairs(subsets) do
			for _, certified in ipairs(subsets) do
				for _, mode in ipairs { "enforce", "report" } do
					for _, with_exception in ipairs { false, true } do
						local case = ("%s whose header claims %s, authenticated for %s, with a certificate for %s, mode %s%s")
							:format(role, A, named(authenticated), named(certified), mode,
								with_exception and ", and an exception for " .. A or "")

						-- By the rules: only authenticated names, and a certificate has to vouch for each.
						local may_name_a = role == "s2sout" or contains(authenticated, A)
						local uncertified = {}
						for _, domain in ipairs(authenticated) do
							uncertified[#uncertified + 1] = not contains(certified, domain) and domain or nil
						end

						it("names " .. case, function ()
							local service = service_of(policy_of(mode, with_exception))
							local row = row_of(service, server_stream(service, role, authenticated, certified))
							local further = role == "s2sin" and #authenticated > 1 and { B } or nil
							assert.equal(role == "s2sout" and A or authenticated[1], row.who)
							assert.same(further, row.further_domains)
							assert.equal(may_name_a, mentions(row, A))
						end)

						it("tells the authentication of " .. case, function ()
							local service = service_of(policy_of(mode, with_exception))
							local row = row_of(service, server_stream(service, role, authenticated, certified))
							local some = #uncertified < #authenticated
							assert.equal(#authenticated > 0 and #uncertified == 0, row.authenticated)
							assert.equal(some and "PKIX" or nil, row.authentication)
							assert.same(some and #uncertified > 0 and uncertified or nil, row.without_certificate)
							assert.equal(#authenticated > 0 and "dialback" or nil, row.mechanism)
						end)

						it("tells the verdict on " .. case, function ()
							local policy = policy_of(mode, with_exception)
							local service = service_of(policy)
							local row = row_of(service, server_stream(service, role, authenticated, certified))
							local expected = with_exception and "exception" or "ok"
							if mode == "report" then
								-- Each domain under the policy for it; before authentication, the one of the header.
								local worst, excepted = false, false
								for _, domain in ipairs(#authenticated > 0 and authenticated or { A }) do
									local excused = with_exception and domain == A
									worst = worst or not contains(certified, domain) and not excused
									excepted = excepted or excused
								end
								expected = worst and "would refuse" or excepted and "exception" or "ok"
							end
							assert.equal(expected, row.verdict)
							assert.same(expected == "would refuse" and { "unauth.encrypt" } or nil, row.clauses)
							assert.equal(expected == "exception" and may_name_a, row.exception ~= nil)
						end)
					end
				end
			end
		end
	end

	it("has the facts of the handshake", function ()
		local service = service_of(policy_of "enforce")
		local row = row_of(service, server_stream(service, "s2sin", { A }, { A }))
		assert.same({ true, "TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 256, "x25519", true, false }, {
			row.encrypted, row.version, row.cipher_suite, row.bits, row.group, row.forward_secrecy, row.resumed,
		})
	end)

	for _, mode in ipairs { "enforce", "report" } do
		it("has no verdict of an older connection, mode " .. mode, function ()
			local service = service_of(policy_of(mode))
			local session = server_stream(service, "s2sin", { A }, { A })
			session.stream.connection = {}
			assert.equal("not judged", row_of(service, session).verdict)
		end)
	end

	it("knows of a stream that was there before the module as much as the server does", function ()
		local service = service_of(policy_of "enforce")
		local session = server_stream(service, "s2sin", { A, B }, { A })
		session.stream = nil
		local row = row_of(service, session)
		assert.same({ true, "TLSv1.2", "not judged", "PKIX", false, { B } }, {
			row.encrypted, row.version, row.verdict, row.authentication, row.authenticated, row.without_certificate,
		})
	end)

	it("takes nothing for good in report mode of which the facts are unknown", function ()
		local service = service_of(policy_of "report")
		local session = server_stream(service, "s2sin", { A }, { A })
		session.stream.facts = nil
		assert.equal("not judged", row_of(service, session).verdict)
	end)

	it("has the clauses of a refusal", function ()
		local service = service_of(policy_of "enforce")
		local session = server_stream(service, "s2sin", { A }, { A })
		session.stream.verdict = { refuse = true, broken = {
			{ clause = "version.tls12", enforced = true }, { clause = "compress.tls", enforced = false },
		} }
		local row = row_of(service, session)
		assert.same({ "refused", { "version.tls12" } }, { row.verdict, row.clauses })
	end)

	---- Clients -----------------------------------------------------------------

	local function client(changes)
		local session = {
			role = "c2s", host = HOST, address = "192.0.2.1", jid = "juliet@host.test/phone", connection = connection,
			secure = true,
		}
		for name, value in pairs(changes or {}) do
			session[name] = value or nil
		end
		return session
	end

	it("names a client by its JID once it has authenticated", function ()
		local service = service_of(policy_of "enforce")
		local session = client()
		session.stream = { mechanism = "SCRAM-SHA-1", connection = connection, verdict = good, policy_name = "the policy" }
		local row = row_of(service, session)
		assert.same({ "juliet@host.test/phone", true, "SCRAM-SHA-1", "ok", "the policy" },
			{ row.who, row.authenticated, row.mechanism, row.verdict, row.policy })
		session.jid = nil
		row = row_of(service, session)
		assert.same({ nil, false, nil, "ok" }, { row.who, row.authenticated, row.mechanism, row.verdict })
	end)

	it("tells in report mode that an authenticated client without TLS would be refused", function ()
		local service = service_of(policy_of "report")
		local session = client { connection = false, secure = false }
		session.stream = stream.new(service.server, session)
		local row = row_of(service, session)
		assert.same({ false, "would refuse", { "support.required" } }, { row.encrypted, row.verdict, row.clauses })
		session.jid = nil
		assert.equal("not judged", row_of(service, session).verdict)
	end)

	for name, changes in pairs {
		["over HTTP"] = { carrier = "BOSH", connection = false },
		["that waits for its client"] = { hibernating = true, connection = false },
		["of a host without a policy"] = { host = "elsewhere.test" },
		["that never met the module"] = { stream = false },
	} do
		it("has no verdict on a session " .. name, function ()
			local service = service_of(policy_of "enforce")
			local session = client { stream = { connection = connection, verdict = good } }
			for field, value in pairs(changes) do
				session[field] = value or nil
			end
			local row = row_of(service, session)
			assert.equal("not judged", row.verdict)
			assert.equal(changes.connection ~= false or changes.carrier ~= nil, row.encrypted)
		end)
	end

	it("is none of a session that has ended, or is neither of a client nor of a server", function ()
		local service = service_of(policy_of "enforce")
		assert.is_false(connection_row.fill({}, service, client { destroyed = true }))
		assert.is_false(connection_row.fill({}, service, client { role = false }))
	end)
end)
