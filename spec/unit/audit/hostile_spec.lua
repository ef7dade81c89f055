-- The whole audit at servers that are no XMPP servers, or that do not want to be audited. All probes end in time, and
-- what was not answered never holds.
local audit = require "xmpp_tls_policy.audit.audit"
local certificates = require "xmpp_tls_policy.audit.certificates"
local core = require "xmpp_tls_policy.core"
local pki = require "support.pki"
local process = require "support.process"
local report = require "xmpp_tls_policy.audit.report"
local report_json = require "xmpp_tls_policy.audit.report_json"
local report_text = require "xmpp_tls_policy.audit.report_text"
local scripted = require "support.scripted_server"
local tasks = require "xmpp_tls_policy.audit.tasks"
local tls_peer = require "support.tls_peer"
local tls_policy = require "xmpp_tls_policy"

local function deadline()
	return tasks.now() + process.PATIENCE
end

-- Sends pieces until the client is gone: `make(number)` returns each.
local function send_on(connection, pause, make)
	local number = 0
	repeat
		number = number + 1
		local written = connection:write(make(number), deadline())
		tasks.sleep(pause)
	until not written
end

-- What a server sends after <proceed/>, or at once with direct TLS.
local instead_of_tls = {
	["nothing"] = scripted.drain,
	["garbage"] = function (connection)
		connection:write(("\255\0\27[2J"):rep(1000), deadline())
		scripted.drain(connection)
	end,
	["single bytes on and on"] = function (connection)
		send_on(connection, 0.01, function (number) return number == 1 and "\22" or "\3" end)
	end,
	["a record that has no end"] = function (connection)
		send_on(connection, 0.001, function (number)
			return (number == 1 and "\22\3\3\255\255\2\255\255\255" or "") .. ("a"):rep(10000)
		end)
	end,
	["messages of a handshake on and on"] = function (connection)
		send_on(connection, 0.001, function () return ("\22\3\3\0\4\0\0\0\0"):rep(1000) end)
	end,
	["warnings on and on"] = function (connection)
		send_on(connection, 0.001, function () return ("\21\3\3\0\2\1\90"):rep(1000) end)
	end,
	["an unknown alert"] = function (connection)
		connection:read(deadline())
		connection:write("\21\3\3\0\2\2\200", deadline())
	end,
	["the client's own bytes"] = function (connection)
		local bytes = connection:read(deadline())
		while bytes and connection:write(bytes, deadline()) do
			bytes = connection:read(deadline())
		end
	end,
	["the end of the connection"] = function () end,
}

-- What a server sends instead of a stream.
local instead_of_xmpp = {
	["nothing"] = scripted.drain,
	["the end of the connection"] = function () end,
	["another protocol"] = function (connection)
		connection:write("220 mail.example ESMTP \27[31m\r\n", deadline())
		scripted.drain(connection)
	end,
	["features that have no end"] = function (connection)
		connection:write(scripted.header() .. "<stream:features>", deadline())
		send_on(connection, 0.001, function () return ("<a xmlns='b'/>"):rep(100) end)
	end,
	["white space on and on"] = function (connection)
		connection:write(scripted.header(), deadline())
		send_on(connection, 0.01, function () return " " end)
	end,
	["a text that has no end"] = function (connection)
		connection:write(scripted.header() .. "<stream:features><a>", deadline())
		send_on(connection, 0.001, function () return ("b"):rep(10000) end)
	end,
}

describe("the audit of a server that sends", function ()
	local files
	local policy = tls_policy.defaults()

	setup(function ()
		files = pki.authority():issue { names = { "a.test" }, key = "p256" }
	end)
	teardown(pki.remove)

	-- Audits a server. Returns the report and the endpoint in it.
	local function audited(serve, direct)
		local began = tasks.now()
		local results = scripted.run(serve, function (port)
			return audit.run({ "a.test" }, {
				endpoint = { timeout = 0.2, time_limit = 4, trust = assert(certificates.authorities(files.certificate)) },
				discover = function (domain)
					return { endpoints = { { domain = domain, service = "c2s", direct = direct, host = "a.test",
						address = "127.0.0.1", port = port } } }
				end,
			})
		end)
		-- The limit, the last wait, and the machine.
		assert.is_true(tasks.now() - began < 60)
		return report.of(policy, 0, results)
	end

	local function assert_harmless(made)
		local endpoint = made.domains[1].endpoints[1]
		assert.is_true(endpoint.connections <= 40, endpoint.connections)
		assert.is_nil(report_text.of(made):gsub("\n", ""):find "%c")
		local encoded = report_json.encode(made)
		assert.is_true(#encoded < 100000, #encoded)
		assert.is_nil(encoded:gsub("\n", ""):find "%c")
	end

	for what, serve in pairs(instead_of_xmpp) do
		it(what .. " instead of a stream, finds nothing that holds", function ()
			local made = audited(serve, false)
			assert_harmless(made)
			assert.same({ 0, 0, 2 }, { made.count.holds, made.count.broken, report.exit_status(made) })
		end)
	end

	for what, serve in pairs(instead_of_tls) do
		for _, direct in ipairs { false, true } do
			it(("%s instead of TLS%s, finds nothing that holds but STARTTLS"):format(what, direct and ", at once" or ""),
				function ()
					local made = audited(function (connection)
						if direct or scripted.agree(connection, scripted.required) then
							serve(connection)
						end
					end, direct)
					assert_harmless(made)
					for _, clause in ipairs(made.domains[1].endpoints[1].clauses) do
						local of_starttls = clause.id:find "^support%." and not direct
						assert.truthy(of_starttls or clause.result == "not tested" or clause.result == "not offered"
							and clause.id:find "^support%.", clause.id .. ": " .. clause.result .. ": " .. clause.sentence)
					end
					assert.equal(2, report.exit_status(made))
				end)
		end
	end

	it("control characters in all that it says, shows none of them", function ()
		local context = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
		assert(context:apply { minimum_version = "TLSv1.2", maximum_version = "TLSv1.3" })
		-- XML allows U+0085 and U+009B, and references to U+0009.
		local bad = "\194\133\194\155[2J&#9;&#10;"
		local made = audited(tls_peer.server(context, function (peer, connection)
			tls_peer.advance(peer, connection, "read")
			tls_peer.advance(peer, connection, "write", scripted.header(scripted.mechanisms(bad, "A" .. bad)))
			tls_peer.advance(peer, connection, "read")
		end), true)
		assert_harmless(made)
		assert.same({ "\\194\\133\\194\\155[2J\\009\\010", "A\\194\\133\\194\\155[2J\\009\\010" },
			made.domains[1].endpoints[1].observations["tls.mechanisms"].value)
	end)
end)
