--- The command `fleet`: the software of the clients and servers of the last 30 days, by the shapes of their
-- ClientHellos.
local asked_hosts = require "xmpp_tls_policy.commands.asked_hosts"
local known_software = require "xmpp_tls_policy.fleet.known_software"
local shape = require "xmpp_tls_policy.fleet.shape"
local text = require "xmpp_tls_policy.text"
local suites = require "xmpp_tls_policy.policy.suites"

local counted, version_names = text.counted, suites.version_names

local function hosts_of(service, given)
	return asked_hosts(service.server, service.fleets, given)
end

local function sorted_keys(map)
	local keys = {}
	for key in pairs(map) do
		keys[#keys + 1] = key
	end
	table.sort(keys)
	return keys
end

-- The shapes of a host: a list of { shape, logins, roles (sorted), keys, best = see shape.best, software }; all
-- their logins, and those with hybrid groups.
local function rows_of(shapes)
	local list, logins, hybrid = {}, 0, 0
	for _, entry in ipairs(shapes:list()) do
		local best = shape.best(entry.shape)
		list[#list + 1] = {
			shape = entry.id, logins = entry.logins, roles = sorted_keys(entry.roles), by_role = entry.roles,
			by_key = entry.keys, best = best, software = known_software.name(entry.shape),
		}
		logins = logins + entry.logins
		hybrid = hybrid + (best.hybrid and entry.logins or 0)
	end
	return list, logins, hybrid
end

local function share(part, all)
	return all > 0 and ("%.1f %%"):format(100 * part / all) or "none"
end

-- "TLS 1.3: 80.0 %, TLS 1.2: 20.0 %", the newest first.
local function by_version(rows, logins)
	local sums, words = {}, {}
	for _, row in ipairs(rows) do
		local version = row.best.version or "none"
		sums[version] = (sums[version] or 0) + row.logins
	end
	local versions = sorted_keys(sums)
	table.sort(versions, function (a, b)
		return (suites.rank[a] or 0) > (suites.rank[b] or 0)
	end)
	for index, version in ipairs(versions) do
		words[index] = ("%s: %s"):format(version_names[version] or "no TLS", share(sums[version], logins))
	end
	return table.concat(words, ", ")
end

local function sentences(limits, rows, logins, hybrid)
	if logins == 0 then
		return { ("No login was seen since %s."):format(limits.since) }
	end
	local list = { ("%s with %s were seen since %s. At best: %s. With hybrid groups: %s."):format(counted(logins, "login"),
		counted(#rows, "shape"), limits.since, by_version(rows, logins), share(hybrid, logins)) }
	if limits.missed > 0 then
		list[2] = ("Not among them: %s in this time, because there was no room for the shape."):format(
			counted(limits.missed, "login"))
	end
	return list
end

local function print_fleet(out, host, shapes)
	local rows, logins, hybrid = rows_of(shapes)
	local cells = {}
	for index, row in ipairs(rows) do
		cells[index] = {
			row.shape, row.software or "", table.concat(row.roles, " "), tostring(row.logins), share(row.logins, logins),
			version_names[row.best.version] or "no TLS", row.best.group or "", row.best.hybrid and "yes" or "no",
		}
	end
	out:print("%s", host)
	if cells[1] then
		out:table({ "Shape", "Software", "Came as", "Logins", "Share", "At best", "Group", "Hybrid" }, cells)
	end
	for _, sentence in ipairs(sentences(shapes:limits(), rows, logins, hybrid)) do
		out:wrapped("%s", sentence)
	end
	return #rows
end

--- See run.lua.
return {
	name = "fleet",
	argument = "host",
	help = "Show the software of the clients and servers of the last 30 days, by its ClientHellos",
	data = function (service, host)
		local hosts, message = hosts_of(service, host)
		if not hosts then
			return nil, message
		end
		local list, items = service.server.list, {}
		for _, name in ipairs(hosts) do
			local shapes = service.fleets:get(name)
			local rows, logins, hybrid = rows_of(shapes)
			local limits = shapes:limits()
			items[#items + 1] = {
				host = name, since = limits.since, missed = limits.missed, shapes = #rows, logins = logins, hybrid = hybrid,
				summary = list(sentences(limits, rows, logins, hybrid)),
			}
			for _, row in ipairs(rows) do
				row.host, row.roles = name, list(row.roles)
				items[#items + 1] = row
			end
		end
		return { fleet = list(items) }
	end,
	show = function (out, service, host)
		local hosts, message = hosts_of(service, host)
		if not hosts then
			return nil, message
		end
		local count = 0
		for _, name in ipairs(hosts) do
			count = count + print_fleet(out, name, service.fleets:get(name))
		end
		return true, ("%s, on %s"):format(counted(count, "shape"), counted(#hosts, "host"))
	end,
}
