"""The programs of a cluster, from packages of the machine's own Debian release: no file of the system is changed.

The servers are compiled from the source package `kubernetes`: Debian has no binary packages of them.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
GO = "golang-1.19"
PACKAGES = (
    f"{GO}-go",
    f"{GO}-src",
    "etcd-server",
    "containerd",
    "runc",
    "containernetworking-plugins",
    "busybox-static",
)
SERVERS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
TOOLS = (
    "sh",
    "sleep",
    "cat",
    "echo",
    "ls",
    "id",
    "wget",
    "httpd",
    "nc",
    "hostname",
    "df",
    "mount",
    "date",
    "touch",
    "ps",
)


def sh(*command, **options):
    subprocess.run([str(one) for one in command], check=True, **options)


def build(cache, programs):
    """Fill the folder `programs`, unless that has been done."""
    if (programs / "complete").exists():
        return
    began = time.monotonic()
    for folder in (cache / "lists/partial", cache / "archives/partial", cache / "debs", programs / "images"):
        folder.mkdir(parents=True, exist_ok=True)
    version = download(cache)
    compile_servers(cache, programs, version)
    for name in (
        "usr/bin/etcd",
        "usr/bin/ctr",
        "usr/bin/containerd",
        "usr/bin/containerd-shim-runc-v2",
        "usr/sbin/runc",
    ):
        shutil.copy2(cache / "root" / name, programs)
    shutil.copytree(cache / "root/usr/lib/cni", programs / "cni", dirs_exist_ok=True)
    image(programs, "pause", {"pause": programs / ".pause"}, {}, ["/pause"])
    links = {f"bin/{name}": "busybox" for name in TOOLS}
    image(programs, "busybox", {"bin/busybox": cache / "root/bin/busybox"}, links, ["/bin/sh"])
    (programs / "complete").touch()
    print(f"built Kubernetes {version} in {time.monotonic() - began:.0f} s", file=sys.stderr)


def download(cache):
    """Debian's packages below `cache`, unpacked; the version of Kubernetes."""
    # The machine's own list, with source packages too.
    (cache / "own.sources").write_text(SOURCES.read_text().replace("Types: deb\n", "Types: deb deb-src\n"))
    settings = {"Dir::Etc::sourcelist": "/dev/null", "Dir::Etc::sourceparts": cache, "Dir::State::status": "/dev/null",
                "Dir::State::lists": cache / "lists", "Dir::Cache": cache, "Dir::Cache::archives": cache / "archives",
                "APT::Sandbox::User": "root"}  # fmt: skip
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    sh("apt-get", *options, "-qq", "update")
    sh("apt-get", *options, "-qq", "download", *PACKAGES, cwd=cache / "debs")
    sh("apt-get", *options, "-qq", "source", "--download-only", "kubernetes", cwd=cache / "debs")
    for deb in (cache / "debs").glob("*.deb"):
        sh("dpkg-deb", "-x", deb, cache / "root")
    source = cache / "go/src/k8s.io/kubernetes"
    source.mkdir(parents=True, exist_ok=True)
    archive = next((cache / "debs").glob("kubernetes_*.orig.tar.gz"))
    sh("tar", "-xzf", archive, "-C", source, "--strip-components=1")
    return archive.name.removesuffix(".orig.tar.gz").split("really")[-1].split("_")[-1]


def compile_servers(cache, programs, version):
    source, root = cache / "go/src/k8s.io/kubernetes", cache / "root/usr/lib" / GO.replace("golang", "go")
    environment = {**os.environ, "GOROOT": str(root), "GOPATH": str(cache / "go"), "GOCACHE": str(cache / "compiled"),
                   "GO111MODULE": "off", "CGO_ENABLED": "0", "PATH": f"{root}/bin:{os.environ['PATH']}"}  # fmt: skip
    flags = "-s -w"
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        flags += f" -X k8s.io/kubernetes/vendor/{package}.gitVersion=v{version}"

    def go_build(program, package):
        sh(
            "go",
            "build",
            "-trimpath",
            "-ldflags",
            flags,
            "-o",
            program,
            f"k8s.io/kubernetes/{package}",
            env=environment,
        )

    if not (source / "pkg/generated/openapi/zz_generated.openapi.go").exists():
        go_build(cache / "openapi-gen", "vendor/k8s.io/kube-openapi/cmd/openapi-gen")
        sh(cache / "openapi-gen", "--logtostderr", "-i", ",".join(described(source)), "-O", "zz_generated.openapi", "-p",
           "k8s.io/kubernetes/pkg/generated/openapi", "-h", "hack/boilerplate/boilerplate.generatego.txt", "-r", os.devnull,
           cwd=source, env=environment)  # fmt: skip
    for name in ("pause", "servers"):
        (source / "cmd" / name).mkdir(exist_ok=True)
        shutil.copy2(HERE / f"{name}.go", source / "cmd" / name / "main.go")
        go_build(programs / f".{name}", f"cmd/{name}")
    for name in SERVERS:
        (programs / name).unlink(missing_ok=True)
        (programs / name).symlink_to(".servers")


def described(source):
    """The packages whose types the API server describes to its clients: the one part that the source lacks."""
    for top in ("pkg/apis", "staging/src/k8s.io"):
        for folder in sorted({path.parent for path in (source / top).rglob("*.go")}):
            place = str(folder.relative_to(source)).replace("staging/src/", "vendor/")
            if not place.startswith(("vendor/k8s.io/code-generator", "vendor/k8s.io/sample-apiserver")) and any(
                b"+k8s:openapi-gen=" in path.read_bytes() for path in folder.glob("*.go")
            ):
                yield f"k8s.io/kubernetes/{place}"


def image(programs, name, files, links, entrypoint):
    """bench/NAME:1 as `docker save` would write it, of static programs."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for path, file in files.items():
            tar.add(file, path)
        for path, target in links.items():
            link = tarfile.TarInfo(path)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    digest = "sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest]},
              "config": {"Entrypoint": entrypoint, "Env": ["PATH=/bin"]}}  # fmt: skip
    manifest = [{"Config": "config.json", "RepoTags": [f"bench/{name}:1"], "Layers": ["layer.tar"]}]
    with tarfile.open(programs / f"images/{name}.tar", "w") as tar:
        for path, content in (("layer.tar", layer.getvalue()), ("config.json", json.dumps(config).encode()),
                              ("manifest.json", json.dumps(manifest).encode())):  # fmt: skip
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
