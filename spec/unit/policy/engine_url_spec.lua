local engine_url = require "xmpp_tls_policy.policy.engine_url"

describe("the URL of the engine", function ()
	local function place(fields)
		fields.database = fields.database or 0
		return fields
	end

	for url, expected in pairs {
		["redis://localhost"] = place { host = "localhost", port = 6379 },
		["redis://localhost/"] = place { host = "localhost", port = 6379 },
		["redis://10.0.0.5:7000/3"] = place { host = "10.0.0.5", port = 7000, database = 3 },
		["redis://[2001:db8::5]:7000"] = place { host = "2001:db8::5", port = 7000 },
		["redis://:secret@engine.test"] = place { host = "engine.test", port = 6379, password = "secret" },
		-- rfc3986.2.1.percent-encoding
		["redis://prosody:s%40c%3Aret@engine.test/1"] = place {
			host = "engine.test", port = 6379, user = "prosody", password = "s@c:ret", database = 1,
		},
		["redis://prosody:s@cret@engine.test"] = place {
			host = "engine.test", port = 6379, user = "prosody", password = "s@cret",
		},
		["rediss://engine.test"] = place { host = "engine.test", port = 6379, tls = true },
		["unix:/run/redis/redis.sock"] = place { path = "/run/redis/redis.sock" },
		["unix:///run/redis/redis.sock"] = place { path = "/run/redis/redis.sock" },
		["unix://prosody:secret@/run/redis.sock?database=2"] = place {
			path = "/run/redis.sock", user = "prosody", password = "secret", database = 2,
		},
	} do
		it(url .. " is accepted", function ()
			assert.same(expected, engine_url.parse(url))
			assert.not_matches("secret", engine_url.shown(url), 1, true)
			assert.not_matches("ret@", engine_url.shown(url), 1, true)
		end)
	end

	for url, reason in pairs {
		["localhost"] = "neither redis, rediss nor unix",
		["http://localhost"] = "neither redis, rediss nor unix",
		["redis://"] = "no host",
		["redis:localhost"] = "no host",
		["redis://local host"] = "malformed host or port",
		["redis://999.0.0.1"] = "malformed host or port",
		["redis://10.0.0.0005"] = "malformed host or port",
		["redis://localhost:0"] = "malformed host or port",
		["redis://localhost:65536"] = "malformed host or port",
		["redis://localhost:http"] = "malformed host or port",
		["redis://localhost/sessions"] = "malformed database",
		["redis://localhost/12345"] = "malformed database",
		["redis://localhost/0?a=b"] = "malformed database",
		["redis://user@localhost"] = "malformed user and password",
		["redis://:%zz@localhost"] = "malformed user and password",
		["unix:relative"] = "no absolute path",
		["unix://secret/run/redis.sock"] = "malformed user and password",
		["unix:/run/redis.sock?db=1"] = "a path that no socket can have",
		["unix:/" .. ("a"):rep(100)] = "a path that no socket can have",
	} do
		it(url:sub(1, 40) .. " is refused", function ()
			assert.same({ nil, reason }, { engine_url.parse(url) })
		end)
	end

	it("is shown without user and password", function ()
		assert.equal("redis://engine.test:7000/1", engine_url.shown "redis://prosody:secret@engine.test:7000/1")
		assert.equal("unix:///run/redis.sock", engine_url.shown "unix://:secret@/run/redis.sock")
		assert.equal("unix:/run/redis.sock", engine_url.shown "unix:/run/redis.sock")
	end)
end)
