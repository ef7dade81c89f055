-- Rule 2 of stream/admission.lua on streams of ours to other servers: an element for another host of
-- ours than the stream's ends it before authentication, and is not answered. Crossed here: the host
-- that the stream is from, the host that the element is for, the element, and whether TLS is there
-- already. The outcome is computed from the rule.
local assert_sound = require "support.assert_sound"
local server_pairs = require "support.server_pairs"

local hosts = {}
for _, kind in ipairs { "should", "must", "report", "disabled" } do
	hosts[#hosts + 1] = server_pairs.host(kind, false)
end

local unknown = { name = "unknown.test", is_unknown = true }

local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"
local xmlns_sasl = "urn:ietf:params:xml:ns:xmpp-sasl"

local elements = {
	["features without STARTTLS"] = "<stream:features%s><x xmlns='urn:example:x'/></stream:features>",
	["features with STARTTLS"] = "<stream:features%s><starttls xmlns='" .. xmlns_tls .. "'/></stream:features>",
	["features with EXTERNAL"] = "<stream:features%s><mechanisms xmlns='" .. xmlns_sasl
		.. "'><mechanism>EXTERNAL</mechanism></mechanisms></stream:features>",
	["features with bidi"] = "<stream:features%s><bidi xmlns='urn:xmpp:features:bidi'/></stream:features>",
	starttls = "<starttls%s xmlns='" .. xmlns_tls .. "'/>",
	proceed = "<proceed%s xmlns='" .. xmlns_tls .. "'/>",
	["a TLS failure"] = "<failure%s xmlns='" .. xmlns_tls .. "'/>",
	auth = "<auth%s xmlns='" .. xmlns_sasl .. "' mechanism='EXTERNAL'>=</auth>",
	success = "<success%s xmlns='" .. xmlns_sasl .. "'/>",
	["a SASL failure"] = "<failure%s xmlns='" .. xmlns_sasl .. "'/>",
	["a dialback result"] = "<db:result%s from='DOMAIN' type='valid'/>",
	["a dialback verdict"] = "<db:verify%s from='DOMAIN' id='1' type='valid'/>",
	["a dialback key"] = "<db:result%s from='DOMAIN'>key</db:result>",
	["a dialback query"] = "<db:verify%s from='DOMAIN' id='1'>key</db:verify>",
	bidi = "<bidi%s xmlns='urn:xmpp:bidi'/>",
	["an iq"] = "<iq%s from='DOMAIN' type='get' id='d'><ping xmlns='urn:xmpp:ping'/></iq>",
	["a message"] = "<message%s from='DOMAIN' id='foreign'/>",
	["an unknown element"] = "<unknown%s xmlns='urn:example:unknown'/>",
}

local starts_tls = { proceed = true, starttls = true }

-- Whether an element has to end the stream.
local function is_refused(case)
	return not case.target.is_unknown and case.target.name ~= case.own.name and (case.own.level or case.target.level)
end

-- Without an offer of STARTTLS nothing more is sent (clause support.abort).
local function aborts(case)
	return not case.is_encrypted and not case.target.is_unknown and case.own.level
		and case.what:find "^features" and not case.what:find "STARTTLS$"
end

describe("an element on a stream of ours", function ()
	local world

	setup(function ()
		world = server_pairs.start(hosts, { "s2s_bidi" })
	end)

	teardown(function ()
		if world then
			world:stop()
		end
	end)

	-- All that near sends on a stream after an element.
	local function answer_to(case)
		local domain = ("d%d.out.test"):format(world:number())
		world:send_from(case.own.name, domain)
		local peer = world:accept()
		assert.same({ case.own.name, domain }, { peer.host, peer.domain })
		if case.is_encrypted then
			server_pairs.secure(peer, world.scripted.out)
		end
		local to = case.target.name == case.own.name and "" or (" to='%s'"):format(case.target.name)
		server_pairs.answer(peer, elements[case.what]:format(to):gsub("DOMAIN", domain))
		if not is_refused(case) and not case.is_encrypted and starts_tls[case.what] then
			-- A handshake comes instead of an answer.
			peer:close()
			return ""
		end
		local text = server_pairs.finish(peer)
		return (text:gsub("&apos;", "'"))
	end

	local function check(case)
		local text = answer_to(case)
		local said = ("%s to %s on a stream from %s, %s: %s"):format(case.what, case.target.name, case.own.name,
			case.is_encrypted and "encrypted" or "plain", text)
		if is_refused(case) and not case.is_encrypted or aborts(case) then
			assert.is_true(text == "" or text == "</stream:stream>", said)
		elseif is_refused(case) then
			assert.is_truthy(text:find("^<stream:error><policy%-violation.*an element for [%w.]+ came on a stream"), said)
		else
			assert.is_nil(text:find("an element for", 1, true), said)
		end
	end

	for _, is_encrypted in ipairs { false, true } do
		for what in pairs(elements) do
			it(("is for the host of its stream: %s, %s"):format(what, is_encrypted and "encrypted" or "plain"), function ()
				for _, own in ipairs(hosts) do
					for _, target in ipairs { hosts[1], hosts[2], hosts[3], hosts[4], unknown } do
						check { own = own, target = target, what = what, is_encrypted = is_encrypted }
					end
				end
			end)
		end
	end

	it("leaves no trace in the log but its refusals", function ()
		assert.is_nil(world.near:log():match "Delivered: [^\n]*foreign")
		assert_sound(world.near)
	end)
end)
