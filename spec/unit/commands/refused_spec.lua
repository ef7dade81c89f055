-- The command `refused`: handshakes and streams that were refused.
local command_service = require "support.command_service"
local output = require "xmpp_tls_policy.commands.output"
local refused_peers = require "xmpp_tls_policy.refused_peers"
local text_of = require "xmpp_tls_policy.text"
local run = require "xmpp_tls_policy.commands.run"
local refused = require "xmpp_tls_policy.commands.refused"

describe("the command refused", function ()
	local service

	before_each(function ()
		local handshakes = {
			{ time = 300, what = "handshake", address = "192.0.2.1", role = "c2s", host = "host.test",
				text = "offers nothing newer than TLS 1.0", clauses = { "version.tls10", "version.tls12" },
				offer = { versions = { "TLSv1" }, suites = {}, server_name = "host.test" } },
			{ time = 100, what = "handshake", text = "speaks HTTP", clauses = {} },
		}
		local streams = {
			{ time = 200, what = "stream", address = "192.0.2.2", role = "s2sin", host = "host.test",
				domain = "far.test", text = "no TLS\27", clauses = { "support.required" } },
		}
		service = {
			server = command_service.server {},
			failed_handshakes = command_service.log_of(handshakes, 1000), refusal_log = command_service.log_of(streams, 7),
			refused_peers = refused_peers.new { now = function () return 400 end },
		}
	end)

	it("lists handshakes and streams, the latest first, and how many there were", function ()
		local text, done, message = command_service.run(service, "refused")
		assert.same({ true, "3 refusals shown, of 1007 since the server started" }, { done, message })
		assert.equal(table.concat({
			"Time                 Role   Host       From                        Why                                Clauses",
			output.time(300) .. "  c2s    host.test  192.0.2.1                   offers nothing newer than TLS 1.0  "
				.. "version.tls10 version.tls12",
			output.time(200) .. "  s2sin  host.test  192.0.2.2, claims far.test  no TLS\\027                         "
				.. "support.required",
			output.time(100) .. "         any        unknown                     speaks HTTP", "",
		}, "\n"), text)
	end)

	it("keeps the order of entries of the same second, and lists its streams first", function ()
		local handshakes, streams, expected = {}, {}, {}
		for second = 500, 498, -1 do
			for _, what in ipairs { "stream", "handshake" } do
				local list = what == "stream" and streams or handshakes
				for number = 15, 1, -1 do
					local time = what == "stream" and second or second + number / 20
					local text = ("%s %d of %d"):format(what, number, second)
					list[#list + 1] = { time = time, what = what, text = text, clauses = {} }
					expected[#expected + 1] = text
				end
			end
		end
		service.failed_handshakes, service.refusal_log = command_service.log_of(handshakes), command_service.log_of(streams)
		local found = {}
		for index, entry in ipairs(command_service.json(service, "refused").refused) do
			found[index] = entry.text
		end
		assert.same(expected, found)
	end)

	it("has all of each entry as JSON, and lists where they are empty", function ()
		local text = command_service.run(service, "refused", "json")
		local list = command_service.json(service, "refused").refused
		assert.same({ 300, 200, 100 }, { list[1].time, list[2].time, list[3].time })
		assert.same({ versions = { "TLSv1" }, suites = {}, server_name = "host.test" }, list[1].offer)
		assert.truthy(text:find('"suites":[]', 1, true))
		assert.truthy(text:find('"clauses":[]', 1, true))
	end)

	it("prints no table where nothing was refused", function ()
		service.failed_handshakes, service.refusal_log = command_service.log_of {}, command_service.log_of {}
		assert.same({ "", true, "0 refusals shown, of 0 since the server started" },
			{ command_service.run(service, "refused") })
		assert.same({ refused = {}, refused_peers = {} }, command_service.json(service, "refused"))
	end)

	for filter, times in pairs {
		c2s = { 300 }, s2sin = { 200 }, s2sout = {}, s2s = { 200 }, ["version.tls12"] = { 300 },
		["support.required"] = { 200 }, ["cipher.null"] = {}, ["far.test"] = { 200 }, ["FAR.test"] = { 200 },
		["host.test"] = { 300, 200 }, ["192.0.2.1"] = { 300 }, ["192.0.2.9"] = {}, ["2001:db8::1"] = {},
	} do
		it("shows those of " .. filter .. " alone", function ()
			local found = {}
			for index, entry in ipairs(command_service.json(service, "refused", filter).refused) do
				found[index] = entry.time
			end
			assert.same(times, found)
		end)
	end

	it("says which filters there are", function ()
		for word, ending in pairs { nonsense = "$", s2sinn = '; did you mean "s2sin"%?$', [""] = "$" } do
			local text, done, message = command_service.run(service, "refused", word)
			assert.same({ "", nil }, { text, done })
			assert.matches("is not a domain, an address, a clause such as version.tls12, or a role .*" .. ending, message)
		end
	end)

	it("cuts nothing in a narrow terminal", function ()
		service.refusal_log = command_service.log_of({
			{ time = 200, what = "stream", address = "2001:db8:1234:5678:9abc:def0:1234:5678", role = "s2sin",
				host = ("host."):rep(12) .. "test", domain = ("far"):rep(40) .. ".test",
				text = "the certificate names other domains than the stream does, " .. ("\195\188"):rep(150),
				clauses = { "cert.identity", "support.required", "version.tls12" },
				command = 'tlspolicy:accept("far.test")' },
		})
		for _, width in ipairs { 80, 132 } do
			local writer = command_service.writer(width)
			assert.is_true((run(refused, service, writer)))
			for line in writer.text:gmatch "[^\n]+" do
				assert.is_true(text_of.columns(line) <= width, line)
				assert.is_nil(line:find "\226\128\166")
			end
			local joined = writer.text:gsub("%s+", "")
			for _, part in ipairs {
				("host."):rep(12) .. "test", ("far"):rep(40) .. ".test", ("\195\188"):rep(150), "version.tls12",
				"2001:db8:1234:5678:9abc:def0:1234:5678", 'toacceptit:tlspolicy:accept("far.test")', "cert.identity",
			} do
				assert.is_truthy(joined:find(part, 1, true), part)
			end
		end
	end)

	it("shows how often each peer was refused, also of those that are not in the list any more", function ()
		for count = 1, 300 do
			service.refused_peers:add { role = "s2sin", host = "host.test", domain = "far.test", address = "192.0.2.2",
				text = "no TLS", clauses = { "support.required" } }
			service.refused_peers:add { role = "c2s", address = ("192.0.2.%d"):format(count % 2) }
		end
		local peers = command_service.json(service, "refused").refused_peers
		assert.same({ 300, "far.test", 400, 400 }, { peers[1].count, peers[1].domain, peers[1].first, peers[1].last })
		assert.same({ 150, "192.0.2.0" }, { peers[2].count, peers[2].address })
		assert.equal(3, #peers)
		assert.matches("\n300      s2sin  host.test  192.0.2.2, claims far.test  " .. output.time(400):gsub("%-", "%%-"),
			(command_service.run(service, "refused")))
		assert.equal(1, #command_service.json(service, "refused", "far.test").refused_peers)
		assert.equal(1, #command_service.json(service, "refused", "support.required").refused_peers)
	end)
end)
