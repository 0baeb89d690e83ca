"""The lock's one text form: JSON, sorted, one artifact a line."""

from __future__ import annotations

import json
from typing import Any


def dumped(value: Any, depth: int = 0) -> str:
    """JSON with containers of containers indented and leaf records on one line each: made for diffs."""
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict) and any(isinstance(v, dict | list) for v in value.values()):
        rows = [f"{inner}{json.dumps(k)}: {dumped(v, depth + 1)}" for k, v in sorted(value.items())]
        return "{\n" + ",\n".join(rows) + f"\n{outer}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(inner + dumped(v, depth + 1) for v in value) + f"\n{outer}]"
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
