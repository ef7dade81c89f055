--- The command `show`: the connections, how each is encrypted and authenticated, and its verdict
-- (admin.status, admin.version, admin.cipher).
local connection_filter = require "xmpp_tls_policy.commands.connection_filter"
local connection_row = require "xmpp_tls_policy.commands.connection_row"
local counted = require "xmpp_tls_policy.text".counted

---- Rows ----------------------------------------------------------------------

local function sort_key(row, index)
	return ("%s\0%s\0%s\0%s\0%s\0%s\0%09d"):format(row.role, row.who or "\255", row.host or "", row.address or "",
		row.carrier or "", row.version or "", index)
end

-- A list of make(row), sorted by row; or nil and a message. The rows of 10,000 connections would be
-- much garbage: so there is one row, unless make returns it.
local function each(service, wanted, make)
	local server = service.server
	local is_wanted, message = connection_filter(server, wanted)
	if not is_wanted then
		return nil, message
	end
	local keys, made, row, next_turn = {}, {}, {}, server.turns()
	for index, session in ipairs(server.sessions()) do
		if connection_row.fill(row, service, session) and is_wanted(row) then
			local key = sort_key(row, index)
			keys[#keys + 1], made[key] = key, make(row)
			if made[key] == row then
				row = {}
			end
		end
		for field in pairs(row) do
			row[field] = nil
		end
		next_turn()
	end
	if not keys[1] and message then
		return nil, message
	end
	table.sort(keys)
	for index, key in ipairs(keys) do
		keys[index] = made[key]
	end
	return keys
end

---- Table ---------------------------------------------------------------------

-- FS: forward secrecy. With a suite of the longest name, the second half fits into 80 columns.
local titles = { "Role", "Name", "Encrypted", "Authenticated", "Verdict",
	"Version", "Suite", "Bits", "Group", "FS", "Resumed" }
local FOLD = 6

local function yes(value)
	return value == nil and "" or value and "yes" or "no"
end

local function encryption_of(row)
	if row.carrier then
		return ("%s (%s)"):format(row.encrypted and "HTTPS" or "no", row.carrier)
	elseif row.hibernating then
		return "no connection"
	end
	return yes(row.encrypted)
end

local function authentication_of(row)
	local how = row.mechanism
	if row.role == "c2s" then
		local bound = row.binding and ("%s, %s"):format(how, row.binding) or how
		return row.authenticated and (bound or "yes") or "no"
	elseif row.without_certificate then
		return ("no (dialback only for %s)"):format(table.concat(row.without_certificate, ", "))
	elseif not row.authenticated then
		return how and ("no (%s)"):format(how == "dialback" and "dialback only" or how) or "no"
	end
	local by = row.authentication == "other" and "by a module" or row.authentication
	return how == "EXTERNAL" and ("%s, %s"):format(by, how) or by
end

local function verdict_of(row)
	if row.exception then
		return ("exception for %s"):format(row.exception.domain)
	elseif row.clauses then
		return ("%s: %s"):format(row.verdict, table.concat(row.clauses, " "))
	end
	return row.verdict
end

local function name_of(row)
	local name = row.who or ("(%s)"):format(row.address or "unknown")
	if row.further_domains then
		name = ("%s, %s"):format(name, table.concat(row.further_domains, ", "))
	end
	return row.role ~= "c2s" and row.host and ("%s for %s"):format(name, row.host) or name
end

local function cells_of(row)
	return {
		row.role, name_of(row), encryption_of(row), authentication_of(row), verdict_of(row),
		row.version or "", row.cipher_suite or "", row.bits and ("%d"):format(row.bits) or "", row.group or "",
		yes(row.forward_secrecy), yes(row.resumed),
	}
end

local function itself(row)
	return row
end

--- See run.lua.
return {
	name = "show",
	argument = "filter",
	help = "Show connections: encryption, authentication, TLS version, suite, verdict. Filters: c2s, s2s, s2sin, "
		.. "s2sout, a JID, a domain, exception, refused, unauthenticated, plaintext",
	data = function (service, filter)
		local rows, message = each(service, filter, itself)
		if not rows then
			return nil, message
		end
		return { connections = service.server.list(rows) }
	end,
	show = function (out, service, filter)
		local rows, message = each(service, filter, cells_of)
		if not rows then
			return nil, message
		end
		if rows[1] then
			out:table(titles, rows, FOLD)
		end
		return true, counted(#rows, "connection")
	end,
}
