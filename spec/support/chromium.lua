-- Pages in a browser without a window: Debian's Chromium.
local files = require "support.files"
local json = require "dkjson"
local process = require "support.process"

local chromium = {}

chromium.is_installed = process.run { "sh", "-c", "command -v chromium" } ~= ""

-- What the page around the report sees of it. The page itself has no script.
local FRAME = [[
<!DOCTYPE html><meta charset="utf-8"><style>body { margin: 0 } iframe { border: 0; display: block }</style>
<iframe src="report.html" width="%d" height="800"></iframe><pre id="seen"></pre>
<script>
addEventListener("load", function () {
	const page = document.querySelector("iframe").contentDocument;
	const root = page.documentElement;
	const all = Array.from(page.querySelectorAll("details"));
	const seen = {
		width: root.clientWidth, folded: root.scrollWidth, open: all.filter(each => each.open).length,
		names: Array.from(page.querySelectorAll("details.clause > summary .name"), each => each.textContent),
		title: page.title, scripts: page.scripts.length, elements: page.querySelectorAll("*").length,
		images: page.images.length, sheets: page.styleSheets.length, text: page.body.textContent,
		background: getComputedStyle(page.body).backgroundColor,
	};
	all.forEach(each => { each.open = true; });
	seen.unfolded = root.scrollWidth;
	// Whether text leaves its box, or stands in a column of single letters.
	seen.overflowing = Array.from(page.querySelectorAll(".card *, .inner *, .row *")).filter(each =>
		each.getBoundingClientRect().right > each.closest(".card, .inner, .row").getBoundingClientRect().right + 1).length;
	seen.cramped = Array.from(page.querySelectorAll("dt, dd, li, p, summary span")).filter(each =>
		each.clientWidth < 60 && each.clientHeight > 60 && each.textContent.length > 3).length;
	document.getElementById("seen").textContent = JSON.stringify(seen);
});
</script>
]]

local unescaped = { ["&lt;"] = "<", ["&gt;"] = ">", ["&amp;"] = "&", ["&nbsp;"] = "\194\160" }

-- A folder with the page, and Chromium's output after it was run with these arguments; "FOLDER" in them is the folder.
local function run(page, more)
	local folder = process.scratch "chromium"
	process.check { "mkdir", "-p", folder }
	files.write(folder .. "/report.html", page)
	local command = {
		"chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--allow-file-access-from-files",
		"--enable-logging=stderr", "--user-data-dir=" .. folder .. "/profile", "--window-size=1400,900",
	}
	for name, contents in pairs(more.files or {}) do
		files.write(folder .. "/" .. name, contents)
	end
	for _, argument in ipairs(more) do
		command[#command + 1] = (argument:gsub("FOLDER", folder))
	end
	return folder, process.check(command, { timeout = 300 })
end

--- The number of pages that the page takes on paper.
function chromium.sheets_of_paper(page)
	local folder = run(page, { "--no-pdf-header-footer", "--print-to-pdf=FOLDER/report.pdf", "file://FOLDER/report.html" })
	local _, count = assert(files.read(folder .. "/report.pdf")):gsub("/Type%s*/Page%f[%W]", "")
	return count
end

--- Opens a page (a string) at a width, in pixels. `is_dark`: whether the reader prefers dark pages. Returns
--   width     of the page that is seen
--   folded    that the page takes
--   unfolded  that it takes when all of its details are open
--   overflowing, cramped   numbers of elements whose text leaves its box, or has no room, when they are open
--   open, names (of clauses), title, scripts, images, sheets, elements, text, background   see FRAME
--   console   the messages of the browser's console
function chromium.open(page, width, is_dark)
	local _, output = run(page, {
		"--blink-settings=preferredColorScheme=" .. (is_dark and "0" or "1"), "--dump-dom", "file://FOLDER/frame.html",
		files = { ["frame.html"] = FRAME:format(width) },
	})
	local seen = assert(output:match '<pre id="seen">(.-)</pre>', output)
	seen = assert(json.decode((seen:gsub("&%l+;", unescaped))))
	seen.console = {}
	for line in output:gmatch "[^\n]+" do
		seen.console[#seen.console + 1] = line:find("CONSOLE", 1, true) and line or nil
	end
	return seen
end

return chromium
