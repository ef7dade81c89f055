-- `make bench`: the costs and gains of the policy, as a table and as JSON. Arguments: the
-- interpreter, the file for the JSON, and names of rows.lua (default: all).
local measure = require "bench.measure"
local pki = require "support.pki"
local rows = require "bench.rows"
local socket = require "socket"

local interpreter, json_path = arg[1], arg[2]

local function selected()
	local known, names = {}, {}
	for _, name in ipairs(rows) do
		known[name] = true
	end
	for index = 3, #arg do
		assert(known[arg[index]], ("no row %q; there are: %s"):format(arg[index], table.concat(rows, " ")))
		names[#names + 1] = arg[index]
	end
	return #names > 0 and names or rows
end

--- What the rows have in common: the interpreter of the servers, and certificates, each made
-- once. kind: of the key, see pki.lua; name: of the host, example.test if nil.
local bench = { interpreter = interpreter, authority = pki.authority() }

local issued = {}

local function once(how, kind, name, make)
	local id = how .. kind .. name
	issued[id] = issued[id] or make { names = { name }, key = kind }
	return issued[id]
end

function bench.certificate(kind, name)
	return once("issued", kind, name or "example.test", function (options) return bench.authority:issue(options) end)
end

function bench.self_signed(kind, name)
	return once("self-signed", kind, name or "example.test", pki.self_signed)
end

for _, name in ipairs(selected()) do
	local row, start = require("bench.rows." .. name), socket.gettime()
	measure.begin(name)
	row.run(bench)
	measure.report(row.title, socket.gettime() - start)
	measure.write_json(json_path)
end
pki.remove()
