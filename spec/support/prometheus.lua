-- A real Prometheus that scrapes a page of metrics every second.
local files = require "support.files"
local free_ports = require "support.free_ports"
local http = require "socket.http"
local json = require "dkjson"
local lfs = require "lfs"
local process = require "support.process"
local url = require "socket.url"

local prometheus = {}

local Prometheus = {}
Prometheus.__index = Prometheus

prometheus.is_installed = process.run { "sh", "-c", "command -v prometheus" } ~= ""

--- `port`: of the page http://127.0.0.1:port/metrics; its job is "prosody".
function prometheus.start(port)
	local directory = process.scratch "prometheus"
	assert(lfs.mkdir(directory))
	files.write(directory .. "/prometheus.yml", ([[
global: { scrape_interval: 1s }
scrape_configs:
  - job_name: prosody
    static_configs: [ { targets: [ "127.0.0.1:%d" ] } ]
]]):format(port))
	local own = free_ports(1)[1]
	return setmetatable({
		_port = own,
		_running = process.spawn {
			"prometheus", "--config.file=" .. directory .. "/prometheus.yml", "--storage.tsdb.path=" .. directory .. "/data",
			("--web.listen-address=127.0.0.1:%d"):format(own), "--log.level=warn",
		},
	}, Prometheus)
end

--- The result of a query now: list of { metric, value = { time, text } }. Or nil and a message.
function Prometheus:query(expression)
	local text, status = http.request(("http://127.0.0.1:%d/api/v1/query?query=%s"):format(
		self._port, url.escape(expression)))
	local answer = text and json.decode(text)
	if not answer or answer.status ~= "success" then
		return nil, answer and answer.error or tostring(status)
	end
	return answer.data.result
end

--- The exit status if it has ended, else nil.
function Prometheus:status()
	return self._running:status()
end

--- Ends it. Returns what it printed.
function Prometheus:stop()
	self._running:signal "TERM"
	return self._running:close()
end

return prometheus
