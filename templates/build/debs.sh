# Lay down the files of the .deb packages of a folder that its file SHA256SUMS names, in its order, and configure none.
set -eu
cd "$1"
sha256sum --check --quiet --strict SHA256SUMS
while read -r _ package; do
    dpkg-deb --fsys-tarfile "$package" | tar --extract --directory / --keep-directory-symlink \
        --exclude './usr/share/doc/*' --exclude './usr/share/locale/*' --exclude './usr/share/man/*'
done < SHA256SUMS
