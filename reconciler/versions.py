"""Which version this is: [project] version in pyproject.toml, the only place that says so."""

from importlib import metadata


def version() -> str:
    try:
        return metadata.version("ebbtide")
    except metadata.PackageNotFoundError:
        return "(not installed)"
