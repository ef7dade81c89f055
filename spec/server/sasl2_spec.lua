-- SASL 2 (XEP-0388) with the modules of prosody-modules: resumption of streams inline (XEP-0198) and FAST (XEP-0484).
-- They are looked for where Debian's package puts them, and in the directory that PROSODY_MODULES names.
local core = require "xmpp_tls_policy.core"
local files = require "support.files"
local mime = require "mime"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local scram = require "support.scram"
local xmpp = require "support.xmpp"

local function directory_of_modules()
	for _, directory in ipairs { os.getenv "PROSODY_MODULES" or "/nonexistent", "/usr/lib/prosody/modules" } do
		if files.read(directory .. "/mod_sasl2/mod_sasl2.lua") then
			return directory
		end
	end
end

-- Why it cannot run here, or nil. mod_sasl2 is for Prosody 13, whose mod_smacks has what it calls.
local directory = directory_of_modules()
local smacks = files.read "/usr/lib/prosody/modules/mod_smacks.lua"
local reason = not directory and "prosody-modules has no mod_sasl2 here"
	or not (smacks and smacks:find("do_resume", 1, true)) and "mod_sasl2 needs Prosody 13"

describe("SASL 2", function ()
	if reason then
		pending(reason)
		return
	end

	local servers = prosody.group()
	local certificate, server

	setup(function ()
		certificate = pki.authority():issue { names = { "example.test", "strict.test" }, key = "p256" }
		server = servers.start {
			hosts = {
				["example.test"] = certificate,
				["strict.test"] = {
					certificate = certificate.certificate, key = certificate.key,
					options = { xmpp_tls_policy = { profile = "mozilla-modern-6.0" } },
				},
			},
			domain = "example.test", with_policy = true, policy = { profile = "rfc9325" },
			modules = { "smacks", "sasl2", "sasl2_bind2", "sasl2_sm", "sasl2_fast" },
			users = { ["juliet@example.test"] = "wherefore", ["juliet@strict.test"] = "wherefore" },
			options = { plugin_paths = { directory } },
		}
	end)

	teardown(function ()
		servers.stop()
		pki.remove()
	end)

	local types = {
		["TLSv1.2"] = { "tls-exporter", "tls-server-end-point", "tls-unique" },
		["TLSv1.3"] = { "tls-exporter", "tls-server-end-point" },
	}

	local function connect(version)
		local context = assert(core.context.new { role = "client", verify = "none" })
		assert(context:apply { minimum_version = version, maximum_version = version })
		return assert(xmpp.open(server:target "c2s", { from = "juliet@example.test", tls = { context = context } }))
	end

	local function login(peer, name, value, inline)
		return scram.login(peer, "juliet", "wherefore", {
			name = name, value = value or assert(peer.socket.connection:channel_binding(name)), inline = inline or "",
		})
	end

	local bind = "<bind xmlns='urn:xmpp:bind:0'><tag>test</tag><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>"

	for version, names in pairs(types) do
		it("offers and takes every channel binding, and shows and counts it, under " .. version, function ()
			for _, name in ipairs(names) do
				local peer, features = connect(version)
				local offer = features:match "<authentication.-</authentication>"
				assert.matches("<mechanism>SCRAM%-SHA%-1%-PLUS</mechanism>", offer)
				local accepted, answer = login(peer, name, nil, bind)
				assert.is_true(accepted, answer)
				assert.matches("<authorization%-identifier>juliet@example.test/", answer)
				assert(peer:read_until { "</stream:features>", "<stream:features/>" })
				assert.is_truthy(server:shell([[tlspolicy:show("c2s")]]):find("SCRAM-SHA-1-PLUS, " .. name, 1, true))
				peer:close()
			end
		end)
	end

	it("rfc5802.6.binding-finds-interception: reports a value that differs once, and takes no further login", function ()
		local peer = connect "TLSv1.3"
		local mark = server:mark()
		local accepted, answer = login(peer, "tls-exporter", ("x"):rep(32))
		assert.is_false(accepted)
		assert.matches("Invalid channel binding value", answer)
		server:wait_for_log('Login of "juliet" from 127%.0%.0%.1: the channel binding tls%-exporter does not match%.', mark)
		peer:send("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>"
			.. mime.b64 "\0juliet\0wherefore" .. "</initial-response></authenticate>")
		answer = assert(peer:read_all())
		assert.matches("<policy%-violation.-did not match on this stream", answer)
		assert.not_matches("<success", answer)
		peer:close()
		assert.equal(1, select(2, server:log(mark):gsub("does not match%.", "")))
	end)

	-- Logs in by SASL 2 and returns the id by which the session can be resumed.
	local function resumable(peer)
		peer:send("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>"
			.. mime.b64 "\0juliet\0wherefore" .. "</initial-response>" .. bind .. "</authenticate>")
		return assert(peer:read_until { "</success>" }):match "<enabled[^>]- id='([^']+)'"
			or error "the session cannot be resumed"
	end

	local function resume_inline(id)
		return "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>"
			.. mime.b64 "\0juliet\0wherefore" .. "</initial-response><resume xmlns='urn:xmpp:sm:3' h='0' previd='" .. id
			.. "'/></authenticate>"
	end

	it("xep0198.5.resumption: shows a session that was resumed inline with the connection that it is on now", function ()
		local first = connect "TLSv1.2"
		local id = resumable(first)
		first.socket:close()
		local second = connect "TLSv1.3"
		second:send(resume_inline(id))
		assert.matches("<resumed", (assert(second:read_until { "</success>" })))
		local shown = server:shell [[tlspolicy:show("c2s", "width=300")]]
		assert.matches("juliet@example.test/%S+.-TLSv1%.3", shown)
		assert.not_matches("TLSv1%.2", shown)
		second:close()
	end)

	it("neither authenticates nor resumes inline on a stream that the policy refuses", function ()
		local good = assert(xmpp.open(server:target("c2s", "strict.test")))
		local id = resumable(good)
		good.socket:close()
		-- Direct TLS without SNI is negotiated under the policy of the first host.
		local target = server:target("c2s_direct_tls", "strict.test")
		local context = assert(core.context.new { role = "client", verify = "none" })
		assert(context:apply { maximum_version = "TLSv1.2" })
		local weak = xmpp.connect(target)
		assert(weak:secure { context = context, server_name = false })
		local mark = server:mark()
		weak:send(xmpp.stream_header("c2s", "strict.test") .. resume_inline(id))
		local answer = assert(weak:read_all())
		assert.matches("<policy%-violation", answer)
		assert.not_matches("<success", answer)
		assert.not_matches("<resumed", answer)
		assert.not_matches("Authenticated as", server:log(mark))
		weak:close()
	end)

	-- The token's answer (draft-schmaus-kitten-sasl-ht).
	local function token_hash(token, value)
		local output = process.check({
			"openssl", "dgst", "-sha256", "-hex", "-mac", "HMAC", "-macopt", "key:" .. token,
		}, { input = "Initiator" .. value })
		return (output:match "= (%x+)":gsub("%x%x", function (digits)
			return string.char(tonumber(digits, 16))
		end))
	end

	-- Without channel binding.
	local function logins_of_other_mechanisms()
		return tonumber((server:shell [[tlspolicy:stats()]]:match "\nother%s+none%s+(%d+)\n")) or 0
	end

	for mechanism, type in pairs { ["HT-SHA-256-NONE"] = false, ["HT-SHA-256-EXPR"] = "tls-exporter" } do
		it("counts a login by FAST as one without channel binding: " .. mechanism, function ()
			local function authenticate(peer, name, response, request)
				peer:send(("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='%s'><initial-response>%s</initial-response>"
					.. "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>%s</authenticate>"):format(name,
					mime.b64(response), request))
				return assert(peer:read_until { "</success>", "</failure>" })
			end
			local first = connect "TLSv1.3"
			local answer = authenticate(first, "PLAIN", "\0juliet\0wherefore",
				("<request-token xmlns='urn:xmpp:fast:0' mechanism='%s'/>"):format(mechanism))
			local token = assert(answer:match " token='([^']+)'", answer)
			first:close()
			local second, before = connect "TLSv1.3", logins_of_other_mechanisms()
			local value = type and assert(second.socket.connection:channel_binding(type)) or ""
			local proof = "juliet\0" .. token_hash(token, value)
			answer = authenticate(second, mechanism, proof, "<fast xmlns='urn:xmpp:fast:0'/>")
			assert.matches("<success", answer)
			assert.equal(before + 1, logins_of_other_mechanisms())
			second:close()
		end)
	end
end)
