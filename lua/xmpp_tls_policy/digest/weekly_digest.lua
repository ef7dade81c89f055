-- The digests of our hosts: one of the present week at any time, and a message to administrators when a week is over.
local host_digest = require "xmpp_tls_policy.digest.host_digest"
local text = require "xmpp_tls_policy.text"
local week = require "xmpp_tls_policy.digest.week"

local weekly_digest = {}

local methods = {}
local metatable = { __index = methods }

local SUBJECT = "The TLS policy of the last week"

-- Hosts that a message describes, those with news first. The command shows all.
local MOST_HOSTS = 10

--- An object that outlives a reload of the module. `now`: function() -> UTC seconds. See use.
function weekly_digest.new(options)
	return setmetatable({ _now = options.now, _week = week.new(options.now()) }, metatable)
end

--- The parts of a load of the module: { server = the adapter, policies, queue = a work_queue, fleets (see
-- fleet/fleets.lua), own_certificates (see certificates/own_certificate_check.lua) }.
function methods:use(parts)
	self._parts = parts
end

-- A stream's header may name any host.
local function known(self, host)
	return self._parts.policies:covers(host) and host or nil
end

--- Counts a refusal; see week.lua.
function methods:add(entry)
	self._week:add(entry, known(self, entry.host))
end

--- Counts a connection that was accepted under an exception.
function methods:excepted(host, exception)
	self._week:excepted(known(self, host), exception)
end

local function digest_of(self, of_week, host, now)
	local parts = self._parts
	return host_digest.of({
		server = parts.server, policies = parts.policies, week = of_week, own_certificates = parts.own_certificates,
		fleets = parts.fleets,
	}, host, now)
end

--- The digest of the present week of a host that has a policy; see host_digest.lua.
function methods:of(host)
	return digest_of(self, self._week, host, self._now())
end

--- The refusals of the present week of connections that named no host of ours; see week.lua.
function methods:without_host()
	return self._week:refusals()
end

---- Messages ------------------------------------------------------------------

-- The body of a message about several hosts. `sections`: list of { host, text, has_news }.
local function body_of(sections, period, elsewhere)
	table.sort(sections, function (a, b)
		if a.has_news ~= b.has_news then
			return a.has_news
		end
		return a.host < b.host
	end)
	local parts = { period }
	for index = 1, math.min(#sections, MOST_HOSTS) do
		parts[#parts + 1] = sections[index].text
	end
	if #sections > MOST_HOSTS then
		parts[#parts + 1] = ("And %s more, which the command tlspolicy:digest() shows."):format(
			text.counted(#sections - MOST_HOSTS, "host"))
	end
	if elsewhere > 0 then
		parts[#parts + 1] = ("Refused without a host: %s."):format(text.counted(elsewhere, "connection"))
	end
	return table.concat(parts, "\n\n")
end

-- Adds the digest of a host to the messages of its administrators.
local function add_host(self, mail, host)
	local server = self._parts.server
	local recipients = server.administrators(host)
	if not recipients[1] then
		server.log("*", "warn", "Nobody gets the weekly digest of %s: it has no administrators", host)
		return
	end
	local digest = digest_of(self, mail.week, host, mail.now)
	local section = {
		host = host, text = table.concat(host_digest.lines(digest), "\n"), has_news = host_digest.has_news(digest),
	}
	mail.period = host_digest.period(digest)
	for _, jid in ipairs(recipients) do
		if not mail.sections[jid] then
			mail.sections[jid] = {}
			mail.recipients[#mail.recipients + 1] = jid
		end
		table.insert(mail.sections[jid], section)
	end
end

local function send(self, mail, jid)
	local refused, sections = mail.week:refusals(), mail.sections[jid]
	local host = sections[1].host
	self._parts.server.send_message(host, jid, SUBJECT, body_of(sections, mail.period,
		refused.clients + refused.servers + refused.unknown))
end

-- One piece of work for each host and each message, so that a failure stops no other.
local function send_later(self, mail)
	local queue, server = self._parts.queue, self._parts.server
	for _, host in ipairs(mail.hosts) do
		queue:add("the weekly digest of " .. host, function ()
			add_host(self, mail, host)
		end)
	end
	queue:add("the weekly digest", function ()
		for _, jid in ipairs(mail.recipients) do
			queue:add("the weekly digest to " .. jid, function ()
				send(self, mail, jid)
				server.log("*", "info", "The weekly digest was sent to %s", jid)
			end)
		end
	end)
end

--- If the week is over, begins another, and sends the digests of those hosts whose policies want one, in later turns.
-- To be called now and then.
function methods:send_weekly()
	local now, over = self._now(), self._week
	if not over:is_over(now) then
		return
	end
	self._week = week.new(now, over)
	local wanted, policies = {}, self._parts.policies
	for _, host in ipairs(policies:hosts()) do
		wanted[#wanted + 1] = policies:policy_for(host).digest and host or nil
	end
	-- The clock was set back.
	if now < over.since or not wanted[1] then
		return
	end
	send_later(self, { week = over, now = now, hosts = wanted, recipients = {}, sections = {} })
end

return weekly_digest
