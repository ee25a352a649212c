"""The JSON Schemas that are shipped: the same files that editors use."""

import functools
import importlib.resources
import json
from collections.abc import Mapping
from typing import Any


@functools.cache
def read(name: str) -> Mapping[str, Any]:
    """The schema `name` ("classes", "memtierd", "workload", ...)."""
    text = importlib.resources.files("reconciler").joinpath("schema", f"{name}.schema.json").read_text("utf-8")
    schema: Mapping[str, Any] = json.loads(text)
    return schema


def load() -> Mapping[str, Mapping[str, Any]]:
    """The schemas that reading class files needs, by name."""
    return {"classes": read("classes")}
