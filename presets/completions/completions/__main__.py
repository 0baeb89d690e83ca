"""The command: `python /usr/local/lib/devenv-completions/completions FOLDER --port PORT`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> int:
    """Load the model, then serve until interrupted."""
    parser = argparse.ArgumentParser(prog="completions", description="OpenAI's API for a model, by Transformers.")
    parser.add_argument("folder", type=Path, help="the model: config.json, tokenizer and safetensors")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument(
        "--served-model-name", metavar="NAME", help="what clients call the model; else the folder's name"
    )
    parser.add_argument("--trust-remote-code", action="store_true", help="run the code in the model's folder")
    asked = parser.parse_args()

    from completions.engine import Engine
    from completions.server import serve

    engine = Engine.load(asked.folder, trust=asked.trust_remote_code)
    return serve(engine, asked.served_model_name or asked.folder.name, asked.port)


if __name__ == "__main__":
    sys.exit(main())
