--- Servers for whose domain another proof vouches than a trusted root and the names of the certificate: a TLSA record,
-- or a module of the operator. Crossed here: the certificate, the server's own check of its names, the other proof and
-- when it comes, our role, the level, and whether a proof is demanded. The outcome is computed from the rule: a peer
-- with a proof is no worse off than one without.
local cutoff_verdict = require "xmpp_tls_policy.stream.cutoff_verdict"
local stream_cases = require "support.stream_cases"
local stream_world = require "support.stream_world"

local connection_of = stream_cases.connection_of

-- Of certificates, for a.test.
local certificates = {
	a = { is_trusted = true, names = true },
	b = { is_trusted = true, names = false },
	older = { is_trusted = false, names = true },
	none = { is_trusted = false, names = false },
}

describe("a server with another proof of its domain", function ()
	teardown(stream_cases.close)

	local function policy_of(case, mode)
		return stream_world.policy {
			level = case.level, mode = mode, unauthenticated_s2s = case.is_demanded and "refuse" or nil,
		}
	end

	-- The server checks the certificate, as Prosody does it. Returns the stream, and whether it was ended.
	local function check(case, mode)
		local world, certificate = stream_world.new { ["host.test"] = policy_of(case, mode) }, certificates[case.certificate]
		world.server.demands_certificate = function ()
			return false
		end
		local admission, session = world.admission, world:session {
			role = case.role, host = "host.test", peer = "a.test", secure = true, authed = {},
			connection = connection_of(case.role, "good", case.certificate), chain_untrusted = not certificate.is_trusted,
			unnamed = { ["a.test"] = not (certificate.names or case.takes_common_name) },
		}
		local ended
		if case.proof ~= "instead" then
			session.chain_valid = certificate.is_trusted
			session.identity_valid = certificate.is_trusted and (certificate.names or case.takes_common_name)
			local names, enforced = admission:certificate_names(session, "a.test")
			if enforced and names == false and session.identity_valid then
				session.identity_valid = false
				admission:identity_rejected(session, "a.test")
			end
		end
		if case.proof then
			session.chain_valid, session.identity_valid = true, true
		end
		if case.proof == "instead" then
			ended = admission:opened(session)
		else
			ended = admission:certificate_checked(session, "a.test")
		end
		return session.stream, ended
	end

	-- Nothing tells such a certificate, once it is valid, from one with another proof.
	local function is_taken_by_common_name(case)
		local certificate = certificates[case.certificate]
		return case.takes_common_name and certificate.is_trusted and not certificate.names
	end

	-- Whether nothing vouches for a server for which something has to.
	local function lacks_proof(case)
		local certificate = certificates[case.certificate]
		local is_proved = certificate.is_trusted and certificate.names or case.proof and not is_taken_by_common_name(case)
		return case.is_demanded and not is_proved
	end

	local function is_refused(case)
		return lacks_proof(case) or case.proof and is_taken_by_common_name(case) or false
	end

	local function described(case)
		return ("%s, %s, proof %s, common name %s, %s, demanded %s"):format(case.role, case.certificate,
			tostring(case.proof), tostring(case.takes_common_name), case.level, tostring(case.is_demanded))
	end

	local function each_case(visit)
		for _, role in ipairs { "s2sin", "s2sout" } do
			for _, certificate in ipairs(role == "s2sin" and { "a", "b", "older" } or { "a", "b", "older", "none" }) do
				for _, proof in ipairs { false, "later", "instead" } do
					for bits = 0, 7 do
						visit {
							role = role, certificate = certificate, proof = proof, takes_common_name = bits % 2 == 1,
							level = bits % 4 < 2 and "should" or "must", is_demanded = bits >= 4,
						}
					end
				end
			end
		end
	end

	it("rfc6120.13.7.2.trusted-and-named: is accepted like one without a proof, and where one is demanded", function ()
		each_case(function (case)
			local stream, ended = check(case)
			assert.equal(is_refused(case), ended, described(case))
			assert.is_false(stream:is_proved_otherwise "b.test")
		end)
	end)

	it("is foreseen to be refused where it is refused, unless its Common Name is all that it has", function ()
		each_case(function (case)
			local stream, ended = check(case, "report")
			assert.is_false(ended, described(case))
			assert.equal(lacks_proof(case), cutoff_verdict.of(policy_of(case, "report"), stream, "a.test").refuse,
				described(case))
		end)
	end)

	it("needs a certificate, whatever vouches for it", function ()
		local stream = check { role = "s2sin", certificate = "none", proof = "later", level = "should" }
		assert.is_false(stream:is_proved_otherwise "a.test")
	end)
end)
