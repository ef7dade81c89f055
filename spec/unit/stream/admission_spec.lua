--- Elements that may pass on a stream: products of states, whose outcome support/stream_rules.lua
-- computes.
local stream_cases = require "support.stream_cases"
local stream_rules = require "support.stream_rules"
local stream_world = require "support.stream_world"

local check, check_effects, check_ending = stream_cases.check, stream_cases.check_effects, stream_cases.check_ending
local each, each_header, targets = stream_cases.each, stream_cases.each_header, stream_cases.targets
local element = stream_world.element
local host_of, is_encrypted, world_of = stream_cases.host_of, stream_cases.is_encrypted, stream_cases.world_of

local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"
local xmlns_sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
local xmlns_streams = "http://etherx.jabber.org/streams"
local xmlns_dialback = "jabber:server:dialback"

local roles = { "c2s", "s2sin", "s2sout" }
local server_roles = { "s2sin", "s2sout" }
local states = stream_cases.states

-- `leads`: to TLS, by the role of our end.
local elements = {
	{ name = "starttls", xmlns = xmlns_tls, leads = { c2s = true, s2sin = true, s2sout = true } },
	{ name = "proceed", xmlns = xmlns_tls, leads = { s2sout = true } },
	{ name = "auth", xmlns = xmlns_sasl, leads = {} },
	{ name = "iq", leads = {} },
	{ name = "message", leads = {} },
	{ name = "presence", leads = {} },
	{ name = "features", xmlns = xmlns_streams, leads = { s2sout = true } },
	{ name = "bidi", xmlns = "urn:xmpp:bidi", leads = {} },
	{ name = "compress", xmlns = "http://jabber.org/protocol/compress", leads = {} },
	{ name = "starttls", xmlns = "urn:example:unknown", leads = {} },
	{ name = "result", xmlns = xmlns_dialback, is_dialback = true, leads = {} },
	{ name = "verify", xmlns = xmlns_dialback, is_dialback = true, leads = {} },
}
local by_name = {}
for _, one in ipairs(elements) do
	by_name[one.name] = by_name[one.name] or one
end

local function run_element(case, to)
	local world, session = world_of(case)
	local given = element(case.element.name, case.element.xmlns, to, case.from)
	local expected = stream_rules.may_pass(case) and true or false
	check(expected, world.admission:may_pass(session, given), case, "may pass")
	if expected then
		check(true, world.admission:may_pass(session, given), case, "may pass again")
	end
	check_ending(world, session, not expected, case)
	if not expected then
		check(not stream_rules.ends_silently(case), session.condition ~= nil, case, "ended with an error")
	end
	check_effects(world, session, case)
end

describe("an element", function ()
	teardown(stream_cases.close)

	-- Crossed: host of the header, host that the element is for, role, state of TLS, element.
	for _, role in ipairs(roles) do
		it("before authentication passes on a stream that keeps the policies of its hosts: " .. role, function ()
			each_header(function (header, others)
				each({ targets(header), states, elements }, function (target, tls, one)
					run_element({
						role = role, header = header, others = others, target = target.kind, is_foreign = target.is_foreign,
						tls = tls, element = one, certificate = "none", authed = {},
						from = role ~= "c2s" and "a.test" or nil,
					}, target.to)
				end)
			end)
		end)
	end

	-- Crossed: both hosts, role, state of TLS, element, domain that it is from, domains that are
	-- authenticated.
	for _, role in ipairs(server_roles) do
		it("after authentication passes where its own pair keeps the policy: " .. role, function ()
			local authed = { { ["a.test"] = true } }
			if role == "s2sin" then
				authed[2], authed[3] = { ["b.test"] = true }, { ["a.test"] = true, ["b.test"] = true }
			end
			each_header(function (header, others)
				each({ targets(header), states, { by_name.message, by_name.bidi, by_name.result, by_name.verify }, authed,
					{ "a.test", "b.test", "" } }, function (target, tls, one, of, from)
					run_element({
						role = role, header = header, others = others, target = target.kind, is_foreign = target.is_foreign,
						tls = tls, element = one, certificate = "none", authed = of, from = from ~= "" and from or nil,
					}, target.to)
				end)
			end)
		end)
	end

	it("of a client that has authenticated passes", function ()
		each_header(function (header)
			each({ targets(header), states, elements }, function (target, tls, one)
				local case = {
					role = "c2s", header = header, target = target.kind, tls = tls, element = one, certificate = "none", authed = {},
				}
				local world, session = world_of(case)
				session.authenticated = true
				check(true, world.admission:may_pass(session, element(one.name, one.xmlns, target.to)), case, "may pass")
				check_ending(world, session, false, case)
			end)
		end)
	end)

	-- Crossed: both hosts, as far as their level counts, role, state of TLS, certificate,
	-- unauthenticated_s2s, certificate memory, element, domain that it is from, domains that are
	-- authenticated.
	for _, role in ipairs(server_roles) do
		for _, memory in ipairs { "nothing", "same", "changed" } do
			-- xep0220.1.2.pair-of-domains
			it(("passes where certificates are as the policies demand: %s, %s is remembered"):format(role, memory), function ()
				local authed = { {}, { ["a.test"] = true } }
				if role == "s2sin" then
					authed[3], authed[4] = { ["b.test"] = true }, { ["a.test"] = true, ["b.test"] = true }
				end
				local headers, places = { "should", "must", "disabled" }, {
					{ is_foreign = false }, { kind = "should", is_foreign = true }, { kind = "disabled", is_foreign = true },
				}
				each({ headers, places, { "plain", "weak", "good" }, { "none", "a", "b" }, { true, false },
					{ by_name.bidi, by_name.message, by_name.result }, { "a.test", "b.test" }, authed },
				function (header, place, tls, certificate, needs_certificate, one, from, of)
					local kind = place.kind or header
					run_element({
						role = role, header = header, target = kind, is_foreign = place.is_foreign, tls = tls, element = one,
						certificate = certificate, needs_certificate = needs_certificate, memory = memory, authed = of,
						from = one ~= by_name.bidi and from or nil,
					}, host_of(kind, place.is_foreign and 2 or 1))
				end)
			end)
		end
	end
end)

describe("a stream", function ()
	teardown(stream_cases.close)

	-- Crossed: host of the header, role, state of TLS, certificate, unauthenticated_s2s, certificate
	-- memory. Calls visit(case, world, session) with `authed` as given.
	local function each_stream(streams, authed, visit)
		each_header(function (header, others)
			each({ streams, states, { "none", "a", "b" }, { true, false }, { "nothing", "same", "changed" } },
				function (role, tls, certificate, needs_certificate, memory)
					if not is_encrypted(tls) and certificate ~= "none" then
						return
					end
					local case = {
						role = role, header = header, others = others, tls = tls, certificate = certificate,
						needs_certificate = needs_certificate, memory = memory, authed = authed, element = by_name.message,
					}
					visit(case, world_of(case))
				end)
		end)
	end

	it("is ended when features are offered, if its TLS breaks the policy of its host", function ()
		each_stream(roles, {}, function (case, world, session)
			local goes_on = stream_rules.opened(case) and true or false
			check(not goes_on, world.admission:opened(session), case, "ended")
			check_ending(world, session, not goes_on, case)
			if goes_on then
				check(false, world.admission:opened(session), case, "ended later")
			end
			check_effects(world, session, case)
		end)
	end)

	it("is ended when the certificate was checked, if the policy of its host demands a better one", function ()
		each_stream(server_roles, {}, function (case, world, session)
			local goes_on = stream_rules.certificate_checked(case) and true or false
			check(not goes_on, world.admission:certificate_checked(session, "a.test"), case, "ended")
			check_ending(world, session, not goes_on, case)
			check_effects(world, session, case)
		end)
	end)

	for _, domain in ipairs { "a.test", "b.test" } do
		it("is ended when it has authenticated, if the pair breaks the host's policy: " .. domain, function ()
			for _, kind in ipairs { "should", "must", "report", "disabled" } do
				each_stream({ "s2sin" }, {}, function (case, world, session)
					local host = host_of(kind, 2)
					local goes_on = stream_rules.pair(case, kind, domain) and true or false
					check(not goes_on, world.admission:authenticated(session, host, domain, "dialback"), case, "ended")
					check_ending(world, session, not goes_on, case)
					check_effects(world, session, case, { [domain] = true })
					if goes_on then
						local of = kind == "should" or kind == "must"
						local shown = of and is_encrypted(case.tls) and case.certificate ~= "none"
						if case.memory == "nothing" then
							check(shown and host .. " " .. domain or nil, world.written[1], case, "remembered")
						end
						local handshakes, published = #world.handshakes, session.published
						session.authed[domain] = true
						check(true, world.admission:may_pass(session, element("iq", nil, host, domain)), case, "may pass")
						check(true, world.admission:may_send(session, host, domain), case, "may send")
						check(handshakes, #world.handshakes, case, "handshakes counted")
						check(published, session.published, case, "published")
					end
				end)
			end
		end)
	end

	for _, role in ipairs(server_roles) do
		it("carries stanzas of ours to domains that it is authenticated and admitted for: " .. role, function ()
			for _, authed in ipairs { {}, { ["a.test"] = true }, role == "s2sin" and { ["b.test"] = true } or nil } do
				each({ { "should", "must", "report", "disabled" }, { "a.test", "b.test" } }, function (kind, domain)
					each_stream({ role }, authed, function (case, world, session)
						local may, ended = stream_rules.may_send(case, kind, domain)
						check(may and true or false, world.admission:may_send(session, host_of(kind, 2), domain), case, "may send")
						check_ending(world, session, ended, case)
						check_effects(world, session, case)
						if not ended then
							check(may and true or false, world.admission:may_send(session, host_of(kind, 2), domain), case,
								"may send later")
						end
					end)
				end)
			end
		end)
	end

	it("is judged anew when policies change, for each domain that it is authenticated for", function ()
		for _, authed in ipairs { {}, { ["a.test"] = true }, { ["a.test"] = true, ["b.test"] = true } } do
			each_stream({ "s2sin" }, authed, function (case, world, session)
				local goes_on = true
				-- It has authenticated for all hosts.
				for domain in pairs(authed) do
					for _, kind in ipairs(stream_cases.kinds) do
						goes_on = goes_on and stream_rules.pair(case, kind, domain)
					end
				end
				world.admission:policies_changed()
				check_ending(world, session, not goes_on, case)
				-- It is judged and published for each host that its peer has authenticated for.
				session.published = nil
				check_effects(world, session, case)
			end)
		end
	end)
end)
