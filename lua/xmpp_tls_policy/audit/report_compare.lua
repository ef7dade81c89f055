--- What changed between two reports: of now, and of an earlier audit.
local report = require "xmpp_tls_policy.audit.report"
local text = require "xmpp_tls_policy.text"

local report_compare = {}

-- Observations whose value is worth a line when it changes.
local compared_values = {
	"suites.accepted", "groups.accepted", "tls.mechanisms", "channel_binding.types", "dhe.bits",
}

local DEEPEST = 8

local function is_same(a, b, depth)
	if type(a) ~= "table" or type(b) ~= "table" or depth > DEEPEST then
		return a == b
	end
	for key, value in pairs(a) do
		if not is_same(value, b[key], depth + 1) then
			return false
		end
	end
	for key in pairs(b) do
		if a[key] == nil then
			return false
		end
	end
	return true
end

---- Changes -------------------------------------------------------------------

-- `direction`: "worse", "better" or "other"; `where`: an endpoint in words, or nil for the domain.
local function add(found, direction, domain, where, sentence)
	found.changes[#found.changes + 1] = { direction = direction, domain = domain, where = where, sentence = sentence }
	found[direction] = found[direction] + 1
end

-- Key -> item of a list.
local function by(list, key_of)
	local map = {}
	for _, item in ipairs(list) do
		map[key_of(item)] = item
	end
	return map
end

local function id_of(clause)
	return clause.id
end

-- The direction of a change of a clause's result.
local function direction_of(old, new)
	if new.result == "broken" then
		return "worse"
	elseif old.result == "broken" and new.result ~= "not tested" then
		return "better"
	end
	return "other"
end

local function compare_clauses(found, old, new, domain, where)
	local known = by(old, id_of)
	for _, clause in ipairs(new) do
		local before = known[clause.id]
		if before and before.result ~= clause.result then
			add(found, direction_of(before, clause), domain, where, ("%s: %s, was %s: %s"):format(clause.id, clause.result,
				before.result, clause.sentence))
		end
	end
end

-- An item of a list in words. An old report may hold anything.
local function word_of(item)
	return type(item) == "table" and text.printable(item) or tostring(item)
end

-- The words of the first list that the second does not have.
local function without(list, other)
	local has, left = {}, {}
	for _, item in ipairs(other) do
		has[word_of(item)] = true
	end
	for _, item in ipairs(list) do
		local word = word_of(item)
		left[#left + 1] = not has[word] and word or nil
	end
	return left
end

local function difference_of_lists(old, new)
	local more, less, words = without(new, old), without(old, new), {}
	words[#words + 1] = more[1] and "also " .. table.concat(more, ", ") or nil
	words[#words + 1] = less[1] and "no longer " .. table.concat(less, ", ") or nil
	return words[1] and table.concat(words, ", ") or "in another order"
end

local function is_list(value)
	return type(value) == "table" and (value[1] ~= nil or next(value) == nil)
end

-- The difference of two values of one observation in words: of numbers, lists, or maps of lists.
local function difference(old, new)
	if is_list(old) and is_list(new) then
		return difference_of_lists(old, new)
	elseif type(old) ~= "table" or type(new) ~= "table" then
		return ("%s, was %s"):format(text.printable(new), text.printable(old))
	end
	local keys, parts = {}, {}
	for _, map in ipairs { old, new } do
		for key in pairs(map) do
			keys[#keys + 1] = (map == old or old[key] == nil) and key or nil
		end
	end
	table.sort(keys, function (a, b)
		return tostring(a) < tostring(b)
	end)
	for _, key in ipairs(keys) do
		local before, now = old[key] or {}, new[key] or {}
		if not is_same(before, now, 1) then
			parts[#parts + 1] = ("%s %s"):format(key, is_list(before) and is_list(now) and difference_of_lists(before, now)
				or "changed")
		end
	end
	return table.concat(parts, "; ")
end

local function compare_values(found, old, new, domain, where)
	for _, name in ipairs(compared_values) do
		local before, now = old[name], new[name]
		if before and now and before.seen ~= nil and now.seen ~= nil and not is_same(before.value, now.value, 1) then
			add(found, "other", domain, where, name .. ": " .. difference(before.value, now.value))
		end
	end
end

local function compare_findings(found, old, new, domain, where)
	local function sentence_of(finding)
		return finding.sentence
	end
	local before, now = by(old, sentence_of), by(new, sentence_of)
	for _, finding in ipairs(new) do
		if not before[finding.sentence] then
			add(found, "worse", domain, where, ("new %s: %s"):format(finding.kind, finding.sentence))
		end
	end
	for _, finding in ipairs(old) do
		if not now[finding.sentence] then
			add(found, "better", domain, where, ("no longer: %s"):format(finding.sentence))
		end
	end
end

local function digest(certificate, field)
	local value = type(certificate) == "table" and certificate[field]
	return type(value) == "string" and value or nil
end

local function compare_certificates(found, old, new, domain, where)
	local before, now = digest(old, "sha256"), digest(new, "sha256")
	if not before or not now or before == now then
		return
	end
	local key_before, key_now = digest(old, "spki_sha256"), digest(new, "spki_sha256")
	local about_key = key_before and key_now and (key_before == key_now and ", the same key" or ", another key") or ""
	add(found, "other", domain, where, ("another certificate%s: SHA-256 %s, was %s"):format(about_key, now, before))
end

local function compare_endpoints(found, old, new, domain, where)
	if old.reached ~= new.reached then
		add(found, new.reached and "better" or "worse", domain, where,
			new.reached and "reached again" or "not reached: " .. (new.reason or "reason unknown"))
	end
	if old.reached and new.reached then
		compare_clauses(found, old.clauses, new.clauses, domain, where)
		compare_values(found, old.observations, new.observations, domain, where)
	end
	compare_findings(found, old.findings, new.findings, domain, where)
	compare_certificates(found, old.certificate, new.certificate, domain, where)
end

-- An endpoint in words, with its address.
local function place_of(endpoint)
	local place = report.describe(endpoint)
	return endpoint.address and endpoint.address ~= endpoint.host and ("%s (%s)"):format(place, endpoint.address) or place
end

local letters = { A = 1, B = 2, C = 3, D = 4, F = 5 }

local function compare_letters(found, old, new)
	local before, now = letters[old.grade], letters[new.grade]
	if old.grade ~= new.grade then
		local direction = before and now and (now > before and "worse" or "better") or "other"
		add(found, direction, new.domain, nil, ("letter %s, was %s"):format(new.grade, old.grade))
	end
end

local function compare_domains(found, old, new)
	compare_letters(found, old, new)
	local before, now = by(old.endpoints, place_of), by(new.endpoints, place_of)
	for _, endpoint in ipairs(new.endpoints) do
		local where = place_of(endpoint)
		if before[where] then
			compare_endpoints(found, before[where], endpoint, new.domain, where)
		else
			add(found, "other", new.domain, where, "a new endpoint, letter " .. endpoint.grade)
		end
	end
	for _, endpoint in ipairs(old.endpoints) do
		if not now[place_of(endpoint)] then
			add(found, "other", new.domain, place_of(endpoint), "no longer an endpoint")
		end
	end
	if old.client and new.client then
		compare_clauses(found, old.client.clauses, new.client.clauses, new.domain, "as a client")
	end
end

local function domain_of(domain)
	return domain.domain
end

--- What changed from an old report to a new one: { changes = list of { direction = "worse", "better" or "other",
-- domain, where = an endpoint in words (nil: the domain), sentence }, worse, better, other = how many of each,
-- since = time of the old report, policy = a sentence if the policies differ, or nil }. Only clauses of both
-- are compared.
function report_compare.of(old, new)
	local found = { changes = {}, worse = 0, better = 0, other = 0, since = old.time }
	if old.profile ~= new.profile or old.level ~= new.level then
		found.policy = ("the policy is %s, level %s; it was %s, level %s"):format(new.profile, new.level, old.profile,
			old.level)
	end
	local before, now = by(old.domains, domain_of), by(new.domains, domain_of)
	for _, domain in ipairs(new.domains) do
		if before[domain.domain] then
			compare_domains(found, before[domain.domain], domain)
		else
			add(found, "other", domain.domain, nil, "a new domain, letter " .. domain.grade)
		end
	end
	for _, domain in ipairs(old.domains) do
		if not now[domain.domain] then
			add(found, "other", domain.domain, nil, "no longer audited")
		end
	end
	return found
end

---- The text ------------------------------------------------------------------

local signs = { worse = "- ", better = "+ ", other = "  " }
local codes = { worse = "\27[31m", better = "\27[32m" }

--- What changed, as text for a terminal: a line for each change, "-" for the worse and "+" for the better.
-- `options`: colours, whether to use those of terminals (default: no).
function report_compare.text(found, options)
	local colours = (options or {}).colours
	local lines = { ("Since %s: %.0f worse, %.0f better, %.0f other"):format(text.shown(found.since), found.worse,
		found.better, found.other) }
	lines[#lines + 1] = found.policy and text.shown(found.policy)
	for _, change in ipairs(found.changes) do
		local line = signs[change.direction] .. text.shown(("%s%s: %s"):format(change.domain,
			change.where and ", " .. change.where or "", change.sentence))
		local code = colours and codes[change.direction]
		lines[#lines + 1] = code and code .. line .. "\27[0m" or line
	end
	return table.concat(lines, "\n") .. "\n"
end

return report_compare
