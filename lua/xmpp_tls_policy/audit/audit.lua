--- The audit of domains: all probes at all endpoints. It makes what report.of takes.
local attempt = require "xmpp_tls_policy.audit.attempt"
local certificates = require "xmpp_tls_policy.audit.certificates"
local connection_places = require "xmpp_tls_policy.audit.connection_places"
local endpoint = require "xmpp_tls_policy.audit.endpoint"
local observations = require "xmpp_tls_policy.audit.observations"
local probes = require "xmpp_tls_policy.audit.probes"
local report = require "xmpp_tls_policy.audit.report"
local tasks = require "xmpp_tls_policy.audit.tasks"

local audit = {}

-- Domains, and connections of all of them together, at a time.
local JOBS, CONNECTIONS = 4, 8

--- Runs probes of a list side by side, as a task, each after those of the list that it needs. Adds to `observed`,
-- and errors of ours to `point.faults`. `progress`: called with the endpoint and a probe that is done.
function audit.run_probes(list, point, observed, progress)
	local is_awaited, done, waiting, functions = {}, {}, {}, {}
	for _, probe in ipairs(list) do
		is_awaited[probe.name] = true
	end
	for index, probe in ipairs(list) do
		functions[index] = function ()
			for _, name in ipairs(probe.after or {}) do
				while is_awaited[name] and not done[name] do
					tasks.wait(function (resume)
						waiting[#waiting + 1] = resume
					end)
				end
			end
			-- A fault of ours at one endpoint does not end the audit of all others.
			local _, fault = tasks.guarded(probe.run, point, observed)
			if fault then
				point.faults = point.faults or {}
				table.insert(point.faults, ("the probe %s failed: %s"):format(probe.name, fault))
			end
			done[probe.name] = true
			progress(point, probe)
			local woken = waiting
			waiting = {}
			for _, resume in ipairs(woken) do
				resume()
			end
		end
	end
	tasks.all(functions)
end

-- Runs the first probe. Returns why nothing more can be tested, or nil.
local function begin(list, point, observed, progress)
	if point.direct then
		local greeted, kind, message = attempt.greet(point)
		if not greeted then
			return ("%s: %s"):format(kind, message)
		end
	end
	audit.run_probes({ list[1] }, point, observed, progress)
	local offered = observed["starttls.offered"] or {}
	if not point.direct then
		return offered.seen == false and "STARTTLS is not offered" or offered.reason
	end
end

local CLOSES_AT_RANDOM = "the server closes connections whatever is offered, so that its refusals cannot be told"

-- The names that begin so, of observations for which the end of a connection can count as a no.
local of_refusals = {
	version = true, suites = true, groups = true, dhe = true, signature = true, resumption = true, sni = true,
	early_data = true, renegotiation = true, extended_master_secret = true, compression = true,
}

-- The last parts of the names for which it can count as a yes.
local yes_from_refusals = {
	complete = true, kinds = true, recommended = true, server_chooses = true, newest = true,
	-- Where TLS 1.3 alone is accepted.
	secure = true, extended_master_secret = true,
}

-- Takes back what may have been concluded from the end of a connection: each no, and that lists are complete.
local function take_back_refusals(observed)
	for name, observation in pairs(observed) do
		local from_refusals = yes_from_refusals[name:match "[^.]+$"] or false
		if of_refusals[name:match "^[^.]+"] and observation.seen == from_refusals then
			observed[name] = observations.untested(CLOSES_AT_RANDOM)
		end
	end
end

--- Audits one endpoint (endpoint.lua) with `list`, probes. `progress`: called with the endpoint and a probe that
-- is done. Returns what report.of takes for an endpoint, and `faults`: nil, or the messages of our errors.
function audit.endpoint(point, list, progress)
	local began, observed = tasks.now(), {}
	local reason = begin(list, point, observed, progress)
	if not reason then
		local others = {}
		for index = 2, #list do
			others[index - 1] = list[index]
		end
		audit.run_probes(others, point, observed, progress)
		reason = point:limit_message()
		if attempt.closes_at_random(point) then
			reason = reason or CLOSES_AT_RANDOM
			if attempt.has_declined(point) then
				take_back_refusals(observed)
			end
		end
	end
	if reason and not point:is_reached() and point.address:find(":", 1, true) and reason:find "^unreachable" then
		reason = reason .. "; if this machine has no IPv6, use --ipv4"
	end
	if point.faults then
		reason = "a fault of this program: " .. point.faults[1]:match "[^\n]*"
	end
	point:close()
	return {
		service = point.service, direct = point.direct, host = point.host, address = point.address, port = point.port,
		connections = point.connections, seconds = tasks.now() - began, reached = point:is_reached(), reason = reason,
		observations = observed, certificate = point.certificate, faults = point.faults,
	}
end

-- Adds the observation that compares the certificates of all endpoints that were reached.
local function compare_certificates(results)
	local list = {}
	for _, result in ipairs(results) do
		if result.reached then
			list[#list + 1] = {
				where = report.describe(result), sha256 = result.certificate and result.certificate.sha256,
			}
		end
	end
	for _, result in ipairs(results) do
		result.observations["certificate.same"] = result.reached and certificates.same(list) or nil
	end
end

-- An endpoint with the fields that discovery found and those for all endpoints.
local function new_endpoint(options, found, places)
	local fields = { places = places }
	for _, given in ipairs { found, options.endpoint } do
		for name, value in pairs(given) do
			fields[name] = value
		end
	end
	return endpoint.new(fields)
end

-- What `callback` observes of a domain's server as a client, at the first endpoint for servers that was reached;
-- nil without one.
local function examine_client(options, found, results, places)
	for index, result in ipairs(results) do
		if result.service == "s2s" and result.reached then
			-- One listener serves all domains, one after the other.
			options.turn:take()
			local observed = options.callback(new_endpoint(options, found.endpoints[index], places))
			options.turn:give()
			return { observations = observed }
		end
	end
end

local function audit_domain(domain, options, places)
	local found, results, functions = options.discover(domain), {}, {}
	local progress = options.progress
	progress.begins(domain, #found.endpoints)
	for index, fields in ipairs(found.endpoints) do
		functions[index] = function ()
			results[index] = audit.endpoint(new_endpoint(options, fields, places), options.probes, progress.probed)
		end
	end
	tasks.all(functions)
	compare_certificates(results)
	local result = {
		domain = domain, dns = found.dns, failed_lookups = found.failed_lookups, reason = found.reason,
		endpoints = results,
		client = options.callback and examine_client(options, found, results, places) or nil,
	}
	progress.ends(result)
	return result
end

local silent = { begins = function () end, probed = function () end, ends = function () end }

--- Audits domains, as a task. `options`:
--   discover     function(domain) -> { endpoints = list of what endpoint.new takes, dns = records for the report
--                or nil, failed_lookups = list of look-ups without an answer, or nil, reason = why there are no
--                endpoints }
--   jobs         domains at a time (default: 4)
--   connections  connections at a time, over all domains (default: 8)
--   endpoint     more fields for each endpoint (endpoint.new, probes/certificate.lua), or nil
--   probes       default: all
--   callback     function(endpoint for servers) -> observations of the server as a client, or nil
--   progress     { begins = function(domain, number of endpoints), probed = function(endpoint, probe),
--                ends = function(result) }, or nil
-- Returns what report.of takes for each domain, in the order of `domains`.
function audit.run(domains, options)
	local all = { progress = silent, probes = probes, jobs = JOBS, connections = CONNECTIONS, endpoint = {} }
	for name, value in pairs(options) do
		all[name] = value
	end
	all.turn = connection_places.new(1)
	local places, results, functions = connection_places.new(all.connections), {}, {}
	for index, domain in ipairs(domains) do
		functions[index] = function ()
			results[index] = audit_domain(domain, all, places)
		end
	end
	tasks.all(functions, all.jobs)
	return results
end

return audit
