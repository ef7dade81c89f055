--- Where the services of a domain are: by DNS (RFC 6120, XEP-0368), or as the operator says.
local caa = require "xmpp_tls_policy.audit.caa"
local core = require "xmpp_tls_policy.core"
local dns = require "xmpp_tls_policy.audit.dns"
local tasks = require "xmpp_tls_policy.audit.tasks"
local text = require "xmpp_tls_policy.text"
local tlsa = require "xmpp_tls_policy.audit.tlsa"
local uv = require "luv"

local discovery = {}

-- Bounds for a domain that has very many: targets of a service, addresses of a target.
local MOST_TARGETS, MOST_ADDRESSES = 8, 4

-- Seconds for all look-ups of a domain.
local SECONDS = 20

-- The names of SRV records, and the ports without one (rfc6120.3.2.2.fallback); XEP-0368 has no fallback.
local services = {
	{ service = "c2s", direct = false, prefix = "_xmpp-client._tcp.", port = 5222 },
	{ service = "c2s", direct = true, prefix = "_xmpps-client._tcp." },
	{ service = "s2s", direct = false, prefix = "_xmpp-server._tcp.", port = 5269 },
	{ service = "s2s", direct = true, prefix = "_xmpps-server._tcp." },
}

-- ---- look-ups ------------------------------------------------------------------------

-- A look-up that several parts of a search may ask for, made once.
local function look_up(search, name, type_name)
	local key = name .. " " .. type_name
	local known = search.known[key]
	if not known then
		known = { waiting = {} }
		search.known[key] = known
		local kind
		known.result, kind, known.message = search.resolver:lookup(name, type_name, search.deadline)
		known.done = true
		search.records[#search.records + 1] = {
			name = name, type = type_name, dnssec = known.result and known.result.dnssec or "unknown",
			reason = known.result and known.result.reason or known.message and ("%s: %s"):format(kind, known.message) or nil,
			records = {}, left_out = known.result and known.result.left_out > 0 and known.result.left_out or nil,
		}
		if not known.result then
			table.insert(search.failed, ("%s of %s"):format(type_name, name))
		end
		for index, record in ipairs(known.result and known.result.records or {}) do
			search.records[#search.records].records[index] = text.shown(dns.record_text(type_name, record))
		end
		for _, resume in ipairs(known.waiting) do
			resume()
		end
	elseif not known.done then
		tasks.wait(function (resume)
			known.waiting[#known.waiting + 1] = resume
		end)
	end
	return known.result, known.message
end

-- Parsed records of a type that others judge, each with its DNSSEC status; nil if they could not be looked up.
local function parsed_records(search, name, type_name, parse)
	local result = look_up(search, name, type_name)
	if not result then
		return nil
	end
	local records = {}
	for _, bytes in ipairs(result.records) do
		local record = parse(bytes)
		if record then
			record.dnssec = result.dnssec
			records[#records + 1] = record
		end
	end
	return records
end

-- The CAA records that concern a domain: its own, or those of the nearest domain above it that has some
-- (rfc8659.3.climbs-to-the-nearest).
local function caa_of(search, name)
	while name do
		local records = parsed_records(search, name, "CAA", caa.parse)
		if not records or records[1] then
			return records
		end
		name = name:match "^[^.]+%.(.+)$"
	end
	return {}
end

-- ---- targets -------------------------------------------------------------------------

-- The lowest priority first, and of one priority the highest weight: which one of those a client takes is a matter
-- of chance, and all are audited.
local function in_order(records)
	local sorted = {}
	for index, record in ipairs(records) do
		sorted[index] = record
	end
	table.sort(sorted, function (a, b)
		if a.priority ~= b.priority then
			return a.priority < b.priority
		elseif a.weight ~= b.weight then
			return a.weight > b.weight
		end
		return a.target .. " " .. a.port < b.target .. " " .. b.port
	end)
	return sorted
end

-- The targets of a service: a list of { host, port, dnssec = the status of the SRV record, nil without one }, and
-- what there is to say of them.
local function targets_of(search, entry)
	local result, message = look_up(search, entry.prefix .. search.name, "SRV")
	local records = result and result.records or {}
	if #records == 1 and records[1].target == "" then
		return {}, ("%s%s says that the service is not offered"):format(entry.prefix, search.name)
	elseif not records[1] then
		return { entry.port and { host = search.name, port = entry.port } }, not result
			and ("%s%s: %s"):format(entry.prefix, search.name, message) or nil
	end
	local targets = {}
	for _, record in ipairs(in_order(records)) do
		if record.target ~= "" and record.port > 0 and #targets < MOST_TARGETS then
			targets[#targets + 1] = { host = record.target, port = record.port, dnssec = result.dnssec }
		end
	end
	return targets, #records > #targets
		and ("of %s%s, %d of %d targets are audited"):format(entry.prefix, search.name, #targets, #records) or nil
end

-- The addresses of a host: a list of { address, dnssec }, and why a look-up failed, or nil.
local function addresses_of(search, host)
	local addresses, results, functions, failure = {}, {}, {}, nil
	for index, type_name in ipairs(search.address_types) do
		functions[index] = function ()
			local message
			results[index], message = look_up(search, host, type_name)
			failure = failure or not results[index] and message or nil
		end
	end
	tasks.all(functions)
	for index in ipairs(search.address_types) do
		for position, address in ipairs(results[index] and results[index].records or {}) do
			if position <= MOST_ADDRESSES then
				addresses[#addresses + 1] = { address = address, dnssec = results[index].dnssec }
			end
		end
	end
	return addresses, failure
end

-- Adds a remark (nil: none), once: several services may have the same target.
local function add_remark(search, remark)
	for _, known in ipairs(search.remarks) do
		if known == remark then
			return
		end
	end
	search.remarks[#search.remarks + 1] = remark
end

-- The endpoints of a target.
local function endpoints_of(search, entry, target)
	local endpoints, addresses, failure, records = {}, nil, nil, nil
	local tlsa_name = ("_%d._tcp.%s"):format(target.port, target.host)
	tasks.all {
		function () addresses, failure = addresses_of(search, target.host) end,
		function () records = parsed_records(search, tlsa_name, "TLSA", tlsa.parse) end,
	}
	for index, address in ipairs(addresses) do
		endpoints[index] = {
			domain = search.domain, server_name = search.name, service = entry.service, direct = entry.direct,
			host = target.host, address = address.address, port = target.port,
			target = target.host, host_dnssec = target.dnssec or address.dnssec, tlsa = records,
		}
	end
	if not addresses[1] then
		add_remark(search, failure and ("the addresses of %s: %s"):format(target.host, failure)
			or ("%s has no address"):format(target.host))
	end
	return endpoints
end

-- Calls `make` for each item of a list, side by side. Returns all items of the lists that it returns, in order.
local function joined(items, make)
	local lists, functions, all = {}, {}, {}
	for index, item in ipairs(items) do
		functions[index] = function ()
			lists[index] = make(item)
		end
	end
	tasks.all(functions)
	for index in ipairs(items) do
		for _, item in ipairs(lists[index]) do
			all[#all + 1] = item
		end
	end
	return all
end

-- Each address and port of a service once.
local function each_once(endpoints)
	local result, seen = {}, {}
	for _, fields in ipairs(endpoints) do
		local key = ("%s %s %s %d"):format(fields.service, tostring(fields.direct), fields.address, fields.port)
		if not seen[key] then
			seen[key], result[#result + 1] = true, fields
		end
	end
	return result
end

-- ---- all ----------------------------------------------------------------------------

-- Looks up everything of a domain. Returns the endpoints, in the order of services.
local function search_all(search)
	local endpoints, caa_records
	tasks.all {
		function ()
			endpoints = joined(services, function (entry)
				local targets, remark = targets_of(search, entry)
				add_remark(search, remark)
				return joined(targets, function (target)
					return endpoints_of(search, entry, target)
				end)
			end)
		end,
		function () caa_records = caa_of(search, search.name) end,
	}
	for _, fields in ipairs(endpoints) do
		fields.caa = caa_records
	end
	return each_once(endpoints)
end

local function by_name(a, b)
	return a.name .. " " .. a.type < b.name .. " " .. b.type
end

--- A function for audit.run's `discover` that asks DNS. `resolver`: as dns.new returns it; `options`: { ipv4, ipv6 =
-- false to leave addresses of that kind out, seconds = for all look-ups of a domain (default: 20) }.
function discovery.by_dns(resolver, options)
	options = options or {}
	local address_types = {}
	for _, kind in ipairs { { "ipv4", "A" }, { "ipv6", "AAAA" } } do
		address_types[#address_types + 1] = options[kind[1]] ~= false and kind[2] or nil
	end
	return function (domain)
		local name = core.domain_name(domain)
		if not name then
			return { endpoints = {}, reason = "this is no domain name" }
		end
		local search = {
			resolver = resolver, domain = domain, name = name, address_types = address_types, known = {}, records = {},
			remarks = {}, failed = {}, deadline = tasks.now() + (options.seconds or SECONDS),
		}
		local endpoints = search_all(search)
		table.sort(search.records, by_name)
		table.sort(search.remarks)
		table.sort(search.failed)
		return {
			endpoints = endpoints, dns = search.records, failed_lookups = search.failed,
			reason = search.remarks[1] and text.shown(table.concat(search.remarks, "; ")) or nil,
		}
	end
end

-- The addresses of a host by the system's resolver, or nil and a message.
local function system_addresses(host)
	local found, problem = tasks.wait(function (resume)
		local request, failure = uv.getaddrinfo(host, nil, { socktype = "stream" }, function (message, list)
			resume(list, message)
		end)
		if not request then
			resume(nil, failure)
		end
	end)
	local addresses = {}
	for index = 1, math.min(found and #found or 0, MOST_ADDRESSES) do
		addresses[index] = found[index].addr
	end
	return addresses, problem
end

--- A function for audit.run's `discover` for one endpoint that the operator names. `host`: a name or an address; the
-- other arguments: see endpoint.new. DNS is not asked for an address, and for a name as the system asks it.
function discovery.fixed(host, port, service, direct)
	return function (domain)
		local addresses, problem = system_addresses(host)
		local endpoints = {}
		for index, address in ipairs(addresses) do
			endpoints[index] = {
				domain = domain, server_name = core.domain_name(domain), service = service, direct = direct, host = host,
				address = address, port = port, target = host,
			}
		end
		return {
			endpoints = endpoints,
			reason = not endpoints[1] and ("%s has no address: %s"):format(host, text.shown(problem or "none found")) or nil,
		}
	end
end

return discovery
