"""A one-layer OCI image as a tar that `ctr images import` takes: no registry, nothing but mount points and a sleeper.

Everything that runs in it comes from the machine itself: /usr is bind-mounted, so a container starts with the guest's
own Python and with nothing to unpack.
"""

import hashlib
import io
import json
import tarfile
from pathlib import Path

OCI = "application/vnd.oci.image."
FOLDERS = ("usr", "tmp", "etc", "proc", "sys", "dev", "root", "src")
SLEEPER = Path("/usr/bin/busybox")  # static: what keeps a pod's sandbox, which has no /usr
PAUSE = ("/busybox", "sleep", "100000000")
LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}


def add(archive: tarfile.TarFile, entry: tarfile.TarInfo, data: bytes = b"") -> None:
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def layer() -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name in FOLDERS:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            add(archive, folder)
        for name, target in LINKS.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            add(archive, link)
        sleeper = tarfile.TarInfo("busybox")
        sleeper.mode = 0o755
        add(archive, sleeper, SLEEPER.read_bytes())
    return held.getvalue()


class Blobs:
    """Content by digest, as an OCI layout keeps it."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def put(self, kind: str, data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        self.held[digest] = data
        return {"mediaType": OCI + kind, "digest": "sha256:" + digest, "size": len(data)}

    def put_json(self, kind: str, value: object) -> dict[str, object]:
        return self.put(kind, json.dumps(value).encode())


def write(out: Path, name: str) -> None:
    """An image called NAME whose containers sleep unless they are told otherwise."""
    blobs = Blobs()
    body = blobs.put("layer.v1.tar", layer())
    config = {"Cmd": PAUSE, "Env": ["PATH=/usr/bin:/usr/sbin"]}
    about = {"architecture": "amd64", "os": "linux", "config": config}
    about["rootfs"] = {"type": "layers", "diff_ids": [body["digest"]]}
    manifest: dict[str, object] = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json"}
    manifest |= {"config": blobs.put_json("config.v1+json", about), "layers": [body]}
    index = blobs.put_json("manifest.v1+json", manifest)
    index["platform"] = {"architecture": "amd64", "os": "linux"}
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    index["annotations"] = names
    with tarfile.open(out, "w") as archive:
        add(archive, tarfile.TarInfo("oci-layout"), b'{"imageLayoutVersion": "1.0.0"}')
        add(archive, tarfile.TarInfo("index.json"), json.dumps({"schemaVersion": 2, "manifests": [index]}).encode())
        for digest, data in blobs.held.items():
            add(archive, tarfile.TarInfo("blobs/sha256/" + digest), data)
