-- The pages of the manual, and what stands in them.
local assert = require "luassert"
local files = require "support.files"
local lfs = require "lfs"

local manual = {}

-- Paths of all files below a directory, sorted.
local function below(directory)
	local found = {}
	for name in lfs.dir(directory) do
		local path = directory .. "/" .. name
		if not name:find "^%." then
			if lfs.attributes(path, "mode") == "directory" then
				for _, inner in ipairs(below(path)) do
					found[#found + 1] = inner
				end
			else
				found[#found + 1] = path
			end
		end
	end
	table.sort(found)
	return found
end

--- The paths of all files in doc/.
function manual.files_of_doc()
	return below "doc"
end

--- The paths of all pages.
function manual.pages()
	local pages = { "README.md", "SECURITY.md" }
	for _, path in ipairs(below "doc") do
		pages[#pages + 1] = path:match "%.md$" and path or nil
	end
	return pages
end

-- "doc/a/../b.md" as "doc/b.md".
local function resolved(path)
	local parts = {}
	for part in path:gmatch "[^/]+" do
		if part == ".." then
			assert(table.remove(parts), path)
		elseif part ~= "." then
			parts[#parts + 1] = part
		end
	end
	return table.concat(parts, "/")
end

--- The indented code block of a page that begins with this line, as the reader copies it; without that line.
function manual.block(page, first)
	local at = assert(select(2, assert(files.read(page)):find("\n    " .. first .. "\n", 1, true)), first)
	local lines = {}
	for line in (files.read(page):sub(at + 1) .. "\n"):gmatch "(.-)\n" do
		if line ~= "" and not line:find "^    " then
			break
		end
		lines[#lines + 1] = line:sub(5)
	end
	return (table.concat(lines, "\n"):gsub("%s*$", "\n"))
end

--- The relative links of a page: list of { text = as written, page = path, anchor = nil or a heading's }.
function manual.links(page)
	local links = {}
	local directory = page:match "^(.*/)" or ""
	-- Code is no text.
	local text = ("\n" .. assert(files.read(page))):gsub("\n```.-\n```", ""):gsub("\n    [^\n]*", ""):gsub("`[^`\n]*`", "")
	for target in text:gmatch "%]%(([^)%s]+)%)" do
		if not target:find "^%l+:" then
			local path, anchor = target:match "^([^#]*)#?(.*)$"
			links[#links + 1] = {
				text = target, page = path == "" and page or resolved(directory .. path), anchor = anchor ~= "" and anchor or nil,
			}
		end
	end
	return links
end

--- The code blocks of a page: list of { text, language = of a fence, or nil, page, line }. Indented blocks may
-- be in lists.
function manual.code_blocks(page)
	local blocks, number, block, fence, previous = {}, 0, nil, nil, ""
	for line in (assert(files.read(page)) .. "\n"):gmatch "(.-)\n" do
		number = number + 1
		local mark, language = line:match "^%s*(```+)(%w*)"
		if fence then
			if mark then
				fence, block = nil, nil
			else
				table.insert(block.lines, line)
			end
		elseif mark then
			fence, block = mark, { lines = {}, language = language ~= "" and language or "text", page = page, line = number }
			blocks[#blocks + 1] = block
		elseif line:find "^    " and (block or previous == "") then
			if not block then
				block = { lines = {}, indent = line:match "^ +", page = page, line = number }
				blocks[#blocks + 1] = block
			end
			table.insert(block.lines, line:sub(#block.indent + 1))
		elseif line ~= "" then
			block = nil
		elseif block then
			table.insert(block.lines, "")
		end
		previous = line
	end
	for _, made in ipairs(blocks) do
		made.text = table.concat(made.lines, "\n"):gsub("%s*$", "") .. "\n"
	end
	return blocks
end

--- Asserts that the part of a page between two lines is as expected. With UPDATE_GOLDEN=1 writes it anew.
function manual.has_between(page, before, after, expected)
	local text = assert(files.read(page))
	local from = assert(select(2, text:find(before, 1, true)), before)
	local to = assert(text:find(after, from, true), after)
	if os.getenv "UPDATE_GOLDEN" == "1" then
		files.write(page, text:sub(1, from) .. expected .. text:sub(to))
	else
		assert.equal(expected, text:sub(from + 1, to - 1))
	end
end

-- The anchors of a page's headings, as GitHub makes them: { [anchor] = true }.
local function anchors_of(page)
	local anchors = {}
	for heading in ("\n" .. files.read(page)):gmatch "\n#+ ([^\n]+)" do
		anchors[heading:lower():gsub("[^%w%s_-]", ""):gsub("%s", "-")] = true
	end
	return anchors
end

--- What is wrong with a link, or nil.
function manual.problem_of(link)
	if not lfs.attributes(link.page) then
		return "there is no " .. link.page
	elseif link.anchor and not anchors_of(link.page)[link.anchor] then
		return ("%s has no heading for #%s"):format(link.page, link.anchor)
	end
end

return manual
