-- Mutated seeds for parsers written in Lua. The fuzzer sees no branches of Lua, and keeps no seed that
-- reaches no new code of C, so that its input is only the start of a sequence of random edits.
local mutations = {}

-- Park and Miller's generator, from the bytes of a text. Returns a function: integers from 1 to `most`.
local function generator(text)
	local state = 1
	for index = 1, #text do
		state = (state * 257 + text:byte(index) + 1) % 2147483647
	end
	state = math.max(state, 1)
	return function (most)
		state = state * 16807 % 2147483647
		return state % most + 1
	end
end

local edits = {
	-- Another byte; one that is often a limit; a byte removed; a range removed; a range twice; an end cut off.
	function (bytes, at, random)
		return bytes:sub(1, at - 1) .. string.char(random(256) - 1) .. bytes:sub(at + 1)
	end,
	function (bytes, at, random)
		return bytes:sub(1, at - 1) .. (("\0\1\2\127\128\254\255"):sub(random(7)):sub(1, 1)) .. bytes:sub(at + 1)
	end,
	function (bytes, at)
		return bytes:sub(1, at - 1) .. bytes:sub(at + 1)
	end,
	function (bytes, at, random)
		return bytes:sub(1, at - 1) .. bytes:sub(at + random(40))
	end,
	function (bytes, at, random)
		return bytes:sub(1, at) .. bytes:sub(math.max(1, at - random(40)))
	end,
	function (bytes, at)
		return bytes:sub(1, at)
	end,
}

--- A seed of the list after one to eight edits, which the text determines.
function mutations.of(seeds, text)
	local random = generator(text)
	local bytes = seeds[random(#seeds)]
	for _ = 1, random(8) do
		if #bytes > 0 then
			bytes = edits[random(#edits)](bytes, random(#bytes), random)
		end
	end
	return bytes
end

--- The function `test` of a target of spec/fuzz/: tries the input, and a mutated seed of target.seeds().
function mutations.test(target, try)
	local seeds
	return function (bytes)
		seeds = seeds or target.seeds()
		try(bytes)
		try(mutations.of(seeds, bytes))
	end
end

return mutations
