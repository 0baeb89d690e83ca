"""Smoke check: a real Jupyter kernel starts, runs a cell and answers. The last line on stdout is JSON."""

import json
import sys
import time

START = time.perf_counter()
CODE = "import sys; print(6 * 7, sys.executable)"


def main():
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=50)
    ready = time.perf_counter()
    said = []
    try:
        client.execute_interactive(
            CODE,
            timeout=30,
            output_hook=lambda message: said.append(message["content"].get("text", "")),
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    answer, _, python = "".join(said).strip().partition(" ")
    passed = answer == "42" and python == sys.executable
    print(
        json.dumps(
            {
                "passed": passed,
                "summary": f"a cell printed {answer}, the kernel was ready after {ready - START:.1f} s",
                "answer": answer,
                "python": python,
                "seconds_kernel": round(ready - START, 3),
                "seconds": round(time.perf_counter() - START, 3),
            }
        )
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
