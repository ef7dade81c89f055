-- Another Debian release, in a tree that spec/on_debian.sh made. The checkout is built there.

local files = require "support.files"
local process = require "support.process"

local debian_tree = {}

-- The directory of the checkout in a tree; see on_debian.sh.
debian_tree.checkout = "/checkout/"

-- Runs in a mount namespace of its own, in which a tree has this system's temporary directory at
-- the same path, and /etc/hosts may be another file. There is no process in between: the started
-- process can be signalled, and all mounts end with it. In one line, because process.lua needs the
-- command of a server in one line.
local enter = table.concat({
	"root=$1 hosts=$2 shared=$3",
	"shift 3",
	'if [ "$hosts" ]; then mount --bind "$hosts" "$root/etc/hosts"; fi',
	'if [ -z "$root" ]; then exec "$@"; fi',
	'mkdir -p "$root$shared"',
	'mount --bind "$shared" "$root$shared"',
	'mount -t proc proc "$root/proc"',
	'exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"',
}, "; ")

-- The words that run a command (a list of words) in the tree, with this system's network; `root`
-- nil: without a tree. `hosts`: a file that replaces /etc/hosts, or nil.
function debian_tree.within(root, command, hosts)
	if not root and not hosts then
		return command
	end
	local words = { "unshare", "--mount", "bash", "-ec", enter, "enter",
		root or "", hosts or "", files.temporary_directory }
	for _, word in ipairs(command) do
		words[#words + 1] = word
	end
	return words
end

-- The tree that the environment names in TRIXIE_TREE; or nil and the reason why there is none. A
-- tree with a build of another checkout raises an error.
function debian_tree.find()
	local root = os.getenv "TRIXIE_TREE"
	if not root then
		return nil, "TRIXIE_TREE names no tree of Debian 13; `make federation` makes one"
	elseif process.check { "id", "-u" } ~= "0\n" then
		return nil, "only root can enter the tree of another Debian"
	end
	for _, part in ipairs { "c", "lua", "spec/support/modules" } do
		process.check { "diff", "-r", "--exclude=*.so", "--exclude=*.o", part, root .. debian_tree.checkout .. part }
	end
	return root
end

return debian_tree
