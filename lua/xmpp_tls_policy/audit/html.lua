--- HTML of which every part is escaped that was not made here.
local text = require "xmpp_tls_policy.text"

local html = {}

local metatable = {}

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

-- A value as text of a page. Characters that nobody can see are written as numbers.
local function escaped(value)
	return (text.shown(tostring(value)):gsub("[&<>\"']", entities))
end

local function as_html(value)
	if getmetatable(value) == metatable then
		return value.html
	elseif type(value) == "table" then
		local parts = {}
		for index, item in ipairs(value) do
			parts[index] = as_html(item)
		end
		return table.concat(parts)
	end
	return escaped(value)
end

--- A piece of HTML: the template, which is ours, with each "%s" replaced by an argument. An argument is another
-- piece, a list of arguments, or any other value, which is escaped. Templates have quotes around attributes.
function html.fill(template, ...)
	local arguments, used = { ... }, 0
	local filled = template:gsub("%%s", function ()
		used = used + 1
		return as_html(arguments[used])
	end)
	assert(used == select("#", ...), "a template has as many places as arguments")
	return setmetatable({ html = filled }, metatable)
end

--- Nothing.
html.none = html.fill ""

--- The text of a piece.
function html.text(piece)
	assert(getmetatable(piece) == metatable, "not made by html.fill")
	return piece.html
end

return html
