-- Tables of text that line up in a terminal.
local text = require "xmpp_tls_policy.text"

local columns = {}

local GAP, INDENT = "  ", "  "

-- The widest column is cut first, but none below this width.
local LEAST = 8

-- A longer cell counts as this long when rows are folded: it is cut instead.
local LONG = 40

local length = text.columns

local function cut(string, width)
	if length(string) <= width then
		return string
	end
	local kept = {}
	for character in string:gmatch "[^\128-\191][\128-\191]*" do
		if #kept + 1 >= width then
			break
		end
		kept[#kept + 1] = character
	end
	return table.concat(kept) .. "\226\128\166" -- an ellipsis
end

local methods = {}
local metatable = { __index = methods }

--- A table with these titles. Rows are added first, for the widths, and rendered then, so
-- that the caller can do both in steps. A row is a list of as many strings as titles (nil:
-- empty), without control characters.
function columns.new(titles)
	local widths = {}
	for index, title in ipairs(titles) do
		widths[index] = length(title)
	end
	return setmetatable({ titles = titles, widths = widths, lines_of_row = { { 1, #titles, "" } } }, metatable)
end

--- Adds a row's widths to those of the columns.
function methods:add(row)
	local widths = self.widths
	for index = 1, #widths do
		local cell = row[index]
		if cell and #cell > widths[index] then
			widths[index] = math.max(widths[index], length(cell))
		end
	end
end

local function total(widths, first, last, most)
	local sum = #GAP * (last - first)
	for index = first, last do
		sum = sum + math.min(widths[index], most)
	end
	return sum
end

local function fit(widths, first, last, width)
	local excess = total(widths, first, last, math.huge) - width
	while excess > 0 do
		local widest = first
		for index = first + 1, last do
			if widths[index] > widths[widest] then
				widest = index
			end
		end
		if widths[widest] <= LEAST then
			return
		end
		widths[widest] = widths[widest] - 1
		excess = excess - 1
	end
end

--- Makes the table fit into a width, in characters: longer cells are cut, and end in an
-- ellipsis. `fold`: the column with which rows that are too long go on in a second line; nil:
-- never.
function methods:fit(width, fold)
	local last = #self.titles
	if fold and total(self.widths, 1, last, LONG) > width then
		self.lines_of_row = { { 1, fold - 1, "" }, { fold, last, INDENT } }
	end
	for _, line in ipairs(self.lines_of_row) do
		fit(self.widths, line[1], line[2], width - #line[3])
	end
end

--- The same without cutting: where the table is too wide, rows are wrapped between words. `fold`: the
-- column from which on cells need not line up.
function methods:wrap(width, fold)
	if total(self.widths, 1, #self.titles, math.huge) > width then
		self.wrapped_at, self.fold = width, fold
	end
end

-- The last column of a line that has text in a row; nil if none has.
local function last_filled(row, line)
	for index = line[2], line[1], -1 do
		if row[index] and row[index] ~= "" then
			return index
		end
	end
end

local function add_wrapped(self, parts, row, last)
	local cells = {}
	for index = 1, last do
		local cell = row[index] or ""
		cells[index] = index < self.fold and cell .. (" "):rep(self.widths[index] - length(cell)) or cell
	end
	local line = table.concat(cells, GAP)
	if total(self.widths, 1, self.fold - 1, math.huge) > self.wrapped_at / 2 then
		line = line:gsub("  +", GAP)
	end
	for _, part in ipairs(text.wrapped(line, self.wrapped_at, INDENT .. INDENT)) do
		parts[#parts + 1] = part .. "\n"
	end
end

local function add_line(self, parts, row, line, last)
	if self.wrapped_at then
		return add_wrapped(self, parts, row, last)
	end
	parts[#parts + 1] = line[3]
	for index = line[1], last do
		local width = self.widths[index]
		local cell = cut(row[index] or "", width)
		parts[#parts + 1] = cell
		if index < last then
			parts[#parts + 1] = (" "):rep(width - length(cell) + #GAP)
		end
	end
	parts[#parts + 1] = "\n"
end

--- Appends the text of a row to a list of strings, so that many rows make little garbage:
-- one line, or two if it is folded and the second is not empty.
function methods:add_text(parts, row)
	for number, line in ipairs(self.lines_of_row) do
		local last = last_filled(row, line)
		if last or number == 1 then
			add_line(self, parts, row, line, last or 0)
		end
	end
end

return columns
