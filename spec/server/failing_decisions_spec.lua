-- Each decision on a stream fails once, on a real server with a host that enforces its policy and
-- one in report mode. The expected outcome is computed: a stream on which a decision failed ends, or
-- the stanza does not leave, if a host that the decision was for enforces its policy; else it goes
-- on. The log has one line a minute for each kind of failure.
local injection = require "support.injection"
local mime = require "mime"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

local hosts = { enforce = "strict.test", report = "reported.test" }
local admission = "xmpp_tls_policy.stream.admission"

local CLIENT, FROM, TO = "c2s", "s2s in", "s2s out"

-- Refuses each stream that a policy is enforced on.
local objecting = [[for _, host in ipairs { "strict.test", "reported.test" } do
	prosody.hosts[host].events.add_handler("tls-policy/verdict", package.loaded["test.object"]) end;]]
local agreeing = objecting:gsub("add_handler", "remove_handler")

-- Contexts are asked for once.
local forgetting = "prosody.reload_config();"

-- `reached`: the roles in which a stream depends on the decision.
local decisions = {
	{ admission, "opened", reached = { CLIENT, FROM, TO } },
	{ admission, "certificate_checked", reached = { FROM, TO } },
	{ admission, "certificate_names", reached = { FROM, TO } },
	{ admission, "authenticated", reached = { FROM, TO } },
	{ admission, "may_pass", reached = { CLIENT, FROM, TO } },
	{ admission, "may_send", reached = { TO } },
	-- It finds the pair of a stanza, for routes.lua and stanza_filter.lua.
	{ admission, "pair_of", reached = { TO } },
	{ admission, "starttls_agreed", reached = { CLIENT, FROM, TO } },
	{ "xmpp_tls_policy.stream.ready_contexts", "starttls", reached = { CLIENT, FROM, TO } },
	{ "xmpp_tls_policy.contexts.tls_contexts", "starttls", reached = { CLIENT, FROM, TO }, before = forgetting },
	{ "xmpp_tls_policy.contexts.adopted_contexts", "enforce", reached = { CLIENT, FROM, TO }, before = forgetting },
	{ "xmpp_tls_policy.policy.policies", "policy_for", reached = { CLIENT, FROM, TO } },
	{ "xmpp_tls_policy.policy.policies", "covers", reached = { CLIENT, FROM, TO } },
	{ "xmpp_tls_policy.stream.closing", "refuse", reached = { CLIENT, FROM, TO }, before = objecting, after = agreeing },
	{ "xmpp_tls_policy.certificates.peer_certificates", "see", reached = { FROM, TO } },
	-- A report decides nothing.
	{ "xmpp_tls_policy.stream.cutoff_reports", "see", reached = {} },
	{ "xmpp_tls_policy.stream.cutoff_report", "see", reached = {} },
}

local function is_reached(decision, role)
	for _, reached in ipairs(decision.reached) do
		if reached == role then
			return true
		end
	end
	return false
end

local function expected(decision, role, mode)
	return mode == "enforce" and is_reached(decision, role) and "ended" or "goes on"
end

describe("a decision that fails", function ()
	local servers = prosody.group()
	local authority, theirs, listener, server, mark, last_id

	setup(function ()
		authority = pki.authority()
		local files = authority:issue { names = { hosts.enforce, hosts.report }, key = "p256" }
		theirs = authority:issue { names = { "remote.test", "other.test" }, key = "p256" }
		listener = xmpp.listen "s2s"
		last_id = 0
		server = servers.start {
			hosts = {
				[hosts.enforce] = files,
				[hosts.report] = { certificate = files.certificate, key = files.key,
					options = { xmpp_tls_policy = { mode = "report" } } },
			},
			users = { ["juliet@strict.test"] = "secret", ["juliet@reported.test"] = "secret" },
			ca = authority.certificate, with_policy = true,
			routes = { ["remote.test"] = { s2s = listener.port }, ["other.test"] = { s2s = listener.port } },
		}
		-- Delivered messages are logged.
		injection.run(server, [[package.loaded["test.object"] = function () return "this connection is refused" end;
			for _, host in ipairs { "strict.test", "reported.test" } do
				prosody.hosts[host].events.add_handler("message/host", function (event)
					prosody.log("info", "delivered: %s.", event.stanza.attr.id) return true end, 10) end]])
	end)

	teardown(function ()
		servers.stop()
		listener:close()
		pki.remove()
	end)

	before_each(function ()
		mark = server:mark()
	end)

	-- Makes decisions work again, and ends the server's streams to others.
	local function mend(decision)
		injection.run(server, injection.whole(decision[1], decision[2]) .. (decision.after or "")
			.. [[for _, host in pairs(prosody.hosts) do for _, session in pairs(host.s2sout or {}) do
				session:close() end end]])
	end

	-- Makes them fail until the end of the spec, in a minute in which nothing failed yet.
	local function fail(decision)
		finally(function ()
			mend(decision)
		end)
		injection.run(server, injection.fresh_minute .. (decision.before or "")
			.. injection.failing(decision[1], decision[2]))
	end

	-- Lines about failures, once for each kind.
	local function assert_logged(is_logged)
		local kinds, count = {}, 0
		for kind in server:log(mark):gmatch "\terror\tInternal error of the TLS policy in ([^\n]-): " do
			assert.is_nil(kinds[kind], kind)
			kinds[kind], count = true, count + 1
		end
		if is_logged then
			assert.is_true(count > 0)
		end
	end

	local function new_id()
		last_id = last_id + 1
		return ("message-%d"):format(last_id)
	end

	-- TLS on a connection. A server that answers in plain text instead has ended the stream.
	local function secure(peer, mode)
		local done, reason = peer:secure { mode = mode, certificate = theirs.certificate, key = theirs.key }
		return done, reason == "wrong version number" and "error" or reason
	end

	-- Takes steps until one fails: functions that return true, or nil, the reason and the text.
	local function outcome_of(steps)
		for index, step in ipairs(steps) do
			local done, reason, text = step()
			if not done then
				-- A stream that only hangs is undecided.
				assert(reason == "closed" or reason == "error", ("step %d: %s: %s"):format(index, tostring(reason), tostring(text)))
				return "ended"
			end
		end
		return "goes on"
	end

	local authenticate = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='%s'>%s</auth>"

	-- Waits for a pattern, or for an end of the stream.
	local function wait_for(peer, pattern)
		local text, reason, rest = peer:read_until { pattern, "</stream:error>" }
		if text and not text:match(pattern) then
			return nil, "error", text
		end
		return text, reason, rest
	end

	-- Sends a message to a host of the server's. Returns true once it is delivered.
	local function deliver(peer, from, host)
		local id = new_id()
		peer:send(("<message from='%s' to='%s' id='%s'><body>x</body></message>"):format(from, host, id))
		local reason, text
		local done = process.poll(process.PATIENCE, function ()
			if server:log(mark):find("delivered: " .. id .. ".", 1, true) then
				return true
			end
			local ended, why, rest = peer:read_until({ "</stream:error>" }, 0.05)
			if ended or why == "closed" then
				reason, text = ended and "error" or why, ended or rest
				return true
			end
		end)
		if reason or not done then
			return nil, reason or "timeout", text
		end
		return true
	end

	local walks = {}

	walks[CLIENT] = function (host)
		local peer = xmpp.connect(server:target("c2s", host))
		local outcome = outcome_of {
			function () return peer:open() end,
			function () return peer:request_tls() end,
			function () return peer:secure() end,
			function () return peer:open() end,
			function ()
				peer:send(authenticate:format("PLAIN", (mime.b64 "\0juliet\0secret")))
				return wait_for(peer, "<success[^>]*>")
			end,
			function () return peer:open() end,
		}
		peer:close()
		return outcome
	end

	-- A server that shows a valid certificate and authenticates by it.
	walks[FROM] = function (host)
		local peer = xmpp.connect(server:target("s2s", host), { from = "remote.test" })
		local outcome = outcome_of {
			function () return peer:open() end,
			function () return peer:request_tls() end,
			function () return secure(peer, "client") end,
			function () return peer:open() end,
			function ()
				peer:send(authenticate:format("EXTERNAL", "="))
				return wait_for(peer, "<success[^>]*>")
			end,
			function () return peer:open() end,
			function () return deliver(peer, "remote.test", host) end,
		}
		peer:close()
		return outcome
	end

	-- Sends a message from a host to a domain, and then a mark on the stream that there was.
	local function send(host, domain, id)
		injection.run(server, ([[local host, domain = %q, %q; local session = prosody.hosts[host].s2sout[domain];
			prosody.hosts[host].events.fire_event("route/remote", { from_host = host, to_host = domain,
				stanza = require "util.stanza".message { from = host, to = domain, id = %q } });
			prosody.log("info", "stream: %%s.", prosody.hosts[host].s2sout[domain] and "present" or "none");
			if session and session.conn then session.conn:write "<mark/>" end]]):format(host, domain, id))
	end

	-- Closes connections that the server made before, for stanzas that it could not send otherwise.
	local function forget_connections()
		local peer = listener:accept(0)
		while peer do
			peer:close()
			peer = listener:accept(0)
		end
	end

	-- The server's stream from a host of its own to a domain, which dialback authenticates.
	local function steps_of_acceptance(peer, host, domain)
		return {
			function () return peer:answer(xmpp.starttls_feature) end,
			function () return peer:proceed() end,
			function () return secure(peer, "server") end,
			function () return peer:answer "<dialback xmlns='urn:xmpp:features:dialback'/>" end,
			function () return wait_for(peer, "</db:result>") end,
			function ()
				peer:send(("<db:result from='%s' to='%s' type='valid'/>"):format(domain, host))
				return wait_for(peer, "<message[^>]*>")
			end,
		}
	end

	walks[TO] = function (host)
		forget_connections()
		local began = server:mark()
		send(host, "remote.test", new_id())
		if server:wait_for_log("stream: (%l+)", began) == "none" then
			return "ended"
		end
		local peer = assert(listener:accept())
		local steps = steps_of_acceptance(peer, host, "remote.test")
		-- The first stanza waited for the stream; this one does not.
		steps[#steps + 1] = function ()
			local id = new_id()
			send(host, "remote.test", id)
			local text, reason = wait_for(peer, "<mark/>")
			if text and not text:find(id, 1, true) then
				return nil, "closed"
			end
			return text, reason
		end
		local outcome = outcome_of(steps)
		peer:close()
		return outcome
	end

	-- As long as nothing fails, all go on.
	it("is none that this spec makes fail", function ()
		for role, walk in pairs(walks) do
			for mode, host in pairs(hosts) do
				assert.equal("goes on", walk(host), role .. ", " .. mode)
			end
		end
		assert_logged(false)
	end)

	for _, decision in ipairs(decisions) do
		it(("ends streams under an enforced policy alone: %s of %s"):format(decision[2], decision[1]), function ()
			fail(decision)
			local is_logged = false
			for role, walk in pairs(walks) do
				for mode, host in pairs(hosts) do
					local outcome = expected(decision, role, mode)
					assert.equal(outcome, walk(host), ("%s, %s"):format(role, mode))
					is_logged = is_logged or outcome == "ended"
				end
			end
			assert_logged(is_logged)
		end)
	end

	-- A stream to one host of ours on which dialback authenticates the peer for another.
	describe("on a stream to another host", function ()
		-- A stream of the server's own, over which a key of other.test can be verified.
		local function open_verifier(host)
			forget_connections()
			injection.run(server, ([[prosody.hosts[%q].events.fire_event("route/remote", { from_host = %q,
				to_host = "other.test", stanza = require "util.stanza".message { from = %q, to = "other.test" } })]]):format(
				host, host, host))
			local peer = assert(listener:accept())
			assert.equal("goes on", outcome_of(steps_of_acceptance(peer, host, "other.test")))
			return peer
		end

		local function authenticate_by_dialback(peer, verifier, host)
			peer:send(("<db:result from='other.test' to='%s'>key</db:result>"):format(host))
			local reason, text
			process.poll(process.PATIENCE, function ()
				local verify = verifier:read_until("<db:verify[^>]*>", 0.05)
				if verify then
					verifier:send(("<db:verify from='other.test' to='%s' id='%s' type='valid'/>"):format(host,
						verify:match "id=['\"]([^'\"]*)"))
				end
				text, reason = peer:read_until({ "<db:result [^>]*>", "</stream:error>" }, 0.05)
				return text or reason == "closed"
			end)
			if text and text:find("type='valid'", 1, true) then
				return true
			end
			return nil, text and "error" or reason, text
		end

		for _, case in ipairs {
			{ admission, "may_pass" }, { admission, "authenticated" },
			{ "xmpp_tls_policy.policy.policies", "policy_for" }, { "xmpp_tls_policy.policy.policies", "covers" },
		} do
			for own_mode, own in pairs(hosts) do
				for mode, host in pairs(hosts) do
					local outcome = (own_mode == "enforce" or mode == "enforce") and "ended" or "goes on"
					it(("%s (stream: %s; pair: %s): the stream %s"):format(case[2], own_mode, mode, outcome), function ()
						local verifier = open_verifier(host)
						local peer = assert(xmpp.open(server:target("s2s", own), {
							from = "other.test", tls = { certificate = theirs.certificate, key = theirs.key },
						}))
						fail(case)
						local found = outcome_of {
							function () return authenticate_by_dialback(peer, verifier, host) end,
							function () return deliver(peer, "other.test", host) end,
						}
						peer:close()
						verifier:close()
						assert.equal(outcome, found)
						assert_logged(outcome == "ended")
					end)
				end
			end
		end
	end)
end)
