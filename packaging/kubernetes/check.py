"""Render every overlay and the chart, and hold them against our own schemas and each other: `./run kubernetes`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from reconciler import classes, schemas  # noqa: E402

CHART = HERE / "helm/ebbtide"
RENDERER = HERE / "helm/render/main.go"
KINDS = ["ConfigMap", "DaemonSet", "Role", "RoleBinding", "ServiceAccount"]
EVERYTHING: dict[str, Any] = {
    "privileged": True,
    "nodeSelector": {"disk": "ssd"},
    "affinity": {"nodeAffinity": {}},
    "extraCapabilities": ["DAC_OVERRIDE"],
    "classes": {"10-a.yaml": {"mode": "observe"}, "20-b.yaml": {"classes": [{"name": "x", "allowswap": True}]}},
}


def output(*words: str, **environment: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, env={**dict(PATHS), **environment}).stdout


PATHS = [("PATH", "/usr/bin:/bin:/usr/sbin"), ("HOME", "/root")]
GO = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": "/tmp/ebbtide-go", "GOFLAGS": ""}


def documents(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]


def one(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (document,) = (each for each in found if each["kind"] == kind)
    return document


def check(name: str, found: list[dict[str, Any]]) -> None:
    """What every way to run on a cluster has in common."""
    kinds = sorted(each["kind"] for each in found if each["kind"] != "Namespace")
    assert kinds == KINDS, (name, kinds)
    daemonset, config = one(found, "DaemonSet"), one(found, "ConfigMap")
    template = daemonset["spec"]["template"]
    wanted = daemonset["spec"]["selector"]["matchLabels"].items()
    assert wanted <= template["metadata"]["labels"].items(), name
    mounted = next(volume for volume in template["spec"]["volumes"] if volume["name"] == "classes")
    assert mounted["configMap"]["name"] == config["metadata"]["name"], name
    account = one(found, "ServiceAccount")
    assert template["spec"]["serviceAccountName"] == account["metadata"]["name"], name
    assert not account["automountServiceAccountToken"], name
    role = one(found, "Role")["rules"][0]
    assert role["resourceNames"] == [config["metadata"]["name"]], name
    volumes = {volume["name"] for volume in template["spec"]["volumes"]}
    for container in template["spec"]["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes, name
    texts = [classes.ClassText(path=f"{name}/{key}", name=key, text=text) for key, text in config["data"].items()]
    problems = classes.load(texts, schemas.load()).problems
    assert not problems, problems


def pod(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The pod as both ways should have it: without names that are each one's own."""
    spec = json.loads(json.dumps(one(found, "DaemonSet")["spec"]["template"]["spec"]))
    del spec["serviceAccountName"]
    for container in spec["containers"]:
        container["image"] = container["image"].partition(":")[0]
    return dict(spec)


def chart(values: dict[str, Any]) -> list[dict[str, Any]]:
    path = Path("/tmp/ebbtide-values.json")
    path.write_text(json.dumps(values))
    jsonschema.validate(
        {**yaml.safe_load((CHART / "values.yaml").read_text()), **values},
        json.loads((CHART / "values.schema.json").read_text()),
    )
    return documents(output("go", "run", str(RENDERER), str(CHART), str(path), "ebbtide", **GO))


def main() -> None:
    rendered = {
        overlay.name: documents(output("kubectl", "kustomize", str(overlay)))
        for overlay in sorted((HERE / "overlays").iterdir())
    }
    rendered["chart"], rendered["chart with everything"] = chart({}), chart(EVERYTHING)
    for name, found in rendered.items():
        check(name, found)
        print(f"{name}: {len(found)} objects are as they should be")
    assert pod(rendered["chart"]) == pod(rendered["containerd"]), "chart and kustomize make different pods"
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert f'version = "{version}"' in (HERE.parents[1] / "pyproject.toml").read_text(), (
        "the chart is of another version"
    )


if __name__ == "__main__":
    main()
