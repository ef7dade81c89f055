--- The peers of one host of ours that came with shapes that some profile would cut off. Their number is
-- bounded; peers that came on one day only push out only each other.
local shape_peers = {}

local methods = {}
local metatable = { __index = methods }

-- Clients have an account here. Any domain can be a server, so servers have room of their own.
local MOST = { client = 4000, server = 1000 }

-- Shapes that are remembered of one peer.
local MOST_SHAPES = 20

shape_peers.MOST, shape_peers.MOST_SHAPES = MOST, MOST_SHAPES

--- `changed`: function(kind, name), called for each peer that has to be stored anew.
function shape_peers.new(options)
	return setmetatable({
		_changed = options.changed,
		_peers = { client = {}, server = {} }, -- name -> { first, last (days), shapes = id -> last day }
		_count = { client = 0, server = 0 },
		-- Those that came on one day only: a large host has none, and then a login must not search for one.
		_newcomers = { client = {}, server = {} }, -- name -> true
		_newcomer_count = { client = 0, server = 0 },
	}, metatable)
end

-- Notes whether a peer is a newcomer; nil: it is forgotten.
local function note_newcomer(self, kind, name, peer)
	local known, is_newcomer = self._newcomers[kind], peer ~= nil and peer.first == peer.last
	if (known[name] or false) ~= is_newcomer then
		known[name] = is_newcomer or nil
		self._newcomer_count[kind] = self._newcomer_count[kind] + (is_newcomer and 1 or -1)
	end
end

local function insert(self, kind, name, peer)
	self._peers[kind][name] = peer
	self._count[kind] = self._count[kind] + 1
	note_newcomer(self, kind, name, peer)
end

--- Forgets a peer: "client" and its bare JID, or "server" and its domain.
function methods:forget(kind, name)
	if self._peers[kind][name] then
		self._peers[kind][name] = nil
		self._count[kind] = self._count[kind] - 1
		note_newcomer(self, kind, name, nil)
		self._changed(kind, name)
	end
end

-- The newcomers of a kind: a list of names, the oldest first.
local function newcomers(self, kind)
	local list, peers = {}, self._peers[kind]
	for name in pairs(self._newcomers[kind]) do
		list[#list + 1] = name
	end
	table.sort(list, function (a, b)
		if peers[a].last ~= peers[b].last then
			return peers[a].last < peers[b].last
		end
		return a < b
	end)
	return list
end

-- Makes room for a peer. Whether there is some, and whether others had to go.
local function has_room(self, kind)
	if self._count[kind] < MOST[kind] then
		return true, false
	elseif self._newcomer_count[kind] == 0 then
		return false, true
	end
	local list = newcomers(self, kind)
	for index = 1, math.ceil(#list / 10) do
		self:forget(kind, list[index])
	end
	return true, true
end

local function is_longer(map, most)
	for _ in pairs(map) do
		most = most - 1
	end
	return most < 0
end

--- Notes that a peer came with a shape (its id) on a day. Returns false if a peer is missing now, this one or
-- another.
function methods:add(kind, name, id, today)
	local peer, made_room = self._peers[kind][name], false
	if not peer then
		local room
		room, made_room = has_room(self, kind)
		if not room then
			return false
		end
		peer = { first = today, last = today, shapes = {} }
		insert(self, kind, name, peer)
	elseif peer.shapes[id] == today then
		return true
	elseif not peer.shapes[id] and is_longer(peer.shapes, MOST_SHAPES - 1) then
		return false
	end
	peer.shapes[id], peer.last = today, today
	note_newcomer(self, kind, name, peer)
	self._changed(kind, name)
	return not made_room
end

-- Forgets those shapes of all peers for which is_old(id, last day).
local function drop(self, is_old)
	for kind, peers in pairs(self._peers) do
		for name, peer in pairs(peers) do
			for id, day in pairs(peer.shapes) do
				if is_old(id, day) then
					peer.shapes[id] = nil
					self._changed(kind, name)
				end
			end
			if next(peer.shapes) == nil then
				self:forget(kind, name)
			end
		end
	end
end

--- Shapes were judged. `is_cut_off`: id -> boolean. Who came with one that is cut off has to be stored; who came
-- with another one is forgotten.
function methods:judged(is_cut_off)
	for kind, peers in pairs(self._peers) do
		for name, peer in pairs(peers) do
			for id in pairs(peer.shapes) do
				if is_cut_off[id] then
					self._changed(kind, name)
				end
			end
		end
	end
	drop(self, function (id)
		return is_cut_off[id] == false
	end)
end

--- Forgets all that is older than a day, or for which not is_known(id).
function methods:sweep(oldest, is_known)
	drop(self, function (id, day)
		return day < oldest or not is_known(id)
	end)
end

--- The peers that came with a shape, sorted: accounts and domains.
function methods:of_shape(id)
	local list = {}
	for _, peers in pairs(self._peers) do
		for name, peer in pairs(peers) do
			list[#list + 1] = peer.shapes[id] and name or nil
		end
	end
	table.sort(list)
	return list
end

--- A peer as it is stored, with those of its shapes for which is_wanted(id); nil if there are none.
function methods:to_store(kind, name, is_wanted)
	local peer, wanted = self._peers[kind][name], {}
	for id, day in pairs(peer and peer.shapes or {}) do
		wanted[id] = is_wanted(id) and day or nil
	end
	return next(wanted) and { first = peer.first, last = peer.last, shapes = wanted } or nil
end

-- A peer may come again before its record is read.
local function merge(peer, first, of_shapes)
	peer.first = math.min(peer.first, first)
	for id, day in pairs(of_shapes) do
		if not peer.shapes[id] and not is_longer(peer.shapes, MOST_SHAPES - 1) then
			peer.shapes[id] = day
		end
	end
end

--- Takes in a peer that was stored. What was seen since is added. Returns whether it was whole.
function methods:take(kind, name, stored)
	if type(stored.first) ~= "number" or type(stored.last) ~= "number" or type(stored.shapes) ~= "table"
		or is_longer(stored.shapes, MOST_SHAPES) then
		return false
	end
	local of_shapes = {}
	for id, day in pairs(stored.shapes) do
		if type(id) ~= "string" or type(day) ~= "number" then
			return false
		end
		of_shapes[id] = day
	end
	local known = self._peers[kind][name]
	if known then
		merge(known, stored.first, of_shapes)
		note_newcomer(self, kind, name, known)
		self._changed(kind, name)
	elseif (has_room(self, kind)) then
		insert(self, kind, name, { first = stored.first, last = stored.last, shapes = of_shapes })
	else
		-- Its stored record goes.
		self._changed(kind, name)
	end
	return true
end

return shape_peers
