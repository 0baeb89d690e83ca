# Logins know what services know, and the image's own PATH, which /etc/profile has just replaced. The folders of
# system programs belong to it: the user may sudo.
if [ -r /run/devenv/env.sh ]; then . /run/devenv/env.sh; fi
for folder in /opt/npm/bin /opt/node/bin /opt/venv/bin; do
    case :$PATH: in
        *:"$folder":*) ;;
        *) if [ -d "$folder" ]; then PATH="$folder:$PATH"; fi ;;
    esac
done
for folder in /usr/local/sbin /usr/sbin /sbin; do
    case :$PATH: in
        *:"$folder":*) ;;
        *) PATH="$PATH:$folder" ;;
    esac
done
unset folder
export PATH SVDIR=/run/devenv/sv
