-- Rule 2 of stream/admission.lua on a real server: a stream belongs to the host that its header
-- named, so an element for another host of ours ends it before authentication. Crossed here: the
-- header's host, the element's `to`, the element, the role of the stream and its transport. The
-- outcome is computed from the rule.
local assert_sound = require "support.assert_sound"
local mime = require "mime"
local pki = require "support.pki"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

-- How a host treats the policy. Enforced: the module acts on it. Strict: it requires TLS.
local hosts = {
	["should.test"] = { enforced = true, strict = true },
	["must.test"] = { enforced = true, options = { xmpp_tls_policy = { level = "must" } } },
	["report.test"] = { options = { xmpp_tls_policy = { mode = "report" } } },
	["disabled.test"] = { options = { modules_disabled = { "xmpp_tls_policy" } } },
	["unknown.test"] = { foreign = true },
}

-- A stream whose header names no host is under the policy for all others.
local no_host = { enforced = true, strict = true }

local names = {}
for name in pairs(hosts) do
	names[#names + 1] = name
end
table.sort(names)

local credentials = mime.b64 "\0juliet\0wherefore"

local elements = {
	c2s = {
		starttls = "<starttls%s xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
		SASL = "<auth%s xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" .. credentials .. "</auth>",
		["SASL 2"] = "<authenticate%s xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>" .. credentials
			.. "</initial-response></authenticate>",
		registration = "<iq%s type='set' id='r'><query xmlns='jabber:iq:register'><username>u%d</username>"
			.. "<password>x</password></query></iq>",
		["legacy authentication"] = "<iq%s type='set' id='a'><query xmlns='jabber:iq:auth'><username>juliet</username>"
			.. "<password>wherefore</password><resource>x</resource></query></iq>",
		["a message"] = "<message%s><body>x</body></message>",
		presence = "<presence%s/>",
		compression = "<compress%s xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>",
		features = "<stream:features%s/>",
		["an unknown element"] = "<unknown%s xmlns='urn:example:unknown'/>",
	},
	s2s = {
		starttls = "<starttls%s xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
		["SASL EXTERNAL"] = "<auth%s xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>"
			.. mime.b64 "remote.test" .. "</auth>",
		["an iq"] = "<iq%s from='remote.test' type='get' id='d'><ping xmlns='urn:xmpp:ping'/></iq>",
		["a message"] = "<message%s from='a@remote.test'><body>x</body></message>",
		presence = "<presence%s from='a@remote.test'/>",
		bidi = "<bidi%s xmlns='urn:xmpp:bidi'/>",
		features = "<stream:features%s/>",
		proceed = "<proceed%s xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
		["an unknown element"] = "<unknown%s xmlns='urn:example:unknown'/>",
		["a dialback key"] = "<db:result%s from='remote.test'>key</db:result>",
		["a dialback query"] = "<db:verify%s from='remote.test' id='1'>key</db:verify>",
	},
}

local forms = {
	["as it is"] = function (name)
		return name
	end,
	["in capitals"] = string.upper,
	["with node and resource"] = function (name)
		return "juliet@" .. name .. "/x"
	end,
}

local function is_dialback(what)
	return what:find "^a dialback" ~= nil
end

-- The refusal that the rules ask for: a pattern of the stream error's text, or nil.
local function expected(case)
	local own, target = case.host and hosts[case.host] or no_host, hosts[case.target]
	local is_exempt = case.service == "s2s" and is_dialback(case.what)
	if case.target ~= case.host and not target.foreign and not is_exempt and (own.enforced or target.enforced) then
		return "an element for " .. case.target:gsub("%p", "%%%0") .. " came on a stream"
	elseif case.transport == "plain" and own.strict and case.what ~= "starttls" then
		return "nothing but &lt;starttls/&gt; is accepted"
	elseif is_exempt and target.enforced and case.transport == "plain" and target.strict then
		return "nothing but &lt;starttls/&gt; is accepted"
	elseif is_exempt and target.enforced and case.transport == "starttls" and case.host == "disabled.test" then
		return "context was not under the policy"
	end
end

describe("an element before authentication", function ()
	local server

	setup(function ()
		local served, users = {}, {}
		local list = {}
		for name, host in pairs(hosts) do
			list[#list + 1] = not host.foreign and name or nil
		end
		local files = pki.authority():issue { names = list, key = "p256" }
		for _, name in ipairs(list) do
			served[name] = { certificate = files.certificate, key = files.key, options = hosts[name].options }
			users["juliet@" .. name] = "wherefore"
		end
		server = prosody.start {
			hosts = served, users = users, domain = "should.test", modules = { "register", "legacyauth", "s2s_bidi" },
			options = {
				c2s_require_encryption = false, s2s_require_encryption = false, allow_unencrypted_plain_auth = true,
				allow_registration = true, registration_throttle_max = 100000, s2s_secure_auth = false,
				limits = {},
			},
			routes = {}, with_policy = true,
		}
	end)

	teardown(function ()
		if server then
			server:stop()
		end
		pki.remove()
	end)

	-- An open stream of a case, or nil and the text that came instead.
	local function open(case)
		local service = case.transport == "direct" and case.service .. "_direct_tls" or case.service
		local peer = xmpp.connect(server:target(service, case.host), {
			from = case.service == "s2s" and "remote.test" or nil,
		})
		peer.domain = case.host
		if case.transport == "direct" then
			assert(peer:secure { server_name = case.host or false })
		end
		local function open_stream()
			if case.host then
				return assert(peer:open())
			end
			-- Without version='1.0' no features are expected.
			peer:send((xmpp.stream_header("s2s", nil, "remote.test"):gsub("(<stream:.-) version='1.0'", "%1")))
			assert(peer:read_until "<stream:stream[^>]*>")
		end
		open_stream()
		if case.transport == "starttls" then
			assert(peer:request_tls())
			assert(peer:secure())
			open_stream()
		end
		return peer
	end

	local count = 0

	local function answer_to(case)
		local peer = open(case)
		count = count + 1
		peer:send(elements[case.service][case.what]:format((" to='%s'"):format(forms[case.form](case.target)), count)
			.. "</stream:stream>")
		local text = assert(peer:read_all())
		peer:close()
		return text
	end

	local function check(case)
		local text, refusal = answer_to(case), expected(case)
		local said = ("%s to %s (%s) on a stream to %s, %s: expected %s, got %s"):format(case.what, case.target, case.form,
			case.host or "no host", case.transport, refusal or "no refusal", text)
		if refusal then
			assert.is_truthy(text:gsub("&apos;", "'"):find(refusal), said)
			for _, sign in ipairs { "<success", "type='result'", "<proceed", "<db:" } do
				assert.is_nil(text:find(sign, 1, true), said)
			end
		else
			assert.is_nil(text:find("an element for", 1, true), said)
			assert.is_nil(text:find("nothing but &lt;starttls", 1, true), said)
			assert.is_nil(text:find("was not under the policy", 1, true), said)
		end
	end

	for service, by_name in pairs(elements) do
		local headers = { false }
		for _, name in ipairs(names) do
			headers[#headers + 1] = not hosts[name].foreign and name or nil
		end
		for _, transport in ipairs { "plain", "starttls", "direct" } do
			for what in pairs(by_name) do
				it(("%s, %s, over %s: is for the host of its stream"):format(service, what, transport), function ()
					if what == "starttls" and transport == "plain" then
						prosody.surface.need("starttls.timeout", pending)
					end
					for _, host in ipairs(headers) do
						-- No client's header, and no STARTTLS, goes without a host.
						if host or service == "s2s" and transport ~= "starttls" then
							for _, target in ipairs(names) do
								check { service = service, what = what, transport = transport, host = host or nil, target = target,
									form = "as it is" }
							end
						end
					end
				end)
			end
		end
		for form in pairs(forms) do
			it(service .. ": its address counts as the server prepares it: " .. form, function ()
				for _, target in ipairs(names) do
					check { service = service, what = "a message", transport = "direct", host = "report.test",
						target = target, form = form }
				end
			end)
		end
	end

	it("leaves no trace in the log but its refusals", function ()
		assert_sound(server)
	end)
end)
