-- Streams that end after the module rejected a name that the server took from a certificate: a product
-- of states, with the outcome that the rule gives.
local element = require "support.stream_world".element
local stream_world = require "support.stream_world"

local policies = {
	enforce = stream_world.policy {}, report = stream_world.policy { mode = "report" }, none = false,
}

local function is_listed(case)
	if not case.rejected or case.authenticated or case.refused or case.policy ~= "enforce" then
		return false
	end
	return not case.went_on or case.role == "s2sin" and not case.dialback
end

local function session_of(case)
	return {
		role = case.role, host = "host.test", peer = "a.test", secure = true, authed = {}, chain_valid = true,
		identity_valid = false,
	}
end

-- Brings a stream through the events of a case, and ends it.
local function run(case)
	local world = stream_world.new { ["host.test"] = policies[case.policy] }
	local admission, session = world.admission, session_of(case)
	world.sessions[1] = session
	admission:stream(session)
	if case.rejected then
		admission:identity_rejected(session, "a.test")
	end
	if case.went_on then
		session.stream.went_on = true
	end
	if case.dialback then
		admission:may_pass(session, element("result", "jabber:server:dialback", "host.test", "a.test"))
		session.stream.refused = nil
		world.fired = {}
	end
	if case.authenticated then
		session.authed["a.test"] = true
	end
	if case.refused then
		session.stream.refused = true
	end
	local before = world.refusal_log:total()
	admission:ended(session)
	return world, world.refusal_log:total() - before
end

describe("the end of a stream with a rejected name", function ()
	local function each(visit)
		local both = { true, false }
		for _, role in ipairs { "s2sin", "s2sout" } do
			for _, policy in ipairs { "enforce", "report", "none" } do
				for number = 0, 31 do
					local case, rest = { role = role, policy = policy }, number
					for _, field in ipairs { "rejected", "went_on", "dialback", "authenticated", "refused" } do
						case[field] = both[rest % 2 + 1]
						rest = math.floor(rest / 2)
					end
					visit(case)
				end
			end
		end
	end

	local function described(case)
		local words = {}
		for field, value in pairs(case) do
			words[#words + 1] = ("%s=%s"):format(field, tostring(value))
		end
		table.sort(words)
		return table.concat(words, " ")
	end

	it("is a refusal where the rejection is why it was not authenticated, and only there", function ()
		local listed = 0
		each(function (case)
			local world, added = run(case)
			assert.equal(is_listed(case) and 1 or 0, added, described(case))
			assert.equal(added, #world.fired, described(case))
			listed = listed + added
		end)
		assert.equal(5, listed)
	end)

	it("has the clause, the domain and the name of the policy", function ()
		local world = run { role = "s2sin", policy = "enforce", rejected = true }
		local entry, event = world.refusal_log:list()[1], world.fired[1]
		assert.same({ "stream", "s2sin", "host.test", "a.test", { "cert.identity" } },
			{ entry.what, entry.role, entry.host, entry.domain, entry.clauses })
		assert.equal("draft-saintandre-xmpp-tls-02, section 4.5, cert.identity (per RFC 6120, 6125): the certificate shown "
			.. "for a.test does not name it as RFC 6125 requires; one that does is needed", entry.text)
		assert.same({ "host.test", entry.text, policies.enforce:name() }, { event.host, event.data.text, event.data.policy })
		assert.same({ { role = "s2sin", stage = "stream", clauses = { "cert.identity" } } }, world.refusals)
	end)

	it("is told once", function ()
		local world = stream_world.new { ["host.test"] = policies.enforce }
		local session = session_of { role = "s2sin" }
		world.admission:identity_rejected(session, "a.test")
		world.admission:ended(session)
		world.admission:ended(session)
		assert.equal(1, world.refusal_log:total())
	end)

	it("is nothing for a session that is no stream of ours", function ()
		local world = stream_world.new { ["host.test"] = policies.enforce }
		world.admission:ended(session_of { role = "s2sin" })
		assert.equal(0, world.refusal_log:total())
	end)
end)
