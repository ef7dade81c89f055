--- The checks that a pair (host of ours, domain of the peer) has to pass on a stream, and the moments
-- at which they apply.
local copy = require "xmpp_tls_policy.copy"
local cutoff_verdict = require "xmpp_tls_policy.stream.cutoff_verdict"
local quote = require "xmpp_tls_policy.text".quote
local shown = require "xmpp_tls_policy.text".shown
local starttls = require "xmpp_tls_policy.stream.starttls"
local verdicts = require "xmpp_tls_policy.policy.verdict"

local stream_checks = {}

local methods = {}
local metatable = { __index = methods }

--- `server`: the adapter; `certificates`: those of other servers; `on_unobserved`: called when a
-- connection turns up whose handshake was not observed, because the server uses contexts that were
-- not found yet.
function stream_checks.new(options)
	return setmetatable({
		_server = options.server, _certificates = options.certificates, _on_unobserved = options.on_unobserved,
		_verdicts = {}, -- role -> policy -> facts -> verdict
		_marks = setmetatable({}, { __mode = "k" }), -- policy -> host -> see mark_of
	}, metatable)
end

---- Checks --------------------------------------------------------------------
-- Each is function(self, stream, pair) -> a refusal (see closing.lua), or nil. `pair`: { host,
-- domain (nil: a client), policy, authenticated (true: the server is about to take the peer for
-- authenticated) }.

local checks = {}

-- Clauses support.required, support.strict.
function checks.is_encrypted(_, stream, pair)
	if not stream:is_encrypted() and starttls.requires_tls(pair.policy) then
		return starttls.plaintext_refusal(pair.policy)
	end
end

-- The server takes a stream for encrypted as soon as it is opened anew, even in one packet with
-- <starttls/> or <proceed/> (rfc6120.5.4.3.3.nothing-before-tls-counts).
function checks.is_not_spoofed(_, stream)
	if stream:is_spoofed() then
		return {
			condition = "policy-violation",
			text = "a stream was opened after STARTTLS was agreed on, and before TLS was negotiated",
		}
	end
end

-- The search for contexts is dear, so it is made only if it can help.
local function note_unobserved(self, code)
	if code == "unobserved" then
		self._on_unobserved()
	end
end

function checks.was_observed(self, stream)
	if not self._server.is_secure(stream.session) then
		return nil
	end
	local facts, message, code = stream:read_facts()
	if not facts and stream:is_encrypted() then
		note_unobserved(self, code)
		return { condition = "internal-server-error", text = message or "nothing is known of the connection's TLS" }
	end
end

local VERDICT = "tls-policy/verdict"

-- Other modules may object to a connection that the policy accepts, by returning a string from the
-- event tls-policy/verdict. Nothing that they do makes the verdict milder.
local function ask_others(self, stream, pair, verdict)
	if not self:is_asked_of_others(pair.host) then
		return nil
	end
	local objection = self._server.ask(pair.host, VERDICT, function ()
		return {
			session = stream.session, domain = pair.domain, facts = copy(stream.facts), policy = pair.policy:name(),
			verdict = copy(verdict),
		}
	end)
	-- It may repeat bytes of the peer.
	return objection and shown(objection)
end

local function note_exception(self, stream, policy)
	local exception = policy.exception
	stream.exception = exception
	if exception then
		self._server.log_session(stream.session, "info", "Accepted under the exception for %s until %s (%s)%s",
			exception.domain, exception.expires, quote(exception.reason),
			exception.accounts and ", if it is for the account" or "")
	end
end

-- The table of a key in a table of tables, made if need be. Weak: whose keys are policies or facts.
local function weak_table(of, key)
	local found = of[key]
	if not found then
		found = setmetatable({}, { __mode = "k" })
		of[key] = found
	end
	return found
end

-- The verdict on a stream for a pair. Streams without a certificate are judged by facts that they
-- share, so they share the verdict; but for a server that another module vouches for.
local function verdict_of(self, stream, policy, described)
	local facts = stream.facts
	if facts.certificate or described and described.authenticated then
		return policy:judge(facts, described)
	end
	local verdicts_of_policy = weak_table(weak_table(self._verdicts, stream.role), policy)
	local verdict = verdicts_of_policy[facts]
	if not verdict then
		verdict = policy:judge(facts, described)
		verdicts_of_policy[facts] = verdict
	end
	return verdict
end

-- The mark of streams of clients that were judged under a policy for a host.
local function mark_of(self, policy, host)
	local marks = self._marks[policy]
	if not marks then
		marks = {}
		self._marks[policy] = marks
	end
	local mark = marks[host]
	if not mark then
		mark = {}
		marks[host] = mark
	end
	return mark
end

-- Judges the facts for a pair, and stores the verdict in the stream. Returns it, and the objection
-- of another module. Or nil, if the stream has ended meanwhile.
local function judge_facts(self, stream, pair)
	local policy, described = pair.policy, stream:described(pair.domain)
	local verdict = verdict_of(self, stream, policy, described)
	local objection = ask_others(self, stream, pair, verdict)
	if self._server.is_destroyed(stream.session) then
		return nil
	end
	stream.verdict, stream.policy_name, stream.objection = verdict, policy:name(), objection
	stream.exception = nil
	stream.judged = described and
		{ policy = policy, host = pair.host, domain = pair.domain, vouched = described.authenticated }
		or mark_of(self, policy, pair.host)
	return verdict, objection
end

-- The server may check the certificate after a pair was judged.
local function is_judged(self, stream, pair)
	local judged = stream.judged
	if not judged or stream.role == "c2s" then
		return judged ~= nil and judged == mark_of(self, pair.policy, pair.host)
	end
	return judged.policy == pair.policy and judged.host == pair.host and judged.domain == pair.domain
		and judged.vouched == stream:vouched(pair.domain)
end

function checks.keeps_the_clauses(self, stream, pair)
	if not stream.facts or is_judged(self, stream, pair) then
		return nil
	end
	local verdict, objection = judge_facts(self, stream, pair)
	if not verdict then
		return nil
	elseif verdict.refuse or objection then
		-- A stream that is refused once is not admitted when it is asked again.
		stream.judged = nil
		return {
			condition = "policy-violation", clauses = verdicts.clauses(verdict.broken), verdict = verdict,
			policy = pair.policy:name(),
			text = verdict.refuse and pair.policy:sentences(verdict) or objection,
		}
	end
	note_exception(self, stream, pair.policy)
	stream:publish()
end

-- Clause unauth.encrypt, with the option unauthenticated_s2s. Of streams of servers alone.
function checks.is_vouched_for(_, stream, pair)
	if pair.policy.unauthenticated_s2s ~= "refuse" or stream:has_proved(pair.domain) then
		return nil
	end
	return {
		condition = "policy-violation", clauses = { "unauth.encrypt" }, policy = pair.policy:name(),
		text = starttls.sentence(pair.policy, "unauth.encrypt", cutoff_verdict.dialback_alone(pair.domain)),
	}
end

-- A server takes a domain for authenticated on all of a stream, for whichever host of ours it was.
function checks.is_authenticated(_, stream, pair)
	if not stream:is_authenticated_for(pair.host, pair.domain) then
		return {
			condition = "not-authorized", policy = pair.policy:name(),
			text = ("the peer has not authenticated as %s for %s"):format(shown(pair.domain or "a domain"), pair.host),
		}
	end
end

local function certificate_refusal(pair, message, command)
	return message and {
		condition = "policy-violation", clauses = { "admin.change" }, policy = pair.policy:name(), text = message,
		command = command,
	}
end

-- Clause admin.change. Nothing is remembered of a domain before the peer has authenticated as it.
function checks.has_the_known_certificate(self, stream, pair)
	if not stream.facts or not pair.domain then
		return nil
	elseif pair.authenticated or stream:is_authenticated_for(pair.host, pair.domain) then
		return certificate_refusal(pair, self._certificates:see(pair.policy, stream, pair.host, pair.domain))
	end
	return certificate_refusal(pair, self._certificates:would_refuse(pair.policy, stream, pair.host, pair.domain))
end

-- A stream of ours that asks a known server whether a dialback key is its own decides about other
-- streams, and is never authenticated itself.
function checks.asks_the_known_server(self, stream, pair)
	local certificates = self._certificates
	if stream.role == "s2sout" and stream.facts and certificates:would_refuse(pair.policy, stream, pair.host, pair.domain)
	then
		return certificate_refusal(pair, certificates:see(pair.policy, stream, pair.host, pair.domain))
	end
end

---- Moments -------------------------------------------------------------------

-- was_observed comes before is_not_spoofed, which then knows without asking the server.
local handshake = { checks.was_observed, checks.is_not_spoofed, checks.keeps_the_clauses }

local dialback = {
	checks.is_encrypted, checks.was_observed, checks.is_not_spoofed, checks.keeps_the_clauses, checks.is_vouched_for,
}

local pair_of_a_server = {
	checks.is_encrypted, checks.was_observed, checks.is_not_spoofed, checks.keeps_the_clauses, checks.is_vouched_for,
	checks.has_the_known_certificate,
}

-- The checks of each moment, in order. The first refusal ends the stream.
local moments = {
	-- Features are about to be offered or answered; an element came in before authentication.
	opened = handshake,
	-- The server has checked the certificate of another server.
	certificate_checked = {
		checks.was_observed, checks.is_not_spoofed, checks.keeps_the_clauses, checks.is_vouched_for,
		checks.asks_the_known_server,
	},
	-- Dialback came in, for a pair of its own.
	dialback = dialback,
	-- A server has authenticated as a domain.
	authenticated = pair_of_a_server,
	-- A stanza came in from another server. It may be handled later, when a domain has been
	-- authenticated for another pair: so the pair has to be authenticated now.
	stanza_in = {
		checks.is_encrypted, checks.was_observed, checks.is_not_spoofed, checks.keeps_the_clauses, checks.is_vouched_for,
		checks.is_authenticated, checks.has_the_known_certificate,
	},
	-- Another element came in that says where it is from. It may belong to the authentication.
	element_in = pair_of_a_server,
	-- A stanza is to go to another server.
	stanza_out = pair_of_a_server,
	-- Policies have changed, or an exception has ended.
	reloaded = pair_of_a_server,
}

-- The checks in which other modules may end a stream.
local may_end = {
	[checks.keeps_the_clauses] = true, [checks.has_the_known_certificate] = true, [checks.asks_the_known_server] = true,
}

-- The same without the checks of the handshake, for a pair that passed them: moment -> list.
local moments_after = {}

for moment, list in pairs(moments) do
	local others = {}
	for _, check in ipairs(list) do
		local is_of_handshake = check == handshake[1] or check == handshake[2] or check == handshake[3]
		others[#others + 1] = not is_of_handshake and check or nil
	end
	moments_after[moment] = others
end

-- Whether a pair was judged on the connection that the stream has: the checks of the handshake pass again.
local function was_judged(self, stream, pair)
	local connection = stream.judged and stream.connection
	return connection and connection == self._server.connection(stream.session) and is_judged(self, stream, pair)
end

--- The refusal of a pair at a moment, or nil. Another module may end the stream meanwhile, or its
-- peer: the caller has to look.
function methods:refusal_at(moment, stream, pair)
	local of_moment, is_destroyed = moments[moment], self._server.is_destroyed
	if is_destroyed(stream.session) then
		return nil
	elseif was_judged(self, stream, pair) then
		of_moment = moments_after[moment]
	end
	for index = 1, #of_moment do
		local check = of_moment[index]
		local refusal = check(self, stream, pair)
		if refusal or may_end[check] and is_destroyed(stream.session) then
			return refusal
		end
	end
end

--- Whether other modules are asked for their verdict on streams to a host (nil: to no host).
function methods:is_asked_of_others(host)
	return self._server.is_handled(host, VERDICT)
end

--- Judges a pair in report mode, and publishes the verdict.
function methods:judge_for_report(stream, pair)
	if was_judged(self, stream, pair) or not stream:is_encrypted() then
		return
	end
	local facts, _, code = stream:read_facts()
	if not facts then
		note_unobserved(self, code)
	elseif not is_judged(self, stream, pair) and judge_facts(self, stream, pair) then
		stream:publish()
	end
end

return stream_checks
