--- Commands of the admin shell about the certificates of other servers; see shell.lua.
local array = require "util.array"
local certificates = require "xmpp_tls_policy.certificates.peer_certificates"
local date = require "xmpp_tls_policy.date"
local encodings = require "util.encodings"
local shell = require "xmpp_tls_policy.servers.prosody.shell"
local turns = require "xmpp_tls_policy.servers.prosody.turns"

local function prepared(domain)
	local normal = type(domain) == "string" and encodings.stringprep.nameprep(domain)
	if not normal or normal == "" then
		return nil, "name the domain of a server, such as \"far.example\""
	end
	return normal
end

---- peers --------------------------------------------------------------------

local function entry_of(host, domain, entry, pending)
	local directions = {}
	for _, direction in ipairs { "in", "out" } do
		directions[#directions + 1] = entry.directions and entry.directions[direction] and direction or nil
	end
	return {
		host = host, domain = domain, pending = pending, sha256 = entry.sha256, spki_sha256 = entry.spki_sha256,
		issuer = entry.issuer, subject = entry.subject, not_before = entry.not_before, not_after = entry.not_after,
		verified = entry.verified or false, first_seen = entry.first_seen, last_seen = entry.last_seen,
		times_seen = entry.times_seen, directions = array(directions),
	}
end

local function add(list, host, domain, record)
	for _, entry in ipairs(record.certificates) do
		list[#list + 1] = entry_of(host, domain, entry, false)
	end
	for _, entry in ipairs(record.pending) do
		list[#list + 1] = entry_of(host, domain, entry, true)
	end
end

local function add_all(list, host)
	local iterate, message = certificates.memory(host):list()
	if not iterate then
		return nil, message
	end
	local next_turn = turns.new()
	for domain, record, failure, code in iterate do
		if record then
			add(list, host, domain, record)
		elseif code ~= "missing" then
			list[#list + 1] = { host = host, domain = domain, failure = failure }
		end
		next_turn()
	end
	return true
end

local function add_one(list, host, domain)
	local record, message, code = certificates.memory(host):get(domain)
	if record then
		add(list, host, domain, record)
	elseif code ~= "missing" then
		return nil, message
	end
	return true
end

-- All that is remembered of one domain, or of all (nil): a list, or nil and a message.
local function remembered(domain)
	local list = array {}
	for _, host in ipairs(certificates.hosts()) do
		local done, message = (domain and add_one or add_all)(list, host, domain)
		if not done then
			return nil, message
		end
	end
	return list
end

local function asked(domain)
	if domain == nil or domain == "" then
		return remembered(nil)
	end
	local normal, message = prepared(domain)
	if not normal then
		return nil, message
	end
	local list, failure = remembered(normal)
	if list and #list == 0 then
		return nil, ("nothing is remembered of %s"):format(normal)
	end
	return list, failure
end

local function row_of(entry)
	if entry.failure then
		return { entry.domain, entry.host, "", "", "", "", "", "unreadable", entry.failure }
	end
	return {
		entry.domain, entry.host, table.concat(entry.directions, "/"), entry.verified and "yes" or "no",
		entry.not_after and date.of(entry.not_after) or "", date.of(entry.first_seen), date.of(entry.last_seen),
		entry.pending and "refused" or "", entry.sha256, entry.issuer or "",
	}
end

-- From here on in a second line: a SHA-256 has to be there whole.
local FOLD = 9

local function show_peers(session, domain)
	local list, message = asked(domain)
	if not list then
		return nil, message
	end
	local rows = {}
	for index, entry in ipairs(list) do
		rows[index] = row_of(entry)
	end
	if #rows > 0 then
		shell.print_table(session, {
			"Domain", "Host", "Way", "Verified", "Until", "First seen", "Last seen", "State", "SHA-256", "Issuer",
		}, rows, FOLD)
	end
	return true, shell.counted(#rows, "certificate")
end

---- accept, forget -----------------------------------------------------------

-- Calls a method of every host's memory. Returns the sum of what they return; or nil
-- and a message if none did anything, or one failed.
local function for_each_memory(method, domain, sha256)
	local normal, message = prepared(domain)
	if not normal then
		return nil, message
	end
	local sum, missing
	for _, host in ipairs(certificates.hosts()) do
		local memory = certificates.memory(host)
		local count, failure, code = memory[method](memory, normal, sha256)
		if not count and code ~= "missing" then
			return nil, failure
		end
		sum = count and (sum or 0) + count or sum
		missing = missing or failure
	end
	return sum, missing or ("nothing is remembered of %s"):format(normal)
end

-- How many different certificates of a domain wait to be accepted.
local function count_pending(domain)
	local seen, count = {}, 0
	for _, entry in ipairs(asked(domain) or {}) do
		if entry.pending and not seen[entry.sha256] then
			seen[entry.sha256], count = true, count + 1
		end
	end
	return count
end

-- Which one is meant has to be said where there are several: one may have come since the
-- administrator looked.
local function accept_one(domain, sha256)
	local pending = prepared(domain) and count_pending(domain) or 0
	if not sha256 and pending > 1 then
		return nil, ("%d certificates of %s are refused; say which one, by its SHA-256 of tlspolicy:peers(%q)"):format(
			pending, domain, domain)
	end
	return for_each_memory("accept", domain, sha256 and sha256:lower())
end

-- A command that acts; its answer is how many certificates it was about.
local function action(act, done)
	local function data(domain, _, sha256)
		local count, message = act(domain, sha256)
		return count and { [done] = count }, message
	end
	return data, function (_, domain, module, sha256)
		local result, message = data(domain, module, sha256)
		if not result then
			return nil, message
		end
		return true, ("%s of %s %s"):format(shell.counted(result[done], "certificate"), domain, done)
	end
end

local accept, show_accept = action(accept_one, "accepted")
local forget, show_forget = action(function (domain)
	return for_each_memory("forget", domain)
end, "forgotten")

return {
	{
		name = "peers",
		argument = "domain",
		help = "Show which certificates the servers of other domains have shown (or those of one domain)",
		data = function (domain)
			local list, message = asked(domain)
			return list and { certificates = list }, message
		end,
		show = show_peers,
	},
	{
		name = "accept",
		argument = "domain",
		further = "sha256",
		help = "Accept the changed certificate of a domain that is refused; by its SHA-256, if there are several",
		data = accept,
		show = show_accept,
	},
	{
		name = "forget",
		argument = "domain",
		help = "Forget the certificates of a domain; what it shows next is its first",
		data = forget,
		show = show_forget,
	},
}
