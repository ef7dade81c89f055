-- doc/grafana.json on a real Prometheus, which scrapes a server with something of everything.
local client_contexts = require "support.client_contexts"
local client_hello = require "support.client_hello"
local engine = require "support.engine"
local files = require "support.files"
local json = require "dkjson"
local offers = require "support.offers"
local pki = require "support.pki"
local process = require "support.process"
local prometheus = require "support.prometheus"
local prosody = require "support.prosody"
local sharing_servers = require "support.sharing_servers"
local xmpp = require "support.xmpp"

-- Shared sessions need a Redis or Valkey.
local has_no_engine = engine.missing()
local SHARED = "shared_sessions_"

local dashboard = assert(json.decode((assert(files.read "doc/grafana.json"))))

-- { title, expression } of each query.
local queries = {}
for _, panel in ipairs(dashboard.panels) do
	for _, target in ipairs(panel.targets or {}) do
		local is_left_out = has_no_engine and target.expr:find(SHARED, 1, true)
		if not is_left_out then
			queries[#queries + 1] = { title = ("%s (%s)"):format(panel.title, target.refId), expression = target.expr }
		end
	end
end

-- As Grafana asks: all jobs, and the shortest range that it chooses for scrapes of a second.
local function asked(expression)
	return (expression:gsub("%$job", ".*"):gsub("%$__rate_interval", "1m"))
end

describe("the dashboard", function ()
	local servers = prosody.group()
	local store, shared

	setup(function ()
		if not has_no_engine then
			store = engine.start()
			shared = { url = store.url, key_file = sharing_servers.new_key(), name = "cluster" }
		end
	end)

	teardown(function ()
		servers.stop()
		if store then
			store:stop()
		end
		pki.remove()
	end)

	local function login(server, domain, tls)
		local peer = assert(xmpp.open(server:target("c2s", domain), { tls = tls }))
		assert(peer:login("alice", "secret"))
		peer:close()
	end

	-- A stream that ends in its features. Returns the session for a later resumption.
	local function meet(server, context, session)
		local tls = { context = context, session = session }
		local peer = assert(xmpp.open(server:target("c2s", "example.test"), { tls = tls }))
		session = peer.socket:session()
		peer:close()
		return session
	end

	local function visit_all(server, authority)
		local context = client_contexts.by_version { "x25519" }["TLSv1.2"]
		-- A reload with another size of the memory forgets the first session.
		local forgotten = meet(server, context)
		server:configure { policy = { resumption = { memory = 2, shared = shared } } }
		server:reload()
		meet(server, context, forgotten)
		meet(server, context, meet(server, context))
		login(server, "example.test")
		login(server, "report.test", { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES128-SHA" })
		assert.equal("alert", client_hello.send(server:target "c2s", offers.tls10).kind)
		local theirs = authority:issue { names = { "far.test" }, key = "p256" }
		local peer = assert(xmpp.open(server:target("s2s", "example.test"), {
			from = "far.test", tls = { certificate = theirs.certificate, key = theirs.key },
		}))
		peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"
		assert(peer:read_until "<success[^>]*>")
		peer:close()
		server:shell [[tlspolicy:refused("json")]] -- finds the clauses of all handshakes
	end

	local sentence = "has no query without a result"
	if not prometheus.is_installed then
		pending(sentence .. " (the package prometheus is not installed: make deps-test)")
		return
	end

	it(sentence, function ()
		local authority = pki.authority()
		local own = authority:issue { names = { "example.test", "report.test" }, key = "rsa2048" }
		local server = servers.start {
			hosts = {
				["example.test"] = own,
				["report.test"] = { certificate = own.certificate, key = own.key,
					options = { xmpp_tls_policy = { mode = "report" } } },
			},
			domain = "example.test", ca = authority.certificate, with_policy = true, http = true,
			users = { ["alice@example.test"] = "secret", ["alice@report.test"] = "secret" },
			modules = { "http_openmetrics" }, policy = { resumption = { memory = 1, shared = shared } },
			options = {
				statistics = "internal", statistics_interval = "manual",
				ssl = { protocol = "sslv3+", ciphers = "ALL:COMPLEMENTOFALL:@SECLEVEL=0" },
			},
		}
		visit_all(server, authority)
		local scraper = prometheus.start(server.ports.http)
		process.poll(process.PATIENCE, function ()
			local found = scraper:query "prosody_mod_xmpp_tls_policy__handshakes_total"
			return found and found[1] or scraper:status() ~= nil
		end)
		-- A rate needs two scrapes, and shares are of the handshakes between them.
		login(server, "example.test")
		local empty, problem
		process.poll(process.PATIENCE, function ()
			empty = {}
			for _, query in ipairs(queries) do
				local result
				result, problem = scraper:query(asked(query.expression))
				empty[#empty + 1] = not (result and result[1]) and ("%s: %s"):format(query.title, problem or "no result") or nil
			end
			return not empty[1] or scraper:status() ~= nil
		end)
		local output = scraper:stop()
		assert.is_true(#queries > 10)
		assert.same({}, empty, output)
	end)
end)
