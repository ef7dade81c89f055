-- Reproducible random choices. Each handshake has a generator, seeded with the seed of the run and the
-- number of the handshake, so that the order of the handshakes does not matter.
local randomness = {}

local Generator = {}
Generator.__index = Generator

-- Lehmer's generator with the multiplier of Park, Miller and Stockmeyer (CACM 36/7, 1993); its
-- products fit a double's 53 bits.
local MULTIPLIER, MODULUS = 48271, 2147483647

local function step(self)
	self.state = self.state * MULTIPLIER % MODULUS
	return self.state
end

--- `seed` and `number`: whole numbers, not negative.
function randomness.new(seed, number)
	local self = setmetatable({ state = (seed % 1000003 * 2003 + number) % (MODULUS - 1) + 1 }, Generator)
	-- Neighbouring seeds begin with similar numbers.
	for _ = 1, 5 do
		step(self)
	end
	return self
end

--- A whole number from 0 up to, and without, `limit`.
function Generator:below(limit)
	return math.floor(step(self) / MODULUS * limit)
end

--- A fraction from 0 up to, and without, `limit`.
function Generator:number(limit)
	return step(self) / MODULUS * limit
end

function Generator:pick(list)
	return list[1 + self:below(#list)]
end

--- The value of one of a list of { weight, value }.
function Generator:weighted(list)
	local total = 0
	for _, item in ipairs(list) do
		total = total + item[1]
	end
	local point = self:number(total)
	for _, item in ipairs(list) do
		point = point - item[1]
		if point < 0 then
			return item[2]
		end
	end
	return list[#list][2]
end

--- A number of random bytes.
function Generator:bytes(length)
	local bytes = {}
	for index = 1, length do
		bytes[index] = string.char(self:below(256))
	end
	return table.concat(bytes)
end

return randomness
