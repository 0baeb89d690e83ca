"""Keep files that are the same only once, as hard links of one another: FOLDER [SINCE], a file that is older than what
may be linked. Where layers are overlays, writing to one of the names gives that name a file of its own again.
"""

import filecmp
import os
import stat
import sys

# Below a block nothing would be saved that is worth the reading.
SMALLEST_BYTES = 4096


def main(folder, since=None):
    began_ns = os.stat(since).st_mtime_ns if since else 0
    alike = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(parent, name)
            facts = os.lstat(path)
            # What a lower layer brought would be copied up to be linked.
            if stat.S_ISREG(facts.st_mode) and facts.st_size >= SMALLEST_BYTES and facts.st_ctime_ns >= began_ns:
                alike.setdefault((facts.st_size, facts.st_mode, facts.st_uid, facts.st_gid), {}).setdefault(
                    facts.st_ino, []
                ).append(path)
    for files in alike.values():
        kept = []
        for names in files.values():
            first = next((one for one in kept if same(one, names[0])), None)
            if first is None:
                kept.append(names[0])
                continue
            for name in names:
                os.link(first, name + ".devenv-link")
                os.replace(name + ".devenv-link", name)


def same(one, other):
    """Content and extended attributes: an image knows no difference but the name."""
    return attributes(one) == attributes(other) and filecmp.cmp(one, other, shallow=False)


def attributes(path):
    try:
        return {name: os.getxattr(path, name) for name in os.listxattr(path)}
    except OSError:  # a file system without them
        return {}


if __name__ == "__main__":
    main(*sys.argv[1:])
