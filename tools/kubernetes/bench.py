#!/usr/bin/env python3
"""A real Kubernetes cluster for tests, on one machine without systemd and without the internet.

    bench.py build          make the programs from Debian's packages (cached; see build.py)
    bench.py up [NODES]     start the control plane and what nodes (default 2) are not running: again after a node's loss
    bench.py load IMAGE...  bring images of the local Docker into every node
    bench.py enter NODE COMMAND...
    bench.py lose NODE      end a node at once, as when its power fails; or the `apiserver`, `scheduler`, `controllers`
    bench.py recycle        offer volumes again whose claims are gone, emptied
    bench.py down           end everything that `up` started, by its pid, and remove what it made

Each node is a set of namespaces (network, mounts, processes, host name) with its own containerd, kubelet and kube-proxy;
killing its first process ends all of it. The control plane runs on the host. BENCH_HOME: the folder for everything
(default: .venv/tools/kubernetes). BENCH_BIN: programs that are there already. BENCH_PORT: the first of five ports; nodes
pull by plain HTTP from a registry that a test starts at the sixth, on 198.18.0.1.

Root, Debian 12, cgroup v1, iproute2; it runs beside Docker and does not touch it. Kubernetes is the newest whose servers the
distribution's own compiler builds: no Pod Security admission, no enforced NetworkPolicy, no DNS, no volume provisioner.
"""

import base64
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOME = Path(os.environ.get("BENCH_HOME") or HERE.parents[1] / ".venv/tools/kubernetes").absolute()
BIN = Path(os.environ.get("BENCH_BIN") or HOME / "bin").absolute()
PORT = int(os.environ.get("BENCH_PORT") or 16443)
RUN = HOME / "run"
CGROUPS = Path("/sys/fs/cgroup")
# Addresses that no real host has: hosts .0.x, pods .128-.137, services .19.
HOST, PODS, SERVICES, ALL = "198.18.0.1", "198.18.128.0/17", "198.19.0.0/16", "198.18.0.0/15"
NODES = range(1, 10)
VOLUMES = 80


def sh(*command, quiet=False, **options):
    return subprocess.run([str(one) for one in command], check=not quiet, capture_output=quiet, text=True, **options)


def kubectl(*arguments, **options):
    return sh(BIN / "kubectl", "--kubeconfig", HOME / "kubeconfig", *arguments, **options)


def ip(*lines):
    for line in lines:
        sh("ip", *line.split())


def born(pid):
    """When a process began, in ticks: no other process of that number has the same. None: it has ended."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if state == "Z" else rest[18]


def alive(name):
    """The pid of what `start` started under this name, unless it has ended."""
    try:
        pid, when = (RUN / "pids" / name).read_text().split()
    except OSError:
        return None
    return int(pid) if born(pid) == when else None


def start(name, *command):
    if alive(name):
        return
    with (RUN / "log" / name).open("ab") as log:
        pid = subprocess.Popen([str(one) for one in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                               start_new_session=True).pid  # fmt: skip
    (RUN / "pids" / name).write_text(f"{pid} {born(pid)}")


def stop(*names):
    for patient in (True, False):
        for name, pid in ((name, pid) for name in names if (pid := alive(name))):
            # A node's first process heeds no other signal; its death takes all others along.
            os.kill(pid, signal.SIGTERM if patient and not (RUN / "nodes" / name).exists() else signal.SIGKILL)
        for _ in range(100):
            if not any(map(alive, names)):
                return
            time.sleep(0.1)


def until(what, check, seconds=180):
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {seconds} s, see {RUN / 'log'}")
        time.sleep(0.2)


def write_kubeconfig(path, user, server):
    token = next(line.split(",")[0] for line in (RUN / "tokens.csv").read_text().split() if f",{user}," in line)
    authority = base64.b64encode((RUN / "pki/apiserver.crt").read_bytes()).decode()
    path.touch(mode=0o600)
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": user}}],
    }))  # fmt: skip


def up(count=2):
    began, names = time.monotonic(), {f"n{i}": i for i in NODES[: int(count)]}
    for folder in ("pids", "log", "pki", "nodes", "volumes"):
        (RUN / folder).mkdir(parents=True, exist_ok=True)
    key = RUN / "pki/account.key"
    if not key.exists():
        users = [("admin", "system:masters"), ("dev", "developers")]  # `dev` may do what a test grants it
        users += [(f"system:node:n{i}", "system:nodes") for i in NODES]
        lines = [f"{secrets.token_hex(16)},{user},{user},{group}\n" for user, group in users]
        (RUN / "tokens.csv").write_text("".join(lines))
        sh("openssl", "genrsa", "-out", key, "2048", quiet=True)
    if not Path("/run/netns/kb-hub").exists():
        # The switch has a namespace of its own, where no rule of the host's (Docker's, say) drops what it passes on.
        ip(f"route replace blackhole {ALL}", "netns add kb-hub", "-n kb-hub link add br0 up type bridge",
           "link add kb-host type veth peer name host netns kb-hub", "-n kb-hub link set host master br0 up",
           f"address add {HOST}/24 dev kb-host", "link set kb-host up")  # fmt: skip
    version = sh(BIN / "kubelet", "--version", quiet=True).stdout.split()[-1]
    old = int(version.split(".")[1]) < 24
    store = f"http://127.0.0.1:{PORT + 1}"
    start("etcd", BIN / "etcd", "--data-dir", RUN / "etcd", "--listen-client-urls", store, "--advertise-client-urls", store,
          "--listen-peer-urls", f"http://127.0.0.1:{PORT + 2}")  # fmt: skip
    start("apiserver", BIN / "kube-apiserver", "--etcd-servers", store, "--secure-port", PORT, "--advertise-address", HOST,
          "--cert-dir", RUN / "pki", "--token-auth-file", RUN / "tokens.csv", "--authorization-mode", "Node,RBAC",
          "--enable-admission-plugins", "NodeRestriction", "--allow-privileged", "--service-cluster-ip-range", SERVICES,
          "--service-account-issuer", "https://kubernetes.default.svc", "--service-account-signing-key-file", key,
          "--service-account-key-file", key, "--kubelet-preferred-address-types", "InternalIP",
          "--default-not-ready-toleration-seconds", 5, "--default-unreachable-toleration-seconds", 5)  # fmt: skip
    until("the API server's certificate", (RUN / "pki/apiserver.crt").exists)
    write_kubeconfig(HOME / "kubeconfig", "admin", f"https://localhost:{PORT}")
    write_kubeconfig(HOME / "kubeconfig.dev", "dev", f"https://localhost:{PORT}")
    write_kubeconfig(RUN / "proxy.kubeconfig", "admin", f"https://{HOST}:{PORT}")
    until("the API server", lambda: kubectl("get", "--raw", "/readyz", quiet=True).stdout == "ok")
    common = ("--kubeconfig", HOME / "kubeconfig", "--leader-elect=false", "--bind-address", "127.0.0.1",
              *["--port=0"] * old)  # fmt: skip
    start("controllers", BIN / "kube-controller-manager", *common, "--secure-port", PORT + 3, "--root-ca-file",
          RUN / "pki/apiserver.crt", "--service-account-private-key-file", key, "--node-monitor-period", "1s",
          "--node-monitor-grace-period", "8s", "--flex-volume-plugin-dir", RUN / "flex")  # fmt: skip
    start("scheduler", BIN / "kube-scheduler", *common, "--secure-port", PORT + 4)
    for name, index in names.items():
        if not alive(name):
            start_node(name, index, old)
    volumes()
    ready = "jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type=='Ready')].status} {end}"
    until("the nodes", lambda: {f"{name}=True" for name in names}
          <= {*kubectl("get", "nodes", "-o", ready, quiet=True).stdout.split()})  # fmt: skip
    print(f"Kubernetes {version}, {len(names)} nodes, up in {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(f"export KUBECONFIG={HOME / 'kubeconfig'}")


def start_node(name, index, old):
    place, address = RUN / "nodes" / name, f"198.18.0.{10 + index}"
    shutil.rmtree(place / "run", ignore_errors=True)  # what it left when it was lost
    for folder in ("run", "var/lib/kubelet", "var/log", "cni"):
        (place / folder).mkdir(parents=True, exist_ok=True)
    sh("ip", "-n", "kb-hub", "link", "delete", name, quiet=True)
    sh("ip", "netns", "delete", f"kb-{name}", quiet=True)
    ip(f"netns add kb-{name}", f"link add eth0 netns kb-{name} type veth peer name {name} netns kb-hub",
       f"-n kb-hub link set {name} master br0 up", f"-n kb-{name} address add {address}/24 dev eth0",
       f"-n kb-{name} link set lo up", f"-n kb-{name} link set eth0 up",
       f"route replace 198.18.{128 + index}.0/24 via {address}",
       *(f"-n kb-{name} route add 198.18.{128 + i}.0/24 via 198.18.0.{10 + i}" for i in NODES if i != index))  # fmt: skip
    for controller in CGROUPS.iterdir():
        (controller / "kube-bench" / name).mkdir(parents=True, exist_ok=True)
    addresses = {"type": "host-local", "ranges": [[{"subnet": f"198.18.{128 + index}.0/24"}]]}
    bridge = {"type": "bridge", "bridge": "cni0", "isDefaultGateway": True, "hairpinMode": True, "ipam": addresses}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    pods = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}
    (place / "cni/10-pods.conflist").write_text(json.dumps(pods))
    (place / "kubelet.json").write_text(json.dumps({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"}, "cgroupDriver": "cgroupfs", "cgroupRoot": f"/kube-bench/{name}",
        "failSwapOn": False, "oomScoreAdj": 0, "maxPods": 40, "nodeStatusUpdateFrequency": "2s",
        "nodeLeaseDurationSeconds": 8, "imageGCHighThresholdPercent": 100, "volumePluginDir": "/var/lib/flex",
        "evictionHard": {"memory.available": "100Mi"},  # a full disk of the host's must not end pods
        **({} if old else {"failCgroupV1": False}),
    }))  # fmt: skip
    write_kubeconfig(place / "kubeconfig", f"system:node:{name}", f"https://{HOST}:{PORT}")
    values = {"NAME": name, "NODE": place, "BIN": BIN, "RUN": RUN, "IP": address, "PODS": PODS,
              "REGISTRY": f"{HOST}:{PORT + 5}", "OLD": "--container-runtime=remote" * old}  # fmt: skip
    start(name, "env", *(f"{key}={value}" for key, value in values.items()), "nsenter", f"--net=/run/netns/kb-{name}",
          "unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", HERE / "node.sh")  # fmt: skip


def volumes():
    """A storage class and what it hands out: every volume is to be had on every node, as network storage is."""
    linux = {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "Exists"}]}
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    items = [{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "kubernetes.io/no-provisioner",
              "volumeBindingMode": "WaitForFirstConsumer", "metadata": {"name": "standard", "annotations": default}}]  # fmt: skip
    for path in (RUN / f"volumes/v{i}" for i in range(1, VOLUMES + 1)):
        path.mkdir(exist_ok=True)
        spec = {"capacity": {"storage": "20Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "standard",
                "local": {"path": str(path)}, "nodeAffinity": {"required": {"nodeSelectorTerms": [linux]}}}  # fmt: skip
        items.append({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": path.name}, "spec": spec})
    everything = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    kubectl("apply", "--validate=false", "-f", "-", input=everything, stdout=subprocess.DEVNULL)


def recycle():
    """Empty what a claim that is gone has left, and offer it again."""
    listed = json.loads(kubectl("get", "pv", "-o", "json", quiet=True).stdout)["items"]
    for name in (one["metadata"]["name"] for one in listed if one["status"]["phase"] == "Released"):
        for path in (RUN / "volumes" / name).iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        patch = '[{"op": "remove", "path": "/spec/claimRef"}]'
        kubectl("patch", "pv", name, "--type=json", "--patch", patch, stdout=subprocess.DEVNULL)


def enter(name, *command):
    pid = alive(name) or sys.exit(f"{name} is not running")
    first = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
    sh(
        "nsenter",
        "-t",
        first,
        "--mount",
        "--uts",
        "--net",
        "--pid",
        "env",
        f"PATH={BIN}:{os.environ['PATH']}",
        *command,
    )


def load(*images):
    sh("docker", "save", "-o", RUN / "load.tar", *images)
    for name in sorted(path.name for path in (RUN / "nodes").iterdir() if alive(path.name)):
        enter(name, "ctr", "-n", "k8s.io", "images", "import", RUN / "load.tar")
    (RUN / "load.tar").unlink()


def down():
    if not RUN.exists():
        return
    stop(*(path.name for path in (RUN / "nodes").iterdir()))
    stop("scheduler", "controllers", "apiserver")
    stop("etcd")
    sh("ip", "link", "delete", "kb-host", quiet=True)
    for space in Path("/run/netns").glob("kb-*"):
        ip(f"netns delete {space.name}")
    sh("ip", "route", "delete", "blackhole", ALL, quiet=True)
    for folder in sorted(CGROUPS.glob("*/kube-bench/**/"), key=lambda one: -len(one.parts)):
        folder.rmdir()
    shutil.rmtree(RUN)
    for path in HOME.glob("kubeconfig*"):
        path.unlink()


if __name__ == "__main__":
    name, *rest = sys.argv[1:] or ["help"]
    if name in ("build", "up") and "BENCH_BIN" not in os.environ:
        import build

        build.build(HOME / "cache", BIN)
    elif name not in ("up", "load", "enter", "lose", "recycle", "down"):
        sys.exit(__doc__)
    commands = {
        "up": up,
        "load": load,
        "enter": enter,
        "lose": stop,
        "recycle": recycle,
        "down": down,
        "build": lambda: None,
    }
    commands[name](*rest)
