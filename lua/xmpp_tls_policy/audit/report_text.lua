--- A report as plain text for a terminal.
local clauses = require "xmpp_tls_policy.policy.clauses"
local problems = require "xmpp_tls_policy.audit.problems"
local report = require "xmpp_tls_policy.audit.report"
local text = require "xmpp_tls_policy.text"

local report_text = {}

-- A domain of a longer report has one line, and its broken clauses.
local MOST_IN_FULL = 3

local DEFAULT_WIDTH = 100

---- Parts ---------------------------------------------------------------------

local codes = {
	broken = "\27[1;31m", alarm = "\27[1;31m", F = "\27[1;31m", D = "\27[31m", C = "\27[33m", B = "\27[33m",
	["?"] = "\27[33m", ["no answer"] = "\27[33m", ["not asked"] = "\27[2m",
	note = "\27[33m", holds = "\27[32m", A = "\27[32m",
	["not offered"] = "\27[2m", title = "\27[1m",
}

-- A page: what is needed to write, and the lines so far.
local function new_page(options)
	local page = { width = math.max(options.width or DEFAULT_WIDTH, 40) }
	function page.add(...)
		page[#page + 1] = table.concat { ... }
	end
	-- `kind`: a key of codes; `word`: by default the kind.
	function page.colour(kind, word)
		word = word or kind
		return options.colours and codes[kind] and codes[kind] .. word .. "\27[0m" or word
	end
	return page
end

local function padded(word, width)
	return word .. (" "):rep(width - text.columns(word))
end

-- A column of text is never narrower, whatever stands before it.
local NARROWEST = 20

-- Lines of a text, the first after `first`, the others indented as far.
local function add_wrapped(page, first, sentence)
	local indent = (" "):rep(text.columns(first))
	local width = math.max(page.width - #indent, NARROWEST)
	for index, line in ipairs(text.wrapped(text.shown(sentence), width, "")) do
		page.add(index == 1 and first or indent, line)
	end
end

local function widest(list, of)
	local width = 0
	for _, item in ipairs(list) do
		width = math.max(width, text.columns(of(item)))
	end
	return width
end

---- Domains in full -----------------------------------------------------------

local function endpoint_line(endpoint)
	if not endpoint.reached then
		return "not reached: " .. (endpoint.reason or "reason unknown")
	end
	return ("%s; %s in %.1f s%s"):format(report.sentence(endpoint.count), text.counted(endpoint.connections, "connection"),
		endpoint.seconds, endpoint.reason and "; " .. endpoint.reason or "")
end

local function name_of(place)
	local endpoint = place.endpoint
	local name = text.shown(place.name)
	return endpoint and endpoint.address and endpoint.address ~= endpoint.host
		and ("%s (%s)"):format(name, text.shown(endpoint.address)) or name
end

-- The numbered places, which the table of results refers to.
local function add_places(page, places)
	local width = widest(places, name_of)
	for number, place in ipairs(places) do
		local endpoint = place.endpoint
		local first = ("  %2d  %s  "):format(number, padded(name_of(place), width))
		if endpoint then
			add_wrapped(page, first .. endpoint.grade .. "  ", endpoint_line(endpoint))
		else
			page.add(first)
		end
	end
	page.add()
end

local COLUMN = 11

-- The results of all clauses in a column for each place, without those that no outsider can test.
local function add_results(page, domain, places)
	local width = widest(domain.clauses, function (clause)
		return clause.id
	end)
	local level_width = widest(domain.clauses, function (clause)
		return clause.level
	end)
	local head = { padded("clause", width), padded("level", level_width) }
	for number in ipairs(places) do
		head[#head + 1] = padded(tostring(number), COLUMN)
	end
	page.add("  ", (table.concat(head, "  "):gsub(" +$", "")))
	for index, clause in ipairs(domain.clauses) do
		local row = { padded(clause.id, width), padded(clause.level, level_width) }
		for _, place in ipairs(places) do
			local result = place.clauses[index].cause or place.clauses[index].result
			row[#row + 1] = page.colour(result) .. (" "):rep(COLUMN - #result)
		end
		if clause.cause ~= "inside" then
			page.add("  ", (table.concat(row, "  "):gsub(" +$", "")))
		end
	end
	page.add()
end

local function add_problems(page, domain, title, wanted)
	local list = problems.of(domain, wanted)
	if not list[1] then
		return
	end
	page.add(page.colour("title", title))
	for _, problem in ipairs(list) do
		local clause = problem.clause
		local about = ("%s (%s, section %s, %s%s): "):format(clause.id, clause.document, clause.section, clause.level,
			clause.enforced and "" or ", not enforced")
		add_wrapped(page, "  ", about .. clauses[clause.id].statement)
		for _, entry in ipairs(problem.sentences) do
			add_wrapped(page, "      ", ("%s: %s"):format(table.concat(entry.names, ", "), entry.sentence))
		end
	end
	page.add()
end

-- Reason -> the clauses without an answer: one reason often has many.
local function add_unanswered(page, domain)
	local order, ids = {}, {}
	for _, problem in ipairs(problems.of(domain, problems.is_unanswered)) do
		for _, entry in ipairs(problem.sentences) do
			local key = ("%s: %s"):format(table.concat(entry.names, ", "), entry.sentence)
			if not ids[key] then
				order[#order + 1], ids[key] = key, {}
			end
			table.insert(ids[key], problem.clause.id)
		end
	end
	if order[1] then
		page.add(page.colour("title", "Not tested, for lack of an answer"))
		for _, key in ipairs(order) do
			add_wrapped(page, "  ", key)
			add_wrapped(page, "      ", table.concat(ids[key], ", "))
		end
		page.add()
	end
end

local function add_findings(page, domain)
	for _, entry in ipairs(problems.findings(domain)) do
		local kind = entry.finding.kind
		local first = padded(kind, 5) .. "  "
		local from = #page + 1
		add_wrapped(page, first, ("%s: %s"):format(table.concat(entry.names, ", "), entry.finding.sentence))
		page[from] = page.colour(kind, kind:upper()) .. page[from]:sub(#kind + 1)
	end
	page.add()
end

local function add_title(page, made, domain)
	page.add(page.colour("title", text.shown(domain.domain)), "  ", page.colour(domain.grade))
	add_wrapped(page, "", ("%s, level %s: %s"):format(made.profile, made.level, report.sentence(domain.count)))
	for _, sentence in ipairs { domain.reason or "", report.failed_lookups(domain) } do
		if sentence ~= "" then
			add_wrapped(page, "", sentence)
		end
	end
	page.add()
end

local function add_domain(page, made, domain)
	local places = problems.places(domain)
	add_title(page, made, domain)
	if problems.findings(domain)[1] then
		add_findings(page, domain)
	end
	if places[1] then
		add_places(page, places)
		add_results(page, domain, places)
	end
	add_problems(page, domain, "Broken", problems.is_broken)
	add_unanswered(page, domain)
	add_wrapped(page, "", "No outsider can see: " .. table.concat(problems.inside(domain), ", "))
	page.add()
end

---- Many domains --------------------------------------------------------------

local function add_summary(page, made)
	local width = widest(made.domains, function (domain)
		return text.shown(domain.domain)
	end)
	for _, domain in ipairs(made.domains) do
		local broken, alarms = {}, {}
		for _, problem in ipairs(problems.of(domain, problems.is_broken)) do
			broken[#broken + 1] = problem.clause.id
		end
		for _, entry in ipairs(problems.findings(domain)) do
			alarms[#alarms + 1] = entry.finding.kind == "alarm" and entry.finding.sentence or nil
		end
		local first = ("%s  %s  "):format(padded(text.shown(domain.domain), width), domain.grade)
		local from = #page + 1
		add_wrapped(page, first, report.sentence(domain.count)
			.. (broken[1] and "; broken: " .. table.concat(broken, ", ") or "")
			.. (alarms[1] and "; ALARM: " .. table.concat(alarms, "; ") or "")
			.. (domain.reason and "; " .. domain.reason or ""))
		page[from] = first:sub(1, -4) .. page.colour(domain.grade) .. page[from]:sub(#first - 1)
	end
	page.add()
	page.add(("%s, level %s, %s: %s"):format(made.profile, made.level, text.counted(#made.domains, "domain"),
		report.sentence(made.count)))
end

--- The text of a report. `options`: colours, whether to use those of terminals (default: no); width, in columns
-- (default: 100). Up to three domains are shown in full.
function report_text.of(made, options)
	local page = new_page(options or {})
	if #made.domains > MOST_IN_FULL then
		add_summary(page, made)
	else
		for _, domain in ipairs(made.domains) do
			add_domain(page, made, domain)
		end
	end
	return table.concat(page, "\n") .. "\n"
end

return report_text
