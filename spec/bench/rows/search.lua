-- How long the search for contexts keeps a server with many hosts: at the start of a listener, in the
-- event itself. The same search comes once more, in a turn of its own.
local hosts = require "bench.hosts"
local measure = require "bench.measure"
local pair = require "bench.pair"

local search = { title = "Search for contexts" }

local HOSTS = 500

local function add_listener(server)
	local output, status = server:shell
		"> require'core.modulemanager'.get_module('*', 'test_listener').listen()"
	assert(status == 0, output)
	return { event = tonumber(output:match "Result: ([%d.e-]+)") * 1000 }
end

function search.run(bench)
	local fields = hosts.fields(bench, HOSTS)
	fields.modules, fields.routes = { "test_listener" }, {}
	local found = measure.pairs(3, function ()
		return pair.each(fields, add_listener)
	end)
	local stock, module = measure.median(found.event.stock), measure.median(found.event.module)
	measure.note(("a new listener with %d hosts: the stock server"):format(HOSTS), "ms CPU", stock)
	measure.note(("a new listener with %d hosts: the search of the module"):format(HOSTS), "ms CPU", module - stock, 20)
end

return search
