"""Files that are secret, private or of one machine by their name alone."""

from __future__ import annotations

import re

from devenv.secrets.finding import Finding

LEFT_OUT = frozenset({"cache", "log", "temporary", "trash"})
"""Kinds of `by_path` that no snapshot needs: left out without a refusal."""

_RULES = (
    # kind, reason, names below any folder in lower case, apart by spaces
    ("ssh", "keys, hosts and settings of SSH", r"""
        \.ssh/.+ id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)? ssh_host_\w+_key
    """),
    ("pgp", "keys of GnuPG", r"\.gnupg/.+ secring\.(?:gpg|pgp|kbx)"),
    ("key-container", "a container of keys", r"""
        [^/]+\.(?:p12|pfx|jks|jceks|keystore|kdbx?|ppk|pkcs12|psafe3|agilekeychain)
    """),
    ("cloud", "a cloud's login", r"""
        \.aws/.+ \.azure/.+ \.config/gcloud/.+ \.boto \.s3cfg \.passwd-s3fs
        \.oci/.+ \.aliyun/config\.json \.tccli/.+ \.volc/.+ \.config/(?:rclone|doctl)/.+ \.ossutilconfig
        \.bluemix/config\.json \.terraform\.d/credentials\.tfrc\.json \.terraformrc [^/]+\.tfstate \.config/fly/.+
        \.fly/config\.yml application_default_credentials\.json \.vault-token \.modal\.toml \.runpod/config\.toml
        \.lambda_cloud/.+
    """),
    ("kubernetes", "a cluster's login", r"""
        \.kube/.+ kubeconfig [^/]+\.kubeconfig etc/kubernetes/admin\.conf
        \.config/helm/registry/config\.json
    """),
    ("docker", "logins to registries", r"""
        \.docker/config\.json \.dockercfg containers/auth\.json \.docker/.*\.(?:key|token_seed)
    """),
    ("netrc", "logins to servers", r"[._]netrc(?:\.gpg)?"),
    ("git", "logins of git and its hosts", r"""
        \.git-credentials \.config/git/credentials \.config/(?:gh|glab-cli|hub|tea)(?:/.+)? \.gitcookies
    """),
    ("packages", "logins of package managers", r"""
        \.npmrc \.yarnrc(?:\.yml)? \.pypirc \.config/uv/.+ \.local/share/uv/credentials/.+ \.condarc
        \.gem/credentials \.cargo/credentials(?:\.toml)? \.config/pypoetry/auth\.toml
        \.m2/settings(?:-security)?\.xml \.gradle/gradle\.properties \.composer/auth\.json
        \.nuget/nuget\.config
    """),
    ("apt", "logins of apt", r"etc/apt/auth\.conf(?:\.d/.+)?"),
    ("hub", "a model hub's token", r"""
        \.cache/huggingface/(?:token|stored_tokens) huggingface/(?:token|stored_tokens) \.huggingface/token
        \.modelscope/credentials(?:/.+)? \.cache/modelscope/credentials(?:/.+)? \.kaggle/.+ \.config/kaggle/.+
        kaggle\.json \.config/wandb(?:/.+)? \.replicate/.+ \.config/replicate/.+ \.comet\.config \.neptune/.+
        \.config/clearml/.+ clearml\.conf
    """),
    ("assistant", "the login and talk of a coding assistant", r"""
        \.claude[^/]*(?:/.+)? \.codex/(?:auth\.json|history\.jsonl|sessions/.+) \.config/github-copilot/.+
        \.copilot/.+ \.gemini/.+ \.qwen/.+ \.continue/.+ \.aider[^/]* \.cursor/.+ \.config/openai/.+ \.openai/.+
        \.config/anthropic/.+ \.anthropic/.+ \.local/share/opencode/auth\.json
    """),
    ("database", "logins to databases", r"""
        \.pgpass \.my\.cnf \.mylogin\.cnf \.dbshell \.mongorc\.js \.rediscli_auth \.snowsql/config \.databrickscfg
        \.bigqueryrc \.cassandra/cqlshrc
    """),
    ("desktop", "stored passwords and cookies", r"""
        \.local/share/keyrings/.+ \.password-store/.+ \.config/(?:google-chrome|chromium)/.+ \.mozilla/.+
        cookies\.(?:txt|sqlite) \.config/pulse/cookie \.xauthority \.iceauthority \.smbcredentials \.rhosts
        \.config/filezilla/.+ \.config/op/.+ \.config/sops/age/.+ \.age/.+ \.vnc/passwd \.muttrc \.msmtprc
        \.fetchmailrc
    """),
    ("editor", "what the editor keeps: logins, history, open files", r"""
        user/(?:globalstorage/state\.vscdb[^/]*|history/.+|workspacestorage/.+)
        (?:code-server|\.vscode-server)/.*(?:machineid|coder-logs/.+) \.config/code-server/config\.yaml
        user/globalstorage/.*(?:token|auth|secret)[^/]*
    """),
    ("jupyter", "Jupyter's passwords, tokens and connections", r"""
        \.jupyter/[^/]+\.json jupyter/runtime/.+ jupyter_(?:cookie_secret|notary\w*) notebook_(?:cookie_)?secret
        \.ipython/profile_\w+/(?:history\.sqlite|security/.+)
    """),
    ("history", "what was typed", r"""
        \.[\w.-]*_?history(?:-[\w.]+)? \.viminfo \.lesshst \.wget-hsts \.config/fish/fish_history
        \.local/share/fish/fish_history fish_history \.node_repl_history
        \.local/state/(?:less|python|bash|zsh|node)/.*history[^/]* \.(?:local/share/nvim|local/state/nvim)/shada/.+
        \.zsh_sessions/.+ \.recently-used(?:\.xbel)? recently-used\.xbel
    """),
    ("environment-file", "variables of a program, mostly its secrets", r"""
        \.env \.env\.(?!(?:example|sample|template|dist|defaults?)$)[^/]+ \.envrc
        [^/]+\.env\.(?:local|prod|production) \.streamlit/secrets\.toml
        secrets\.(?:ya?ml|toml|json)
    """),
    ("dump", "a memory dump, which holds what programs knew", r"""
        core core\.[0-9]+ [^/]+\.(?:hprof|mdmp) var/crash/.+ vgcore\.[0-9]+
    """),
    ("trash", "removed files", r"\.trash(?:-[0-9]+)?/.+ \.local/share/trash/.+"),
    ("cache", "a cache", r"\.cache/.+ \.npm/_cacache/.+ \.npm/_logs/.+"),
    ("htpasswd", "passwords of a web server", r"\.?htpasswd[^/]* \.htdigest"),
)  # fmt: skip
_TOP = (
    ("machine", "the identity or the accounts of one machine", r"""
        etc/ssh/ssh_host_[^/]+ etc/machine-id var/lib/dbus/machine-id etc/g?shadow-? etc/security/opasswd
        var/lib/systemd/random-seed etc/ssl/private/.+ etc/krb5\.keytab etc/sudoers\.d/.+_token etc/wireguard/.+
        etc/netplan/.+ etc/networkmanager/system-connections/.+ etc/ppp/[^/]*secrets var/lib/tor/.+
    """),
    ("temporary", "a file for the time of one run", r"(?:run|var/run|tmp|var/tmp|dev/shm)/.+"),
    ("log", "a log", r"var/log/.+ var/spool/(?:mail|cron|anacron)/.+ var/mail/.+"),
)  # fmt: skip
_OF_PACKAGES = re.compile(r"/(?:site|dist)-packages/[^/]+/(?:.+/)?(?:core|secrets\.json)\Z|/node_modules/npm/\.npmrc\Z")


def _compiled(rules: tuple[tuple[str, str, str], ...]) -> str:
    return "|".join(f"(?P<{kind.replace('-', '_')}>{'|'.join(names.split())})" for kind, _, names in rules)


_REASONS = {kind.replace("-", "_"): (kind, reason) for kind, reason, _ in (*_TOP, *_RULES)}
_FROM_TOP = re.compile(rf"/(?:{_compiled(_TOP)})\Z")
_ANYWHERE = re.compile(rf"/(?:{_compiled(_RULES)})\Z")


def by_path(path: str, kind_of_file: str = "file") -> Finding | None:
    """The rule that a path breaks. `kind_of_file` is `file`, `folder`, `link`, …: only files are judged by name.

    Keys and certificates (`*.pem`, `*.key`, `*.crt`) are decided by their content, `pip.conf` and `.git/config` too.
    """
    if kind_of_file != "file":
        return None
    name = "/" + path.strip("/").lower()
    found = _FROM_TOP.match(name) or _ANYWHERE.search(name)
    if found is None or found.lastgroup is None:
        return None
    if _OF_PACKAGES.search(name):
        return None
    kind, reason = _REASONS[found.lastgroup]
    return Finding(path=path, kind=kind, reason=f"{reason}, by its path")
