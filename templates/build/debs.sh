# Lay down the files of a folder's .deb packages, in the order that its file `order` gives, and configure none of them.
set -eu
cd "$1"
while read -r package; do
    dpkg-deb --fsys-tarfile "$package" | tar --extract --directory / --keep-directory-symlink \
        --exclude './usr/share/doc/*' --exclude './usr/share/locale/*' --exclude './usr/share/man/*'
done < order
