-- Handlers of tls-policy/verdict that wait, as others ask a database. Until the verdict is there,
-- nothing on the stream is handled, and the order of its elements stays.
local files = require "support.files"
local lfs = require "lfs"
local mime = require "mime"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

-- Waits for an answer from the shell: "" accepts, any other text is the objection.
local waiter = [[
local async = require "util.async"
local pending = module:shared "/*/test_waiter/pending"
module:hook("tls-policy/verdict", function (event)
	local mode = module:get_option_string "test_verdict"
	if mode == "close" or mode == "close and object" then
		event.session:close { condition = "undefined-condition", text = "closed by another" }
		return mode == "close and object" and "objection" or nil
	elseif mode ~= "wait" then
		return
	end
	local wait, done = async.waiter()
	local answer
	pending[#pending + 1] = function (given) answer = given; done() end
	module:log("info", "Asked about %s", tostring(event.domain))
	wait()
	module:log("info", "Answered: %s", answer)
	return answer ~= "" and answer or nil
end)
function prosody.answer_verdict(answer)
	table.remove(pending, 1)(answer)
end
]]

if _VERSION == "Lua 5.1" and not rawget(_G, "jit") then
	return -- Nothing can yield in an event there.
end

describe("a verdict that another module waits for", function ()
	local servers = prosody.group()
	local certificate, theirs, authority, plugins

	setup(function ()
		authority = pki.authority()
		certificate = authority:issue { names = { "example.test", "second.test" }, key = "p256" }
		theirs = authority:issue { names = { "far.test" }, key = "p256" }
		plugins = process.scratch "plugins"
		assert(lfs.mkdir(plugins))
		files.write(plugins .. "/mod_waiter.lua", waiter)
	end)

	after_each(servers.stop)

	teardown(pki.remove)

	-- `modes`: host -> what the handler does.
	local function start(modes)
		local hosts = {}
		for _, name in ipairs { "example.test", "second.test" } do
			hosts[name] = {
				certificate = certificate.certificate, key = certificate.key,
				options = { test_verdict = modes[name] or "none" },
			}
		end
		return servers.start {
			hosts = hosts, domain = "example.test", with_policy = true, modules = { "waiter" },
			ca = authority.certificate, users = { ["alice@example.test"] = "secret" },
			options = { plugin_paths = { plugins } },
		}
	end

	local function answer(server, text)
		server:shell(("> prosody.answer_verdict(%q)"):format(text))
	end

	local function assert_no_failure(server)
		assert.is_nil(server:log():match "Internal error[^\n]*")
		assert.is_nil(server:log():match "A handler of tls%-policy/verdict failed[^\n]*")
		assert.is_nil(server:log():match "Traceback[^\n]*")
		assert.is_true(server:alive())
	end

	local auth = ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>"):format(
		(mime.b64 "\0alice\0secret"))

	-- A connection on which the header and an element behind it arrive at once.
	local function send_at_once(server)
		local peer = xmpp.connect(server:target "c2s_direct_tls")
		assert(peer:secure {})
		peer:send(xmpp.stream_header("c2s", "example.test") .. auth)
		return peer
	end

	it("holds the elements behind a header, and lets them pass then", function ()
		local server = start { ["example.test"] = "wait" }
		local mark = server:mark()
		local peer = send_at_once(server)
		server:wait_for_log("Asked about nil", mark)
		assert.is_nil((peer:read_until({ "<stream:features", "<success" }, 0)))
		answer(server, "")
		assert(peer:read_until "</stream:features>.*<success")
		assert.equal(1, select(2, server:log(mark):gsub("Asked about", "")))
		peer:close()
		assert_no_failure(server)
	end)

	it("refuses the stream, and what was held, if it is an objection", function ()
		local server = start { ["example.test"] = "wait" }
		local mark = server:mark()
		local peer = send_at_once(server)
		server:wait_for_log("Asked about nil", mark)
		answer(server, "not you")
		local text = assert(peer:read_all())
		assert.matches("<policy%-violation.*not you</text>", text)
		assert.is_nil(text:find "<success")
		peer:close()
		assert_no_failure(server)
	end)

	local function open_as_server(server)
		local peer = assert(xmpp.open(server:target("s2s", "example.test"), { from = "far.test", tls = {
			certificate = theirs.certificate, key = theirs.key,
		} }))
		peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"
		assert(peer:read_until "<success[^>]*>")
		assert(peer:open())
		return peer
	end

	local function ping(id, host)
		return ("<iq type='get' id='%s' from='far.test' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>"):format(id, host)
	end

	it("for a second host holds all elements behind the one that reaches it", function ()
		for _, verdict in ipairs { "", "not there" } do
			local server = start { ["second.test"] = "wait" }
			local peer, mark = open_as_server(server), server:mark()
			peer:send(ping("p1", "second.test") .. ping("p2", "example.test"))
			server:wait_for_log("second.test:waiter\tinfo\tAsked about far.test", mark)
			server:shell "> 1" -- What would not be held is handled by now.
			assert.is_nil(server:log(mark):find "Received%[s2sin%]: <iq ")
			answer(server, verdict)
			if verdict == "" then
				-- The answers take a stream of their own, which nobody takes here.
				server:wait_for_log("Received%[s2sin%]: <iq [^\n]*id='p1'.*Received%[s2sin%]: <iq [^\n]*id='p2'", mark)
			else
				assert.matches("<policy%-violation.*not there</text>", (assert(peer:read_all())))
				assert.is_nil(server:log(mark):find "Received%[s2sin%]: <iq [^\n]*id='p[12]'")
			end
			peer:close()
			assert_no_failure(server)
			servers.stop()
		end
	end)

	it("is waited for when policies change", function ()
		local server = start { ["example.test"] = "none" }
		local peer = open_as_server(server)
		server:configure { hosts = { ["example.test"] = {
			certificate = certificate.certificate, key = certificate.key,
			options = { test_verdict = "wait", xmpp_tls_policy = { profile = "rfc9325" } },
		} } }
		local mark = server:mark()
		server:reload()
		server:wait_for_log("Asked about far.test", mark)
		answer(server, "no longer")
		assert.matches("<policy%-violation.*no longer</text>", (assert(peer:read_all())))
		peer:close()
		assert_no_failure(server)
	end)

	it("does no harm if the peer has gone meanwhile", function ()
		local server = start { ["example.test"] = "wait" }
		local mark = server:mark()
		local peer = send_at_once(server)
		server:wait_for_log("Asked about nil", mark)
		peer:close()
		server:wait_for_log("Client disconnected", mark)
		answer(server, "")
		server:wait_for_log("Answered", mark)
		assert.matches("OK: 0 ", (server:shell "tlspolicy:refused()"))
		assert_no_failure(server)
	end)

	it("is no refusal of ours if the handler closes the stream itself", function ()
		for _, mode in ipairs { "close", "close and object" } do
			local server = start { ["example.test"] = mode }
			local peer, reason, text = xmpp.open(server:target "c2s")
			assert.same({ nil, "error" }, { peer, reason })
			assert.matches("<undefined%-condition.*closed by another</text>", text)
			peer, reason, text = xmpp.open(server:target("s2s", "example.test"), { from = "far.test" })
			assert.same({ nil, "error" }, { peer, reason })
			assert.matches("<undefined%-condition.*closed by another</text>", text)
			assert.matches("OK: 0 ", (server:shell "tlspolicy:refused()"))
			assert_no_failure(server)
			servers.stop()
		end
	end)
end)
