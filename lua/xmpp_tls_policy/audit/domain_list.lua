--- The domains to audit: those that are given, and those of a file with one a line.
local core = require "xmpp_tls_policy.core"
local text = require "xmpp_tls_policy.text"

local domain_list = {}

-- A line that is longer is no domain, whatever it is.
local LONGEST_LINE = 1024

-- The contents of a file ("-": the standard input), or nil and a message.
local function contents_of(path)
	local file, problem = io.stdin, nil
	if path ~= "-" then
		file, problem = io.open(path, "rb")
	end
	if not file then
		return nil, text.shown(problem)
	end
	local contents, failure = file:read "*a"
	if path ~= "-" then
		file:close()
	end
	return contents, not contents and ("%s: %s"):format(path, failure) or nil
end

-- Calls `add(line)` for each line of a file that is no comment and not empty. Returns true, or nil and a message.
local function each_line(path, add)
	local contents, problem = contents_of(path)
	if not contents then
		return nil, problem
	end
	local number = 0
	for whole in contents:gsub("^\239\187\191", ""):gmatch "([^\n]*)\n?" do
		number = number + 1
		local line = whole:gsub("#.*", ""):gsub("^%s+", ""):gsub("%s+$", "")
		if line ~= "" then
			local added, message = add(line:sub(1, LONGEST_LINE))
			if not added then
				return nil, ("%s, line %d: %s"):format(path, number, message)
			end
		end
	end
	return true
end

--- The domains of a list and of a file (nil: none; "-": the standard input), each once, in that order, in lower case.
-- Returns nil and a message for what is no domain, or a file that cannot be read.
function domain_list.of(given, path)
	local domains, seen = {}, {}
	local function add(word)
		local normal = core.domain_name(word)
		if not normal then
			return nil, ("%s is no domain"):format(text.quote(word))
		elseif not seen[normal] then
			seen[normal] = true
			domains[#domains + 1] = word:find "[\128-\255]" and word or normal
		end
		return true
	end
	for _, word in ipairs(given) do
		local added, message = add(word)
		if not added then
			return nil, message
		end
	end
	if path then
		local read, message = each_line(path, add)
		if not read then
			return nil, message
		end
	end
	return domains
end

return domain_list
