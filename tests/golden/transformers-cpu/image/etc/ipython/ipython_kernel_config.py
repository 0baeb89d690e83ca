"""When memory ends, kernels and what they start end before the servers: Linux takes the highest score first."""

from contextlib import suppress
from pathlib import Path

with suppress(OSError):
    Path("/proc/self/oom_score_adj").write_text("500")
