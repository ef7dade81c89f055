--- Characters of Unicode that cannot be seen, or that change how the text around them is seen.

-- Code points, in ascending order: { first, last }. Categories Cc, Cf, Zl, Zp, Co and Cs, the spaces
-- beside U+0020 (Zs), and all others that are ignored by default when text is displayed
-- (Default_Ignorable_Code_Point of Unicode 16) or are blank.
local ranges = {
	{ 0x0000, 0x001F }, { 0x007F, 0x00A0 }, { 0x00AD, 0x00AD }, { 0x034F, 0x034F }, { 0x0600, 0x0605 },
	{ 0x061C, 0x061C }, { 0x06DD, 0x06DD }, { 0x070F, 0x070F }, { 0x0890, 0x0891 }, { 0x08E2, 0x08E2 },
	{ 0x115F, 0x1160 }, { 0x1680, 0x1680 }, { 0x17B4, 0x17B5 }, { 0x180B, 0x180F }, { 0x2000, 0x200F },
	{ 0x2028, 0x202F }, { 0x205F, 0x206F }, { 0x2800, 0x2800 }, { 0x3000, 0x3000 }, { 0x3164, 0x3164 },
	{ 0xD800, 0xF8FF }, { 0xFDD0, 0xFDEF }, { 0xFE00, 0xFE0F }, { 0xFEFF, 0xFEFF }, { 0xFFA0, 0xFFA0 },
	{ 0xFFF0, 0xFFFB }, { 0xFFFE, 0xFFFF }, { 0x110BD, 0x110BD }, { 0x110CD, 0x110CD }, { 0x13430, 0x1343F },
	{ 0x1BCA0, 0x1BCA3 }, { 0x1D173, 0x1D17A }, { 0xE0000, 0x10FFFF },
}

--- Whether a code point is one of them, or is no character.
return function (code_point)
	-- The last two of each plane.
	if code_point % 0x10000 >= 0xFFFE then
		return true
	end
	local low, high = 1, #ranges
	while low < high do
		local middle = math.floor((low + high) / 2)
		if code_point <= ranges[middle][2] then
			high = middle
		else
			low = middle + 1
		end
	end
	return code_point >= ranges[low][1] and code_point <= ranges[low][2]
end
