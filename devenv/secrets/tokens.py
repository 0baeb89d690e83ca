"""Tokens that are known by how they begin: one table, tried only where a long run of token characters begins."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from devenv.secrets.values import entropy, is_placeholder

_W = r"[\w-]"
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

_TABLE = (
    # kind, who gives it, how it begins (2 characters at least), the rest; sources: the providers' own pages
    ("github-token", "GitHub", "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{36,255}"),
    ("github-token", "GitHub", "github_pat_", r"\w{60,}"),
    ("gitlab-token", "GitLab", "glpat- gldt- glrt- glptt- glft- glimt- glagent- glsoat- glcbt-", rf"{_W}{{20,}}"),
    ("bitbucket-token", "Bitbucket", "ATBB", r"[A-Za-z0-9]{28,}"),
    ("bitbucket-token", "Bitbucket", "BBDC-", r"[A-Za-z0-9+/@_-]{40,}"),
    ("atlassian-token", "Atlassian", "ATATT3 ATCTT3", r"[\w=-]{40,}"),
    ("huggingface-token", "Hugging Face", "hf_ api_org_", r"[A-Za-z0-9]{30,}"),
    ("modelscope-token", "ModelScope", "ms-", _UUID),
    ("anthropic-key", "Anthropic", "sk-ant-", rf"{_W}{{32,}}"),
    ("openai-key", "OpenAI", "sk-proj- sk-svcacct- sk-admin-", rf"{_W}{{40,}}"),
    ("ai-key", "OpenRouter", "sk-or-v1-", r"[0-9a-f]{64}"),
    ("ai-key", "Langfuse", "sk-lf-", _UUID),
    ("openai-key", "OpenAI, DeepSeek, DashScope or Moonshot", "sk-", r"[A-Za-z0-9]{32,}"),
    ("ai-key", "Groq", "gsk_", r"[A-Za-z0-9]{40,}"),
    ("ai-key", "Replicate", "r8_", r"[A-Za-z0-9]{37}"),
    ("ai-key", "Perplexity", "pplx-", r"[A-Za-z0-9]{40,}"),
    ("ai-key", "xAI", "xai-", r"[A-Za-z0-9]{70,}"),
    ("ai-key", "NVIDIA", "nvapi-", rf"{_W}{{60,}}"),
    ("ai-key", "Together", "tgp_v1_", rf"{_W}{{40,}}"),
    ("ai-key", "Cerebras", "csk-", r"[a-z0-9]{40,}"),
    ("ai-key", "LangSmith", "lsv2_pt_ lsv2_sk_", r"[0-9a-f]{32}_[0-9a-f]{10}"),
    ("ai-key", "Jina", "jina_", r"[A-Za-z0-9]{60,}"),
    ("ai-key", "Tavily", "tvly-", rf"{_W}{{24,}}"),
    ("ai-key", "ElevenLabs", "sk_", r"[0-9a-f]{48}"),
    ("ai-key", "Pinecone", "pcsk_", r"\w{60,}"),
    ("ai-key", "RunPod", "rpa_", r"[A-Za-z0-9]{40,}"),
    ("wandb-key", "Weights & Biases", "wandb_v1_", r"\w{40,}"),
    ("kaggle-key", "Kaggle", "KGAT_", r"[0-9a-f]{32}"),
    ("databricks-token", "Databricks", "dapi", r"[0-9a-f]{32}(?:-[0-9])?"),
    ("aws-key", "AWS", "AKIA ASIA ABIA ACCA", r"[A-Z2-7]{16}"),
    ("alibaba-key", "Alibaba Cloud", "LTAI", r"[A-Za-z0-9]{16,20}"),
    ("tencent-key", "Tencent Cloud", "AKID", r"[A-Za-z0-9]{32}"),
    ("volcano-key", "Volcano Engine", "AKLT", rf"{_W}{{40,}}"),
    ("google-key", "Google", "AIza", rf"{_W}{{35}}"),
    ("google-key", "Google", "GOCSPX-", rf"{_W}{{28}}"),
    ("digitalocean-token", "DigitalOcean", "dop_v1_ doo_v1_ dor_v1_", r"[a-f0-9]{64}"),
    ("slack-token", "Slack", "xoxb- xoxp- xoxa- xoxr- xoxs- xoxe- xoxe.xox xapp-", r"[\w.-]{20,}"),
    ("stripe-key", "Stripe", "sk_live_ sk_test_ rk_live_ rk_test_ whsec_", r"[A-Za-z0-9]{20,}"),
    ("twilio-key", "Twilio", "SK", r"[0-9a-f]{32}"),
    ("mail-key", "Mailgun", "key-", r"[0-9a-f]{32}"),
    ("mail-key", "Brevo", "xkeysib-", r"[0-9a-f]{64}-\w{16}"),
    ("shop-key", "Shopify", "shpat_ shpca_ shppa_ shpss_", r"[0-9a-fA-F]{32}"),
    ("shop-key", "Square", "sq0csp- sq0atp-", rf"{_W}{{22,}}"),
    ("npm-token", "npm", "npm_", r"[A-Za-z0-9]{36}"),
    ("pypi-token", "PyPI", "pypi-Ag", rf"{_W}{{50,}}"),
    ("package-token", "RubyGems", "rubygems_", r"[0-9a-f]{48}"),
    ("package-token", "crates.io", "cio", r"[A-Za-z0-9]{32}"),
    ("package-token", "Artifactory", "AKCp cmVmdGtuO", r"[A-Za-z0-9]{55,}"),
    ("docker-token", "Docker Hub", "dckr_pat_ dckr_oat_", rf"{_W}{{24,}}"),
    ("age-key", "age", "AGE-SECRET-KEY-1", r"[0-9A-Z]{58}"),
    ("token", "Linear", "lin_api_ lin_oauth_", r"[A-Za-z0-9]{40,}"),
    ("token", "Notion", "ntn_", r"[A-Za-z0-9]{40,}"),
    ("token", "Figma", "figd_", rf"{_W}{{40}}"),
    ("token", "Sentry", "sntrys_ sntryu_", r"[A-Za-z0-9_+/=-]{40,}"),
    ("token", "Grafana", "glsa_ glc_", r"[A-Za-z0-9_+/=]{32,}"),
    ("token", "New Relic", "NRAK-", r"[A-Z0-9]{27}"),
    ("token", "Supabase", "sbp_ sb_secret_", r"\w{30,}"),
    ("token", "PlanetScale", "pscale_tkn_ pscale_pw_", r"[\w.-]{32,}"),
    ("token", "Tailscale", "tskey-auth- tskey-api- tskey-client-", rf"{_W}{{20,}}"),
    ("token", "Heroku", "HRKU-", rf"{_W}{{36,}}"),
    ("vault-token", "HashiCorp Vault", "hvs. hvb. hvr.", rf"{_W}{{24,}}"),
    ("google-key", "Google", "ya29.", rf"{_W}{{40,}}"),
    ("mail-key", "SendGrid", "SG.", rf"{_W}{{20,24}}\.{_W}{{40,46}}"),
    ("jwt", "a signed login (JWT)", "eyJ", rf"{_W}{{14,}}\.eyJ{_W}{{14,}}\.{_W}{{16,}}"),
)  # fmt: skip
_LEADS = (b"ya29.", b"hvs.", b"hvb.", b"hvr.", b"SG.", b"xoxe.")
"""Beginnings with a dot, which end the run of characters before."""
_ENDS = re.compile(rb"\"exp\"\s*:\s*([0-9]{9,11})\b")
_EXAMPLE = re.compile(rb"\"some\"\s*:\s*\"payload\"|John Doe|\"sub\"\s*:\s*\"1234567890\"")
_LONG_AGO = 1_600_000_000
_CUT = re.compile(rb"[_-](?=[A-Za-z])")
_LEAST = 20
_ANYTHING = frozenset({"jwt", "aws-key"})
"""Kinds that need no further look at their randomness."""


def _by_beginning() -> dict[bytes, list[tuple[str, str, re.Pattern[bytes]]]]:
    found: dict[bytes, list[tuple[str, str, re.Pattern[bytes]]]] = {}
    for kind, giver, beginnings, rest in _TABLE:
        for beginning in beginnings.split():
            lead = beginning.encode()
            pattern = re.compile(re.escape(lead) + f"(?P<rest>{rest})(?![A-Za-z0-9])".encode(), re.ASCII)
            found.setdefault(lead[:2], []).append((kind, giver, pattern))
    return found


_BEGINNINGS = _by_beginning()
_TWO = frozenset(_BEGINNINGS)


def tokens(data: bytes, start: int, end: int, run: bytes) -> Iterator[tuple[int, str, str]]:
    """(position, kind, giver) of the tokens in the run of characters `start` to `end`; `run` is how it begins."""
    if run[:2] in _TWO:
        yield from _at(data, start)
    before = data[start - 1 : start]
    if before == b"\\" and run[1:3] in _TWO:  # `\n` in a string of JSON or Python
        yield from _at(data, start + 1)
    elif before == b"%" and run[2:4] in _TWO:  # `%3D` in an address
        yield from _at(data, start + 2)
    elif before == b".":
        for lead in _LEADS:
            at = start - len(lead)
            if at >= 0 and data.startswith(lead, at):
                yield from _at(data, at)
    if b"-" in run or b"_" in run:
        # `KEY_hf_…`, `bearer-ghp_…`: where a word of the run ends.
        for cut in _CUT.finditer(run):
            at = start + cut.end()
            if end - at >= _LEAST and data[at : at + 2] in _TWO:
                yield from _at(data, at)


def _at(data: bytes, at: int) -> Iterator[tuple[int, str, str]]:
    for kind, giver, pattern in _BEGINNINGS[data[at : at + 2]]:
        found = pattern.match(data, at)
        if found and (kind in _ANYTHING or _is_made(found["rest"])):
            if kind == "jwt" and _is_example(found[0]):
                continue
            if kind == "aws-key" and (found[0].endswith(b"EXAMPLE") or entropy(found["rest"]) < 2.4):
                continue
            yield at, kind, giver
            return


def _is_made(rest: bytes) -> bool:
    return entropy(rest) >= 3.0 and bool(re.search(rb"[0-9]", rest)) and not is_placeholder(rest)


def _is_example(jwt: bytes) -> bool:
    """Whether a signed login ended years ago, or is the one that every manual prints."""
    body = jwt.split(b".")[1]
    try:
        claims = base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4))
    except ValueError:
        return True
    ends = _ENDS.search(claims)
    return bool(_EXAMPLE.search(claims)) or (ends is not None and int(ends[1]) < _LONG_AGO)
