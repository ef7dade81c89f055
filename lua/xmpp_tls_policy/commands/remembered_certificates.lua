--- The certificates that the hosts remember of other servers, for the commands peers, accept and
-- forget.
local name_of = require "xmpp_tls_policy.certificates.domain_store".name_of

local remembered_certificates = {}

--- A domain as the hosts remember it, in A-labels; or nil and a message.
function remembered_certificates.prepare(server, domain)
	local prepared = domain and server.prepare_domain(domain)
	if not prepared or prepared == "" then
		return nil, "name the domain of a server, such as \"far.example\""
	end
	return name_of(prepared)
end

local function entry_of(server, host, domain, entry, pending)
	local directions = server.list {}
	for _, direction in ipairs { "in", "out" } do
		directions[#directions + 1] = entry.directions[direction] and direction or nil
	end
	return {
		host = host, domain = domain, pending = pending, sha256 = entry.sha256, spki_sha256 = entry.spki_sha256,
		issuer = entry.issuer, subject = entry.subject, not_before = entry.not_before, not_after = entry.not_after,
		verified = entry.verified, first_seen = entry.first_seen, last_seen = entry.last_seen,
		times_seen = entry.times_seen, directions = directions,
	}
end

local function add(list, server, host, domain, record)
	for _, entry in ipairs(record.certificates) do
		list[#list + 1] = entry_of(server, host, domain, entry, false)
	end
	for _, entry in ipairs(record.pending) do
		list[#list + 1] = entry_of(server, host, domain, entry, true)
	end
end

local function add_all(list, service, host)
	local server = service.server
	local next_turn = server.turns()
	local iterate, message = service.certificates:memory(host):list(next_turn)
	if not iterate then
		return nil, message
	end
	for domain, record, failure, code in iterate do
		if record then
			add(list, server, host, domain, record)
		elseif code ~= "missing" then
			list[#list + 1] = { host = host, domain = domain, failure = failure }
		end
		next_turn()
	end
	return true
end

local function add_one(list, service, host, domain)
	local record, message, code = service.certificates:memory(host):get(domain)
	if record then
		add(list, service.server, host, domain, record)
	elseif code ~= "missing" then
		return nil, message
	end
	return true
end

--- The certificates of one prepared domain, or of all (nil), on all hosts: a list of server.list
-- with { host, domain, pending = whether it waits to be accepted, sha256, spki_sha256, issuer,
-- subject, not_before, not_after, verified, first_seen, last_seen, times_seen, directions = list of
-- "in", "out" }, times in UTC seconds; or, in a list of all, { host, domain, failure } for a domain
-- that cannot be read. Or nil and a message.
function remembered_certificates.list(service, domain)
	local list = service.server.list {}
	for _, host in ipairs(service.certificates:hosts()) do
		local done, message
		if domain then
			done, message = add_one(list, service, host, domain)
		else
			done, message = add_all(list, service, host)
		end
		if not done then
			return nil, message
		end
	end
	return list
end

--- Calls a method ("accept", "forget") of the memory of every host for a prepared domain. Returns
-- the sum of the numbers that the method returns; or nil and a message, if it failed on a host or
-- no host remembers the domain.
function remembered_certificates.change(service, method, domain, sha256)
	local sum, missing
	for _, host in ipairs(service.certificates:hosts()) do
		local memory = service.certificates:memory(host)
		local count, message, code = memory[method](memory, domain, sha256)
		if count then
			sum = (sum or 0) + count
		elseif code ~= "missing" then
			return nil, message
		else
			missing = missing or message
		end
	end
	if not sum then
		return nil, missing or ("nothing is remembered of %s"):format(domain)
	end
	return sum
end

return remembered_certificates
