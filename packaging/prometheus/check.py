"""Alerts by promtool, and a real Prometheus that scrapes a real daemon: `./run prometheus`."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "packaging/prometheus/ebbtide.rules.yaml"
CONFIG = """global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: ebbtide
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
PATIENCE_S = 120.0


def daemon(folder: Path, listener: socket.socket) -> subprocess.Popen[bytes]:
    """`ebbtide daemon` with the socket that the service manager would hand over as descriptor 3."""
    code = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1',"
        " LISTEN_FDNAMES='metrics'); os.execv(sys.executable, [sys.executable, '-m', 'reconciler', *sys.argv[2:]])"
    )
    places = ["--state-dir", str(folder / "state"), "--run-dir", str(folder / "run"), "--config-dir", str(folder)]
    words = [sys.executable, "-c", code, str(listener.fileno()), "daemon", *places]
    return subprocess.Popen(words, cwd=ROOT, pass_fds=[listener.fileno()], env={**os.environ, "PYTHONPATH": str(ROOT)})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def asked(port: int, query: str) -> list[dict[str, object]]:
    address = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return list(json.load(answer)["data"]["result"])
    except OSError:
        return []


def until(port: int, query: str) -> list[dict[str, object]]:
    end = time.monotonic() + PATIENCE_S
    while not (found := asked(port, query)):
        assert time.monotonic() < end, f"Prometheus has no answer to {query}"
        time.sleep(0.5)
    return found


def scraped(folder: Path, listener: socket.socket) -> None:
    port = free_port()
    config = folder / "prometheus" / "config.yml"
    config.parent.mkdir()
    config.write_text(CONFIG.format(rules=RULES, port=listener.getsockname()[1]))
    words = [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    prometheus = subprocess.Popen(["prometheus", *words], stderr=subprocess.DEVNULL)
    try:
        info = until(port, "ebbtide_build_info")
        until(port, 'ebbtide_cycles_total{result="ok"} > 0')
        until(port, "up{job='ebbtide'} == 1")
        print(f"Prometheus scraped the daemon: {info[0]['metric']}")
    finally:
        prometheus.terminate()
        prometheus.wait()


def main() -> None:
    subprocess.run(["promtool", "check", "rules", str(RULES)], check=True)
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as listener:
        folder = Path(name)
        running = daemon(folder, listener)
        try:
            scraped(folder, listener)
            text = urllib.request.urlopen(f"http://127.0.0.1:{listener.getsockname()[1]}/metrics", timeout=10).read()
            subprocess.run(["promtool", "check", "metrics"], input=text, check=True)
        finally:
            running.terminate()
            running.wait()
    print("alerts and metrics are as Prometheus wants them")


if __name__ == "__main__":
    main()
