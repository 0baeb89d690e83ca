"""JupyterLab inside an environment: the environment's own token, no calls to the outside, only what Lab needs."""

from hashlib import sha256
from pathlib import Path

token = Path("/run/devenv/token").read_text().strip()
c = get_config()  # noqa: F821
c.ServerApp.ip = "0.0.0.0"
c.ServerApp.port = 8888
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.root_dir = "/workspace"
c.ServerApp.terminado_settings = {"shell_command": ["/bin/bash", "-l"]}
c.ServerApp.jpserver_extensions = {"jupyter_lsp": False, "notebook_shim": False}
c.IdentityProvider.token = token
# A browser that was let in stays so when Jupyter is started again, and not when the container is.
boot = Path("/run/devenv/boot").read_text()
c.ServerApp.cookie_secret = sha256(f"jupyter cookies {token} {boot}".encode()).digest()
c.FileContentsManager.delete_to_trash = False
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.news_url = None
c.LabApp.extension_manager = "readonly"
