--- The server as a client. We open a stream to it from a domain of ours and ask for dialback (XEP-0220). To verify
-- us, the server connects back: to our listener, which sees how it behaves. Each trial is one such request, and shows
-- the server another side of ours.
local callback_certificates = require "xmpp_tls_policy.audit.callback_certificates"
local callback_listener = require "xmpp_tls_policy.audit.callback_listener"
local core = require "xmpp_tls_policy.core"
local observations = require "xmpp_tls_policy.audit.observations"
local tasks = require "xmpp_tls_policy.audit.tasks"
local text = require "xmpp_tls_policy.text"
local tls_client = require "xmpp_tls_policy.audit.tls_client"
local xml_stream = require "xmpp_tls_policy.audit.xml_stream"

local made, untested = observations.made, observations.untested

local callback = {}

local DIALBACK = "jabber:server:dialback"
-- Seconds that a server may take to answer: it looks our domain up, and connects back, first.
local PATIENCE = 30

-- The trials, in their order: the kind of certificate that we show, or "plaintext" for no STARTTLS at all. That is
-- the last one, because a server may stay away for a while after it.
local TRIALS = { "self_signed", "expired", "wrong_name", "valid", "plaintext" }

local VERSIONS = { "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" }

-- ---- our request ------------------------------------------------------------------

-- Opens a stream to the server under TLS. Returns it; or nil, a message and whether the server said that.
local function open_stream(endpoint, context)
	local channel, kind, message = endpoint:open()
	if not channel then
		return nil, message or kind, kind == "stream_error"
	end
	local client
	client, kind, message = tls_client.handshake(channel, {
		context = context, server_name = endpoint.server_name, deadline = endpoint:deadline(),
	})
	if not client then
		return nil, ("no TLS with the server: %s"):format(message or kind), false
	end
	local stream
	stream, kind, message = endpoint:open_stream(client)
	if not stream then
		client:close()
		return nil, message or kind, kind == "stream_error"
	end
	return stream
end

-- The condition of an error in an answer, such as "remote-connection-failed".
local function condition_of(element)
	local inner = xml_stream.child(element, "error", "jabber:server")
	for _, child in ipairs(inner and inner.children or {}) do
		if child.name ~= "text" then
			return text.shown(child.name:sub(1, 60))
		end
	end
	return "none given"
end

-- Waits for the server's answer to <db:result/>. Returns it in words, and whether the server refused us itself.
local function read_answer(stream, deadline)
	while true do
		local element, kind, message = stream:read_element(deadline)
		if not element then
			return stream.error_text or message or kind, kind == "stream_error"
		elseif element.name == "result" and element.namespace == DIALBACK then
			local result = tostring(element.attributes.type)
			return result == "error" and "error " .. condition_of(element) or text.shown(result:sub(1, 60)), false
		end
	end
end

-- One request. Returns what the listener saw (see callback_listener.lua); or nil, why nothing was seen, and whether
-- the server refused us.
local function try(endpoint, listener, side, options)
	local stream, problem, at_once = open_stream(endpoint, options.context)
	if not stream then
		return nil, problem, at_once
	end
	local deadline = tasks.now() + options.patience
	side.key = callback_listener.random_name()
	local request = ("<db:result xmlns:db='%s' from='%s' to='%s'>%s</db:result>"):format(DIALBACK,
		xml_stream.escape(endpoint.from), xml_stream.escape(endpoint.domain), side.key)
	local seen, words, refused = tasks.wait(function (resume)
		listener:expect(side, resume)
		tasks.start(function ()
			local written, kind = stream:write(request, deadline)
			local answer, is_refusal = kind, false
			if written then
				answer, is_refusal = read_answer(stream, deadline)
			end
			-- The server may answer before it has done with our listener.
			listener:settle()
			resume(nil, answer, is_refusal)
		end)
	end)
	listener:expect(nil)
	stream.transport:close()
	return seen, words, refused
end

-- ---- observations --------------------------------------------------------------------

-- What a ClientHello says about a version.
local function observe_version(hello, version, place)
	local words = "the versions in the ClientHello: " .. text.short_list(hello.versions)
	for index, other in ipairs(VERSIONS) do
		for _, offered in ipairs(hello.versions) do
			if offered == version then
				return made(true, words)
			elseif offered == other and index > place and hello.has_older_versions then
				return untested(("the ClientHello tells only its newest version, %s"):format(offered))
			end
		end
	end
	return made(false, words)
end

local function observe_hello(observed, seen, domain)
	local hello = seen.hello
	if not hello then
		return
	end
	observed["client.hello"] = made(true, ("the ClientHello offers %s"):format(text.short_list(hello.versions)), hello)
	for place, version in ipairs(VERSIONS) do
		observed["client.version." .. version] = observe_version(hello, version, place)
	end
	local name = hello.server_name
	observed["client.sni"] = made(name ~= nil and core.domain_name(name) == domain,
		name and "the server name is " .. text.quote(name) or "the ClientHello has no server name")
end

-- Whether STARTTLS was begun although we did not say <required/>.
local function observe_flag(observed, seen)
	observed["client.ignores_required"] = made(seen.asked_for_tls == true, "offered STARTTLS without <required/>, "
		.. (seen.asked_for_tls and "the server began it" or seen.end_of))
end

local function observe_certificate(observed, seen, name)
	if not seen.asked_for_tls then
		observed[name] = untested("the server did not begin TLS: " .. seen.end_of)
	elseif not seen.began_handshake then
		observed[name] = untested("the server began no handshake: " .. seen.end_of)
	elseif seen.verified then
		observed[name] = made(true, "the server went on with dialback on the stream", { verify_by = "dialback" })
	elseif seen.unclear then
		observed[name] = untested(seen.end_of)
	else
		observed[name] = made(false, seen.end_of, { ended = seen.how })
	end
end

local function observe_plaintext(observed, seen)
	local attempts, goes_on = seen.asked_for_tls == true, seen.verified == true
	if seen.unclear and not attempts and not goes_on then
		observed["client.aborts_without_starttls"] = untested(seen.end_of)
		observed["client.attempts_without_starttls"] = untested(seen.end_of)
		return
	end
	local evidence = "offered no STARTTLS, " .. (attempts and "the server sent <starttls/>"
		or goes_on and "the server went on without TLS" or seen.end_of)
	observed["client.aborts_without_starttls"] = made(not attempts and not goes_on, evidence)
	observed["client.attempts_without_starttls"] = made(attempts, evidence)
end

--- All observations, each untested for the same reason.
function callback.untested(reason)
	local observed = {}
	for name in pairs(observations.statements) do
		if name:find "^client%." and name ~= "client.version.*" then
			observed[name] = untested(reason)
		end
	end
	for _, version in ipairs(VERSIONS) do
		observed["client.version." .. version] = untested(reason)
	end
	return observed
end

-- Adds what one trial showed.
local function observe(observed, kind, seen, domain)
	observed["client.calls_back"] = made(true, "the server connected to our listener")
	observe_hello(observed, seen, domain)
	if kind == "plaintext" then
		return observe_plaintext(observed, seen)
	end
	observe_certificate(observed, seen, "client.accepts_" .. kind)
	if kind == "self_signed" then
		observe_flag(observed, seen)
	end
end

-- The observations of one trial, untested.
local function note_silence(observed, kind, reason)
	local names = kind == "plaintext" and { "client.aborts_without_starttls", "client.attempts_without_starttls" }
		or { "client.accepts_" .. kind }
	for _, name in ipairs(names) do
		observed[name] = untested(reason)
	end
end

-- Makes the trials, until the server stays away from the first one.
local function run_trials(endpoint, listener, contexts, options)
	local observed = callback.untested "the server was not asked"
	for _, kind in ipairs(TRIALS) do
		if kind ~= "plaintext" and not contexts[kind] then
			note_silence(observed, kind, "the audit has no valid certificate of our domain")
		else
			local seen, problem, refused = try(endpoint, listener, { context = contexts[kind] }, options)
			local reason = not seen and "the server did not connect back: " .. text.shown(problem)
			if seen then
				observe(observed, kind, seen, options.domain)
			elseif observed["client.calls_back"].seen then
				note_silence(observed, kind, reason)
			else
				observed = callback.untested(reason)
				observed["client.calls_back"] = refused and made(false, "the server refused us: " .. text.shown(problem))
					or observed["client.calls_back"]
				return observed
			end
		end
	end
	return observed
end

-- The contexts of our sides: kind -> Context of a server, and that of a client. Or nil and a message.
local function make_contexts(domain, options)
	local contexts, problem = {}, nil
	local made_here = options.contexts
	if not made_here then
		made_here, problem = callback_certificates.make(domain)
	end
	for kind, context in pairs(made_here or {}) do
		contexts[kind] = context
	end
	if made_here and options.certificate then
		contexts.valid, problem = callback_certificates.load("server", options.certificate, options.key)
	end
	if not made_here or options.certificate and not contexts.valid then
		return nil, problem
	end
	local client
	client, problem = callback_certificates.load("client", options.certificate, options.key)
	return client and contexts, client or problem
end

--- Observes the server as a client. To be called in a task.
--   endpoint  an s2s endpoint of the server (endpoint.lua) whose `from` is our domain
--   options   { address, port = where we listen, and where others find our domain by its SRV record,
--             certificate, key = paths of a valid certificate of our domain, or nil,
--             contexts = kind -> Context of a server, instead of those of callback_certificates.lua,
--             patience = seconds to wait for the server (30) }
-- Returns observations (name -> observation), names client.*.
function callback.examine(endpoint, options)
	local domain = core.domain_name(endpoint.from or "")
	if not domain then
		return callback.untested "our domain is no domain name"
	end
	local contexts, client = make_contexts(domain, options)
	if not contexts then
		return callback.untested("there are no certificates of ours: " .. text.shown(client))
	end
	local patience = options.patience or PATIENCE
	local listener, problem = callback_listener.open(options.address, options.port, domain, endpoint.domain, patience / 2)
	if not listener then
		return callback.untested(("cannot listen at port %s: %s"):format(tostring(options.port), text.shown(problem)))
	end
	local observed = run_trials(endpoint, listener, contexts, {
		context = client, domain = domain, patience = patience,
	})
	listener:close()
	return observed
end

return callback
