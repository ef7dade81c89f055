local shape = require "xmpp_tls_policy.fleet.shape"
local shape_peers = require "xmpp_tls_policy.fleet.shape_peers"
local shapes = require "xmpp_tls_policy.fleet.shapes"

local DAY = 86400

-- Hundreds of instructions of Lua that a function takes.
local function instructions(action)
	local hundreds = 0
	debug.sethook(function () hundreds = hundreds + 1 end, "", 100)
	action()
	debug.sethook()
	return hundreds
end

describe("the shapes of a host", function ()
	local now, seen

	before_each(function ()
		now = 1800000000
		seen = shapes.new { now = function () return now end }
	end)

	-- The same with room for fewer shapes.
	local MOST = { client = 150, server = 50 }

	local function small()
		return shapes.new { now = function () return now end, most = MOST }
	end

	-- An offer of TLS 1.2 with one suite.
	local function packed(number)
		return "\3\1\3\3\1" .. string.char(math.floor(number / 256) % 256, number % 256)
			.. "\0\0" .. (number >= 65536 and string.char(1, math.floor(number / 65536)) or "")
	end

	local function see(number, name, role)
		return seen:see(packed(number), role or "c2s", "RSA", name or "a@a.test")
	end

	local function logins()
		local found = {}
		for _, entry in ipairs(seen:list()) do
			found[entry.shape] = entry.logins
		end
		return found
	end

	it("count each shape by role and kind of our certificate, the most frequent first", function ()
		see(1)
		see(2)
		see(2, "far.test", "s2sin")
		seen:see(packed(2), "c2s", "EC", "b@a.test")
		local list = seen:list()
		assert.same({ packed(2), 3, { c2s = 2, s2sin = 1 }, { RSA = 2, EC = 1 } },
			{ list[1].shape, list[1].logins, list[1].roles, list[1].keys })
		assert.same({ packed(1), 1, shape.id(packed(1)) }, { list[2].shape, list[2].logins, list[2].id })
		assert.equal(2, seen:count())
	end)

	it("list a server as a server also where clients have the same shape", function ()
		see(1, "a@a.test")
		see(1, "far.test", "s2sin")
		seen:judged { [packed(1)] = true }
		local changes = seen:changes()
		assert.is_table(changes["client a@a.test"])
		assert.is_table(changes["server far.test"])
		seen:forget("server", "far.test")
		assert.same({ "a@a.test" }, seen:peers(packed(1)))
	end)

	it("forget what was not seen for 30 days", function ()
		see(1)
		now = now + 29 * DAY
		see(2, "b@a.test")
		seen:sweep()
		assert.same({ [packed(1)] = 1, [packed(2)] = 1 }, logins())
		now = now + DAY
		assert.same({ [packed(2)] = 1 }, logins())
		seen:sweep()
		assert.same({ 1, {}, { "b@a.test" } }, { seen:count(), seen:peers(packed(1)), seen:peers(packed(2)) })
	end)

	it("list the peers until a shape is judged, and then of those that are cut off", function ()
		see(1, "a@a.test")
		see(2, "b@a.test")
		assert.is_true(seen:has_unjudged())
		local waiting = seen:unjudged()
		table.sort(waiting, function (a, b) return a.shape < b.shape end)
		assert.same({ { shape = packed(1), roles = { "c2s" } }, { shape = packed(2), roles = { "c2s" } } }, waiting)
		assert.is_false(seen:has_unjudged())
		seen:judged { [packed(1)] = false }
		seen:judged { [packed(2)] = true }
		for _, name in ipairs { "c@a.test", "d@a.test" } do
			see(1, name)
			see(2, name)
		end
		assert.same({}, seen:peers(packed(1)))
		assert.same({ "b@a.test", "c@a.test", "d@a.test" }, seen:peers(packed(2)))
		seen:forget("client", "c@a.test")
		assert.same({ "b@a.test", "d@a.test" }, seen:peers(packed(2)))
		seen:judge_again()
		assert.equal(2, #seen:unjudged())
		assert.same({ "b@a.test", "d@a.test" }, seen:peers(packed(2)))
	end)

	it("are judged together in one pass over the peers", function ()
		for number = 1, 1000 do
			see(number % 500 + 1, ("user%d@a.test"):format(number))
		end
		local function judge(first, last)
			local is_cut_off = {}
			for number = first, last do
				is_cut_off[packed(number)] = number % 2 == 0
			end
			return instructions(function () seen:judged(is_cut_off) end)
		end
		local one = judge(1, 1)
		assert.is_true(one > 50)
		assert.is_true(judge(2, 500) < 10 * one)
		assert.equal(2, #seen:peers(packed(500)))
		assert.same({}, seen:peers(packed(499)))
	end)

	it("are judged again in a further role, and its peers are listed until then", function ()
		see(1, "a@a.test")
		assert.same({ { shape = packed(1), roles = { "c2s" } } }, seen:unjudged())
		seen:judged { [packed(1)] = false }
		seen:see(packed(1), "c2s", "EC", "b@a.test")
		assert.is_false(seen:has_unjudged())
		see(1, "far.test", "s2sin")
		assert.same({ "far.test" }, seen:peers(packed(1)))
		local roles = seen:unjudged()[1].roles
		table.sort(roles)
		assert.same({ "c2s", "s2sin" }, roles)
		seen:judged { [packed(1)] = true }
		see(1, "far.test", "s2sout")
		assert.is_true(seen:list()[1].is_cut_off)
	end)

	it("let a peer bring a bounded number of new shapes a day", function ()
		local kept = 0
		for number = 1, 50 do
			kept = kept + (see(number) and 1 or 0)
		end
		assert.equal(shapes.NEW_A_DAY, kept)
		assert.equal(50 - kept, seen:limits().missed)
		-- Others still can, and it can still come with those that are known.
		assert.is_true(see(100, "b@a.test"))
		assert.is_true(see(1))
		now = now + DAY
		assert.is_true(see(50))
		now = now + 40 * DAY
		assert.equal(0, seen:limits().missed)
	end)

	-- Honest clients come on two days. Then strangers, each with as many shapes as it may, come for many days.
	for _, role in ipairs { "c2s", "s2sin", "s2sout" } do
		it("that honest peers have left are not pushed out by others in the role " .. role, function ()
			seen = small()
			for _ = 1, 2 do
				for number = 1, 20 do
					assert.is_true(see(number, "honest" .. number .. ".test", role))
				end
				now = now + DAY
			end
			for number = 1, 20 do
				seen:judged { [packed(number)] = true }
			end
			local number = 1000
			for day = 1, 25 do
				for stranger = 1, 4 do
					for _ = 1, shapes.NEW_A_DAY do
						number = number + 1
						see(number, ("stranger%d-%d.test"):format(day, stranger), role)
						-- Most come twice, to look like regular guests.
						see(number - 20, ("stranger%d-%d.test"):format(day, stranger), role)
					end
				end
				now = now + DAY
			end
			local of = logins()
			for honest = 1, 20 do
				assert.equal(2, of[packed(honest)])
				assert.same({ "honest" .. honest .. ".test" }, seen:peers(packed(honest)))
			end
			assert.is_true(seen:count() <= MOST.client + MOST.server)
			assert.is_true(seen:limits().missed > 0)
		end)
	end

	it("of servers do not push out those of clients on their first day", function ()
		seen = small()
		assert.is_true(see(1, "honest@a.test"))
		for number = 2, 300 do
			see(number, ("stranger%d.test"):format(number), "s2sin")
		end
		assert.equal(1, logins()[packed(1)])
		assert.is_true(seen:count() <= 1 + MOST.server)
	end)

	it("push out newcomers with few logins before those with many", function ()
		seen = small()
		for _ = 1, 3 do
			see(1, "honest@a.test")
		end
		for number = 2, 400 do
			see(number, ("stranger%d@a.test"):format(number))
		end
		assert.equal(3, logins()[packed(1)])
		assert.is_true(seen:count() <= MOST.client)
	end)

	it("are not kept if they were cut or are too long", function ()
		assert.is_false(seen:see("\129\1\3\3\0\0\0", "c2s", "RSA", "a@a.test"))
		assert.is_false(seen:see("\17\1\3\3\0\0\0" .. ("\1a"):rep(300), "c2s", "RSA", "a@a.test"))
		assert.same({ 0, 2 }, { seen:count(), seen:limits().missed })
	end)

	-- Other versions of Lua have tables of other sizes.
	if _VERSION == "Lua 5.4" then
		it("take at most 1 KiB each, with 30 days of logins", function ()
			local most, offer = 300, "\15\1\3\3"
			-- The longest that is kept.
			local function longest(number)
				local first = string.char(math.floor(number / 256), number % 256)
				local bytes = offer .. "\130" .. first .. ("\192\47"):rep(129)
					.. "\9" .. ("\0\29"):rep(9) .. "\16" .. ("\4\3"):rep(16)
				return bytes .. ("x"):rep(shape.LONGEST - #bytes)
			end
			local function size()
				collectgarbage()
				collectgarbage()
				return collectgarbage "count" * 1024
			end
			local before = size()
			for _ = 1, 30 do
				for number = 1, most do
					for _ = 1, 10 do
						assert.is_true(seen:see(longest(number), "c2s", "RSA", ("user%d@a.test"):format(number % 50)))
					end
				end
				for _, waiting in ipairs(seen:unjudged()) do
					seen:judged { [waiting.shape] = false }
				end
				seen:changes()
				now = now + DAY
			end
			local each = (size() - before) / most
			assert.equal(most, seen:count())
			assert.is_true(each > shape.LONGEST and each <= 1024, tostring(each))
		end)
	end

	it("say since when they count, and when peers were not listed", function ()
		assert.same({ since = "2027-01-15", missed = 0 }, seen:limits())
		now = now + 20 * DAY
		assert.equal("2027-01-15", seen:limits().since)
		now = now + 20 * DAY
		assert.equal("2027-01-26", seen:limits().since)
		for number = 1, shape_peers.MOST.client do
			see(1, ("user%d@a.test"):format(number))
		end
		assert.is_nil(seen:limits().unnamed)
		see(1, "one more@a.test")
		assert.equal("2027-02-24", seen:limits().unnamed)
		now = now + 30 * DAY
		assert.is_nil(seen:limits().unnamed)
	end)

	it("come back from their records, and no damaged ones", function ()
		for number = 1, 3 do
			see(number, ("user%d@a.test"):format(number))
		end
		see(4, "far.test", "s2sout")
		seen:unjudged()
		seen:judged { [packed(1)] = true }
		seen:judged { [packed(2)] = false }
		seen:judged { [packed(4)] = true }
		see(5, "late@a.test")
		local stored, records = seen:changes(), {}
		assert.is_nil(seen:changes())
		for key, record in pairs(stored) do
			records[#records + 1] = record and key or nil
		end
		table.sort(records)
		-- Of peers whose shape is not judged yet, or that no profile would cut off, nothing is stored.
		assert.same({ "client user1@a.test", "server far.test" }, { records[1], records[2] })
		assert.equal(8, #records)
		local again = shapes.new { now = function () return now end }
		for key, record in pairs(stored) do
			assert.is_true(not record or again:take(key, record), key)
		end
		assert.same({ "user1@a.test" }, again:peers(packed(1)))
		assert.same({ "far.test" }, again:peers(packed(4)))
		local before, after = seen:list(), again:list()
		for index, entry in ipairs(before) do
			assert.same({ entry.shape, entry.logins, entry.roles, entry.keys }, {
				after[index].shape, after[index].logins, after[index].roles, after[index].keys,
			})
		end
		assert.equal(5, #again:unjudged())
		for key, record in pairs(stored) do
			for field in pairs(record or {}) do
				local damaged = {}
				for name, value in pairs(record) do
					damaged[name] = value
				end
				if field ~= "cut_off" then
					damaged[field] = false
					assert.is_false(shapes.new { now = function () return now end }:take(key, damaged), key .. " " .. field)
				end
			end
		end
		assert.is_false(again:take("nothing", {}))
		assert.is_false(again:take("shape 000000000000", stored["shape " .. shape.id(packed(1))]))
	end)

	it("are added to what was seen before they were read", function ()
		for number = 1, 2 do
			see(number, "user@a.test")
			see(number, "user@a.test")
			seen:judged { [packed(number)] = true }
		end
		see(3, "far.test", "s2sin")
		now = now + DAY
		see(1, "user@a.test")
		local stored = seen:changes()
		now = now + DAY
		local again = small()
		assert.is_true(again:see(packed(1), "c2s", "RSA", "user@a.test"))
		assert.is_true(again:see(packed(1), "s2sin", "RSA", "far.test"))
		-- Strangers come before the records are read, and fill all the room.
		local number = 1000
		while number < 2100 or again:count() < 1 + MOST.server do
			again:see(packed(number), "s2sin", "RSA", ("stranger%d.test"):format(number))
			number = number + 1
		end
		for key, record in pairs(stored) do
			assert.is_true(not record or again:take(key, record), key)
		end
		local found = {}
		for _, entry in ipairs(again:list()) do
			found[entry.shape] = entry.logins
		end
		assert.same({ 5, 2, 1 }, { found[packed(1)], found[packed(2)], found[packed(3)] })
		assert.same({ "user@a.test" }, again:peers(packed(1)))
		assert.same({ "user@a.test" }, again:peers(packed(2)))
	end)

	it("store the first day, also over a restart", function ()
		seen:see("\129\1\3\3\0\0\0", "c2s", "RSA", "a@a.test")
		local stored = seen:changes().state
		now = now + 3 * DAY
		local again = shapes.new { now = function () return now end }
		assert.equal("2027-01-18", again:limits().since)
		assert.is_true(again:take("state", stored))
		assert.same({ since = "2027-01-15", missed = 1 }, again:limits())
	end)

	it("have no record any more once they are forgotten", function ()
		see(1)
		seen:judged { [packed(1)] = true }
		seen:changes()
		now = now + 31 * DAY
		seen:sweep()
		assert.same({ ["shape " .. shape.id(packed(1))] = false, ["client a@a.test"] = false }, seen:changes())
	end)
end)

describe("the peers of shapes", function ()
	local changed, peers

	before_each(function ()
		changed = {}
		peers = shape_peers.new { changed = function (kind, name)
			changed[#changed + 1] = kind .. " " .. name
		end }
	end)

	it("are bounded, and those of two days stay", function ()
		for day = 1, 2 do
			peers:add("server", "honest.test", "aa", day)
		end
		local missing = 0
		for index = 1, 5000 do
			missing = missing + (peers:add("server", ("stranger%d.test"):format(index), "aa", 3) and 0 or 1)
		end
		local list, honest = peers:of_shape "aa", false
		for _, name in ipairs(list) do
			honest = honest or name == "honest.test"
		end
		assert.is_true(honest)
		assert.is_true(#list <= shape_peers.MOST.server and missing > 0)
		-- Clients have room of their own.
		assert.is_true(peers:add("client", "a@a.test", "aa", 3))
	end)

	it("do not let in others where all came on two days", function ()
		for day = 1, 2 do
			for index = 1, shape_peers.MOST.server do
				assert.is_true(peers:add("server", index .. ".test", "aa", day))
			end
		end
		assert.is_false(peers:add("server", "late.test", "aa", 3))
		assert.equal(shape_peers.MOST.server, #peers:of_shape "aa")
	end)

	it("cost no search where there is no room", function ()
		for day = 1, 2 do
			for index = 1, shape_peers.MOST.client do
				peers:add("client", index .. "@a.test", "aa", day)
			end
		end
		local function add(what)
			return instructions(function ()
				for index = 1, 100 do
					peers:add("client", index .. what, "aa", 3)
				end
			end)
		end
		assert.is_true(add "@late.test" < 10 * add "@a.test")
		assert.equal(shape_peers.MOST.client, #peers:of_shape "aa")
		-- One that goes makes room for a newcomer, which makes room for the next.
		peers:forget("client", "1@a.test")
		assert.is_true(peers:add("client", "new@a.test", "aa", 3))
		assert.is_false(peers:add("client", "newer@a.test", "aa", 3))
		local names = {}
		for _, name in ipairs(peers:of_shape "aa") do
			names[name] = true
		end
		assert.same({ nil, true }, { names["new@a.test"], names["newer@a.test"] })
	end)

	it("count as newcomers again over a restart only if they came on one day", function ()
		local most = shape_peers.MOST.server
		for index = 1, most do
			assert.is_true(peers:take("server", index .. ".test", {
				first = index == 5 and 2 or 1, last = 2, shapes = { aa = 2 },
			}))
		end
		assert.is_false(peers:add("server", "late.test", "aa", 3))
		local names = {}
		for _, name in ipairs(peers:of_shape "aa") do
			names[name] = true
		end
		assert.same({ nil, true, most }, { names["5.test"], names["late.test"], #peers:of_shape "aa" })
		-- It came before its record was read.
		assert.is_true(peers:take("server", "late.test", { first = 1, last = 1, shapes = { aa = 1 } }))
		assert.is_false(peers:add("server", "later.test", "aa", 3))
		assert.is_true(peers:add("server", "late.test", "aa", 3))
		for _, name in ipairs(peers:of_shape "aa") do
			assert.not_equal("later.test", name)
		end
	end)

	it("have a bounded number of shapes each", function ()
		for index = 1, shape_peers.MOST_SHAPES do
			assert.is_true(peers:add("client", "a@a.test", ("%02d"):format(index), 1))
		end
		assert.is_false(peers:add("client", "a@a.test", "one more", 1))
		assert.same({}, peers:of_shape "one more")
	end)

	it("have to be stored once a day", function ()
		for _ = 1, 3 do
			peers:add("client", "a@a.test", "aa", 1)
		end
		assert.same({ "client a@a.test" }, changed)
		peers:add("client", "a@a.test", "aa", 2)
		assert.equal(2, #changed)
	end)
end)
