--- A report as one page of HTML. It needs no script and loads nothing.
local clauses = require "xmpp_tls_policy.policy.clauses"
local date = require "xmpp_tls_policy.date"
local grades = require "xmpp_tls_policy.audit.grade"
local html = require "xmpp_tls_policy.audit.html"
local observations = require "xmpp_tls_policy.audit.observations"
local problems = require "xmpp_tls_policy.audit.problems"
local report = require "xmpp_tls_policy.audit.report"
local style = require "xmpp_tls_policy.audit.report_style"
local sorted_keys = require "xmpp_tls_policy.policy.validators".sorted_keys
local text = require "xmpp_tls_policy.text"

local fill, none = html.fill, html.none

local report_html = {}

-- A page of more domains shows only their clauses that are broken or without an answer.
local MOST_IN_FULL = 100

---- Small parts ---------------------------------------------------------------

-- A sign and a word for each result.
local marks = {
	holds = "✓ holds", broken = "✗ broken", ["not offered"] = "– not offered", ["no answer"] = "? no answer",
	["not asked"] = "– not asked", inside = "– not visible",
}

local function kind_of(clause)
	return clause.cause or clause.result
end

local function class_of(kind)
	return (kind:gsub(" ", "-"))
end

local function mark(clause)
	local kind = kind_of(clause)
	return fill('<span class="mark %s">%s</span>', class_of(kind), marks[kind])
end

local function grade(letter)
	return fill('<span class="grade grade-%s">%s</span>', letter == "?" and "none" or letter, letter)
end

local bar_parts = {
	{ "broken", "broken" }, { "unanswered", "no-answer" }, { "holds", "holds" }, { "not_offered", "not-offered" },
	{ "not_asked", "not-asked" }, { "inside", "inside" },
}

-- The shares of a count, as a bar. The sentence beside it says the same.
local function bar(count)
	local parts = {}
	for _, part in ipairs(bar_parts) do
		local number = count[part[1]]
		if number > 0 then
			parts[#parts + 1] = fill('<span class="%s" style="flex:%s"></span>', part[2], number)
		end
	end
	return fill('<div class="bar" aria-hidden="true">%s</div>', parts)
end

---- Plain data ----------------------------------------------------------------

local DEEPEST = 6

local function is_list_of_words(value)
	for key, item in pairs(value) do
		if type(key) ~= "number" or type(item) == "table" then
			return false
		end
	end
	return true
end

-- Any value of the report: words, lists, or names with values.
local function data(value, depth)
	depth = depth or 1
	if type(value) == "number" and value % 1 ~= 0 then
		return fill("%s", ("%.3g"):format(value))
	elseif type(value) ~= "table" then
		return fill("%s", value)
	elseif depth > DEEPEST then
		return fill "…"
	elseif is_list_of_words(value) then
		local words = {}
		for index, item in ipairs(value) do
			words[index] = tostring(item)
		end
		return fill("%s", words[1] and table.concat(words, ", ") or "none")
	end
	local parts = {}
	if value[1] ~= nil then
		for index, item in ipairs(value) do
			parts[index] = fill("<li>%s</li>", data(item, depth + 1))
		end
		return fill('<ul class="values">%s</ul>', parts)
	end
	for index, key in ipairs(sorted_keys(value)) do
		parts[index] = fill("<dt>%s</dt><dd>%s</dd>", key, data(value[key], depth + 1))
	end
	return fill("<dl>%s</dl>", parts)
end

local function folded(title, content)
	return fill('<details class="more"><summary>%s</summary>%s</details>', title, content)
end

---- Certificates --------------------------------------------------------------

local function day(seconds)
	return type(seconds) == "number" and date.of(seconds) or "unknown"
end

-- The parts of a key that are there: "RSA, 2048 bits".
local function key_words(key)
	local words = {}
	words[1] = key.type
	words[#words + 1] = key.bits and ("%.0f bits"):format(key.bits)
	words[#words + 1] = key.curve
	return words
end

-- { label, value of a certificate (see certificates.examine), or nil }
local certificate_rows = {
	{ "subject", function (certificate) return certificate.subject end },
	{ "issuer", function (certificate) return certificate.issuer end },
	{ "valid", function (certificate)
		return ("from %s to %s"):format(day(certificate.not_before), day(certificate.not_after))
	end },
	{ "key", function (certificate) return type(certificate.key) == "table" and key_words(certificate.key) or nil end },
	{ "signature", function (certificate) return certificate.signature end },
	{ "usages", function (certificate) return certificate.usages end },
	{ "names", function (certificate) return certificate.names end },
	{ "serial", function (certificate) return certificate.serial end },
	{ "SHA-256", function (certificate) return certificate.sha256 end },
	{ "SHA-256 of the key", function (certificate) return certificate.spki_sha256 end },
}

local certificate_list

function certificate_list(certificate)
	local parts = {}
	for _, row in ipairs(certificate_rows) do
		local value = row[2](certificate)
		parts[#parts + 1] = value ~= nil and fill("<dt>%s</dt><dd>%s</dd>", row[1], data(value)) or nil
	end
	for index, issuer in ipairs(type(certificate.chain) == "table" and certificate.chain or {}) do
		parts[#parts + 1] = fill("<dt>sent after it, %s</dt><dd>%s</dd>", index, certificate_list(issuer))
	end
	return fill("<dl>%s</dl>", parts)
end

---- Clauses -------------------------------------------------------------------

-- The observations that decided, at one place.
local function evidence(clause, observed)
	local parts = {}
	for index, name in ipairs(clause.observations) do
		local observation = observed[name] or {}
		parts[index] = fill("<li><code>%s</code>: %s</li>", name,
			observation.evidence or observation.reason or "not observed")
	end
	return parts[1] and fill('<ul class="evidence">%s</ul>', parts) or none
end

local function at_place(place, index)
	local clause = place.clauses[index]
	return fill('<div class="place"><p>%s <b>%s</b>: %s</p>%s</div>', mark(clause), place.name, clause.sentence,
		evidence(clause, place.observed))
end

-- A clause of the domain, with the results of all places, and evidence.
local function clause_details(domain, index, places, is_open)
	local clause, parts = domain.clauses[index], {}
	for number, place in ipairs(places) do
		parts[number] = at_place(place, index)
	end
	local known = clauses[clause.id]
	return fill('<details class="clause %s"%s><summary>%s<span class="name">%s</span>'
		.. '<span><span class="level">%s</span> %s</span></summary>'
		.. '<div class="inner"><p class="faint">%s, section %s%s</p>%s</div></details>',
		class_of(kind_of(clause)), is_open and fill " open" or none, mark(clause), clause.id, clause.level,
		known and known.statement or clause.id, clause.document, clause.section,
		clause.enforced and "" or "; not enforced at this level", parts[1] and parts or fill("<p>%s</p>", clause.sentence))
end

local groups = {
	{ "broken", "Broken" }, { "no answer", "Not tested, for lack of an answer" }, { "holds", "Holds" },
	{ "not offered", "Not offered: the server does not do that which the clause restricts" },
	{ "not asked", "Not tested, because this audit was not asked to" }, { "inside", "No outsider can see" },
}

local function is_urgent(kind)
	return kind == "broken" or kind == "no answer"
end

-- `extent`: how much of the domain is shown: "only" (the page is about it alone), "full" or "problems".
local function clause_groups(domain, places, extent)
	local parts = {}
	for _, group in ipairs(groups) do
		local rows = {}
		for index, clause in ipairs(domain.clauses) do
			if kind_of(clause) == group[1] and (extent ~= "problems" or is_urgent(group[1])) then
				rows[#rows + 1] = clause_details(domain, index, places, extent == "only" and group[1] == "broken")
			end
		end
		if rows[1] then
			parts[#parts + 1] = fill("<h3>%s (%s)</h3>%s", group[2], #rows, rows)
		end
	end
	return parts
end

---- Endpoints -----------------------------------------------------------------

-- What an observation says in words, for people: statements also describe values.
local function statement_of(name)
	return ((observations.statement(name) or name):gsub(" %(value.*$", ""))
end

-- The value of an observation, unless the evidence says it in words.
local function value_beside(observation)
	local value, sentence = observation.value, observation.evidence or ""
	if value == nil or type(value) ~= "table" and sentence:find(tostring(value), 1, true)
		or type(value) == "table" and is_list_of_words(value)
			and (value[1] == nil or sentence:find(tostring(value[1]), 1, true)) then
		return none
	end
	return fill('<div class="faint">%s</div>', data(value))
end

local function observation_list(observed)
	local parts = {}
	for index, name in ipairs(sorted_keys(observed)) do
		local observation = observed[name]
		local word = observation.seen == nil and "not tested" or observation.seen and "yes" or "no"
		parts[index] = fill("<li><code>%s</code>, %s: <b>%s</b>. %s%s</li>", name, statement_of(name), word,
			observation.evidence or observation.reason or "", value_beside(observation))
	end
	return fill('<ul class="evidence">%s</ul>', parts)
end

local function endpoint_card(endpoint, in_full)
	local where = endpoint.address and endpoint.address ~= endpoint.host and "at " .. endpoint.address or ""
	local body = endpoint.reached and fill("%s<p>%s</p><p class=\"faint\">%s in %s s</p>%s", bar(endpoint.count),
		report.sentence(endpoint.count), text.counted(endpoint.connections, "connection"),
		("%.1f"):format(endpoint.seconds), endpoint.reason and fill("<p>%s</p>", endpoint.reason) or none)
		or fill("<p>not reached: %s</p>", endpoint.reason or "reason unknown")
	return fill('<div class="card"><div class="title">%s<div><b>%s</b><p class="faint">%s</p></div></div>%s%s%s</div>',
		grade(endpoint.grade), report.describe(endpoint), where, body,
		in_full and type(endpoint.certificate) == "table"
			and folded("Certificate", certificate_list(endpoint.certificate)) or none,
		in_full and endpoint.reached and folded("All observations", observation_list(endpoint.observations)) or none)
end

---- Domains -------------------------------------------------------------------

local function finding_boxes(domain)
	local parts = {}
	for index, entry in ipairs(problems.findings(domain)) do
		local kind = entry.finding.kind == "alarm" and "alarm" or "note"
		parts[index] = fill('<p class="finding %s"><b>%s</b>: %s (%s)</p>', kind, kind, entry.finding.sentence,
			table.concat(entry.names, ", "))
	end
	return parts
end

local function places_of(domain)
	local places = problems.places(domain)
	for _, place in ipairs(places) do
		place.observed = (place.endpoint or domain.client).observations
	end
	return places
end

local function domain_section(domain, number, extent)
	local cards, places, in_full = {}, places_of(domain), extent ~= "problems"
	for index, endpoint in ipairs(domain.endpoints) do
		cards[index] = endpoint_card(endpoint, in_full)
	end
	return fill('<section class="domain" id="d%s">'
		.. '<h2 class="title">%s<span>%s</span></h2>%s<p>%s</p>%s%s%s%s%s%s</section>',
		number, grade(domain.grade), domain.domain, bar(domain.count), report.sentence(domain.count),
		domain.reason and fill('<p class="finding">%s</p>', domain.reason) or none,
		report.failed_lookups(domain) and fill('<p class="finding">%s</p>', report.failed_lookups(domain)) or none,
		finding_boxes(domain),
		cards[1] and fill('<h3>Endpoints</h3><div class="cards">%s</div>', cards) or none,
		clause_groups(domain, places, extent), in_full and domain.dns and folded("DNS records", data(domain.dns)) or none)
end

---- The page ------------------------------------------------------------------

local rank = { F = 1, ["?"] = 2, D = 3, C = 4, B = 5, A = 6 }

-- The numbers of the domains, worst first.
local function worst_first(domains)
	local numbers = {}
	for number in ipairs(domains) do
		numbers[number] = number
	end
	table.sort(numbers, function (a, b)
		local rank_a, rank_b = rank[domains[a].grade] or 0, rank[domains[b].grade] or 0
		return rank_a < rank_b or rank_a == rank_b and a < b
	end)
	return numbers
end

local function short_problems(domain)
	local words = {}
	for _, entry in ipairs(problems.findings(domain)) do
		words[#words + 1] = entry.finding.kind == "alarm" and "ALARM: " .. entry.finding.sentence or nil
	end
	local broken = {}
	for _, clause in ipairs(domain.clauses) do
		broken[#broken + 1] = clause.result == "broken" and clause.id or nil
	end
	words[#words + 1] = broken[1] and "broken: " .. table.concat(broken, ", ") or nil
	words[#words + 1] = domain.reason
	return words[1] and table.concat(words, "; ") or report.sentence(domain.count)
end

local function summary(made)
	local rows, letters = {}, {}
	for index, number in ipairs(worst_first(made.domains)) do
		local domain = made.domains[number]
		letters[domain.grade] = (letters[domain.grade] or 0) + 1
		rows[index] = fill('<div class="row">%s<a href="#d%s">%s</a><span>%s</span></div>', grade(domain.grade), number,
			domain.domain, short_problems(domain))
	end
	local words = {}
	for _, letter in ipairs { "F", "?", "D", "C", "B", "A" } do
		words[#words + 1] = letters[letter] and ("%d %s"):format(letters[letter], letter) or nil
	end
	return fill('<p>%s: %s</p>%s<p>%s</p><div class="list">%s</div>', text.counted(#made.domains, "domain"),
		table.concat(words, ", "), bar(made.count), report.sentence(made.count), rows)
end

local function letters()
	local parts = {}
	for index, entry in ipairs(grades.letters) do
		parts[index] = fill("<dt>%s</dt><dd>%s</dd>", entry.letter, entry.rule)
	end
	return folded("The letters: the first rule that applies", fill('<dl class="letters">%s</dl>', parts))
end

local PAGE = [[
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>%s</title>
<style>
%s</style></head>
<body>
<header class="%s"><h1>TLS audit</h1>
<p class="faint">%s, level %s. Begun %s by %s.</p>%s</header>
%s
<footer class="domain">%s</footer>
</body></html>
]]

--- The page of a report, a string. Of more than 100 domains it has no evidence for clauses that hold.
function report_html.of(made)
	local domains, sections = made.domains, {}
	local extent = #domains == 1 and "only" or #domains <= MOST_IN_FULL and "full" or "problems"
	for number, domain in ipairs(domains) do
		sections[number] = domain_section(domain, number, extent)
	end
	local subject = #domains == 1 and domains[1].domain or text.counted(#domains, "domain")
	return html.text(fill(PAGE, "TLS audit of " .. subject, fill(style), extent, made.profile, made.level, made.time,
		made.tool, #domains ~= 1 and summary(made) or none, sections, letters()))
end

return report_html
