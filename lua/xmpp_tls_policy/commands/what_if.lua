--- The command `what_if`: the clients and servers that a profile would cut off if it were enforced, of all that
-- came in the last 30 days.
local asked_hosts = require "xmpp_tls_policy.commands.asked_hosts"
local our_host = require "xmpp_tls_policy.commands.our_host"
local policy_of_options = require "xmpp_tls_policy.policy".new
local profiles = require "xmpp_tls_policy.policy.profiles"
local shape = require "xmpp_tls_policy.fleet.shape"
local text = require "xmpp_tls_policy.text"
local version_names = require "xmpp_tls_policy.policy.suites".version_names
local what_if = require "xmpp_tls_policy.fleet.what_if"

local counted = text.counted

-- Peers that a table names of one shape. JSON has all.
local MOST_NAMES = 10

local function is_level(word)
	for _, level in ipairs(profiles.levels) do
		if word == level then
			return true
		end
	end
	return false
end

-- The hosts that are asked for: a list. Or nil and a message.
local function hosts_of(service, given)
	return asked_hosts(service.server, service.fleets, given)
end

-- A list of { host, policy, answer = see fleet/what_if.lua }; or nil and a message. The level can be left out;
-- then it is that of the host's policy.
local function answers(service, profile, level, host)
	if not profile then
		return nil, "what_if needs a profile: one of " .. table.concat(profiles.names, ", ")
	elseif level and not is_level(level) then
		if host or not our_host(service.server, level) then
			return nil, ("%s is no level%s; levels: %s"):format(text.quote(level), host and "" or ", and no host of this server",
				text.quoted_list(profiles.levels))
		end
		level, host = nil, level
	end
	local hosts, message = hosts_of(service, host)
	if not hosts then
		return nil, message
	end
	local found, next_turn = {}, service.server.turns()
	for index, name in ipairs(hosts) do
		local policy, errors = policy_of_options {
			profile = profile, level = level or service.policies:policy_for(name).level,
		}
		if not policy then
			return nil, (errors[1].message:gsub("^xmpp_tls_policy%.", ""))
		end
		found[index] = {
			host = name, policy = policy, answer = what_if.of(service.fleets, name, policy, next_turn),
		}
	end
	return found
end

local function share(part, all)
	return all > 0 and ("%.1f %%"):format(100 * part / all) or "none"
end

-- The sums of what would be cut off: shapes, logins, peers that are known.
local function sums(answer)
	local logins, peers, is_counted = 0, 0, {}
	for _, entry in ipairs(answer.cut_off) do
		logins = logins + entry.logins
		for _, name in ipairs(entry.peers) do
			peers = peers + (is_counted[name] and 0 or 1)
			is_counted[name] = true
		end
	end
	return #answer.cut_off, logins, peers
end

-- While stored shapes are being read, more may be known in a moment.
local function knows_nothing(answer)
	return answer.logins == 0 and not answer.is_reading
end

-- What is known, and the limits of it: a list of sentences.
local function sentences(answer)
	local shapes, logins, peers = sums(answer)
	local list = { knows_nothing(answer) and ("No login was seen since %s, so nothing is known yet."):format(answer.since)
		or ("%s with %s were seen since %s. Of these, %s with %s (%s) would be cut off; %s known by name."):format(
			counted(answer.logins, "login"), counted(answer.shapes, "shape"), answer.since, counted(shapes, "shape"),
			counted(logins, "login"), share(logins, answer.logins), peers == 1 and "1 peer is" or peers .. " peers are") }
	local kept = 0
	for _, entry in ipairs(answer.cut_off) do
		kept = kept + (entry.kept_by_level and 1 or 0)
	end
	if kept > 0 then
		list[#list + 1] = ('level = "%s" would keep %s of them.'):format(answer.level, counted(kept, "shape"))
	end
	if answer.is_reading then
		list[#list + 1] = "The shapes of before the start are still being read: ask again in a few seconds."
	end
	if answer.missed > 0 then
		list[#list + 1] = ("Not among them: %s in this time, because there was no room for the shape."):format(
			counted(answer.missed, "login"))
	end
	if answer.unnamed then
		list[#list + 1] = ("Peers are missing in the lists, because there was no room for all, on %s last."):format(
			answer.unnamed)
	end
	for role, message in pairs(answer.problems) do
		list[#list + 1] = ("%s could not be judged: %s."):format(role, message)
	end
	return list
end

local function clauses_of(entry)
	local ids, first = {}, nil
	for index, breach in ipairs(entry.clauses) do
		ids[index], first = breach.clause, first or breach.text
	end
	return table.concat(ids, " "), first
end

local function rows_of(answer)
	local rows = {}
	for index, entry in ipairs(answer.cut_off) do
		local ids, why = clauses_of(entry)
		rows[index] = {
			entry.id, table.concat(entry.roles, " "), version_names[shape.best(entry.shape).version] or "none",
			tostring(entry.logins), ids, entry.peers[1] and text.short_list(entry.peers, MOST_NAMES) or "not known", why or "",
		}
	end
	return rows
end

-- Prints the answer for one host. Returns how many shapes and peers would be cut off.
local function print_answer(out, found)
	local rows = rows_of(found.answer)
	out:print("%s: %s", found.host, found.policy:name())
	if rows[1] then
		out:wrapped_table({ "Shape", "Came as", "At best", "Logins", "Clauses", "Who", "Why" }, rows, 5)
	end
	for _, sentence in ipairs(sentences(found.answer)) do
		out:wrapped("%s", sentence)
	end
	local shapes, _, peers = sums(found.answer)
	return shapes, peers
end

local function item_of(service, host, entry)
	local list = service.server.list
	return {
		host = host, shape = entry.id, logins = entry.logins, roles = list(entry.roles), clauses = list(entry.clauses),
		peers = list(entry.peers), kept_by_level = entry.kept_by_level, best = shape.best(entry.shape),
	}
end

--- See run.lua.
return {
	name = "what_if",
	argument = "profile", needs_argument = true, further = "level", third = "host",
	help = "Show who would be cut off if a profile were enforced, of all that came in the last 30 days",
	data = function (service, profile, level, host)
		local found, message = answers(service, profile, level, host)
		if not found then
			return nil, message
		end
		local list, items = service.server.list, {}
		for _, of_host in ipairs(found) do
			local answer = of_host.answer
			local shapes, logins, peers = sums(answer)
			items[#items + 1] = {
				host = of_host.host, policy = of_host.policy:name(), since = answer.since, shapes = answer.shapes,
				logins = answer.logins, missed = answer.missed, unnamed = answer.unnamed,
				cut_off = { shapes = shapes, logins = logins, peers = peers }, estimate = list(sentences(answer)),
			}
			for _, entry in ipairs(answer.cut_off) do
				items[#items + 1] = item_of(service, of_host.host, entry)
			end
		end
		return { what_if = list(items) }
	end,
	show = function (out, service, profile, level, host)
		local found, message = answers(service, profile, level, host)
		if not found then
			return nil, message
		end
		local shapes, peers, is_known = 0, 0, false
		for _, of_host in ipairs(found) do
			is_known = is_known or not knows_nothing(of_host.answer)
			local more_shapes, more_peers = print_answer(out, of_host)
			shapes, peers = shapes + more_shapes, peers + more_peers
		end
		return true, ("%s would be cut off, with %s known by name, on %s%s"):format(counted(shapes, "shape"),
			counted(peers, "peer"), counted(#found, "host"), is_known and "" or "; no login was seen yet")
	end,
}
