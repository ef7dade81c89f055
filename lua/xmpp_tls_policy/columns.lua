-- Tables of text that line up in a terminal.
local columns = {}

local GAP = "  "

-- Characters of a UTF-8 string, each taken for one column.
local function length(string)
	return select(2, string:gsub("[^\128-\191]", ""))
end

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

-- The widest column gives way first, but none falls below what can be read.
local LEAST = 8

local function fit(widths, width)
	local total = #GAP * (#widths - 1)
	for _, own in ipairs(widths) do
		total = total + own
	end
	while total > width do
		local widest = 1
		for index = 2, #widths do
			if widths[index] > widths[widest] then
				widest = index
			end
		end
		if widths[widest] <= LEAST then
			return
		end
		widths[widest] = widths[widest] - 1
		total = total - 1
	end
end

-- Lines of a table: a list of titles, and rows, each a list of as many strings (nil is
-- empty). What does not fit into `width` columns (nil: no limit) is cut, and ends in an
-- ellipsis. Control characters must not be among it.
function columns.lines(titles, rows, width)
	local widths = {}
	for index, title in ipairs(titles) do
		widths[index] = length(title)
		for _, row in ipairs(rows) do
			widths[index] = math.max(widths[index], length(row[index] or ""))
		end
	end
	if width then
		fit(widths, width)
	end
	local lines = {}
	local function add(row)
		local cells = {}
		for index = 1, #titles do
			local cell = cut(row[index] or "", widths[index])
			cells[index] = cell .. (" "):rep(widths[index] - length(cell))
		end
		lines[#lines + 1] = (table.concat(cells, GAP):gsub("%s+$", ""))
	end
	add(titles)
	for _, row in ipairs(rows) do
		add(row)
	end
	return lines
end

return columns
