--- The permitted actions of a stream, computed from the two rules of stream/admission.lua, for a
-- stream whose header names a.test as the peer. A case is a table:
--   role          "c2s", "s2sin" or "s2sout"
--   header        kind of the host that the header names, "should", "must", "report", "disabled",
--                 "unknown" (none of ours), or nil: it names none
--   others        kind of the policy for a header without a host
--   target        kind of the host that the element is for; nil: its `to` is absent or invalid
--   is_foreign    whether that host is another one than the header's
--   element       { leads = { [role] = true }, is_dialback, xmlns (nil: a stanza) }
--   from          "a.test", "b.test" or nil
--   tls           "plain", "awaited" (STARTTLS was agreed on), "spoofed" (and a header came since),
--                 "unobserved" (it has no facts), "bad" (breaks the level must), "weak" (breaks
--                 should), "good"
--   certificate   "a", "b" (valid for a.test, b.test) or "none"
--   authed        { [domain] = true }
--   needs_certificate   whether the policies have unauthenticated_s2s = "refuse"
--   memory        "nothing", "same" or "changed", of both domains on all hosts, refusing changes
--   now           { [kind] = kind }: hosts whose policy has become that of another kind, or nil
local stream_rules = {}

local levels = { should = "should", must = "must" }

-- The level that is enforced for a host of a kind, or nil.
local function enforced(case, kind)
	return levels[case.now and case.now[kind] or kind]
end

local function is_encrypted(case)
	return case.tls == "unobserved" or case.tls == "bad" or case.tls == "weak" or case.tls == "good"
end

-- The level that is enforced for the host of the header, or nil.
local function header_level(case)
	if not case.header and case.role == "s2sin" then
		return enforced(case, case.others)
	end
	return enforced(case, case.header)
end

-- Whether TLS is as a level demands. At level must the draft does not require TLS; if there is TLS,
-- it has to be observed and good.
local function is_good_enough(case, level, plain_will_do)
	if case.tls == "plain" or case.tls == "awaited" then
		return level == "must" or plain_will_do or false
	end
	return case.tls == "good" or case.tls == "weak" and level == "must"
end

local function is_vouched(case, domain)
	return is_encrypted(case) and case.certificate .. ".test" == domain
end

-- On outgoing streams every server shows a certificate.
local function shows_a_change(case)
	return is_encrypted(case) and case.memory == "changed" and (case.certificate ~= "none" or case.role == "s2sout")
end

-- Rule 1, for a pair of a host of a kind and a domain. `but`: { memory, vouching, plain }: conditions
-- that do not count.
local function is_admitted(case, level, domain, but)
	return not level or is_good_enough(case, level, but.plain)
		and (but.vouching or case.role == "c2s" or not case.needs_certificate or is_vouched(case, domain))
		and (but.memory or case.role == "c2s" or not shows_a_change(case))
end

--- Whether the pair of the header may go on when features are offered or answered.
function stream_rules.opened(case)
	return is_admitted(case, header_level(case), "a.test", { memory = true, vouching = true, plain = true })
end

--- Whether the header's pair may go on once the server has checked the certificate. The domain of an
-- incoming stream is still only a claim.
function stream_rules.certificate_checked(case)
	return is_admitted(case, header_level(case), "a.test", { memory = case.role ~= "s2sout", plain = true })
end

--- Whether a domain may be authenticated for a host of a kind, or one of its stanzas may pass.
function stream_rules.pair(case, kind, domain)
	return is_admitted(case, enforced(case, kind), domain, {})
end

-- Rule 2: an element for another host ends the stream, where either host enforces a policy.
local function is_foreign(case)
	return case.is_foreign and (header_level(case) or enforced(case, case.target))
end

--- Whether that element ends the stream without an error (clause support.abort).
function stream_rules.ends_silently(case)
	local applies = not next(case.authed) or case.element.is_dialback
	return applies and is_foreign(case) and case.role == "s2sout" and not is_encrypted(case)
end

-- A stanza needs a domain that is authenticated, for all hosts here.
local function is_authenticated(case, domain)
	return case.element.xmlns ~= nil or not enforced(case, case.target) or case.authed[domain] or false
end

local function before_authentication(case)
	local element, level = case.element, header_level(case)
	local has_own_pair = element.is_dialback and case.role == "s2sin"
	if is_foreign(case) and not has_own_pair then
		return false
	end
	local leads = case.tls == "plain" and element.leads[case.role]
	-- The certificate of a server counts before anything else does.
	local of_header = { memory = case.role ~= "s2sout", plain = leads }
	if not is_encrypted(case) then
		of_header.vouching = true
	end
	if not is_admitted(case, level, "a.test", of_header) then
		return false
	elseif not case.target or case.role == "c2s" or not case.from or leads then
		return true
	end
	return not has_own_pair and element.is_dialback
		or is_admitted(case, enforced(case, case.target), case.from, { memory = element.is_dialback })
			and is_authenticated(case, case.from)
end

local function after_authentication(case)
	if case.role == "c2s" or not case.target then
		return true
	elseif case.element.is_dialback and case.role == "s2sout" and is_foreign(case) then
		return false
	end
	return is_admitted(case, enforced(case, case.target), case.from or "a.test", { memory = case.element.is_dialback })
		and is_authenticated(case, case.from or "a.test")
end

--- Whether an element may go on to its handler; the stream is ended otherwise.
function stream_rules.may_pass(case)
	if next(case.authed) then
		return after_authentication(case)
	end
	return before_authentication(case)
end

--- Whether a stanza of ours, from a host of a kind, may leave toward a domain; and whether the stream
-- is ended.
function stream_rules.may_send(case, kind, domain)
	if not enforced(case, kind) then
		return true, false
	elseif not case.authed[domain] then
		return false, false
	end
	local admitted = stream_rules.pair(case, kind, domain)
	return admitted, not admitted
end

return stream_rules
