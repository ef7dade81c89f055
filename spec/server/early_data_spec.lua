-- Clients that send early data (0-RTT) with a ticket of another server.
local client = require "support.client"
local lfs = require "lfs"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"

-- OpenSSL skips as much as one record holds.
local SKIPPED = 16384

-- rfc8446.4.2.10.rejected-early-data-is-skipped, rfc8446.E.5.no-early-data, early-data.none
describe("a client that sends early data with another server's ticket", function ()
	local servers = prosody.group()
	local files, ticket

	-- The ticket of a server that permits so many bytes of early data, in a file.
	local function foreign_ticket(bytes)
		local server = process.spawn({
			"openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", files.certificate, "-key", files.key, "-early_data",
			"-max_early_data", tostring(bytes),
		})
		assert(server:wait_for "ACCEPT 127.0.0.1:%d+")
		local path = pki.path ".session"
		local one = process.spawn({
			"openssl", "s_client", "-connect", "127.0.0.1:" .. server:output():match "ACCEPT 127.0.0.1:(%d+)",
			"-servername", "example.test", "-sess_out", path,
		})
		-- It writes the file when the ticket comes.
		assert(process.poll(process.PATIENCE, function ()
			return (lfs.attributes(path, "size") or 0) > 0
		end))
		one:close()
		-- The end of its input does not end it.
		server:signal "TERM"
		server:close()
		return path
	end

	setup(function ()
		files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
		ticket = foreign_ticket(4 * SKIPPED)
	end)

	after_each(servers.stop)

	teardown(function ()
		pki.remove()
	end)

	local function come(server, service, bytes)
		local path = pki.write(("early "):rep(bytes):sub(1, bytes), ".early")
		return client.openssl(server:target(service, "example.test"), {
			arguments = { "-sess_in", ticket, "-early_data", path },
		})
	end

	for _, profile in ipairs { "rfc9325", "rfc7590", "draft-saintandre-xmpp-tls-02" } do
		it("finishes a full handshake and opens a stream under " .. profile, function ()
			local server = servers.start {
				hosts = { ["example.test"] = files }, domain = "example.test", with_policy = true,
				policy = { profile = profile },
			}
			for _, service in ipairs { "c2s", "c2s_direct_tls" } do
				for _, bytes in ipairs { 1, 1000, SKIPPED - 1000 } do
					local answer = come(server, service, bytes)
					assert.matches("Early data was rejected", answer.raw)
					assert.is_true(answer.ok, answer.raw)
					assert.is_false(answer.resumed)
					assert.matches("<stream:features", answer.stream)
					assert.not_matches("early", answer.stream)
				end
				local answer = come(server, service, 2 * SKIPPED)
				assert.is_nil(answer.stream)
			end
		end)
	end
end)
