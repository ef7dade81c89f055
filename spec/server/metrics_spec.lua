-- The metrics, in the admin shell and on the page that Prometheus reads.
local client_hello = require "support.client_hello"
local client_contexts = require "support.client_contexts"
local date = require "xmpp_tls_policy.date"
local files = require "support.files"
local free_ports = require "support.free_ports"
local http = require "socket.http"
local json = require "dkjson"
local lfs = require "lfs"
local manual = require "support.manual"
local offers = require "support.offers"
local openmetrics = require "support.openmetrics"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local socket = require "socket"
local xmpp = require "support.xmpp"

local PREFIX = "prosody_mod_xmpp_tls_policy__"

local handshake_labels = { "role", "version", "suite", "group", "resumed", "outcome" }
local rules, rules_test = "doc/alert-rules.yml", "spec/support/alert-rules-test.yml"

-- TLS 1.2 with CBC: allowed at level "must", refused at "should".
local cbc = { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES128-SHA" }
local all = { protocol = "sslv3+", ciphers = "ALL:COMPLEMENTOFALL:@SECLEVEL=0" }

local refuses_all = [[
module:hook("tls-policy/verdict", function () return "not today" end)
]]

describe("the metrics", function ()
	local servers = prosody.group()
	local authority, own, contexts, plugins

	setup(function ()
		authority = pki.authority()
		own = authority:issue { names = { "example.test", "strict.test" }, key = "rsa2048" }
		contexts = client_contexts.by_version { "x25519" }
		plugins = process.scratch "plugins"
		assert(lfs.mkdir(plugins))
		files.write(plugins .. "/mod_refuses_all.lua", refuses_all)
	end)

	after_each(servers.stop)

	teardown(pki.remove)

	local function start(fields, options)
		local spec = {
			hosts = {
				["example.test"] = own,
				["strict.test"] = { certificate = own.certificate, key = own.key,
					options = { xmpp_tls_policy = { profile = "rfc9325" } } },
			},
			domain = "example.test", ca = authority.certificate, with_policy = true, http = true,
			modules = { "http_openmetrics" },
			options = { statistics = "internal", statistics_interval = "manual", ssl = all },
		}
		for name, value in pairs(options or {}) do
			spec.options[name] = value
		end
		for name, value in pairs(fields or {}) do
			spec[name] = value
		end
		return servers.start(spec)
	end

	local function values(server, name, labels, every)
		local _, families = openmetrics.read(server.ports.http)
		local family = name:gsub("_total$", "")
		return openmetrics.values(assert(families[PREFIX .. family], name), PREFIX .. name, labels, every)
	end

	local function handshakes(server, every)
		return values(server, "handshakes_total", handshake_labels, every)
	end

	local function value(server, name)
		return values(server, name, {}, true)[""]
	end

	-- Failed handshakes are collected once a second. Returns all handshakes as soon as `count` of
	-- them have the outcome.
	local function await(server, count, outcome)
		local found
		process.poll(process.PATIENCE, function ()
			local number = 0
			found = handshakes(server)
			for key, one in pairs(found) do
				number = number + (key:match "%S+$" == outcome and one or 0)
			end
			return number >= count
		end)
		return found
	end

	-- Opens a stream up to its features. Returns the TLS session for a later resumption.
	local function meet(server, version, session, service)
		local from = service and service:match "^s2s" and "remote.test" or nil
		local peer, reason, text = xmpp.open(server:target(service or "c2s", "example.test"), {
			from = from, tls = { context = contexts[version], session = session },
		})
		assert(peer, tostring(reason) .. tostring(text))
		local next_session = peer.socket:session()
		peer:close()
		return next_session
	end

	-- Sends bytes by direct TLS from an address of this machine, and waits for the answer.
	local function hello(server, bytes, address)
		local connection = assert(socket.tcp())
		assert(connection:bind(address or "127.0.0.1", 0))
		assert(connection:connect("127.0.0.1", server.ports.c2s_direct_tls))
		connection:settimeout(process.PATIENCE)
		connection:send(bytes)
		connection:receive(7)
		connection:close()
	end

	it("count handshakes by role, version, suite, group and resumption", function ()
		local server = start()
		assert.same({}, handshakes(server))
		for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
			local session = meet(server, version)
			session = meet(server, version, session)
			meet(server, version, session)
		end
		meet(server, "TLSv1.3", nil, "c2s_direct_tls")
		meet(server, "TLSv1.2", nil, "s2s")
		meet(server, "TLSv1.3", nil, "s2s_direct_tls")
		local tls12 = "TLSv1.2 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
		local tls13 = "TLSv1.3 TLS_AES_256_GCM_SHA384"
		assert.same({
			["c2s " .. tls12 .. " x25519 false accepted"] = 1, ["c2s " .. tls12 .. " x25519 true accepted"] = 2,
			["c2s " .. tls13 .. " x25519 false accepted"] = 2, ["c2s " .. tls13 .. " x25519 true accepted"] = 2,
			["s2sin " .. tls12 .. " x25519 false accepted"] = 1, ["s2sin " .. tls13 .. " x25519 false accepted"] = 1,
		}, handshakes(server))
		assert.same({}, values(server, "refusals_total", { "clause" }))
	end)

	it("count handshakes refused by version and by suite, and failed ones", function ()
		local server = start()
		local no_suite = { suites = offers.cbc.suites, server_name = "example.test" }
		local old_version = { version = "TLSv1", suites = offers.tls10.suites, server_name = "example.test" }
		for number = 1, 3 do
			hello(server, client_hello.build(no_suite), "127.0.1." .. number)
		end
		for number = 1, 2 do
			hello(server, client_hello.build(old_version), "127.0.2." .. number)
		end
		client_hello.send(server:target("s2s", "example.test"), offers.tls10, { from = "old.test" })
		await(server, 6, "handshake_refused")
		client_hello.abandon(server:target("c2s", "example.test"), client_hello.build(offers.tls13):sub(1, 50))
		assert.is_nil((xmpp.open(server:target("c2s", "example.test"), { tls = {
			verify = { "peer", "fail_if_no_peer_cert" }, cafile = pki.authority().certificate,
		} })))
		local found = await(server, 2, "handshake_failed")
		assert.same({
			["c2s none none none none handshake_refused"] = 5, ["s2sin none none none none handshake_refused"] = 1,
			["c2s none none none none handshake_failed"] = 2,
		}, found)
		assert.same({
			["c2s handshake cipher.aead"] = 5, ["c2s handshake version.tls10"] = 2, ["c2s handshake version.tls12"] = 2,
			-- Only one handshake from 127.0.0.1 has a line in the log, and so its clauses.
			["s2sin handshake cipher.aead"] = 1, ["s2sin handshake version.tls10"] = 1,
			["s2sin handshake version.tls12"] = 1,
		}, values(server, "refusals_total", { "role", "stage", "clause" }))
	end)

	it("count the clauses of the handshakes that have a line in the log", function ()
		local server = start()
		for _ = 1, 5 do
			hello(server, client_hello.build(offers.tls10))
		end
		hello(server, "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n", "127.0.3.1")
		await(server, 5, "handshake_refused")
		await(server, 1, "handshake_failed")
		local _, lines = server:log():gsub("TLS handshake failed: [^\n]*version.tls10", "")
		assert.same({
			["c2s none none none none handshake_refused"] = 5, ["c2s none none none none handshake_failed"] = 1,
		}, handshakes(server))
		server:shell [[tlspolicy:refused("json")]] -- finds the clauses of all handshakes
		assert.same({
			["handshake version.tls10"] = lines, ["handshake version.tls12"] = lines, ["handshake cipher.aead"] = lines,
			["handshake none"] = 1,
		}, values(server, "refusals_total", { "stage", "clause" }))
		assert.is_true(lines >= 1 and lines < 5, lines)
	end)

	it("count refused streams", function ()
		local server = start()
		for _ = 1, 2 do
			local peer = xmpp.open(server:target("c2s_direct_tls", "strict.test"), {
				tls = { server_name = "example.test", protocol = "tlsv1_2", ciphers = "DHE-RSA-AES256-GCM-SHA384" },
			})
			assert.is_nil(peer)
		end
		local peer = xmpp.connect(server:target("c2s", "example.test"))
		assert(peer:open())
		peer:send "<message><body>x</body></message>"
		peer:read_all()
		peer:close()
		assert.same({ ["c2s TLSv1.2 TLS_DHE_RSA_WITH_AES_256_GCM_SHA384 none false stream_refused"] = 2 },
			handshakes(server))
		assert.same({ ["c2s stream key.dhe"] = 2, ["c2s stream support.required"] = 1 },
			values(server, "refusals_total", { "role", "stage", "clause" }))
	end)

	it("have the clause none if no clause was broken", function ()
		local server = start({ modules = { "http_openmetrics", "refuses_all" } }, { plugin_paths = { plugins } })
		assert.is_nil((xmpp.open(server:target("c2s", "example.test"), { tls = { context = contexts["TLSv1.3"] } })))
		assert.same({ ["c2s TLSv1.3 TLS_AES_256_GCM_SHA384 x25519 false stream_refused"] = 1 }, handshakes(server))
		assert.same({ ["c2s stream none"] = 1 }, values(server, "refusals_total", { "role", "stage", "clause" }))
	end)

	it("count connections that an exception accepted", function ()
		local server = start { policy = { exceptions = {
			["old.test"] = { level = "must", expires = date.of(os.time() + 30 * 86400), reason = "being replaced" },
		} } }
		for _ = 1, 2 do
			local peer = assert(xmpp.open(server:target("s2s", "example.test"), { from = "old.test", tls = cbc }))
			peer:close()
		end
		meet(server, "TLSv1.3", nil, "s2s")
		assert.same({
			["s2sin TLSv1.2 TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA x25519 false exception"] = 2,
			["s2sin TLSv1.3 TLS_AES_256_GCM_SHA384 x25519 false accepted"] = 1,
		}, handshakes(server))
	end)

	it("count connections that report mode would refuse, but none that could have chosen better", function ()
		local server = start {
			policy = { mode = "report" }, users = { ["alice@example.test"] = "secret" },
			hosts = { ["example.test"] = own },
		}
		local function login(tls)
			local peer = assert(xmpp.open(server:target("c2s", "example.test"), { tls = tls }))
			assert(peer:login("alice", "secret"))
			peer:close()
		end
		login(cbc)
		-- Offers a better suite than the one that the server chooses in report mode.
		login { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256" }
		assert.same({
			["c2s TLSv1.2 TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA x25519 false would_refuse"] = 1,
			["c2s TLSv1.2 TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA x25519 false accepted"] = 1,
		}, handshakes(server))
		assert.same({ ["c2s cipher.aead"] = 1 }, values(server, "would_refuse_total", { "role", "clause" }))
		assert.same({}, values(server, "refusals_total", { "clause" }))
	end)

	it("count the work of the session store, and go on when another store replaces it", function ()
		local server = start { policy = { resumption = { memory = 1 } } }
		local session = meet(server, "TLSv1.2")
		meet(server, "TLSv1.2", session)
		meet(server, "TLSv1.2", nil)
		assert.same({ 1, 2, 0, 2, 2 ^ 20 }, {
			value(server, "session_store_hits_total"), value(server, "session_store_insertions_total"),
			value(server, "session_store_evictions_total"), value(server, "session_store_sessions"),
			value(server, "session_store_bytes"),
		})
		meet(server, "TLSv1.2", session)
		server:configure { policy = { resumption = { memory = 2 } } }
		server:reload()
		assert.same({ 2, 2, 0, 2 ^ 21 }, {
			value(server, "session_store_hits_total"), value(server, "session_store_insertions_total"),
			value(server, "session_store_sessions"), value(server, "session_store_bytes"),
		})
		meet(server, "TLSv1.2", session)
		assert.equal(2, value(server, "session_store_hits_total"))
		assert.equal(3, value(server, "session_store_insertions_total"))
		assert.same({ unknown = 1 }, values(server, "session_store_misses_total", { "reason" }))
		server:configure { policy = { resumption = { enabled = false } } }
		server:reload()
		assert.same({ 2, 3, 0, 0 }, {
			value(server, "session_store_hits_total"), value(server, "session_store_insertions_total"),
			value(server, "session_store_sessions"), value(server, "session_store_bytes"),
		})
	end)

	it("have the expiry of the certificate that each host shows", function ()
		local now = os.time()
		local old = authority:issue { names = { "example.test" }, key = "rsa2048", not_after = now + 20 * 86400 }
		local new = authority:issue { names = { "example.test" }, key = "rsa2048", not_after = now + 90 * 86400 }
		local server = start { hosts = { ["example.test"] = old } }
		local function ends()
			return values(server, "certificate_not_after_timestamp_seconds", { "host", "service" })
		end
		meet(server, "TLSv1.3")
		local found = ends()
		for _, key in ipairs {
			"example.test c2s", "example.test c2s_direct_tls", "example.test s2s_direct_tls", "* c2s_direct_tls",
		} do
			assert.equal(now + 20 * 86400, found[key], key)
		end
		local open = assert(xmpp.open(server:target("c2s", "example.test"))) -- keeps the old context in use
		server:renew("example.test", new)
		server:reload()
		meet(server, "TLSv1.3")
		assert.equal(now + 90 * 86400, ends()["example.test c2s"])
		server:reload()
		assert.equal(now + 90 * 86400, ends()["example.test c2s"])
		open:close()
		server:shell [[host:deactivate("example.test")]]
		for key in pairs(ends()) do
			assert.equal("*", key:match "^%S+")
		end
	end)

	it("do not lose or repeat anything when the module is reloaded", function ()
		local server = start()
		meet(server, "TLSv1.3")
		for _ = 1, 2 do
			local output, status = server:shell [[module:reload("xmpp_tls_policy")]]
			assert.equal(0, status, output)
		end
		local mark = server:mark()
		meet(server, "TLSv1.3")
		hello(server, client_hello.build(offers.tls10))
		await(server, 1, "handshake_refused")
		assert.same({
			["c2s TLSv1.3 TLS_AES_256_GCM_SHA384 x25519 false accepted"] = 2,
			["c2s none none none none handshake_refused"] = 1,
		}, handshakes(server))
		assert.is_nil(server:log(mark):match "\terror\t[^\n]*")
		assert.is_nil(server:log():match "incompatible existing metric")
	end)

	it("are bounded after 1,000 different ClientHellos", function ()
		local server = start()
		local function series(found)
			local count = 0
			for _ in pairs(found) do
				count = count + 1
			end
			return count
		end
		local before = series(handshakes(server, true))
		for number = 1, 1000 do
			hello(server, client_hello.build {
				versions = number % 3 == 0 and { 0x7f00 + number % 256 } or nil,
				suites = { 0xD000 + number, 0xD400 + number }, groups = { 0x2000 + number },
				server_name = ("host%d.test"):format(number),
			}, ("127.0.4.%d"):format(1 + number % 250))
		end
		local total
		process.poll(process.PATIENCE, function ()
			total = 0
			for _, one in pairs(handshakes(server)) do
				total = total + one
			end
			return total >= 1000
		end)
		assert.equal(1000, total)
		assert.equal(before, series(handshakes(server, true)))
	end)

	it("have the suite other for an unknown suite", function ()
		local server = start { policy = { mode = "report" }, hosts = { ["example.test"] = own } }
		for _, suite in ipairs { "ECDHE-RSA-CAMELLIA256-SHA384", "CAMELLIA128-SHA256", "AES128-CCM8" } do
			local peer = assert(xmpp.open(server:target("c2s", "example.test"), {
				tls = { protocol = "tlsv1_2", ciphers = suite .. ":@SECLEVEL=0" },
			}))
			peer:close()
		end
		assert.same({
			["c2s TLSv1.2 other x25519 false would_refuse"] = 1, ["c2s TLSv1.2 other none false would_refuse"] = 2,
		}, handshakes(server))
	end)

	---- Readers -------------------------------------------------------------------------

	local function stats(server)
		local output, status = server:shell [[tlspolicy:stats("json")]]
		assert.equal(0, status, output)
		local found = {}
		for line in output:gmatch "{[^\n]*}" do
			local one = json.decode(line)
			found[one.metric] = found[one.metric] or { series = {} }
			table.insert(found[one.metric].series, { labels = one.labels, value = one.value })
		end
		return found
	end

	it("are the same in the shell and on the page", function ()
		local server = start()
		meet(server, "TLSv1.3")
		hello(server, client_hello.build(offers.tls10))
		await(server, 1, "handshake_refused")
		local count = 0
		for name, metric in pairs(stats(server)) do
			local labels = {}
			for label in pairs(metric.series[1] and metric.series[1].labels or {}) do
				labels[#labels + 1] = label
			end
			local on_page = values(server, name, labels, true)
			for _, one in ipairs(metric.series) do
				local words = {}
				for index, label in ipairs(labels) do
					words[index] = one.labels[label]
				end
				assert.equal(on_page[table.concat(words, " ")], one.value)
				on_page[table.concat(words, " ")] = nil
				count = count + 1
			end
			assert.same({}, on_page)
		end
		assert.is_true(count > 30, count)
		local output, status = server:shell "tlspolicy:stats()"
		assert.equal(0, status)
		assert.matches("handshakes_total\nRole +Version +Suite +Group +Resumed +Outcome +Value\n", output)
		assert.matches("\nc2s +TLSv1.3 +TLS_AES_256_GCM_SHA384 +x25519 +false +accepted +1\n", output)
		assert.matches("\nc2s +none +none +none +none +handshake_refused +1\n", output)
		assert.matches("\nexample.test +c2s +%d%d%d%d%-%d%d%-%d%d %d%d:%d%d\n", output)
		assert.matches("\nsession_store_insertions_total +1\n", output)
		assert.matches("tlspolicy[: ]stats.-Show counts", (server:shell "help tlspolicy"))
	end)

	it("are in the shell without a statistics provider, too", function ()
		local server = servers.start { hosts = { ["example.test"] = own }, with_policy = true }
		assert.matches("Statistics disabled", server:log())
		meet(server, "TLSv1.3")
		server:shell [[module:reload("xmpp_tls_policy")]]
		meet(server, "TLSv1.3")
		local accepted = {}
		for _, one in ipairs(stats(server).handshakes_total.series) do
			if one.labels.outcome == "accepted" then
				accepted[#accepted + 1] = one
			end
		end
		assert.same({ { value = 2, labels = { role = "c2s", version = "TLSv1.3", suite = "TLS_AES_256_GCM_SHA384",
			group = "x25519", resumed = "false", outcome = "accepted" } } }, accepted)
		assert.equal(2, stats(server).session_store_insertions_total.series[1].value)
		assert.is_nil(server:log():match "\terror\t[^\n]*")
	end)

	it("reach Prosody at its own interval, too", function ()
		local server = start(nil, { statistics_interval = 1 })
		meet(server, "TLSv1.3")
		assert.same({ ["c2s TLSv1.3 TLS_AES_256_GCM_SHA384 x25519 false accepted"] = 1 }, await(server, 1, "accepted"))
	end)

	---- Prometheus ---------------------------------------------------------------------

	local has_prometheus = process.run { "sh", "-c", "command -v promtool && command -v prometheus" } ~= ""

	local function with_prometheus(sentence, test)
		if has_prometheus then
			it(sentence, test)
		else
			pending(sentence .. " (the package prometheus, with promtool, is not installed: make deps-test)")
		end
	end

	local function check_metrics(page)
		return process.run({ "promtool", "check", "metrics" }, { input = page })
	end

	with_prometheus("are accepted by promtool", function ()
		local server = start()
		meet(server, "TLSv1.3")
		hello(server, client_hello.build(offers.tls10))
		await(server, 1, "handshake_refused")
		local page, families = openmetrics.read(server.ports.http)
		-- promtool reads Prometheus's older format. The two names of a counter in OpenMetrics are two
		-- metrics without help there. It may complain of nothing else.
		local output = check_metrics(page)
		for line in output:gmatch "[^\n]+" do
			local name, complaint = line:match "^(%S+) (.*)$"
			local family = name and name:match "^(.*)_total$" or name and name:match "^(.*)_created$"
			assert.same({ true, "no help text" }, { family and families[family] ~= nil, complaint }, line)
		end
		local complaints, status = check_metrics(openmetrics.as_prometheus(page))
		assert.same({ "", 0 }, { complaints, status })
		assert.truthy(families[PREFIX .. "handshakes"].help)
		-- promtool would find a mistake.
		complaints, status = check_metrics(openmetrics.as_prometheus(page):gsub("(" .. PREFIX .. "%a+)_total", "%1"))
		assert.matches('counter metrics should have "_total" suffix', complaints)
		assert.not_equal(0, status)
	end)

	-- The configuration in doc/metrics.md, with the port of this server.
	local function configuration(server)
		local text = manual.block("doc/metrics.md", "# prometheus.yml")
			:gsub("localhost:5280", "127.0.0.1:" .. server.ports.http)
		return "global: { scrape_interval: 1s }\n"
			.. text:gsub("/etc/prometheus/xmpp%-tls%-policy.yml", lfs.currentdir() .. "/" .. rules)
	end

	with_prometheus("are read by Prometheus as the manual says", function ()
		local server = start()
		meet(server, "TLSv1.3")
		meet(server, "TLSv1.3")
		local directory = process.scratch "prometheus"
		assert(lfs.mkdir(directory))
		files.write(directory .. "/prometheus.yml", configuration(server))
		local port = free_ports(1)[1]
		local running = process.spawn {
			"prometheus", "--config.file=" .. directory .. "/prometheus.yml", "--storage.tsdb.path=" .. directory .. "/data",
			("--web.listen-address=127.0.0.1:%d"):format(port), "--log.level=warn",
		}
		local function query(path)
			local text = http.request(("http://127.0.0.1:%d/api/v1/%s"):format(port, path))
			local answer = text and json.decode(text)
			return answer and answer.data
		end
		local found
		process.poll(process.PATIENCE, function ()
			found = query("query?query=" .. PREFIX .. "handshakes_total{outcome=%22accepted%22}")
			return found and found.result[1] or running:status()
		end)
		local alerts, targets = query "rules", query "targets"
		running:signal "TERM"
		local output = running:close()
		assert.truthy(found and found.result[1], output .. json.encode(targets))
		local metric = found.result[1].metric
		assert.same({ "2", "prosody", "c2s", "TLS_AES_256_GCM_SHA384", "false" },
			{ found.result[1].value[2], metric.job, metric.role, metric.suite, metric.resumed })
		assert.equal(11, #alerts.groups[1].rules)
	end)

	with_prometheus("have alert rules that fire as the rule tests demand", function ()
		local output, status = process.run { "promtool", "check", "rules", rules }
		assert.equal(0, status, output)
		assert.matches("SUCCESS: 11 rules found", output)
		output, status = process.run { "promtool", "test", "rules", rules_test }
		assert.equal(0, status, output)
	end)

	it("have alert rules on existing metrics", function ()
		local server = start()
		local _, families = openmetrics.read(server.ports.http)
		local count = 0
		for name in files.read(rules):gmatch(PREFIX .. "[%l_]+") do
			local family = name:gsub("_total$", "")
			assert.truthy(families[family], name)
			assert.equal(name ~= family and "counter" or "gauge", families[family].type)
			count = count + 1
		end
		assert.is_true(count > 8, count)
	end)
end)
