-- The features after TLS, and data before it that counts as if it came after, at servers that say what a spec wants.
local core = require "xmpp_tls_policy.core"
local endpoint = require "xmpp_tls_policy.audit.endpoint"
local pipelined = require "xmpp_tls_policy.audit.probes.pipelined"
local pki = require "support.pki"
local process = require "support.process"
local sasl = require "xmpp_tls_policy.audit.probes.sasl"
local scripted = require "support.scripted_server"
local tasks = require "xmpp_tls_policy.audit.tasks"
local tls_peer = require "support.tls_peer"

-- The end of a wait that begins now.
local function soon()
	return tasks.now() + process.PATIENCE
end

describe("the probe of", function ()
	local files

	setup(function ()
		files = pki.authority():issue { names = { "example.test" }, key = "p256" }
	end)
	teardown(pki.remove)

	local function context(settings)
		local made = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
		assert(made:apply(settings or { minimum_version = "TLSv1.2", maximum_version = "TLSv1.3" }))
		return made
	end

	-- What a probe observes at a server: name -> observation.
	local function observed(probe, serve, fields)
		return scripted.run(serve, function (port)
			local all = { domain = "example.test", service = "c2s", host = "localhost", address = "127.0.0.1", port = port,
				timeout = 20 }
			for name, value in pairs(fields or {}) do
				all[name] = value
			end
			local result = {}
			probe.run(endpoint.new(all), result)
			return result
		end)
	end

	-- Waits for the header of the client's stream, under TLS.
	local function read_header(peer, connection)
		local text = ""
		repeat
			local bytes = tls_peer.advance(peer, connection, "read")
			text = text .. (bytes or "")
		until not bytes or text:find("<stream:stream[^>]*>")
		return text
	end

	describe("features after TLS", function ()
		local with_bindings = scripted.mechanisms("PLAIN", "EXTERNAL")
			.. "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-unique'/>"
			.. "<channel-binding type='tls-exporter'/></sasl-channel-binding>"

		-- A server with direct TLS and these features.
		local function with(features, settings)
			local made = context(settings)
			return observed(sasl, tls_peer.server(made, function (peer, connection)
				read_header(peer, connection)
				tls_peer.advance(peer, connection, "write", scripted.header(features))
				tls_peer.advance(peer, connection, "read")
			end), { direct = true })
		end

		it("sees mechanisms, EXTERNAL among them", function ()
			local result = with(scripted.mechanisms("PLAIN", "EXTERNAL"))
			assert.same({ true, { "PLAIN", "EXTERNAL" } }, { result["tls.mechanisms"].seen, result["tls.mechanisms"].value })
			assert.is_true(result["tls.external"].seen)
			assert.is_false(result["channel_binding.types"].seen)
			assert.is_false(result["channel_binding.unsuited"].seen)
		end)

		it("sees that there are none", function ()
			local result = with "<a xmlns='b'/>"
			assert.is_false(result["tls.mechanisms"].seen)
			assert.is_false(result["tls.external"].seen)
		end)

		it("rfc9266.3.no-tls-unique: sees tls-unique under TLS 1.3", function ()
			local result = with(with_bindings)
			assert.same({ ["TLSv1.3"] = { "tls-unique", "tls-exporter" }, ["TLSv1.2"] = { "tls-unique", "tls-exporter" } },
				result["channel_binding.types"].value)
			assert.same({ true, { ["TLSv1.3"] = { "tls-unique" } } },
				{ result["channel_binding.unsuited"].seen, result["channel_binding.unsuited"].value })
			assert.equal("announced types of channel binding; TLSv1.3: tls-unique, tls-exporter; "
				.. "TLSv1.2: tls-unique, tls-exporter", result["channel_binding.unsuited"].evidence)
		end)

		it("takes tls-unique for suited to TLS 1.2", function ()
			local result = with(with_bindings, { minimum_version = "TLSv1.2", maximum_version = "TLSv1.2" })
			assert.same({ ["TLSv1.2"] = { "tls-unique", "tls-exporter" } }, result["channel_binding.types"].value)
			assert.is_false(result["channel_binding.unsuited"].seen)
		end)

		it("rfc9266.2.needs-extended-master-secret: takes tls-exporter for unsuited without it", function ()
			assert.is_true(sasl.is_unsuited("tls-exporter", "TLSv1.2", false))
			assert.is_false(sasl.is_unsuited("tls-exporter", "TLSv1.2", true))
			assert.is_false(sasl.is_unsuited("tls-exporter", "TLSv1.3", false))
			assert.is_false(sasl.is_unsuited("tls-server-end-point", "TLSv1.2", false))
		end)

		it("tests nothing, and says why, if there is no TLS or no stream", function ()
			local result = observed(sasl, scripted.drain, { direct = true, timeout = 0.2 })
			assert.same({ reason = "TLSv1.3: timeout: no answer in time; TLSv1.2: timeout: no answer in time" },
				result["tls.mechanisms"])
			result = observed(sasl, tls_peer.server(context(), function (peer, connection)
				read_header(peer, connection)
				tls_peer.advance(peer, connection, "write", scripted.header() .. scripted.error "host-unknown")
				tls_peer.advance(peer, connection, "read")
			end), { direct = true })
			assert.same({ reason = "TLSv1.3: stream_error: host-unknown; TLSv1.2: stream_error: host-unknown" },
				result["channel_binding.unsuited"])
		end)
	end)

	describe("pipelined data", function ()
		-- A server that reads `<starttls/>` and what follows it, answers with `answer`, and then makes TLS. Then it
		-- treats as the client's stream what followed, if `takes`, and otherwise what comes under TLS.
		local function observe(takes, answer, fields)
			local made = context()
			return observed(pipelined, function (connection)
				local deadline = soon()
				connection:read(deadline)
				connection:write(scripted.header(scripted.starttls), deadline)
				local early = connection:read(deadline)
				connection:write(answer or scripted.proceed, deadline)
				tls_peer.server(made, function (peer, tls)
					local header = takes and early:match "<%?xml.*$" or read_header(peer, tls)
					tls_peer.advance(peer, tls, "write", header:find("to='example.test'", 1, true)
						and scripted.header(scripted.mechanisms "PLAIN") or scripted.header() .. scripted.error "host-unknown")
					tls_peer.advance(peer, tls, "read")
				end)(connection)
			end, fields)["plaintext.pipelined"]
		end

		it("sees that a server takes it", function ()
			local observation = observe(true)
			assert.is_true(observation.seen)
		end)

		it("sees that a server takes it, which opens a stream to any domain", function ()
			local made = context()
			local observation = observed(pipelined, function (connection)
				connection:read(soon())
				connection:write(scripted.header(scripted.starttls), soon())
				connection:read(soon())
				connection:write(scripted.proceed, soon())
				tls_peer.server(made, function (peer, tls)
					tls_peer.advance(peer, tls, "write", (scripted.header(scripted.mechanisms "PLAIN")
						:gsub("from='example.test'", "from='pipelined.invalid'")))
					tls_peer.advance(peer, tls, "read")
				end)(connection)
			end)["plaintext.pipelined"]
			assert.same({ seen = true, evidence = "under TLS, the server answered the stream that began before: "
				.. "it opened a stream to pipelined.invalid" }, observation)
		end)

		it("rfc6120.5.4.3.3.nothing-before-tls-counts: sees that a server does not take it", function ()
			assert.same({ seen = false,
				evidence = "under TLS, the server answered the stream that began after the handshake" }, observe(false))
		end)

		it("takes an answer before TLS, or a stream error, for a no", function ()
			assert.same({ seen = false, evidence = "the server answered the data before TLS" },
				observe(false, scripted.proceed .. scripted.error "not-well-formed"))
			assert.same({ seen = false, evidence = "the server answered <starttls/> with the stream error not-well-formed" },
				observe(false, scripted.error "not-well-formed"))
		end)

		it("tests nothing if the server goes away, or with direct TLS", function ()
			assert.is_string(observed(pipelined, function (connection)
				connection:read(soon())
				connection:write(scripted.header(scripted.starttls), soon())
				connection:read(soon())
			end)["plaintext.pipelined"].reason)
			assert.same({ reason = "with direct TLS there is no stream before TLS" },
				observe(false, nil, { direct = true }))
		end)
	end)
end)
