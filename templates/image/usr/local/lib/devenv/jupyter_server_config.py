"""JupyterLab inside an environment: behind the gateway, no calls to the outside, only what Lab needs."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from jupyter_server.auth.identity import IdentityProvider, User


class Gateway(IdentityProvider):
    """Whoever comes through the socket was let in by the gateway. Who sends the token as a header, as Jupyter's own
    clients do, is let off the checks that protect browsers."""

    def get_user_cookie(self, handler):  # noqa: ARG002
        return User(username="dev")


c = get_config()  # noqa: F821
c.ServerApp.identity_provider_class = Gateway
c.ServerApp.sock = "/run/devenv/jupyter.sock"
c.ServerApp.sock_mode = "0600"
if base := os.environ.get("DEVENV_BASE_PATH"):  # where a reverse proxy shows it
    c.ServerApp.base_url = f"{urlsplit(base).path.rstrip('/')}/jupyter/"
c.ServerApp.allow_remote_access = True
c.ServerApp.allow_root = True
c.ServerApp.open_browser = False
c.ServerApp.root_dir = "/workspace"
# Kernels on sockets in memory, and not on five TCP ports each, which editors offer to forward.
c.ConnectionFileMixin.transport = "ipc"
c.ServerApp.terminado_settings = {"shell_command": ["/bin/bash", "-l"]}
c.ServerApp.jpserver_extensions = {"jupyter_lsp": False, "notebook_shim": False}
c.IdentityProvider.token = Path("/run/devenv/token").read_text().strip()
c.FileContentsManager.delete_to_trash = False
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.news_url = None
c.LabApp.extension_manager = "readonly"
